//! Naming rules: a state keeps names from an earlier version, and takes no names of another stack.

use crate::support::Story;
use crate::support::story::{stack, summary};
use std::collections::BTreeSet;
use terrace_engine::address::StackId;
use terrace_engine::compile::Given;
use terrace_engine::descriptor::FormerNames;
use terrace_engine::descriptor::transitions::Identified;
use terrace_engine::naming::NamesRule;
use terrace_engine::store::Selection;

/// A blueprint with one object, named by these expressions.
macro_rules! blueprint {
    ($resource:literal) => {
        concat!(
            "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: b, version: 1.0.0}\n\
             match: {useCaseTemplateId: 'urn:x:b:1'}\nresources:\n  - {type: world_thing, name: t, ",
            $resource,
            "}\n"
        )
    };
}

/// A data product with one component.
fn product(id: &str, component: &str, specific: &str) -> String {
    format!(
        "{id}kind: dataproduct\nname: p\ndomain: Qualità\nversion: 0.1.0\ncomponents:\n  - id: urn:dmb:cmp:d:{component}\n    \
         name: c\n    kind: outputport\n    useCaseTemplateId: 'urn:x:b:1'\n    specific: {specific}\n"
    )
}

/// Applies the descriptor as an earlier version did; later plans follow the current rule.
async fn applied_before(mut story: Story, text: &str) -> Story {
    story.names = NamesRule::Ascii;
    story.apply(text).await;
    story.names = NamesRule::Latin;
    story
}

async fn check_unchanged(story: &Story, text: &str) {
    story.check_second_plan(text).await;
    story.apply(text).await;
    assert_eq!(story.plan_destroy().await.changes().count(), story.remote().objects.len());
}

#[tokio::test]
async fn plain_stack_keeps_names_made_from_a_variable() {
    let text = stack("- {type: world_thing, name: a, config: {key: '${{ normalize(vars.team) }}'}}");
    let text = format!("{text}variables: {{team: null}}\n");
    let variables = [("team".to_owned(), Given::text("Qualità", "a test"))];
    let story = Story { variables: variables.into(), ..Story::new() };
    let story = applied_before(story, &text).await;
    assert!(story.remote().objects.contains_key("qualit"));
    check_unchanged(&story, &text).await;
    // A new component follows the rule of its stack.
    let more = "components: {c: {resources: [{type: world_thing, name: b, config: {key: '${{ normalize(vars.team) + \"x\" }}'}}]}}\n";
    story.apply(&(text + more)).await;
    assert!(story.remote().objects.contains_key("qualitx"), "{:?}", story.remote().objects);
}

#[tokio::test]
async fn new_stack_keeps_its_rule_with_a_text_in_ascii() {
    let text = stack("- {type: world_thing, name: a, config: {key: '${{ normalize(vars.team) }}'}}");
    let text = format!("{text}variables: {{team: null}}\n");
    let variables = [("team".to_owned(), Given::text("Qualità", "a test"))];
    let story = Story { variables: variables.into(), ..Story::new() };
    story.apply(&text).await;
    assert!(story.remote().objects.contains_key("qualita_91f4b040"));
}

#[tokio::test]
async fn product_in_ascii_keeps_names_made_from_settings() {
    let settings = [("company".to_owned(), terrace_provider::Value::from("Società"))];
    let blueprints = vec![blueprint!("config: {key: '${{ normalize(settings.company) }}'}")];
    let story =
        Story { blueprints, settings: terrace_provider::Value::Map(settings.into_iter().collect()), ..Story::new() };
    let text = product("id: urn:dmb:dp:d:p:0\n", "p:0:c", "{}").replace("Qualità", "d");
    let story = applied_before(story, &text).await;
    check_unchanged(&story, &text).await;
}

#[tokio::test]
async fn product_keeps_names_made_from_map_keys() {
    let blueprints =
        vec![blueprint!("forEach: '${{ component.specific.teams }}', config: {key: '${{ normalize(each.key) }}'}")];
    let text = product("id: urn:dmb:dp:d:p:0\n", "p:0:c", "{teams: {qualità: x}}").replace("Qualità", "d");
    let story = applied_before(Story { blueprints, ..Story::new() }, &text).await;
    check_unchanged(&story, &text).await;
}

/// Applies a product as an earlier version did, with another component key in ASCII.
async fn with_former_component(text: &str, former: &str) -> Story {
    let story =
        Story { blueprints: vec![blueprint!("config: {key: '${{ normalize(component.key) }}'}")], ..Story::new() };
    applied_before(story, &text.replace("qualità", former)).await
}

#[tokio::test]
async fn product_without_id_keeps_its_component() {
    let text = product("", "p:0:qualità", "{}");
    let story = with_former_component(&text, "qualit-").await;
    assert_eq!(summary(&story.plan(&text).await), "");
    // The id may be added later, as the warning says.
    check_unchanged(&story, &product("id: urn:dmb:dp:d:p:0\n", "p:0:qualità", "{}")).await;
}

#[tokio::test]
async fn product_without_id_keeps_its_stack() {
    let text = product("", "città:0:qualità", "{}");
    let former = text.replace("città", "citt-").replace("qualità", "qualit-");
    let story = applied_before(
        Story { blueprints: vec![blueprint!("config: {key: '${{ normalize(component.key) }}'}")], ..Story::new() },
        &former,
    )
    .await;
    check_unchanged(&story, &text).await;
}

/// A folder of pipelines: objects that hold the folder's name in `val`.
fn folder(stack: &str, pipelines: &[&str]) -> String {
    let mut text = format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {stack}}}\ncomponents:\n");
    for name in pipelines {
        text +=
            &format!("  {name}: {{resources: [{{type: world_thing, name: p, config: {{key: {name}, val: a}}}}]}}\n");
    }
    text
}

#[tokio::test]
async fn folder_takes_its_former_name_only_from_its_own_pipelines() {
    let former = |folder: &str| FormerNames {
        stack: "former".into(),
        folder: Some(("val", folder.into())),
        ..Default::default()
    };
    let identified = |names: &[&str]| {
        let of = |name: &&str| Identified { component: (*name).into(), attribute: "key", value: (*name).into() };
        names.iter().map(of).collect::<Vec<_>>()
    };
    for (folder_of, names, is_taken) in
        [("a", &["x", "y"][..], true), ("a", &["x"], false), ("a", &["z"], false), ("b", &["x", "y"], false)]
    {
        let mut story = applied_before(Story::new(), &folder("former", &["x", "y"])).await;
        (story.former, story.identified) = (Some(former(folder_of)), identified(names));
        let plan = story.try_plan(&folder("now", names)).await.0.unwrap();
        let stack = plan.stacks.iter().find(|stack| !stack.components.is_empty()).unwrap();
        assert_eq!(stack.stack.name == "former", is_taken, "{folder_of} {names:?}");
        assert!(!summary(&plan).contains("- "), "{}", summary(&plan));
    }
}

/// Names in earlier versions of pipelines A and B: `b`, and `bx` since `b` was taken.
const BEFORE: [(&str, &str); 2] = [("b", "A"), ("bx", "B")];
const NOW: [(&str, &str); 2] = [("bc", "A"), ("b", "B")];

fn pipelines(all: &[(&str, &str)]) -> String {
    let mut text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n".to_owned();
    for (component, name) in all {
        let p = format!("{{type: world_thing, name: p, config: {{key: {name}}}}}");
        let run = format!("{{type: world_data, name: run, dependsOn: [p], config: {{key: {name}-run, val: {name}}}}}");
        text +=
            &format!("  {component}:\n    resources: [{p}, {run}]\n    outputs: {{o: '${{{{ resources.p.id }}}}'}}\n");
    }
    text
}

fn known(all: &[(&str, &str)]) -> Vec<Identified> {
    let of = |attribute, component: &str, value: String| Identified { component: component.into(), attribute, value };
    all.iter()
        .flat_map(|(component, name)| {
            [of("key", component, (*name).to_owned()), of("key", component, format!("{name}-run"))]
        })
        .collect()
}

#[tokio::test]
async fn pipeline_moves_to_a_key_that_another_pipeline_leaves() {
    let mut story = Story::new();
    story.apply(&pipelines(&BEFORE)).await;
    story.log();
    story.identified = known(&NOW);
    let plan = story.plan(&pipelines(&NOW)).await;
    let summary = summary(&plan);
    assert_eq!(
        summary.lines().collect::<BTreeSet<_>>(),
        BTreeSet::from([
            "> b/world_thing.p from bx/world_thing.p",
            "> b/world_data.run from bx/world_data.run",
            "> bc/world_thing.p from b/world_thing.p",
            "> bc/world_data.run from b/world_data.run",
        ])
    );
    story.apply(&pipelines(&NOW)).await;
    assert_eq!(story.log(), [""; 0]);
    let components = story.store.components(&StackId::new("demo", "test")).await.unwrap();
    assert_eq!(components.iter().map(|component| component.key.as_str()).collect::<Vec<_>>(), ["b", "bc"]);
}

#[tokio::test]
async fn pipelines_stay_if_a_key_is_taken() {
    let mut story = Story::new();
    story.apply(&pipelines(&[BEFORE[0], BEFORE[1], ("bc", "C")])).await;
    story.identified = known(&NOW);
    let errors = story.errors(&pipelines(&NOW)).await;
    assert!(errors.contains("b/world_thing.p belongs to `bc`, and bc/world_thing.p has a row already"), "{errors}");
    assert!(
        errors.contains("`terrace state rm demo@test:b/world_thing.p` forgets the row and keeps its object"),
        "{errors}"
    );
}

#[tokio::test]
async fn unknown_value_is_named_by_the_rule_of_its_stack() {
    let of = |more: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, config: {{key: a{more}, val: è}}}}
             - {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a.echo == \"è\" ? normalize(resources.a.echo + \"x\") : \"\" }}}}'}}}}"
        ))
    };
    let story = applied_before(Story::new(), &of("")).await;
    story.apply(&of("2")).await;
    assert_eq!(story.remote_value("b", "val"), "x".into());
    let story = Story::new();
    story.apply(&of("")).await;
    assert_ne!(story.remote_value("b", "val"), "x".into());
}

/// A data product that shares an object of its domain.
const SHARING: &str = blueprint!(
    "shared: '${{ normalize(product.domain) }}', adopt: ifExists, config: {key: '${{ normalize(product.domain) }}'}"
);

async fn shared_rows(story: &Story) -> Vec<String> {
    let rows = story.store.rows(&StackId::shared("test"), &Selection::All).await.unwrap();
    rows.iter().map(|row| row.address.to_string()).collect()
}

#[tokio::test]
async fn new_product_shares_the_domain_object_of_an_earlier_version() {
    let one = product("id: urn:dmb:dp:d:one:0\n", "one:0:c", "{}");
    let two = product("id: urn:dmb:dp:d:two:0\n", "two:0:c", "{}");
    let three = two.replace("Qualità", "Città").replace("two", "three");
    let story = applied_before(Story { blueprints: vec![SHARING], ..Story::new() }, &one).await;
    story.apply(&two).await;
    assert_eq!(shared_rows(&story).await, ["shared/world_thing[\"qualit\"]"]);
    story.apply(&one).await;
    // A domain without a shared object gets a name by the current rule.
    story.apply(&three).await;
    let rows = shared_rows(&story).await;
    assert!(rows.iter().any(|row| row.contains("citta_")), "{rows:?}");
    // The first product may be destroyed.
    story
        .apply(
            &product("id: urn:dmb:dp:d:one:0\n", "one:0:c", "{}")
                .split("  - id")
                .next()
                .unwrap()
                .replace("components:", "components: []"),
        )
        .await;
    story.check_second_plan(&two).await;
}
