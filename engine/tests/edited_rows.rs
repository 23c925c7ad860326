//! Rows that a user changed during an interrupted step: recovery still finds the outcome.

use crate::failure::crash_while;
use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::address::{Address, StackId};
use terrace_engine::recover::Verdict;
use terrace_engine::store::{OperationFilter, OperationStatus, Record, Row, RowStatus, Selection, Write};
use terrace_provider::ErrorKind;
use uuid::Uuid;

const EMPTY: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources: []\n";

fn thing(ty: &str, val: &str) -> String {
    stack(&format!("- {{type: {ty}, name: a, config: {{key: a, val: {val}}}}}"))
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

async fn row(story: &Story, of: &str) -> Row {
    let stack = StackId::new("demo", "test");
    story.store.rows(&stack, &Selection::Addresses([address(of)].into())).await.unwrap().remove(0)
}

async fn write(story: &Story, write: Write) {
    story.store.commit(&[], vec![Record::Write { operation: Uuid::now_v7(), write }]).await.unwrap();
}

async fn taint(story: &Story, of: &str) {
    let row = row(story, of).await;
    let expected = row.generation;
    write(story, Write::Put { row: Box::new(Row { status: RowStatus::Tainted, ..row }), expected }).await;
}

async fn drop_row(story: &Story, of: &str) {
    let Row { stack, address, deposed, generation: expected, .. } = row(story, of).await;
    write(story, Write::Delete { stack, address, deposed, expected }).await;
}

async fn rename(story: &Story, from: &str, to: &str) {
    let Row { stack, address: from, generation: expected, .. } = row(story, from).await;
    write(story, Write::Move { stack, from, to: address(to), expected }).await;
}

/// Recovers, and checks that no step stays open.
async fn recover(story: &Story) {
    story.end_processes().await;
    let recovered = story.recover().await;
    assert!(recovered.len() == 1 && !recovered[0].is_in_doubt, "{recovered:?}");
    assert!(story.recover().await.is_empty());
}

#[tokio::test]
async fn row_tainted_during_update_stays_tainted() {
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        let story = Story::new();
        story.apply(&thing("world_thing", "1")).await;
        crash_while(&story, &thing("world_thing", "2"), "update a", fault).await;
        taint(&story, "world_thing.a").await;
        recover(&story).await;
        assert_eq!(story.rows().await, ["world_thing.a (Tainted)"]);
        story.apply(&thing("world_thing", "2")).await;
        assert_eq!(story.rows().await, ["world_thing.a"]);
    }
}

#[tokio::test]
async fn row_tainted_during_deletion_is_deleted() {
    for (fault, rows) in [(Fault::HangBefore, vec!["world_thing.a (Tainted)"]), (Fault::HangAfter, vec![])] {
        let story = Story::new();
        story.apply(&thing("world_thing", "1")).await;
        crash_while(&story, EMPTY, "delete a", fault).await;
        taint(&story, "world_thing.a").await;
        recover(&story).await;
        assert_eq!(story.rows().await, rows);
        story.apply(EMPTY).await;
        assert!(story.remote().objects.is_empty());
    }
}

#[tokio::test]
async fn row_dropped_or_moved_during_a_step_stays_so() {
    for (next, call) in [(thing("world_thing", "2"), "update a"), (EMPTY.to_owned(), "delete a")] {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            for is_moved in [true, false] {
                let story = Story::new();
                story.apply(&thing("world_thing", "1")).await;
                crash_while(&story, &next, call, fault.clone()).await;
                match is_moved {
                    true => rename(&story, "world_thing.a", "world_thing.b").await,
                    false => drop_row(&story, "world_thing.a").await,
                }
                let rows = story.rows().await;
                recover(&story).await;
                assert_eq!(story.rows().await, rows, "{call}, {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn row_tainted_during_create_first_goes_with_next_apply() {
    let text = |key: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, lifecycle: {{createBeforeDestroy: true}}, config: {{key: {key}}}}}"
        ))
    };
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        let story = Story::new();
        story.apply(&text("one")).await;
        crash_while(&story, &text("two"), "create two", fault).await;
        taint(&story, "world_thing.a").await;
        recover(&story).await;
        story.apply(&text("two")).await;
        assert_eq!(story.rows().await, ["world_thing.a"]);
        assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["two"]);
    }
}

#[tokio::test]
async fn row_moved_to_address_of_lost_creation_loses_no_object() {
    let story = Story::new();
    let two = |name: &str| stack(&format!("- {{type: world_thing, name: {name}, config: {{key: other}}}}"));
    story.apply(&two("b")).await;
    let both = two("b") + "  - {type: world_thing, name: a, config: {key: a}}\n";
    crash_while(&story, &both, "create a", Fault::HangAfter).await;
    rename(&story, "world_thing.b", "world_thing.a").await;
    story.end_processes().await;
    let recovered = story.recover().await;
    assert_eq!(recovered[0].found, "the step took effect, but the row belongs to another object now");
    assert!(recovered[0].is_in_doubt);
    rename(&story, "world_thing.a", "world_thing.b").await;
    recover(&story).await;
    story.apply(&both).await;
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}

#[tokio::test]
async fn user_resolves_step_on_row_changed_by_hand() {
    for (verdict, rows) in [(Verdict::Absent, vec![]), (Verdict::Tainted, vec!["world_slow.a (Tainted)"])] {
        let story = Story::new();
        story.apply(&thing("world_slow", "1")).await;
        crash_while(&story, EMPTY, "delete a", Fault::HangBefore).await;
        taint(&story, "world_slow.a").await;
        story.end_processes().await;
        assert!(story.recover().await[0].is_in_doubt);
        assert!(story.decide("world_slow.a", verdict).await);
        assert_eq!(story.rows().await, rows);
        assert_eq!(summary(&story.plan(EMPTY).await).lines().count(), rows.len());
    }
}

#[tokio::test]
async fn interrupted_operation_ends_with_its_last_step() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_slow, name: b, config: {key: b}}",
    );
    story.fault("create a", Fault::HangAfter);
    crash_while(&story, &text, "create b", Fault::HangBefore).await;
    story.end_processes().await;
    let running = async || {
        let operations = story.store.operations(&OperationFilter::newest(usize::MAX)).await.unwrap();
        operations.iter().filter(|operation| operation.status == OperationStatus::Running).count()
    };
    story.recover().await;
    assert_eq!(running().await, 1, "a step of it is in doubt");
    story.decide("world_slow.b", Verdict::Absent).await;
    assert_eq!(running().await, 0);
}

#[tokio::test]
async fn user_resolves_current_and_deposed_object_separately() {
    for order in [[true, false], [false, true]] {
        let story = Story::new();
        let text = |key: &str| {
            stack(&format!(
                "- {{type: world_slow, name: a, lifecycle: {{createBeforeDestroy: true}}, config: {{key: {key}}}}}"
            ))
        };
        story.apply(&text("one")).await;
        story.fault("delete one", Fault::Before(ErrorKind::PermissionDenied));
        assert_eq!(story.apply_once(&text("two")).await.failed.len(), 1);
        story.fault("delete one", Fault::HangBefore);
        crash_while(&story, &stack(""), "delete two", Fault::HangBefore).await;
        story.end_processes().await;
        let recovered = story.recover().await;
        assert_eq!(recovered.len(), 2, "{recovered:?}");
        assert_ne!(recovered[0].address, recovered[1].address, "each has its own address");
        for is_deposed in order {
            let step = recovered.iter().map(|it| &it.step).find(|step| step.deposed.is_some() == is_deposed).unwrap();
            let verdict = if is_deposed { Verdict::Absent } else { Verdict::Tainted };
            assert!(story.decide_step(step, verdict).await);
            assert!(!story.decide_step(step, verdict).await, "there is nothing left to decide");
        }
        assert_eq!(story.rows().await, ["world_slow.a (Tainted)"]);
    }
}
