//! Rollback to an earlier state: objects are restored from the history alone.

mod ownership;
mod provenance;

use crate::support::Story;
use crate::support::story::{KEY, stack, summary};
use std::sync::Arc;
use terrace_engine::address::StackId;
use terrace_engine::plan::Plan;
use terrace_engine::plan::rollback::{RollbackTarget, as_of};
use terrace_engine::rekey::reseal;
use terrace_engine::seal::Seal;
use terrace_engine::store::{Record, Write};
use uuid::Uuid;

fn demo() -> StackId {
    StackId::new("demo", "test")
}

/// The state at the end of an operation.
async fn target(story: &Story, operation: Uuid) -> Option<RollbackTarget> {
    let snapshots = story.store.snapshot(Some(&demo()), true).await.unwrap();
    as_of(&snapshots[0], operation)
}

pub(crate) async fn rolled_back(story: &Story, operation: Uuid) -> Plan {
    story.plan_rollback(&demo(), target(story, operation).await.unwrap()).await
}

/// Seals the state with another key. The rows of the lost address stay sealed with the old key, which no longer
/// exists.
async fn rekeyed(story: &mut Story, lost: Option<&str>) {
    const NEW: &str = "//////////////////////////////////////////8=";
    story.seal = Seal::with_key(NEW, &[KEY]).unwrap().into();
    let writes = reseal(story.store.as_ref(), |_| Some(Arc::clone(&story.seal))).await.unwrap().writes;
    let is_kept = |write: &Write| match (write, lost) {
        (Write::Reseal { row }, Some(lost)) => row.address.to_string() != lost,
        _ => true,
    };
    let records = writes.into_iter().filter(is_kept).map(|write| Record::Write { operation: Uuid::now_v7(), write });
    story.store.commit(&[], records.collect()).await.unwrap();
    story.seal = Seal::with_key(NEW, &[]).unwrap().into();
}

fn things(a: &str, rest: &str) -> String {
    stack(&format!("- {{type: world_thing, name: a, config: {{key: a, {a}}}}}\n{rest}"))
}

const B: &str = "- {type: world_thing, name: b, dependsOn: [a], config: {key: b}}";

#[tokio::test]
async fn stack_returns_to_the_state_after_an_operation() {
    let story = Story::new();
    let first = story.apply(&things("val: 1, secret: hunter2", B)).await.operation;
    story.apply(&things("val: 2", "- {type: world_thing, name: c, config: {key: c}}")).await;
    story.log();
    let plan = rolled_back(&story, first).await;
    assert_eq!(
        summary(&plan),
        "~ world_thing.a\n+ world_thing.b\n- world_thing.c (is not in the state of that time)\n"
    );
    story.apply_plan(&plan).await.unwrap();
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create b", "delete c", "update a"]);
    assert_eq!(story.remote_value("a", "secret").revealed(), "hunter2".into());
    assert!(!rolled_back(&story, first).await.has_changes());
    story.check_second_plan(&things("val: 1, secret: hunter2", B)).await;
}

#[tokio::test]
async fn forgotten_or_moved_object_is_adopted_and_not_recreated() {
    let story = Story::new();
    let first = story.apply(&things("val: 1", "")).await.operation;
    let text = stack("- {type: world_thing, name: z, config: {key: a, val: 1}}")
        + "moved: [{from: world_thing.a, to: world_thing.z}]\n";
    story.apply(&text).await;
    story.log();
    let plan = rolled_back(&story, first).await;
    assert_eq!(summary(&plan), "> world_thing.a from world_thing.z\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
    story.apply(&(stack("") + "forget: [world_thing.a]\n")).await;
    let plan = rolled_back(&story, first).await;
    assert_eq!(summary(&plan), "= world_thing.a\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn outputs_are_rolled_back_with_their_stack() {
    let story = Story::new();
    let text = |val: &str, outputs: &str| things(&format!("val: {val}"), "") + &format!("outputs: {{{outputs}}}\n");
    let secret = "s: {value: hunter2, sensitive: true}, val: '${{ resources.a.val }}', gone: one, shown: one";
    let first = story.apply(&text("1", secret)).await.operation;
    let second = "s: {value: hunter3, sensitive: true}, val: '${{ resources.a.val }}', new: two, \
                  shown: {value: two, sensitive: true}";
    let second = story.apply(&text("2", second)).await.operation;
    let outputs = async || {
        let component = story.store.components(&demo()).await.unwrap().remove(0);
        terrace_engine::record::open_component(&demo(), &component, &story.seal).unwrap().values
    };
    let then = outputs().await;
    let plan = rolled_back(&story, first).await;
    let changes = summary(&plan);
    let lines: Vec<&str> = changes.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["~ world_thing.a", "output gone", "output new", "output s", "output shown", "output val"]);
    story.apply_plan(&plan).await.unwrap();
    let now = outputs().await;
    assert_eq!(now.keys().collect::<Vec<_>>(), ["gone", "s", "shown", "val"]);
    assert_eq!((now["s"].revealed(), now["val"].clone()), ("hunter2".into(), 1_i64.into()));
    assert!(now["shown"].has_sensitive(), "a value that became secret since stays secret");
    assert!(!rolled_back(&story, first).await.has_changes());
    // Forward again, from the state that the rollback recorded.
    story.apply_plan(&rolled_back(&story, second).await).await.unwrap();
    assert_eq!(outputs().await, then);
}

#[tokio::test]
async fn operation_that_wrote_only_outputs_is_a_rollback_target() {
    let story = Story::new();
    let text = |val: &str| things("val: 1", "") + &format!("outputs: {{o: {val}}}\n");
    story.apply(&text("one")).await;
    let second = story.apply(&text("two")).await.operation;
    story.apply(&text("three")).await;
    let plan = rolled_back(&story, second).await;
    assert!(summary(&plan).starts_with("output o: ") && plan.changes().count() == 0, "{}", summary(&plan));
    story.apply_plan(&plan).await.unwrap();
    story.check_second_plan(&text("two")).await;
}

#[tokio::test]
async fn operation_that_wrote_nothing_of_the_stack_is_no_target() {
    let story = Story::new();
    story.apply(&things("val: 1", "")).await;
    assert!(target(&story, Uuid::now_v7()).await.is_none());
}

#[tokio::test]
async fn create_first_applies_to_rollbacks_too() {
    let story = Story::new();
    let text = |key: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, lifecycle: {{createBeforeDestroy: true}}, config: {{key: {key}}}}}"
        ))
    };
    let first = story.apply(&text("one")).await.operation;
    story.apply(&text("two")).await;
    story.log();
    let plan = rolled_back(&story, first).await;
    assert_eq!(summary(&plan), "+/- world_thing.a (must be replaced)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["create one", "delete two"]);
}

#[tokio::test]
async fn pruned_row_is_not_taken_for_an_absent_one() {
    let story = Story::new();
    let text = |val: &str| things(&format!("val: {val}"), B) + &format!("outputs: {{o: {val}, same: as before}}\n");
    let first = story.apply(&text("1")).await.operation;
    story.apply(&text("2")).await;
    story.administration.prune(std::time::Duration::ZERO).await.unwrap();
    let plan = rolled_back(&story, first).await;
    assert_eq!(summary(&plan), "");
    let notes: Vec<&str> = plan.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(
        notes,
        [
            "the earlier version of demo@test:world_thing.a was pruned, so it stays as it is",
            "the earlier values of the outputs of demo@test were pruned, so they stay as they are",
        ]
    );
}

#[tokio::test]
async fn later_row_is_deleted_even_if_older_versions_were_pruned() {
    let story = Story::new();
    story.apply(&things("val: 1", "")).await;
    story.administration.prune(std::time::Duration::ZERO).await.unwrap();
    let second = story.apply(&things("val: 2", "")).await.operation;
    story.apply(&things("val: 2", B)).await;
    let plan = rolled_back(&story, second).await;
    assert_eq!(summary(&plan), "- world_thing.b (is not in the state of that time)\n");
}
