//! Outputs that stacks read from each other, as recorded or as planned in the same run.

use crate::support::Story;
use crate::support::story::{keys, summary};
use crate::support::world::Fault;
use terrace_engine::apply::ApplyError;
use terrace_engine::store::StoreError;
use terrace_provider::ErrorKind;

/// A stack whose component `api` has an output.
fn giver(val: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: giver}}\ncomponents:\n  api:\n    resources:\n      \
         - {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}\n    outputs: {{id: '${{{{ resources.a.id }}}}', val: '${{{{ resources.a.val }}}}'}}\n"
    )
}

/// A stack that reads an output.
fn taker(path: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: taker}}\nresources:\n  \
         - {{type: world_thing, name: b, config: {{key: b, val: '${{{{ {path} }}}}'}}}}\n"
    )
}

const ID: &str = "stacks[\"giver\"].components[\"api\"].outputs.id";
const VAL: &str = "stacks[\"giver\"].components[\"api\"].outputs.val";

fn both(one: &str, two: &str) -> String {
    format!("{one}\n---\n{two}")
}

/// Applies the giver and then the taker, and clears the log.
async fn apply_both(story: &Story) {
    story.apply(&giver("1")).await;
    story.apply(&taker(ID)).await;
    story.log();
}

#[tokio::test]
async fn recorded_output_of_another_stack_is_read() {
    let story = Story::new();
    story.apply(&giver("1")).await;
    story.apply(&taker(ID)).await;
    assert_eq!(story.remote_value("b", "val"), "id-1".into());
    story.apply(&giver("2")).await;
    story.apply(&taker("stacks[\"giver@test\"].components[\"api\"].outputs.val")).await;
    assert_eq!(story.remote_value("b", "val"), 2_i64.into());
}

#[tokio::test]
async fn stacks_of_one_run_follow_those_that_they_read() {
    let story = Story::new();
    let text = both(&taker(ID), &giver("1"));
    let plan = story.plan(&text).await;
    assert_eq!(plan.stacks.iter().map(|stack| stack.stack.name.as_str()).collect::<Vec<_>>(), ["taker", "giver"]);
    story.apply(&text).await;
    assert_eq!(story.log(), ["create a", "create b"]);
    assert_eq!(story.remote_value("b", "val"), "id-1".into());
    // A planned value is known before apply.
    let plan = story.plan(&both(&taker(VAL), &giver("7"))).await;
    let b = plan.changes().find(|(_, change)| change.address.name == "b").unwrap().1;
    assert_eq!(b.after.as_ref().unwrap().attributes["val"], 7_i64.into());
    story.apply(&both(&taker(VAL), &giver("7"))).await;
}

#[tokio::test]
async fn stacks_destroyed_together_go_before_those_that_they_read() {
    let story = Story::new();
    apply_both(&story).await;
    assert!(story.destroy().await.failed.is_empty());
    assert_eq!(story.log(), ["delete b", "delete a"]);
    // The giver stays if its reader could not be deleted.
    apply_both(&story).await;
    story.fault("delete b", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.destroy().await;
    assert_eq!((report.failed.len(), report.blocked.len()), (1, 1));
    assert_eq!(story.log(), ["delete b"]);
}

/// The giver after a rename of its component.
fn renamed(things: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: giver}}\nmoved: [{{from: api/, to: core/}}]\ncomponents:\n  \
         core:\n    resources: [{things}]\n"
    )
}

#[tokio::test]
async fn reader_is_deleted_before_a_resource_that_moved_since() {
    let story = Story::new();
    story.apply(&giver("1")).await;
    story.apply(&taker(ID)).await;
    story.apply(&renamed("{type: world_thing, name: a, config: {key: a, val: 1}}")).await;
    story.log();
    assert!(story.destroy().await.failed.is_empty());
    assert_eq!(story.log(), ["delete b", "delete a"]);
    // The same if it moves in the same run.
    apply_both(&story).await;
    let without = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: taker}\nresources: []\n";
    story.apply(&both(&renamed("{type: world_thing, name: k, config: {key: k}}"), without)).await;
    let log = story.log();
    let at = |call: &str| log.iter().position(|it| it == call).unwrap_or_else(|| panic!("{call}: {log:?}"));
    assert!(at("delete b") < at("delete a"), "{log:?}");
}

#[tokio::test]
async fn output_that_is_no_longer_read_may_go_in_the_same_run() {
    let story = Story::new();
    story.apply(&both(&giver("1"), &taker(ID))).await;
    story.log();
    let without = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: giver}\ncomponents: {}\n";
    story.apply(&both(without, &taker("string(1)"))).await;
    assert_eq!(story.log(), ["update b", "delete a"]);
}

#[tokio::test]
async fn stacks_that_read_each_other_can_be_destroyed() {
    let story = Story::new();
    story.apply(&giver("1")).await;
    story.apply(&(taker(ID) + "outputs: {x: 7}\n")).await;
    story.apply(&giver("'${{ stacks[\"taker\"].outputs.x }}'")).await;
    assert!(story.destroy().await.failed.is_empty());
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn reader_is_blocked_if_another_stack_fails() {
    let story = Story::new();
    story.fault("create a", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&both(&taker(ID), &giver("1"))).await;
    assert_eq!(story.log(), ["create a"]);
    assert_eq!(report.blocked.iter().map(|it| it.address.to_string()).collect::<Vec<_>>(), ["world_thing.b"]);
}

#[tokio::test]
async fn own_outputs_of_a_stack_are_read_without_a_component() {
    let story = Story::new();
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: giver}\nresources:\n  \
        - {type: world_thing, name: a, config: {key: a}}\noutputs: {id: '${{ resources.a.id }}'}\n";
    story.apply(text).await;
    story.apply(&taker("stacks[\"giver\"].outputs.id")).await;
    assert_eq!(story.remote_value("b", "val"), "id-1".into());
}

#[tokio::test]
async fn missing_outputs_of_another_stack_get_suggestions() {
    let story = Story::new();
    story.apply(&giver("1")).await;
    let mut result = String::new();
    for path in [
        "stacks[\"givr\"].components[\"api\"].outputs.id",
        "stacks[\"giver\"].components[\"apy\"].outputs.id",
        "stacks[\"giver\"].components[\"api\"].outputs.idd",
        "stacks[\"giver@other\"].components[\"api\"].outputs.id",
        "stacks[\"giver\"].api.id",
    ] {
        result.push_str(&story.errors(&taker(path)).await);
    }
    insta::assert_snapshot!(result, @r#"
    stack.yaml:5:61: the stack `givr@test` was never applied
      hint: did you mean `giver`?
    stack.yaml:5:61: component `apy` of giver@test does not exist or is not deployed
      hint: did you mean `api`?
    stack.yaml:5:61: component `api` of giver@test has no output `idd`
      hint: did you mean `id`?
    stack.yaml:5:61: the stack `giver@other` was never applied
      hint: apply giver@other first, or plan both in one run
    stack.yaml:5:61: `stacks` is read as `stacks["name"].components["key"].outputs.name`
      hint: outputs of the stack itself: `stacks["name"].outputs.name`
    "#);
}

#[tokio::test]
async fn cycle_of_stacks_is_reported() {
    let story = Story::new();
    let back = giver("'${{ stacks[\"taker\"].outputs.x }}'");
    insta::assert_snapshot!(story.errors(&both(&taker(ID), &back)).await, @"
    stack.yaml:5:61: a cycle: taker@test → giver@test → taker@test
      hint: stacks of one run are planned one after the other: remove the references of one stack to the other
    ");
}

#[tokio::test]
async fn plan_is_stale_after_an_apply_of_the_stack_it_reads() {
    let story = Story::new();
    story.apply(&giver("1")).await;
    let plan = story.plan(&taker(ID)).await;
    story.apply(&giver("2")).await;
    story.log();
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(refused, ApplyError::Store(StoreError::Stale(_))), "{refused}");
    assert_eq!(
        refused.to_string(),
        "giver@test:api/world_thing.a (generation 1, now 2) changed since the plan was made"
    );
    assert!(story.log().is_empty());
}

/// A stack with constant outputs.
fn words(read: &str, beside: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: giver}}\ncomponents:\n  api:\n    resources: []\n    \
         outputs: {{read: {read}, beside: {beside}}}\n"
    )
}

#[tokio::test]
async fn plan_is_stale_after_a_change_of_an_output_it_read() {
    let story = Story::new();
    story.apply(&words("one", "one")).await;
    let plan = story.plan(&taker("stacks[\"giver\"].components[\"api\"].outputs.read")).await;
    story.apply(&words("two", "one")).await;
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(refused, ApplyError::ChangedOutputs { .. }), "{refused}");
    assert_eq!(refused.to_string(), "the output `api/read` of giver@test changed since the plan was made");
    assert_eq!(story.log(), [""; 0]);
    story.apply(&words("one", "two")).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.remote_value("b", "val"), "one".into());
}

#[tokio::test]
async fn plan_that_read_all_outputs_is_stale_after_any_change() {
    let story = Story::new();
    story.apply(&words("one", "one")).await;
    let plan = story.plan(&taker("json(stacks[\"giver\"].components[\"api\"].outputs)")).await;
    story.apply(&words("one", "two")).await;
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert_eq!(refused.to_string(), "the outputs of `api` of giver@test changed since the plan was made");
}

#[tokio::test]
async fn plan_of_a_component_is_stale_only_after_outputs_it_read_changed() {
    let mut story = Story::new();
    let text = |read: &str, beside: &str| {
        words(read, beside)
            + "  user:\n    dependsOn: [api]\n    resources:\n      - {type: world_thing, name: b, config: {key: b, val: \
               '${{ components[\"api\"].outputs.read }}'}}\n"
    };
    let only = |story: &mut Story, key: &str| story.options.components = keys(&[key]);
    only(&mut story, "api");
    story.apply(&text("one", "one")).await;
    only(&mut story, "user");
    let plan = story.plan(&text("one", "one")).await;
    only(&mut story, "api");
    story.apply(&text("two", "one")).await;
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert_eq!(refused.to_string(), "the output `api/read` of giver@test changed since the plan was made");
    story.apply(&text("one", "two")).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.remote_value("b", "val"), "one".into());
}

#[tokio::test]
async fn secret_of_another_stack_stays_secret() {
    let story = Story::new();
    let secret = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: giver}\nresources:\n  \
        - {type: world_thing, name: a, config: {key: a, secret: hunter2}}\n\
        outputs: {s: {value: '${{ resources.a.secret }}', sensitive: true}}\n";
    story.apply(secret).await;
    let text = taker("stacks[\"giver\"].outputs.s") + "outputs: {s: '${{ stacks[\"giver\"].outputs.s }}'}\n";
    let messages = story.errors(&text).await;
    assert!(messages.contains("output `s` exposes a sensitive value") && !messages.contains("hunter2"), "{messages}");
    let plan = story.plan(&taker("stacks[\"giver\"].outputs.s")).await;
    assert!(!format!("{plan:?}{}", summary(&plan)).contains("hunter2"));
    story.apply(&taker("stacks[\"giver\"].outputs.s")).await;
}

#[tokio::test]
async fn error_in_one_stack_causes_no_second_one_in_its_reader() {
    let story = Story::new();
    let broken = giver("1").replace("resources.a.id", "resources.b.id");
    let messages = story.errors(&both(&taker(ID), &broken)).await;
    assert_eq!(messages.lines().filter(|line| line.starts_with("stack")).count(), 1, "{messages}");
}
