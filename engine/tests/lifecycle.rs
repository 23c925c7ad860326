//! Effects of a resource's `lifecycle` on its plan: ignored changes and triggered replacements.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::action::Reason;
use terrace_provider::{ErrorKind, Value};

fn ignoring(ignored: &str, key: &str, val: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, lifecycle: {{ignoreChanges: [{ignored}]}}, config: {{key: {key}, val: {val}}}}}"
    ))
}

#[tokio::test]
async fn ignored_attribute_is_sent_on_create_and_never_updated() {
    let story = Story::new();
    story.apply(&ignoring("val", "a", "1")).await;
    assert_eq!(story.remote_value("a", "val"), 1_i64.into());
    story.apply(&ignoring("val", "a", "2")).await;
    assert_eq!(story.log(), ["create a"]);
    assert_eq!(story.remote_value("a", "val"), 1_i64.into());
}

#[tokio::test]
async fn other_attributes_of_the_same_change_are_updated() {
    let story = Story::new();
    let text = |val: &str, secret: &str| ignoring("val", "a", &format!("{val}, secret: {secret}"));
    story.apply(&text("1", "one")).await;
    story.apply(&text("2", "two")).await;
    assert_eq!(story.log(), ["create a", "update a"]);
    assert_eq!(story.remote_value("a", "val"), 1_i64.into(), "the update sends the recorded value");
    assert_eq!(story.remote_value("a", "secret"), "two".into());
}

#[tokio::test]
async fn drift_of_an_ignored_attribute_is_recorded_and_no_change() {
    let story = Story::new();
    let text = |secret: &str| ignoring("val", "a", &format!("1, secret: {secret}"));
    story.apply(&text("one")).await;
    story.remote().objects.get_mut("a").unwrap().insert("val".to_owned(), 9_i64.into());
    assert!(!story.plan(&text("one")).await.has_changes());
    story.apply(&text("two")).await;
    assert_eq!(story.remote_value("a", "val"), 9_i64.into());
    let plan = story.plan(&text("two")).await;
    assert!(plan.changes().all(|(_, change)| change.why.drift.is_empty()), "the row equals the object");
}

#[tokio::test]
async fn ignored_attribute_triggers_no_replacement() {
    let story = Story::new();
    story.apply(&ignoring("key", "a", "1")).await;
    story.apply(&ignoring("key", "b", "2")).await;
    assert_eq!(story.log(), ["create a", "update a"]);
}

#[tokio::test]
async fn star_ignores_every_attribute() {
    let story = Story::new();
    story.apply(&ignoring("'*'", "a", "1, secret: one")).await;
    story.apply(&ignoring("'*'", "b", "2, secret: two")).await;
    story.apply(&ignoring("'*'", "b", "2")).await;
    assert_eq!(story.log(), ["create a"]);
}

#[tokio::test]
async fn map_keys_and_nested_paths_are_ignored_separately() {
    let story = Story::new();
    let ignored = r#"'val.tags["my owner"]', 'val.list[0].size'"#;
    story.apply(&ignoring(ignored, "a", "{tags: {my owner: jane, team: x}, list: [{size: 1}, {size: 1}]}")).await;
    story.apply(&ignoring(ignored, "a", "{tags: {team: x}, list: [{size: 2}, {size: 1}]}")).await;
    assert_eq!(story.log(), ["create a"]);
    story.apply(&ignoring(ignored, "a", "{tags: {my owner: joe, team: y}, list: [{size: 2}, {size: 2}]}")).await;
    assert_eq!(story.log(), ["update a"]);
    let expected = r#"{"tags": {"my owner": "jane", "team": "y"}, "list": [{"size": 1}, {"size": 2}]}"#;
    assert_eq!(format!("{:?}", story.remote_value("a", "val")), expected);
}

#[tokio::test]
async fn ignored_attribute_may_have_an_unknown_value() {
    let story = Story::new();
    let text = |key: &str, more: &str| {
        stack(&format!(
            "- {{type: world_thing, name: b, config: {{key: {key}}}}}\n\
             - {{type: world_thing, name: a, lifecycle: {{ignoreChanges: [val]}}, config: {{key: a, val: '${{{{ resources.b.id }}}}'{more}}}}}"
        ))
    };
    story.apply(&text("b", "")).await;
    story.apply(&text("c", "")).await;
    assert_eq!(story.log(), ["create b", "create a", "delete b", "create c"]);
    story.apply(&text("d", ", secret: '${{ resources.b.id }}'")).await;
    assert_eq!(story.log(), ["delete c", "create d", "update a"]);
    assert_eq!(story.remote_value("a", "val"), "id-1".into());
}

#[tokio::test]
async fn tainted_object_is_replaced_despite_ignored_changes() {
    let story = Story::new();
    story.fault("create a", Fault::After(ErrorKind::Failed));
    story.apply_once(&ignoring("'*'", "a", "1")).await;
    assert_eq!(story.rows().await, ["world_thing.a (Tainted)"]);
    let plan = story.plan(&ignoring("'*'", "a", "2")).await;
    assert_eq!(summary(&plan), "-/+ world_thing.a (is tainted, so must be replaced)\n");
    story.apply(&ignoring("'*'", "a", "2")).await;
    assert_eq!(story.remote_value("a", "val"), 2_i64.into());
}

#[tokio::test]
async fn invalid_ignored_paths_are_reported_with_their_place() {
    let story = Story::new();
    let messages = story.errors(&ignoring("vall, key.x, 'val.', '[0]'", "a", "1")).await;
    insta::assert_snapshot!(messages, @r#"
    stack.yaml:5:75: `ignoreChanges`: `val.` is not the path of an attribute
      hint: write it like `a.b[0]["key"].c`, or `*` for all attributes
    stack.yaml:5:83: `ignoreChanges`: `[0]` is not the path of an attribute
      hint: write it like `a.b[0]["key"].c`, or `*` for all attributes
    "#);
    let messages = story.errors(&ignoring("vall, key.x, val.anything, '*'", "a", "1")).await;
    insta::assert_snapshot!(messages, @"
    stack.yaml:5:62: `world_thing` has no attribute `vall`
      hint: did you mean `val`?
    stack.yaml:5:68: `world_thing` has no attribute `key.x`
      hint: `key` is text
    ");
    let (_, diagnostics, sources) = story.try_plan(&ignoring("id", "a", "1")).await;
    insta::assert_snapshot!(crate::support::story::render_diagnostics(&diagnostics, &sources), @"
    stack.yaml:5:62: `id` is computed by the provider, so it has no changes to ignore
      hint: remove it from `ignoreChanges`
    ");
}

/// `b` is replaced when the given part of `a` changes.
fn triggered(trigger: &str, a: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: b, lifecycle: {{replaceTriggeredBy: [{trigger}]}}, config: {{key: b}}}}\n\
         - {{type: world_thing, name: a, config: {{{a}}}}}"
    ))
}

#[tokio::test]
async fn update_or_replacement_triggers_a_replacement() {
    let story = Story::new();
    story.apply(&triggered("a", "key: a, val: 1")).await;
    assert_eq!(story.log(), ["create a", "create b"]);
    let plan = story.plan(&triggered("a", "key: a, val: 2")).await;
    assert_eq!(summary(&plan), "~ world_thing.a\n-/+ world_thing.b (a replacement trigger changes)\n");
    story.apply(&triggered("a", "key: a, val: 2")).await;
    let log = story.log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log.iter().position(|call| call == "update a") < log.iter().position(|call| call == "create b"), "{log:?}");
    story.apply(&triggered("a", "key: c, val: 2")).await;
    assert_eq!(story.log(), ["delete b", "delete a", "create c", "create b"]);
}

#[tokio::test]
async fn new_object_triggers_a_replacement_of_an_existing_one() {
    let story = Story::new();
    story.apply(&stack("- {type: world_thing, name: b, config: {key: b}}")).await;
    let text = triggered("a", "key: a");
    let plan = story.plan(&text).await;
    assert_eq!(summary(&plan), "+ world_thing.a\n-/+ world_thing.b (a replacement trigger changes)\n");
    story.apply(&text).await;
    story.remote().objects.remove("a");
    let plan = story.plan(&text).await;
    let b = plan.changes().find(|(_, change)| change.address.name == "b").unwrap().1;
    assert_eq!(
        (b.why.reason.clone(), b.why.triggered_by.as_slice()),
        (Some(Reason::Triggered), ["a".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn path_triggers_only_when_its_value_changes() {
    let story = Story::new();
    story.apply(&triggered("a.val.size", "key: a, val: {size: 1, owner: jane}")).await;
    story.log();
    story.apply(&triggered("a.val.size", "key: a, val: {size: 1, owner: joe}")).await;
    assert_eq!(story.log(), ["update a"]);
    story.apply(&triggered("a.val.size", "key: a, val: {size: 2, owner: joe}")).await;
    assert_eq!(story.log().len(), 3);
    // The id stays with an update and changes with a replacement.
    story.apply(&triggered("a.id", "key: a, val: 3")).await;
    assert_eq!(story.log(), ["update a"]);
    story.apply(&triggered("a.id", "key: c, val: 3")).await;
    assert_eq!(story.log().len(), 4);
}

#[tokio::test]
async fn any_instance_triggers_unless_one_is_named() {
    let story = Story::new();
    let text = |trigger: &str, x: &str, y: &str| {
        stack(&format!(
            "- {{type: world_thing, name: part, forEach: {{x: {x}, y: {y}}}, config: {{key: '${{{{ each.key }}}}', val: '${{{{ each.value }}}}'}}}}\n\
             - {{type: world_thing, name: b, forEach: ['1', '2'], lifecycle: {{replaceTriggeredBy: ['{trigger}']}}, config: {{key: 'b${{{{ each.key }}}}'}}}}"
        ))
    };
    story.apply(&text("part", "1", "1")).await;
    story.log();
    story.apply(&text("part", "2", "1")).await;
    assert_eq!(story.log().len(), 5);
    story.apply(&text("part.x", "2", "2")).await;
    assert_eq!(story.log(), ["update y"]);
    story.apply(&text("part[\"x\"].val", "3", "2")).await;
    assert_eq!(story.log().len(), 5);
}

#[tokio::test]
async fn shared_resource_triggers_in_every_component() {
    let story = Story::new();
    let text = |val: &str| {
        let component = |name: &str| {
            format!(
                "  {name}:\n    resources:\n      - {{type: world_thing, name: base, shared: common, config: {{key: base, val: {val}}}}}\n\
                 \x20     - {{type: world_thing, name: own, lifecycle: {{replaceTriggeredBy: [base]}}, config: {{key: {name}}}}}\n"
            )
        };
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n{}{}",
            component("x"),
            component("y")
        )
    };
    story.apply(&text("1")).await;
    story.log();
    story.apply(&text("2")).await;
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create x", "create y", "delete x", "delete y", "update base"]);
}

#[tokio::test]
async fn invalid_triggers_and_their_cycles_are_reported_with_places() {
    let story = Story::new();
    let messages = story.errors(&triggered("aa, '*', a..b", "key: a")).await;
    insta::assert_snapshot!(messages, @"
    stack.yaml:5:71: `replaceTriggeredBy`: `*` names no resource
      hint: write the name of a resource of this component, or a path into it: `name.attribute`
    stack.yaml:5:76: `replaceTriggeredBy`: `a..b` names no resource
      hint: write the name of a resource of this component, or a path into it: `name.attribute`
    stack.yaml:5:67: `replaceTriggeredBy` names `aa`, which is not a resource here
      hint: the resources are `b`, `a`
    ");
    let messages = story.errors(&triggered("a.vall, a.key.x", "key: a")).await;
    insta::assert_snapshot!(messages, @"
    stack.yaml:5:67: `world_thing` has no attribute `vall`
      hint: did you mean `val`?
    stack.yaml:5:75: `world_thing` has no attribute `key.x`
      hint: `key` is text
    ");
    let part = "  - {type: world_thing, name: part, forEach: [x], config: {key: '${{ each.key }}'}}\n";
    let messages = story.errors(&format!("{}\n{part}", triggered("part.z", "key: a").trim_end())).await;
    insta::assert_snapshot!(messages, @r#"
    stack.yaml:5:67: `resources.part` has no instance ["z"]
      hint: its keys are: `x`
    "#);
    let messages = story.errors(&triggered("a", "key: '${{ resources.b.key }}'")).await;
    insta::assert_snapshot!(messages, @"
    stack.yaml:5:67: a cycle: world_thing.b → world_thing.a → world_thing.b
      hint: remove one of these references, or split a resource in two
    ");
}

pub(crate) fn check_schema(json: &serde_json::Value) {
    let schema = serde_json::from_str(include_str!("../render/schemas/plan.schema.json")).unwrap();
    let validator = jsonschema::options().offline().build(&schema).unwrap();
    let faults: Vec<String> = validator.iter_errors(json).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[tokio::test]
async fn replacement_reason_is_shown_in_every_plan_format() {
    use terrace_engine::render::{human, json, markdown};
    let story = Story::new();
    story.apply(&triggered("a.val", "key: a, val: 1")).await;
    let plan = story.plan(&triggered("a.val", "key: a, val: 2")).await;
    let shown = human::plan(&plan, &human::Human::default());
    assert!(shown.contains("-/+ world_thing.b   a replacement trigger changes: a.val\n"), "{shown}");
    let options = markdown::Markdown {
        max_chars: 60_000,
        max_bytes: 240_000,
        digest: "d",
        command: "c",
        consent: markdown::Markdown::CONSENT,
    };
    let shown = markdown::plan(&plan, &options);
    assert!(shown.contains("- `-/+` `world_thing.b` a replacement trigger changes: a.val"), "{shown}");
    let json = json::plan(&plan, &"0".repeat(64));
    check_schema(&json);
    let b = json["resource_changes"].as_array().unwrap().iter().find(|it| it["address"] == "world_thing.b").unwrap();
    assert_eq!(b["action_reason"], "replace_by_triggers");
    assert_eq!(b["terrace"]["triggered_by"], serde_json::json!(["a.val"]));
    assert_eq!(Value::from(b["change"]["actions"].clone()), Value::from(serde_json::json!(["delete", "create"])));
}
