//! Resources with a new address: a move makes no call, and dependents follow it.

use crate::support::Story;
use crate::support::story::{keys, stack, summary};
use terrace_engine::address::{Address, StackId};
use terrace_engine::apply::ApplyError;
use terrace_engine::render::{human, json};
use terrace_engine::store::{Selection, StoreError};

fn demo() -> StackId {
    StackId::new("demo", "test")
}

fn moved(resources: &str, moves: &str) -> String {
    format!("{}moved: [{moves}]\n", stack(resources))
}

async fn dependencies(story: &Story, address: &str) -> Vec<String> {
    let address: Address = address.parse().unwrap();
    let rows = story.store.rows(&demo(), &Selection::Addresses([address].into())).await.unwrap();
    rows[0].dependencies.iter().map(ToString::to_string).collect()
}

const A: &str = "- {type: world_thing, name: a, config: {key: k, val: 1}}";
const B: &str = "- {type: world_thing, name: b, config: {key: k, val: 1}}";
const A_TO_B: &str = "{from: world_thing.a, to: world_thing.b}";

#[tokio::test]
async fn renamed_resource_moves_without_a_call() {
    let story = Story::new();
    story.apply(&stack(A)).await;
    story.log();
    let text = moved(B, A_TO_B);
    let plan = story.plan(&text).await;
    assert_eq!(summary(&plan), "> world_thing.b from world_thing.a\n");
    assert!(plan.has_changes());
    let output = human::plan(&plan, &human::Human::default());
    assert!(output.contains("  > world_thing.b   moved from world_thing.a\n"), "{output}");
    assert!(output.contains("Plan: 0 to add, 0 to change, 0 to destroy.\n(1 moved)\n"), "{output}");
    let output = json::plan(&plan, "digest");
    let change = &output["resource_changes"][0];
    assert_eq!(change["previous_address"], "world_thing.a");
    assert_eq!(change["change"]["actions"], serde_json::json!(["no-op"]));
    story.apply(&text).await;
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(story.rows().await, ["world_thing.b"]);
    // A move happens once: its statement may stay in the descriptor.
    assert_eq!(summary(&story.plan(&text).await), "");
}

#[tokio::test]
async fn move_with_a_change_is_an_update_at_the_new_address() {
    let story = Story::new();
    story.apply(&stack(A)).await;
    story.log();
    let text = moved("- {type: world_thing, name: b, config: {key: k, val: 2}}", A_TO_B);
    assert_eq!(summary(&story.plan(&text).await), "~ world_thing.b from world_thing.a\n");
    story.apply(&text).await;
    assert_eq!(story.log(), ["update k"]);
    let text = moved(
        "- {type: world_thing, name: c, config: {key: other}}",
        "{from: world_thing.a, to: world_thing.b}, {from: world_thing.b, to: world_thing.c}",
    );
    let plan = story.plan(&text).await;
    assert_eq!(summary(&plan), "-/+ world_thing.c from world_thing.b (must be replaced)\n");
    story.apply(&text).await;
    assert_eq!(story.log(), ["delete k", "create other"]);
    assert_eq!(story.rows().await, ["world_thing.c"]);
}

#[tokio::test]
async fn chain_of_moves_starts_at_any_recorded_address() {
    let chain = "{from: world_thing.b, to: world_thing.c}, {from: world_thing.a, to: world_thing.b}";
    for first in [A, B] {
        let story = Story::new();
        story.apply(&stack(first)).await;
        story.log();
        story.apply(&moved("- {type: world_thing, name: c, config: {key: k, val: 1}}", chain)).await;
        assert_eq!(story.log(), [""; 0]);
        assert_eq!(story.rows().await, ["world_thing.c"]);
    }
}

#[tokio::test]
async fn occupied_destination_is_a_warning_and_source_is_undeclared() {
    let story = Story::new();
    story.apply(&stack(&format!("{A}\n- {{type: world_thing, name: b, config: {{key: other}}}}"))).await;
    let text = moved("- {type: world_thing, name: b, config: {key: other}}", A_TO_B);
    let (plan, diagnostics, _) = story.try_plan(&text).await;
    let plan = plan.unwrap();
    assert_eq!(summary(&plan), "- world_thing.a (is not declared any more)\n");
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].severity, terrace_engine::diagnostic::Severity::Warning);
    assert_eq!(
        diagnostics[0].message,
        "world_thing.a cannot move to world_thing.b, which has a row already: it counts as not declared"
    );
}

#[tokio::test]
async fn all_instances_move_with_their_resource_and_dependents_follow() {
    let story = Story::new();
    let of = |name: &str, moves: &str| {
        format!(
            "{}moved: [{moves}]\n",
            stack(&format!(
                "- {{type: world_thing, name: {name}, forEach: [x, y], config: {{key: '${{{{ each.key }}}}'}}}}\n\
                 - {{type: world_thing, name: user, dependsOn: [{name}], config: {{key: user}}}}"
            ))
        )
    };
    story.apply(&of("a", "")).await;
    assert_eq!(dependencies(&story, "world_thing.user").await, ["world_thing.a[*]"]);
    story.log();
    let text = of("b", A_TO_B);
    let expected =
        "> world_thing.b[\"x\"] from world_thing.a[\"x\"]\n> world_thing.b[\"y\"] from world_thing.a[\"y\"]\n";
    assert_eq!(summary(&story.plan(&text).await), expected);
    story.apply(&text).await;
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(dependencies(&story, "world_thing.user").await, ["world_thing.b[*]"]);
    story.destroy().await;
    assert_eq!(story.log()[0], "delete user", "dependents are deleted first");
}

#[tokio::test]
async fn instance_becomes_a_single_resource_and_back() {
    let story = Story { parallelism: 1, ..Story::new() };
    let each = |keys: &str| {
        format!("- {{type: world_thing, name: a, forEach: [{keys}], config: {{key: '${{{{ each.key }}}}'}}}}\n")
    };
    let user = |on: &str| format!("- {{type: world_thing, name: user, dependsOn: [{on}], config: {{key: user}}}}\n");
    story.apply(&stack(&(each("x, y") + &user("a")))).await;
    story.log();
    let single = "- {type: world_thing, name: b, config: {key: x}}\n";
    let out = moved(&(each("y") + single + &user("a, b")), "{from: 'world_thing.a[\"x\"]', to: world_thing.b}");
    assert_eq!(summary(&story.plan(&out).await), "> world_thing.b from world_thing.a[\"x\"]\n");
    story.apply(&out).await;
    assert_eq!(dependencies(&story, "world_thing.user").await, ["world_thing.a[*]", "world_thing.b"]);
    let back = moved(&(each("x, y") + &user("a")), "{from: world_thing.b, to: 'world_thing.a[\"x\"]'}");
    assert_eq!(summary(&story.plan(&back).await), "> world_thing.a[\"x\"] from world_thing.b\n");
    story.apply(&back).await;
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(story.rows().await, ["world_thing.a[\"x\"]", "world_thing.a[\"y\"]", "world_thing.user"]);
}

fn components(first: &str, second: &str, moves: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nmoved: [{moves}]\ncomponents:\n  {first}:\n    \
         resources:\n      - {{type: world_thing, name: t, config: {{key: one}}}}\n    outputs: {{key: \
         '${{{{ resources.t.key }}}}'}}\n  {second}:\n    dependsOn: [{first}]\n    resources:\n      - {{type: \
         world_thing, name: u, config: {{key: two, val: '${{{{ components.{first}.outputs.key }}}}'}}}}\n"
    )
}

#[tokio::test]
async fn component_moves_as_a_whole_with_its_outputs() {
    let story = Story::new();
    story.apply(&components("old", "user", "")).await;
    story.log();
    let text = components("new", "user", "{from: old/, to: new/}");
    assert_eq!(summary(&story.plan(&text).await), "> new/world_thing.t from old/world_thing.t\n");
    story.apply(&text).await;
    assert_eq!(story.log(), [""; 0]);
    let recorded = story.store.components(&demo()).await.unwrap();
    let names: Vec<_> = recorded.iter().map(|component| component.key.as_str()).collect();
    assert_eq!(names, ["new", "user"]);
    assert_eq!(recorded[1].depends_on, ["new"]);
}

#[tokio::test]
async fn outputs_of_a_removed_component_go_even_if_a_resource_moved() {
    let story = Story::new();
    let text = |moves: &str, rest: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nmoved: [{moves}]\ncomponents:\n{rest}"
        )
    };
    let a = "      - {type: world_thing, name: a, config: {key: one}}\n";
    let b =
        "      - {type: world_thing, name: b, config: {key: two}}\n    outputs: {endpoint: '${{ resources.b.key }}'}\n";
    story.apply(&text("", &format!("  old:\n    resources:\n{a}{b}"))).await;
    let moved = text("{from: old/world_thing.a, to: new/world_thing.a}", &format!("  new:\n    resources:\n{a}"));
    let expected = "> new/world_thing.a from old/world_thing.a\n\
                    - old/world_thing.b (its component is not described any more)\noutput endpoint: Some(\"two\") -> None\n";
    assert_eq!(summary(&story.plan(&moved).await), expected);
    story.apply(&moved).await;
    let recorded = story.store.components(&demo()).await.unwrap();
    assert_eq!(recorded.iter().map(|component| component.key.as_str()).collect::<Vec<_>>(), ["new"]);
}

#[tokio::test]
async fn resource_moves_from_component_to_component() {
    let story = Story::new();
    story.apply(&components("x", "y", "")).await;
    story.log();
    let text = components("x", "y", "{from: x/world_thing.t, to: y/world_thing.t}").replace(
        "      - {type: world_thing, name: t, config: {key: one}}\n    outputs: {key: '${{ resources.t.key }}'}\n",
        "      - {type: world_thing, name: s, config: {key: three}}\n    outputs: {key: '${{ resources.s.key }}'}\n",
    );
    let text = text.replace("name: u", "name: t").replace("key: two", "key: one");
    let plan = story.plan(&text).await;
    let expected = "+ x/world_thing.s\n~ y/world_thing.t from x/world_thing.t\n- y/world_thing.u (is not declared any \
                    more)\n";
    assert!(summary(&plan).starts_with(expected), "{}", summary(&plan));
    story.apply(&text).await;
    assert_eq!(story.rows().await, ["x/world_thing.s", "y/world_thing.t"]);
}

#[tokio::test]
async fn move_out_of_the_planned_components_names_the_other_one() {
    let story = Story::new();
    story.apply(&components("x", "y", "")).await;
    for (moves, chosen, other) in [
        ("{from: y/world_thing.u, to: x/world_thing.v}", "x", "y"),
        ("{from: y/world_thing.u, to: x/world_thing.v}", "y", "x"),
    ] {
        let text = components("x", "y", moves).replace("name: u", "name: w");
        let story = Story {
            options: terrace_engine::plan::options::Options { components: keys(&[chosen]), ..Default::default() },
            ..story.beside()
        };
        let (_, diagnostics, _) = story.try_plan(&text).await;
        let errors: Vec<_> = diagnostics.iter().filter(|it| it.is_error()).collect();
        assert_eq!(errors.len(), 1, "{diagnostics:?}");
        assert_eq!(
            errors[0].message,
            format!("y/world_thing.u moves to x/world_thing.v, and `{other}` is not planned")
        );
        assert_eq!(errors[0].hint.as_deref(), Some(format!("plan both: add `-c {other}`").as_str()));
    }
}

#[tokio::test]
async fn plan_with_a_move_is_stale_if_either_address_changes() {
    let story = Story::new();
    story.apply(&stack(A)).await;
    let text = moved(B, A_TO_B);
    let plan = story.plan(&text).await;
    story.apply(&stack("- {type: world_thing, name: a, config: {key: k, val: 5}}")).await;
    let error = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(error, ApplyError::Store(StoreError::Stale(_))), "{error}");
    let plan = story.plan(&text).await;
    story.apply(&stack(&format!("{A}\n- {{type: world_thing, name: b, config: {{key: other}}}}"))).await;
    let error = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(error, ApplyError::Store(StoreError::Stale(_))), "{error}");
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}

#[tokio::test]
async fn resource_moved_to_an_undeclared_address_is_deleted() {
    let story = Story::new();
    story.apply(&stack(A)).await;
    story.log();
    let text = moved("- {type: world_thing, name: c, config: {key: c}}", A_TO_B);
    let expected = "- world_thing.b from world_thing.a (moved to an address that is not declared)\n+ world_thing.c\n";
    assert_eq!(summary(&story.plan(&text).await), expected);
    story.apply(&text).await;
    assert_eq!(story.rows().await, ["world_thing.c"]);
}

#[tokio::test]
async fn invalid_moves_are_reported_with_their_places() {
    let story = Story::new();
    let text = moved(
        &format!("{A}\n- {{type: world_thing, name: e, forEach: [x], config: {{key: '${{{{ each.key }}}}'}}}}"),
        "{from: world_thing.a, to: world_thing.b}, {from: world_thing.p, to: world_thing.q}, \
         {from: world_thing.q, to: world_thing.p}, {from: world_thing.p, to: world_thing.z}",
    );
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:7:142: `world_thing.p` moves twice
      hint: an object can move to only one address: remove one of the two moves
    stack.yaml:7:58: the moves form a circle: world_thing.p → world_thing.q → world_thing.p
      hint: remove the move that leads back
    stack.yaml:7:16: `world_thing.a` moved to `world_thing.b` and is still declared
      hint: remove the declaration, or this item of `moved`
    ");
    let text = moved(
        "- {type: world_thing, name: e, forEach: [x], config: {key: '${{ each.key }}'}}",
        "{from: 'world_thing.e[\"x\"]', to: world_thing.f}",
    );
    insta::assert_snapshot!(story.errors(&text).await, @r#"
    stack.yaml:6:16: `world_thing.e["x"]` moved to `world_thing.f` and is still declared
      hint: remove the instance, or this item of `moved`
    "#);
    let text = moved(
        A,
        "{from: world_thing.a, to: world_data.b}, {from: x/, to: world_thing.b}, {from: nothing, to: world_thing.b}, \
         {from: world_thing.x, to: world_thing.x}, {from: world_thing.x}",
    );
    insta::assert_snapshot!(story.errors(&text).await, @r#"
    stack.yaml:6:35: a `world_thing` cannot become a `world_data`
      hint: keep the type in the new address
    stack.yaml:6:65: a component cannot become a resource, nor a resource a component: `x/`, `world_thing.b`
      hint: name two components (`a/` and `b/`) or two resources
    stack.yaml:6:88: `nothing` is not an address: expected `[component/]type.name` or `[component/]type.name["key"]`
      hint: write `type.name`, `type.name["key"]` for one instance, or `component/` for a whole component; put `component/` before a resource of a component
    stack.yaml:6:143: `world_thing.x` moves to itself
      hint: remove this item
    stack.yaml:6:160: an item of `moved` needs `to`
      hint: add `to:`
    "#);
}

#[tokio::test]
async fn instance_that_moves_and_becomes_single_moves_once() {
    for ty in ["world_thing", "world_note"] {
        let story = Story::new();
        story.apply(&stack(&format!("- {{type: {ty}, name: a, forEach: [x], config: {{key: a}}}}"))).await;
        story.log();
        let moved = format!("\nmoved: [{{from: {ty}.a, to: {ty}.b}}]");
        let same = stack(&format!("- {{type: {ty}, name: b, config: {{key: a}}}}")) + &moved;
        story.apply(&same).await;
        assert_eq!((story.log(), story.rows().await), (Vec::new(), vec![format!("{ty}.b")]));
        let story = Story::new();
        story.apply(&stack(&format!("- {{type: {ty}, name: a, forEach: [x], config: {{key: a, val: 1}}}}"))).await;
        let other = stack(&format!("- {{type: {ty}, name: b, config: {{key: a, val: 2}}}}")) + &moved;
        story.apply(&other).await;
        assert_eq!(story.rows().await, [format!("{ty}.b")]);
    }
}

#[tokio::test]
async fn rename_without_moved_suggests_the_statement() {
    let story = Story::new();
    let text = |name: &str| stack(&format!("- {{type: world_thing, name: {name}, config: {{key: a, val: 1}}}}"));
    story.apply(&text("old")).await;
    let messages = story.errors(&text("new")).await;
    insta::assert_snapshot!(messages, @r#"
    stack.yaml:5:31: demo@test:world_thing.new names the object that is recorded as demo@test:world_thing.old: key "a"
      hint: declare the move: `moved: [{from: 'world_thing.old', to: 'world_thing.new'}]`
    "#);
    let each =
        |key: &str| stack(&format!("- {{type: world_thing, name: old, forEach: [{key}], config: {{key: e, val: 1}}}}"));
    story.apply(&each("one")).await;
    insta::assert_snapshot!(story.errors(&each("two")).await, @r#"
    stack.yaml:5:31: demo@test:world_thing.old["two"] names the object that is recorded as demo@test:world_thing.old["one"]: key "e"
      hint: declare the move: `moved: [{from: 'world_thing.old["one"]', to: 'world_thing.old["two"]'}]`
    "#);
    story.log();
    // A resource with another identity is a new one.
    story.apply(&text("new")).await;
    assert_eq!(story.log(), ["create a", "delete e"]);
}

#[tokio::test]
async fn name_freed_by_a_replacement_can_be_used_by_a_new_object() {
    let thing = |name: &str, key: &str, more: &str| {
        format!("- {{type: world_thing, name: {name}, {more} config: {{key: {key}, val: 1}}}}\n")
    };
    let story = Story::new();
    story.apply(&stack(&thing("z", "old", ""))).await;
    story.log();
    let adopted = thing("b", "old", "adopt: ifExists,") + &thing("z", "new", "");
    insta::assert_snapshot!(story.errors(&stack(&adopted)).await, @r#"
    stack.yaml:5:31: demo@test:world_thing.b names the object that is recorded as demo@test:world_thing.z: key "old"
      hint: if each resource is to keep the object that it names, move the rows first: `terrace state mv demo@test:world_thing.z world_thing.b`
    "#);
    // A new object waits for the removal, with a reference or without.
    let made = thing("b", "old", "") + &thing("z", "new", "");
    assert_eq!(summary(&story.plan(&stack(&made)).await), "+ world_thing.b\n-/+ world_thing.z (must be replaced)\n");
    let waiting = thing("b", "old", "dependsOn: [z],") + &thing("z", "new", "");
    story.apply(&stack(&waiting)).await;
    assert_eq!(story.log(), ["delete old", "create new", "create old"]);
    // Replacements that take a name of a replaced object, or of a deleted object.
    let kept = thing("b", "new", "") + &thing("z", "new", "");
    assert!(story.errors(&stack(&kept)).await.contains("name one object"));
    let changed = thing("b", "new", "") + &thing("z", "other", "");
    story.apply(&stack(&changed)).await;
    let log = story.log();
    assert!(log.iter().position(|it| it == "delete new") < log.iter().position(|it| it == "create new"), "{log:?}");
    story.apply(&stack(&thing("b", "other", ""))).await;
    let log = story.log();
    assert!(log.iter().position(|it| it == "delete other") < log.iter().position(|it| it == "create other"), "{log:?}");
}
