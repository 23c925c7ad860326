//! Locals: named values that a stack computes from its variables.

use crate::support::Story;
use crate::support::story::stack;
use terrace_engine::compile::Given;

fn with_locals(locals: &str, resources: &str) -> String {
    stack(resources).replace("resources:\n", &format!("{locals}\nresources:\n"))
}

const THING: &str = "- {type: world_thing, name: a, config: {key: a, val: '${{ locals.label }}'}}";

#[tokio::test]
async fn local_reads_variables_and_other_locals_in_any_order() {
    let mut story = Story::new();
    let text = with_locals(
        "variables: {size: {type: int, default: 3}}
locals: {label: '${{ locals.prefix + string(vars.size) }}', prefix: n, twice: ['${{ locals.label }}', '${{ locals.label }}']}",
        THING,
    );
    story.apply(&text).await;
    assert_eq!(story.remote_value("a", "val"), "n3".into());
    story.variables.insert("size".to_owned(), Given::text("4", "a test"));
    story.apply(&text).await;
    assert_eq!(story.log(), ["create a", "update a"]);
    assert_eq!(story.remote_value("a", "val"), "n4".into());
}

#[tokio::test]
async fn local_keeps_its_type_and_may_read_stack_and_environment() {
    let story = Story::new();
    let text = with_locals(
        "locals: {keys: ['x', 'y'], label: '${{ stack + \"@\" + environment }}'}",
        "- {type: world_thing, name: a, forEach: '${{ locals.keys }}', config: {key: '${{ each.key }}', val: '${{ locals.label }}'}}",
    );
    story.apply(&text).await;
    assert_eq!(story.rows().await.len(), 2);
    assert_eq!(story.remote_value("x", "val"), "demo@test".into());
}

#[tokio::test]
async fn cycle_of_locals_is_printed_with_its_places() {
    let text = with_locals(
        "locals:\n  label: ${{ locals.one }}\n  one: ${{ locals.two + 1 }}\n  two: ${{ locals.one }}\n  self: ${{ locals.self }}",
        THING,
    );
    insta::assert_snapshot!(Story::new().errors(&text).await, @"
    stack.yaml:8:13: a cycle: locals.self → locals.self
      hint: remove one of these references
    stack.yaml:6:12: a cycle: locals.one → locals.two → locals.one
      hint: remove one of these references
    ");
}

#[tokio::test]
async fn unknown_local_gets_a_suggestion_and_is_reported_once() {
    let text = with_locals(
        "locals:\n  lable: ${{ locals.nmae }}\n  name: ${{ vars.sise }}\n  all: ${{ locals }}",
        &format!("{THING}\n- {{type: world_thing, name: b, config: {{key: b, val: '${{{{ locals.name }}}}'}}}}"),
    );
    insta::assert_snapshot!(Story::new().errors(&text).await, @"
    stack.yaml:5:14: there is no local `nmae`
      hint: did you mean `name`?
    stack.yaml:7:12: a local must read other locals by name
      hint: write `locals.name`
    stack.yaml:6:13: `vars` has no `sise`
    ");
    let text = with_locals("locals:\n  labels: x\n  odd: ${{ 1 / 0 }}\n  other: ${{ locals.odd }}", THING);
    insta::assert_snapshot!(Story::new().errors(&text).await, @"
    stack.yaml:6:12: division by zero
      hint: check the divisor first: `b == 0 ? 0 : a / b`
    ");
    let text = with_locals("locals:\n  labels: x", THING);
    insta::assert_snapshot!(Story::new().errors(&text).await, @"
    stack.yaml:7:61: there is no local `label`
      hint: did you mean `labels`?
    ");
}

#[tokio::test]
async fn local_names_follow_the_rules_of_variables() {
    let text = with_locals("locals: {my-label: 1, in: 2}", "- {type: world_thing, name: a, config: {key: a}}");
    insta::assert_snapshot!(Story::new().errors(&text).await, @"
    stack.yaml:4:10: `my-label` cannot be the name of a local
      hint: an expression would read `-` as subtraction: use `my_label`
    stack.yaml:4:23: `in` is a keyword of expressions and cannot be the name of a local
      hint: choose another name
    ");
    let text = with_locals("locals: {label: '${{ resources.a.id }}'}", THING);
    insta::assert_snapshot!(Story::new().errors(&text).await, @"
    stack.yaml:4:22: there is no variable `resources` here
      hint: there are: `environment`, `stack`, `settings`, `vars`, `locals`
    ");
}

#[tokio::test]
async fn local_computed_from_a_secret_is_sensitive() {
    let story = Story::new();
    let variables = "variables: {token: {type: string, default: hunter2, sensitive: true}}
locals: {label: '${{ \"token \" + vars.token }}'}";
    let text = with_locals(variables, THING);
    let plan = story.plan(&text).await;
    assert!(!format!("{plan:?}").contains("hunter2"));
    assert!(!terrace_engine::plan::file::write(&plan, &story.seal).unwrap().contains("hunter2"));
    story.apply(&text).await;
    assert_eq!(story.remote_value("a", "val"), "token hunter2".into());
    let text = format!("{text}outputs: {{shown: '${{{{ locals.label }}}}'}}\n");
    assert!(story.errors(&text).await.contains("output `shown` exposes a sensitive value"));
}
