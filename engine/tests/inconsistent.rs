//! Objects that read back differently than planned: the engine keeps them.

use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::store::{RowStatus, Selection};
use terrace_provider::{ErrorKind, Value};

use crate::support::world::Fault;

fn one(ty: &str, val: &str) -> String {
    stack(&format!("- {{type: {ty}, name: a, config: {{key: a, val: {val}}}}}"))
}

/// A story whose remote system stores `short` for `long`.
fn shortening() -> Story {
    let story = Story::new();
    story.remote().normalized_values.push(("long".into(), "short".into()));
    story
}

async fn statuses(story: &Story) -> Vec<RowStatus> {
    let stacks = story.store.stacks().await.unwrap();
    let rows = story.store.rows(&stacks[0], &Selection::All).await.unwrap();
    rows.into_iter().map(|row| row.status).collect()
}

#[tokio::test]
async fn object_is_kept_and_updated_if_it_reads_back_differently() {
    for ty in ["world_data", "world_thing", "world_item", "world_box"] {
        let story = shortening();
        let report = story.apply_once(&one(ty, "long")).await;
        let failed = &report.failed[0];
        assert!(failed.error.ends_with("the result at `val` differs from the plan"), "{failed:?}");
        assert_eq!(failed.problems, [r#"`val`: planned "long", read "short""#], "{ty}");
        assert!(report.leftovers.is_empty(), "{ty}: nothing is left to be replaced");
        assert_eq!(statuses(&story).await, [RowStatus::Ready], "{ty}");
        // Repeated applies delete nothing.
        for _ in 0..2 {
            assert_eq!(summary(&story.plan(&one(ty, "long")).await), format!("~ {ty}.a\n"));
            assert_eq!(story.apply_once(&one(ty, "long")).await.failed.len(), 1);
            assert_eq!(statuses(&story).await, [RowStatus::Ready], "{ty}");
        }
        assert_eq!(story.log(), ["create a", "update a", "update a"], "{ty}");
        story.apply(&one(ty, "short")).await;
        assert_eq!(story.log(), [""; 0], "{ty}");
    }
}

#[tokio::test]
async fn object_with_lost_reply_is_kept_if_it_reads_back_differently() {
    let story = shortening();
    story.fault("create a", Fault::After(ErrorKind::Ambiguous));
    let report = story.apply_once(&one("world_data", "long")).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(statuses(&story).await, [RowStatus::Ready]);
    assert_eq!(summary(&story.plan(&one("world_data", "long")).await), "~ world_data.a\n");
}

#[tokio::test]
async fn object_without_updates_is_not_replaced_for_the_same_result() {
    let mut story = shortening();
    let report = story.apply_once(&one("world_fixed", "long")).await;
    let solution = "the object stays, and the state has its actual values: configure the value that was read, or list the \
                    attribute in `ignoreChanges`";
    assert_eq!(report.failed[0].solutions[0], solution);
    insta::assert_snapshot!(story.errors(&one("world_fixed", "long")).await, @"
    stack.yaml:5:31: demo@test:world_fixed.a was created as configured, but its system returns other values at `val`: a replacement would change nothing
      hint: write the value that `terrace state show` prints, or list the attribute in `ignoreChanges`
    ");
    assert_eq!(story.log(), ["create a"]);
    // A refresh or another lifecycle keeps this knowledge.
    let ignoring = one("world_fixed", "short").replace("name: a,", "name: a, lifecycle: {ignoreChanges: [echo]},");
    story.apply(&ignoring).await;
    story.errors(&one("world_fixed", "long")).await;
    assert_eq!(summary(&story.plan(&one("world_fixed", "other")).await), "-/+ world_fixed.a (must be replaced)\n");
    story.options.replace = vec![(None, "world_fixed.a".parse().unwrap())];
    let requested = "-/+ world_fixed.a (must be replaced)\n";
    assert_eq!(summary(&story.plan(&one("world_fixed", "long")).await), requested);
    story.options.replace.clear();
    story.apply(&one("world_fixed", "short")).await;
    assert_eq!(story.log(), [""; 0]);
}

#[tokio::test]
async fn sensitive_value_that_reads_back_differently_is_not_printed() {
    let story = shortening();
    let text = stack("- {type: world_thing, name: a, config: {key: a, secret: long}}");
    let report = story.apply_once(&text).await;
    assert_eq!(report.failed[0].problems, ["`secret`: both values are sensitive"]);
    let shown = format!("{:?}", report.failed);
    assert!(!shown.contains("long") && !shown.contains("short"), "{shown}");
}

#[tokio::test]
async fn replacement_that_reads_back_differently_is_kept() {
    let story = shortening();
    let text = |key: &str| stack(&format!("- {{type: world_thing, name: a, config: {{key: {key}, val: long}}}}"));
    story.apply_once(&text("a")).await;
    assert_eq!(story.apply_once(&text("b")).await.failed.len(), 1);
    assert_eq!(story.log(), ["create a", "delete a", "create b"]);
    assert_eq!(statuses(&story).await, [RowStatus::Ready]);
    story.apply_once(&text("b")).await;
    assert_eq!(story.log(), ["update b"]);
    assert_eq!(story.remote_value("b", "val"), Value::from("short"));
}
