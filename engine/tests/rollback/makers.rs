//! What was imported or adopted since then is let go of; what terrace made is deleted, wherever it is recorded by now.

use super::{demo, rekeyed, rolled_back, things, wished};
use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::address::Address;
use terrace_engine::moves::{Moving, resealing};
use terrace_engine::plan::Plan;
use terrace_engine::plan::rollback::Wished;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, Selection, Write};
use terrace_provider::Value;
use uuid::Uuid;

/// `a`, which is there from the beginning, and other resources.
pub(super) fn beside_a(rest: &str) -> String {
    things("val: 1", rest)
}

/// A story that begins with `a`, and the operation to go back to.
async fn begun() -> (Story, Uuid) {
    let story = Story::new();
    let first = story.apply(&beside_a("")).await.operation;
    (story, first)
}

/// An object that somebody else made.
pub(super) fn strange(story: &Story, key: &str) {
    let object = [("key".to_owned(), key.into()), ("id".to_owned(), "id-9".into()), ("echo".to_owned(), Value::Null)];
    story.remote().objects.insert(key.to_owned(), object.into_iter().collect());
}

/// Declares a thing, which is taken over where it is there already.
pub(super) fn adopted(name: &str, key: &str) -> String {
    format!("- {{type: world_thing, name: {name}, adopt: ifExists, config: {{key: {key}}}}}")
}

/// Writes by hand, as `terrace state mv` and `terrace state rm` do.
async fn by_hand(story: &Story, kind: &str, address: &str, write: impl Fn(Row) -> Write, more: Vec<Write>) {
    let address: Address = address.parse().unwrap();
    let row = story.store.rows(&demo(), &Selection::Addresses([address].into())).await.unwrap().remove(0);
    let (operation, actor) = (Uuid::now_v7(), "a test".to_owned());
    let new = NewOperation { id: operation, kind: kind.to_owned(), stacks: vec![demo()], actor };
    story.store.begin(&new).await.unwrap();
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    let writes = [write(row)].into_iter().chain(more).map(|write| Record::Write { operation, write });
    story.store.commit(&[], writes.chain([end]).collect()).await.unwrap();
}

pub(super) async fn drop_by_hand(story: &Story, address: &str) {
    let forget = |Row { stack, address, deposed, generation, .. }| Write::Forget {
        stack,
        address,
        deposed,
        expected: generation,
    };
    by_hand(story, "state rm", address, forget, Vec::new()).await;
}

pub(super) async fn move_by_hand(story: &Story, from: &str, to: &str) {
    let moving = Moving { from: from.parse().unwrap(), to: to.parse().unwrap(), generation: 0 };
    let sealed = resealing(story.store.as_ref(), &story.seal, &demo(), &[moving]).await.unwrap();
    let rename = |row: Row| Write::Move {
        stack: row.stack,
        from: row.address,
        to: to.parse().unwrap(),
        expected: row.generation,
    };
    by_hand(story, "state mv", from, rename, sealed).await;
}

/// Goes back to where only `a` was: what the plan says, what it calls, and what is left in the world.
async fn back_to_a(story: &Story, first: Uuid) -> (String, Vec<String>, Vec<String>) {
    story.log();
    let plan = rolled_back(story, first).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
    assert!(!rolled_back(story, first).await.has_changes());
    let left = story.remote().objects.keys().cloned().collect();
    (summary(&plan), story.log(), left)
}

fn goes(name: &str) -> String {
    format!("- world_thing.{name} (is not in what was recorded then)\n")
}

fn is_let_go(name: &str) -> String {
    format!(". world_thing.{name} (is not in what was recorded then)\n")
}

#[tokio::test]
async fn what_terrace_made_goes_wherever_it_moved_since() {
    let moved = beside_a("- {type: world_thing, name: c, config: {key: b}}")
        + "moved: [{from: world_thing.b, to: world_thing.c}]\n";
    for is_by_hand in [false, true] {
        let (story, first) = begun().await;
        story.apply(&beside_a("- {type: world_thing, name: b, config: {key: b}}")).await;
        match is_by_hand {
            true => move_by_hand(&story, "world_thing.b", "world_thing.c").await,
            false => drop(story.apply(&moved).await),
        }
        let (plan, calls, left) = back_to_a(&story, first).await;
        assert_eq!((plan, calls, left), (goes("c"), vec!["delete b".to_owned()], vec!["a".to_owned()]));
    }
}

#[tokio::test]
async fn what_was_taken_over_is_let_go_of_wherever_it_moved_since() {
    let moved = beside_a(&adopted("c", "b")) + "moved: [{from: world_thing.b, to: world_thing.c}]\n";
    for is_by_hand in [false, true] {
        let (story, first) = begun().await;
        strange(&story, "b");
        story.apply(&beside_a(&adopted("b", "b"))).await;
        match is_by_hand {
            true => move_by_hand(&story, "world_thing.b", "world_thing.c").await,
            false => drop(story.apply(&moved).await),
        }
        let (plan, calls, left) = back_to_a(&story, first).await;
        assert_eq!((plan, calls, left), (is_let_go("c"), vec![], vec!["a".to_owned(), "b".to_owned()]));
    }
}

#[tokio::test]
async fn objects_that_change_places_are_told_apart() {
    let (story, first) = begun().await;
    strange(&story, "b");
    let made = |name: &str| format!("- {{type: world_thing, name: {name}, config: {{key: c}}}}\n");
    story.apply(&beside_a(&(made("c") + &adopted("b", "b")))).await;
    // At once, and then into each other's places.
    let moved = "moved: [{from: world_thing.c, to: world_thing.e}, {from: world_thing.b, to: world_thing.d}]\n";
    story.apply(&(beside_a(&(made("e") + &adopted("d", "b"))) + moved)).await;
    move_by_hand(&story, "world_thing.e", "world_thing.b").await;
    move_by_hand(&story, "world_thing.d", "world_thing.c").await;
    let (plan, calls, left) = back_to_a(&story, first).await;
    let told = is_let_go("c") + &goes("b");
    let lines: std::collections::BTreeSet<&str> = plan.lines().collect();
    assert_eq!(lines, told.lines().collect());
    assert_eq!((calls, left), (vec!["delete c".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn what_moved_is_followed_under_another_key_too() {
    // Also the text of its identity is another one.
    let variables = "variables: {token: {type: string, default: b, sensitive: true}}\n";
    let of = |name: &str| format!("- {{type: world_thing, name: {name}, config: {{key: '${{{{ vars.token }}}}'}}}}");
    for is_lost in [false, true] {
        let (mut story, first) = begun().await;
        story.apply(&(beside_a(&of("b")) + variables)).await;
        move_by_hand(&story, "world_thing.b", "world_thing.c").await;
        if is_lost {
            // What was recorded later is the only thing that the new key opens.
            story.apply(&(beside_a(&of("c").replace("key: '", "val: 2, key: '")) + variables)).await;
        }
        rekeyed(&mut story, is_lost.then_some("world_thing.b")).await;
        let plan = rolled_back(&story, first).await;
        let notes: Vec<&str> = plan.notes.iter().map(|note| note.message.as_str()).collect();
        match is_lost {
            false => assert_eq!((summary(&plan), notes.len()), (goes("c"), 0)),
            true => {
                assert_eq!((summary(&plan), notes.len()), (String::new(), 1));
                assert!(notes[0].contains("world_thing.c or took it over"), "{notes:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_terrace_made_where_something_was_taken_over_before_goes() {
    // Dropped by hand, replaced in either order, or deleted by somebody else and made again.
    for way in ["dropped", "replaced", "replaced, created first", "made again"] {
        let (story, first) = begun().await;
        strange(&story, "b");
        story.apply(&beside_a(&adopted("b", "b"))).await;
        let (text, left) = match way {
            "dropped" => {
                drop_by_hand(&story, "world_thing.b").await;
                (adopted("b", "new"), vec!["a", "b"])
            }
            "replaced" => (adopted("b", "new"), vec!["a"]),
            "made again" => {
                story.remote().objects.remove("b");
                (adopted("b", "b"), vec!["a"])
            }
            _ => {
                let text = "- {type: world_thing, name: b, lifecycle: {createBeforeDestroy: true}, config: {key: new}}";
                (text.to_owned(), vec!["a"])
            }
        };
        story.apply(&beside_a(&text)).await;
        // It is as good as new, whatever became of it since.
        story.apply(&beside_a(&text.replace("config: {", "config: {val: 2, "))).await;
        let (plan, calls, now) = back_to_a(&story, first).await;
        assert_eq!((plan, calls.len()), (goes("b"), 1), "{way}");
        assert_eq!(now, left, "{way}");
    }
}

#[tokio::test]
async fn what_was_taken_over_where_terrace_made_something_before_stays() {
    for is_by_hand in [false, true] {
        let (story, first) = begun().await;
        story.apply(&beside_a("- {type: world_thing, name: b, config: {key: old}}")).await;
        match is_by_hand {
            true => drop_by_hand(&story, "world_thing.b").await,
            false => drop(story.apply(&beside_a("")).await),
        }
        strange(&story, "b");
        story.apply(&beside_a(&adopted("b", "b"))).await;
        let (plan, calls, left) = back_to_a(&story, first).await;
        assert_eq!((plan, calls), (is_let_go("b"), vec![]));
        assert!(left.contains(&"b".to_owned()));
    }
}

#[tokio::test]
async fn what_is_taken_over_and_changed_at_once_is_taken_over() {
    let (story, first) = begun().await;
    strange(&story, "b");
    story.apply(&beside_a(&adopted("b", "b").replace("key: b", "key: b, val: 2"))).await;
    assert_eq!(story.log(), ["create a", "update b"]);
    let (plan, calls, _) = back_to_a(&story, first).await;
    assert_eq!((plan, calls), (is_let_go("b"), vec![]));
}

#[tokio::test]
async fn to_go_back_to_where_there_was_none_lets_go_of_what_was_taken_over_since() {
    let story = Story::new();
    strange(&story, "b");
    story.apply(&beside_a(&adopted("b", "b"))).await;
    // As with the generation of a removal.
    let wished = Wished { rows: [("world_thing.b".parse().unwrap(), None)].into(), ..Wished::default() };
    let plan = story.plan_rollback(&demo(), wished).await;
    assert_eq!(summary(&plan), is_let_go("b"));
}

#[tokio::test]
async fn what_was_taken_over_in_the_place_of_another_object_is_not_replaced() {
    for is_still_there in [false, true] {
        let story = Story::new();
        let first = story.apply(&beside_a(&adopted("b", "b"))).await.operation;
        story.apply(&(beside_a("") + "forget: [world_thing.b]\n")).await;
        if !is_still_there {
            story.remote().objects.remove("b");
        }
        strange(&story, "theirs");
        story.apply(&beside_a(&adopted("b", "theirs"))).await;
        story.log();
        let wished = wished(&story, first).await.unwrap();
        let plan = story.try_plan_rollback(&demo(), wished).await.plan;
        assert!(plan.is_errored && !plan.has_changes(), "{}", summary(&plan));
        let told: Vec<&str> = plan.notes.iter().map(|note| note.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "demo@test:world_thing.b is another object by now that terrace did not make: to roll it back is to delete that"
            ]
        );
        assert!(story.log().is_empty());
    }
}

#[tokio::test]
async fn what_was_taken_over_and_names_a_secret_since_is_the_same_object() {
    let story = Story::new();
    strange(&story, "hunter2");
    let text = |is_sensitive: bool, val: u8| {
        let variable = format!("variables: {{t: {{type: string, default: hunter2, sensitive: {is_sensitive}}}}}\n");
        let thing = "- {type: world_thing, name: b, adopt: ifExists, config: {key: '${{ vars.t }}', val: VAL}}";
        stack(&thing.replace("VAL", &val.to_string())) + &variable
    };
    let first = story.apply(&text(false, 1)).await.operation;
    story.apply(&text(true, 2)).await;
    story.log();
    let plan = rolled_back(&story, first).await;
    assert_eq!(summary(&plan), "~ world_thing.b\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["update hunter2"]);
}

#[tokio::test]
async fn data_that_was_taken_over_is_let_go_of_and_not_retained() {
    for remove_data in [false, true] {
        let (mut story, first) = begun().await;
        strange(&story, "b");
        story.apply(&beside_a(&adopted("b", "b").replace("world_thing", "world_data"))).await;
        story.options.remove_data = remove_data;
        let (plan, calls, left) = back_to_a(&story, first).await;
        assert_eq!(plan, ". world_data.b (is not in what was recorded then)\n");
        assert_eq!((calls, left), (vec![], vec!["a".to_owned(), "b".to_owned()]));
    }
}

#[tokio::test]
async fn protection_keeps_from_deleting_and_not_from_letting_go() {
    let (story, first) = begun().await;
    strange(&story, "b");
    let protected = adopted("b", "b").replace("config", "lifecycle: {preventDestroy: true}, config");
    story.apply(&beside_a(&protected)).await;
    let (plan, calls, _) = back_to_a(&story, first).await;
    assert_eq!((plan, calls), (is_let_go("b"), vec![]));
}

#[tokio::test]
async fn what_nobody_can_tell_the_maker_of_any_more_stays_as_it_is() {
    let story = Story::new();
    story.apply(&beside_a("- {type: world_thing, name: b, config: {key: b}}")).await;
    story.store.prune(std::time::Duration::ZERO).await.unwrap();
    let wished = || Wished { rows: [("world_thing.b".parse().unwrap(), None)].into(), ..Wished::default() };
    let told = |plan: Plan| {
        let note = plan.notes.first().map(|note| (note.message.clone(), note.hint.clone().unwrap_or_default()));
        (summary(&plan), note)
    };
    let message = "whether terrace made demo@test:world_thing.b or took it over was pruned, so it stays as it is";
    let hint = "`terrace state rm demo@test:world_thing.b` drops it and leaves the object; a plan that does not declare \
                it deletes it";
    let unknown = (String::new(), Some((message.to_owned(), hint.to_owned())));
    assert_eq!(told(story.plan_rollback(&demo(), wished()).await), unknown);
    // What changes it later does not tell either.
    story.apply(&beside_a("- {type: world_thing, name: b, config: {key: b, val: 2}}")).await;
    assert_eq!(told(story.plan_rollback(&demo(), wished()).await), unknown);
    // Neither does a move of what was pruned.
    move_by_hand(&story, "world_thing.b", "world_thing.c").await;
    let wished = Wished { rows: [("world_thing.c".parse().unwrap(), None)].into(), ..Wished::default() };
    let (plan, note) = told(story.plan_rollback(&demo(), wished).await);
    assert_eq!(plan, "");
    assert!(note.is_some_and(|(message, _)| message.contains("world_thing.c or took it over was pruned")));
}

#[tokio::test]
async fn what_was_taken_over_since_stays_where_it_is() {
    let story = Story::new();
    let first = story.apply(&things("val: 1", "")).await.operation;
    let strange = [("key".to_owned(), "b".into()), ("id".to_owned(), "id-9".into()), ("echo".to_owned(), Value::Null)];
    story.remote().objects.insert("b".to_owned(), strange.into_iter().collect());
    let taken = "- {type: world_thing, name: b, adopt: ifExists, config: {key: b}}";
    story.apply(&things("val: 1", taken)).await;
    story.log();
    let plan = rolled_back(&story, first).await;
    assert_eq!(summary(&plan), ". world_thing.b (is not in what was recorded then)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), [] as [String; 0]);
    assert!(story.remote().objects.contains_key("b"));
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn what_is_recorded_elsewhere_by_now_is_not_taken_over() {
    let story = Story::new();
    let first = story.apply(&things("val: 1", "")).await.operation;
    move_by_hand(&story, "world_thing.a", "world_thing.b").await;
    story.log();
    // Rolled back as a whole, the stack has it where it was; the one address alone knows nothing of the other.
    assert_eq!(summary(&rolled_back(&story, first).await), "> world_thing.a from world_thing.b\n");
    let mut one = wished(&story, first).await.unwrap();
    one.rows.retain(|address, _| address.to_string() == "world_thing.a");
    let told = story.try_plan_rollback(&demo(), one.clone()).await.diagnostics;
    let told: Vec<_> = told.into_iter().map(|it| (it.message, it.hint.unwrap_or_default())).collect();
    let hint = "where it is the same one, move it back first: `terrace state mv demo@test:world_thing.b world_thing.a`";
    let message = "demo@test:world_thing.a would take over what is recorded as demo@test:world_thing.b";
    assert_eq!(told, [(message.to_owned(), hint.to_owned())]);
    // So it is where another stack took it over since.
    drop_by_hand(&story, "world_thing.b").await;
    story.apply(&stack(&adopted("a", "a")).replace("name: demo}", "name: other}")).await;
    story.log();
    let told = story.try_plan_rollback(&demo(), one).await.diagnostics;
    assert_eq!(told[0].message, "demo@test:world_thing.a would take over what is recorded as other@test:world_thing.a");
    assert!(story.log().is_empty());
}

/// Goes back to `both`, where `b` has the key `b`: a stranger's object of that key is in the way, and is left alone.
pub(super) async fn stays_a_strangers(story: &Story, both: Uuid) {
    story.log();
    let plan = rolled_back(story, both).await;
    assert!(summary(&plan).contains("+ world_thing.b"), "{}", summary(&plan));
    let report = story.apply_plan(&plan).await.unwrap();
    assert!(!report.failed.is_empty());
    assert_eq!(story.remote().objects["b"]["id"], "id-9".into());
    assert_eq!(story.log(), ["refuse b"]);
    let solutions = report.failed[0].solutions.join("\n");
    assert!(!solutions.contains("adopt"), "there is no descriptor: {solutions}");
}

#[tokio::test]
async fn what_somebody_made_where_terrace_had_deleted_its_own_is_not_taken_over() {
    let story = Story::new();
    let both = story.apply(&beside_a("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
    story.apply(&beside_a("")).await;
    strange(&story, "b");
    stays_a_strangers(&story, both).await;
}

#[tokio::test]
async fn what_somebody_made_where_terrace_had_deleted_what_had_moved_is_not_taken_over() {
    for is_by_hand in [false, true] {
        let story = Story::new();
        let both = story.apply(&beside_a("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
        let c = "- {type: world_thing, name: c, config: {key: b}}\n";
        match is_by_hand {
            true => move_by_hand(&story, "world_thing.b", "world_thing.c").await,
            false => {
                story.apply(&(beside_a(c) + "moved: [{from: world_thing.b, to: world_thing.c}]\n")).await;
            }
        }
        story.apply(&beside_a("")).await;
        strange(&story, "b");
        stays_a_strangers(&story, both).await;
    }
}

#[tokio::test]
async fn what_was_somebody_elses_and_was_dropped_from_state_is_not_what_terrace_had_deleted() {
    let story = Story::new();
    let both = story.apply(&beside_a("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
    story.apply(&beside_a("")).await;
    strange(&story, "b");
    story.apply(&beside_a(&adopted("b", "b"))).await;
    drop_by_hand(&story, "world_thing.b").await;
    stays_a_strangers(&story, both).await;
}

#[tokio::test]
async fn what_moved_and_was_dropped_from_state_is_taken_up_again() {
    let story = Story::new();
    let both = story.apply(&beside_a("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
    move_by_hand(&story, "world_thing.b", "world_thing.c").await;
    drop_by_hand(&story, "world_thing.c").await;
    story.log();
    let plan = rolled_back(&story, both).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    assert!(story.log().is_empty(), "it is as it was");
}
