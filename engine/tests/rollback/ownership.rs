//! Ownership after a row was dropped: an object is terrace's own unless something is known to have happened to it. A
//! later object with the name of a deleted one is external.

use super::provenance::{a_with_others, adopted, check_left_external, create_externally, drop_row, move_row};
use super::{demo, rekeyed, rolled_back, target};
use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::plan::rollback::RollbackTarget;
use terrace_engine::store::StepAction;
use uuid::Uuid;

/// A stack of `a` and a thing `b` with the given key.
fn named_b(key: &str) -> String {
    a_with_others(&format!("- {{type: world_thing, name: b, config: {{key: {key}}}}}"))
}

/// The same, with `b` replaced create-first.
fn create_first_b(key: &str) -> String {
    named_b(key).replace("name: b,", "name: b, lifecycle: {createBeforeDestroy: true},")
}

/// A story that created `b`, and the operation that created it.
async fn with_b() -> (Story, Uuid) {
    let story = Story::new();
    let both = story.apply(&named_b("b")).await.operation;
    (story, both)
}

/// Rolls back to the state with `b`, and checks that `b` is adopted without a call.
async fn check_adopted(story: &Story, both: Uuid) {
    story.log();
    let plan = rolled_back(story, both).await;
    assert!(summary(&plan).contains("= world_thing.b"), "{}", summary(&plan));
    story.apply_plan(&plan).await.unwrap();
    let called = story.log();
    assert!(!called.iter().any(|call| call.ends_with(" b")), "{called:?}");
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    assert!(!rolled_back(story, both).await.has_changes());
}

fn delete_remote(story: &Story, key: &str) {
    story.remote().objects.remove(key).unwrap();
}

#[tokio::test]
async fn drift_after_a_replacement_is_no_proof_for_the_old_object() {
    for text in [named_b, create_first_b] {
        let story = Story::new();
        let both = story.apply(&text("b")).await.operation;
        story.apply(&text("b2")).await;
        delete_remote(&story, "b2");
        create_externally(&story, "b");
        check_left_external(&story, both).await;
    }
}

#[tokio::test]
async fn object_replaced_create_first_was_deleted() {
    let story = Story::new();
    let both = story.apply(&create_first_b("b")).await.operation;
    story.apply(&create_first_b("b2")).await;
    drop_row(&story, "world_thing.b").await;
    create_externally(&story, "b");
    check_left_external(&story, both).await;
}

#[tokio::test]
async fn object_found_missing_was_not_released() {
    // Found by an apply that no longer declares it, by one that forgets it, and by a refresh-only one.
    for way in ["not declared", "forgotten", "recorded"] {
        let (mut story, both) = with_b().await;
        delete_remote(&story, "b");
        story.options.refresh_only = way == "recorded";
        let text = match way {
            "forgotten" => a_with_others("") + "forget: [world_thing.b]\n",
            _ => a_with_others(""),
        };
        story.apply(&text).await;
        story.options.refresh_only = false;
        assert_eq!(story.rows().await, ["world_thing.a"], "{way}");
        create_externally(&story, "b");
        check_left_external(&story, both).await;
    }
}

#[tokio::test]
async fn object_found_missing_by_destroy_was_not_released() {
    let (story, both) = with_b().await;
    delete_remote(&story, "b");
    let operation = story.destroy().await.operation;
    // The journal tells a deletion from a release, and so does `state history`.
    let (_, steps) = story.store.operation(operation).await.unwrap().unwrap();
    assert!(steps.iter().all(|step| step.action == StepAction::Delete), "{steps:?}");
    create_externally(&story, "b");
    let mut only_b = target(&story, both).await.unwrap();
    only_b.rows.retain(|address, _| address.to_string() == "world_thing.b");
    assert_eq!(summary(&story.plan_rollback(&demo(), only_b).await), "+ world_thing.b\n");
}

#[tokio::test]
async fn recreated_and_dropped_object_is_adopted() {
    for is_destroyed in [false, true] {
        let (story, both) = with_b().await;
        match is_destroyed {
            true => story.destroy().await,
            false => story.apply(&a_with_others("")).await,
        };
        story.apply(&named_b("b")).await;
        drop_row(&story, "world_thing.b").await;
        check_adopted(&story, both).await;
    }
}

#[tokio::test]
async fn object_recreated_at_another_address_and_dropped_is_adopted() {
    // Terrace deleted it, or found it missing.
    for is_gone in [false, true] {
        let (story, both) = with_b().await;
        if is_gone {
            delete_remote(&story, "b");
        }
        story.apply(&a_with_others("")).await;
        story.apply(&a_with_others("- {type: world_thing, name: c, config: {key: b}}")).await;
        move_row(&story, "world_thing.c", "world_thing.d").await;
        drop_row(&story, "world_thing.d").await;
        check_adopted(&story, both).await;
    }
}

#[tokio::test]
async fn object_replaced_and_replaced_back_and_dropped_is_adopted() {
    for text in [named_b, create_first_b] {
        let story = Story::new();
        let both = story.apply(&text("b")).await.operation;
        story.apply(&text("b2")).await;
        story.apply(&text("b")).await;
        drop_row(&story, "world_thing.b").await;
        check_adopted(&story, both).await;
    }
}

#[tokio::test]
async fn dropped_object_is_adopted_despite_a_successor_at_its_address() {
    let (story, both) = with_b().await;
    drop_row(&story, "world_thing.b").await;
    story.apply(&named_b("b2")).await;
    delete_remote(&story, "b2");
    check_adopted(&story, both).await;
}

#[tokio::test]
async fn adopted_and_released_object_is_adopted_again() {
    let story = Story::new();
    create_externally(&story, "b");
    let both = story.apply(&a_with_others(&adopted("b", "b"))).await.operation;
    // Released by `state rm`, by a descriptor, and by a rollback to the time before the adoption.
    drop_row(&story, "world_thing.b").await;
    check_adopted(&story, both).await;
    story.apply(&(a_with_others("") + "forget: [world_thing.b]\n")).await;
    check_adopted(&story, both).await;
    let none = RollbackTarget { rows: [("world_thing.b".parse().unwrap(), None)].into(), ..RollbackTarget::default() };
    let plan = story.plan_rollback(&demo(), none).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
    check_adopted(&story, both).await;
}

#[tokio::test]
async fn released_object_deleted_at_another_address_is_gone() {
    // At another address, and in another stack.
    let other = |rest: &str| stack(rest).replace("name: demo}", "name: other}");
    for text in [a_with_others as fn(&str) -> String, other] {
        let (story, both) = with_b().await;
        drop_row(&story, "world_thing.b").await;
        story.apply(&text(&adopted("c", "b"))).await;
        story.apply(&text("")).await;
        create_externally(&story, "b");
        check_left_external(&story, both).await;
    }
}

#[tokio::test]
async fn pruned_operation_is_no_proof_that_the_object_stayed() {
    let (story, _) = with_b().await;
    let snapshot = story.store.snapshot(Some(&demo()), true).await.unwrap().remove(0);
    let row = snapshot.rows.into_iter().find(|row| row.address.to_string() == "world_thing.b").unwrap();
    drop_row(&story, "world_thing.b").await;
    story.administration.prune(std::time::Duration::ZERO).await.unwrap();
    create_externally(&story, "b");
    let target =
        RollbackTarget { rows: [("world_thing.b".parse().unwrap(), Some(row))].into(), ..RollbackTarget::default() };
    assert_eq!(summary(&story.plan_rollback(&demo(), target).await), "+ world_thing.b\n");
}

#[tokio::test]
async fn object_with_unreadable_history_is_not_adopted() {
    let variables = "variables: {token: {type: string, default: b, sensitive: true}}\n";
    let of = |name: &str, val: &str| {
        a_with_others(&format!(
            "- {{type: world_thing, name: {name}, config: {{key: '${{{{ vars.token }}}}', val: {val}}}}}"
        )) + variables
    };
    for is_lost in [false, true] {
        let mut story = Story::new();
        let both = story.apply(&of("b", "1")).await.operation;
        move_row(&story, "world_thing.b", "world_thing.c").await;
        story.apply(&of("c", "2")).await;
        drop_row(&story, "world_thing.c").await;
        rekeyed(&mut story, is_lost.then_some("world_thing.c")).await;
        let plan = rolled_back(&story, both).await;
        let sign = if is_lost { "+ world_thing.b" } else { "= world_thing.b" };
        assert!(summary(&plan).contains(sign), "{}", summary(&plan));
    }
}
