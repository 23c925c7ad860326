//! What terrace let go of is its own as long as nothing is known to have happened to it since; what has the name of an
//! object that is gone is somebody else's.

use super::makers::{adopted, beside_a, drop_by_hand, move_by_hand, stays_a_strangers, strange};
use super::{demo, rekeyed, rolled_back, wished};
use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::plan::rollback::Wished;
use terrace_engine::store::StepAction;
use uuid::Uuid;

/// Beside `a`, a thing that is called `b`, with that key.
fn named_b(key: &str) -> String {
    beside_a(&format!("- {{type: world_thing, name: b, config: {{key: {key}}}}}"))
}

/// The same, which is replaced by making the new one first.
fn made_first(key: &str) -> String {
    named_b(key).replace("name: b,", "name: b, lifecycle: {createBeforeDestroy: true},")
}

/// A story in which `b` was made, and the operation that made it.
async fn with_b() -> (Story, Uuid) {
    let story = Story::new();
    let both = story.apply(&named_b("b")).await.operation;
    (story, both)
}

/// Goes back to where `b` was: it is taken up, and nothing is called.
async fn is_taken_up(story: &Story, both: Uuid) {
    story.log();
    let plan = rolled_back(story, both).await;
    assert!(summary(&plan).contains("= world_thing.b"), "{}", summary(&plan));
    story.apply_plan(&plan).await.unwrap();
    let called = story.log();
    assert!(!called.iter().any(|call| call.ends_with(" b")), "{called:?}");
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    assert!(!rolled_back(story, both).await.has_changes());
}

fn vanish(story: &Story, key: &str) {
    story.remote().objects.remove(key).unwrap();
}

#[tokio::test]
async fn what_is_recorded_and_gone_says_nothing_of_the_object_before_it() {
    for text in [named_b, made_first] {
        let story = Story::new();
        let both = story.apply(&text("b")).await.operation;
        story.apply(&text("b2")).await;
        vanish(&story, "b2");
        strange(&story, "b");
        stays_a_strangers(&story, both).await;
    }
}

#[tokio::test]
async fn what_was_replaced_by_making_another_first_was_deleted() {
    let story = Story::new();
    let both = story.apply(&made_first("b")).await.operation;
    story.apply(&made_first("b2")).await;
    drop_by_hand(&story, "world_thing.b").await;
    strange(&story, "b");
    stays_a_strangers(&story, both).await;
}

#[tokio::test]
async fn what_was_found_gone_was_not_let_go_of() {
    // By an apply that does not declare it any more, that forgets it, and by one that only records what is found.
    for way in ["not declared", "forgotten", "recorded"] {
        let (mut story, both) = with_b().await;
        vanish(&story, "b");
        story.options.refresh_only = way == "recorded";
        let text = match way {
            "forgotten" => beside_a("") + "forget: [world_thing.b]\n",
            _ => beside_a(""),
        };
        story.apply(&text).await;
        story.options.refresh_only = false;
        assert_eq!(story.rows().await, ["world_thing.a"], "{way}");
        strange(&story, "b");
        stays_a_strangers(&story, both).await;
    }
}

#[tokio::test]
async fn what_a_destroy_found_gone_was_not_let_go_of() {
    let (story, both) = with_b().await;
    vanish(&story, "b");
    let operation = story.destroy().await.operation;
    // The journal tells it from what is let go of, which `state history` says, too.
    let (_, steps) = story.store.operation(operation).await.unwrap().unwrap();
    assert!(steps.iter().all(|step| step.action == StepAction::Delete), "{steps:?}");
    strange(&story, "b");
    let mut one = wished(&story, both).await.unwrap();
    one.rows.retain(|address, _| address.to_string() == "world_thing.b");
    assert_eq!(summary(&story.plan_rollback(&demo(), one).await), "+ world_thing.b\n");
}

#[tokio::test]
async fn what_was_made_again_and_dropped_from_state_is_taken_up_again() {
    for is_destroyed in [false, true] {
        let (story, both) = with_b().await;
        match is_destroyed {
            true => story.destroy().await,
            false => story.apply(&beside_a("")).await,
        };
        story.apply(&named_b("b")).await;
        drop_by_hand(&story, "world_thing.b").await;
        is_taken_up(&story, both).await;
    }
}

#[tokio::test]
async fn what_was_made_again_elsewhere_and_dropped_from_state_is_taken_up_again() {
    // Where it was deleted by terrace, and where it was found gone.
    for is_gone in [false, true] {
        let (story, both) = with_b().await;
        if is_gone {
            vanish(&story, "b");
        }
        story.apply(&beside_a("")).await;
        story.apply(&beside_a("- {type: world_thing, name: c, config: {key: b}}")).await;
        move_by_hand(&story, "world_thing.c", "world_thing.d").await;
        drop_by_hand(&story, "world_thing.d").await;
        is_taken_up(&story, both).await;
    }
}

#[tokio::test]
async fn what_was_replaced_and_came_back_and_was_dropped_is_taken_up_again() {
    for text in [named_b, made_first] {
        let story = Story::new();
        let both = story.apply(&text("b")).await.operation;
        story.apply(&text("b2")).await;
        story.apply(&text("b")).await;
        drop_by_hand(&story, "world_thing.b").await;
        is_taken_up(&story, both).await;
    }
}

#[tokio::test]
async fn what_was_let_go_of_is_taken_up_whatever_was_in_its_place_since() {
    let (story, both) = with_b().await;
    drop_by_hand(&story, "world_thing.b").await;
    story.apply(&named_b("b2")).await;
    vanish(&story, "b2");
    is_taken_up(&story, both).await;
}

#[tokio::test]
async fn what_was_taken_over_and_let_go_of_is_taken_over_again() {
    let story = Story::new();
    strange(&story, "b");
    let both = story.apply(&beside_a(&adopted("b", "b"))).await.operation;
    // By hand, by a descriptor, and by going back to where it was not taken over yet.
    drop_by_hand(&story, "world_thing.b").await;
    is_taken_up(&story, both).await;
    story.apply(&(beside_a("") + "forget: [world_thing.b]\n")).await;
    is_taken_up(&story, both).await;
    let none = Wished { rows: [("world_thing.b".parse().unwrap(), None)].into(), ..Wished::default() };
    let plan = story.plan_rollback(&demo(), none).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
    is_taken_up(&story, both).await;
}

#[tokio::test]
async fn what_was_let_go_of_and_deleted_elsewhere_is_gone() {
    // Under another address, and by another stack.
    let other = |rest: &str| stack(rest).replace("name: demo}", "name: other}");
    for text in [beside_a as fn(&str) -> String, other] {
        let (story, both) = with_b().await;
        drop_by_hand(&story, "world_thing.b").await;
        story.apply(&text(&adopted("c", "b"))).await;
        story.apply(&text("")).await;
        strange(&story, "b");
        stays_a_strangers(&story, both).await;
    }
}

#[tokio::test]
async fn what_an_operation_did_that_was_pruned_is_not_known_to_have_left_the_object() {
    let (story, _) = with_b().await;
    let snapshot = story.store.snapshot(Some(&demo()), true).await.unwrap().remove(0);
    let row = snapshot.rows.into_iter().find(|row| row.address.to_string() == "world_thing.b").unwrap();
    drop_by_hand(&story, "world_thing.b").await;
    story.store.prune(std::time::Duration::ZERO).await.unwrap();
    strange(&story, "b");
    let wished = Wished { rows: [("world_thing.b".parse().unwrap(), Some(row))].into(), ..Wished::default() };
    assert_eq!(summary(&story.plan_rollback(&demo(), wished).await), "+ world_thing.b\n");
}

#[tokio::test]
async fn what_cannot_be_told_of_an_object_any_more_does_not_make_it_terraces() {
    let variables = "variables: {token: {type: string, default: b, sensitive: true}}\n";
    let of = |name: &str, val: &str| {
        beside_a(&format!(
            "- {{type: world_thing, name: {name}, config: {{key: '${{{{ vars.token }}}}', val: {val}}}}}"
        )) + variables
    };
    for is_lost in [false, true] {
        let mut story = Story::new();
        let both = story.apply(&of("b", "1")).await.operation;
        move_by_hand(&story, "world_thing.b", "world_thing.c").await;
        story.apply(&of("c", "2")).await;
        drop_by_hand(&story, "world_thing.c").await;
        rekeyed(&mut story, is_lost.then_some("world_thing.c")).await;
        let plan = rolled_back(&story, both).await;
        let sign = if is_lost { "+ world_thing.b" } else { "= world_thing.b" };
        assert!(summary(&plan).contains(sign), "{}", summary(&plan));
    }
}
