//! Provenance in a rollback: objects that were imported or adopted since are released; objects that terrace created
//! are deleted at their current address.

use super::{demo, rekeyed, rolled_back, target, things};
use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::address::Address;
use terrace_engine::plan::Plan;
use terrace_engine::plan::rollback::RollbackTarget;
use terrace_engine::row_moves::{RowMove, resealing};
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, Selection, Write};
use terrace_provider::Value;
use uuid::Uuid;

/// A stack of `a` and other resources.
pub(super) fn a_with_others(rest: &str) -> String {
    things("val: 1", rest)
}

/// A story with `a`, and the operation to roll back to.
async fn with_a() -> (Story, Uuid) {
    let story = Story::new();
    let first = story.apply(&a_with_others("")).await.operation;
    (story, first)
}

/// Creates an object outside terrace.
pub(super) fn create_externally(story: &Story, key: &str) {
    let object = [("key".to_owned(), key.into()), ("id".to_owned(), "id-9".into()), ("echo".to_owned(), Value::Null)];
    story.remote().objects.insert(key.to_owned(), object.into_iter().collect());
}

/// Declares a thing that adopts an existing object.
pub(super) fn adopted(name: &str, key: &str) -> String {
    format!("- {{type: world_thing, name: {name}, adopt: ifExists, config: {{key: {key}}}}}")
}

/// Writes as `terrace state mv` and `terrace state rm` do.
async fn edit_row(story: &Story, kind: &str, address: &str, write: impl Fn(Row) -> Write, more: Vec<Write>) {
    let address: Address = address.parse().unwrap();
    let row = story.store.rows(&demo(), &Selection::Addresses([address].into())).await.unwrap().remove(0);
    let (operation, actor) = (Uuid::now_v7(), "a test".to_owned());
    let new = NewOperation { id: operation, kind: kind.to_owned(), stacks: vec![demo()], actor };
    story.store.begin(&new).await.unwrap();
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    let writes = [write(row)].into_iter().chain(more).map(|write| Record::Write { operation, write });
    story.store.commit(&[], writes.chain([end]).collect()).await.unwrap();
}

pub(super) async fn drop_row(story: &Story, address: &str) {
    let forget = |Row { stack, address, deposed, generation, .. }| Write::Forget {
        stack,
        address,
        deposed,
        expected: generation,
    };
    edit_row(story, "state rm", address, forget, Vec::new()).await;
}

pub(super) async fn move_row(story: &Story, from: &str, to: &str) {
    let moving = RowMove { from: from.parse().unwrap(), to: to.parse().unwrap(), generation: 0 };
    let sealed = resealing(story.store.as_ref(), &story.seal, &demo(), &[moving]).await.unwrap();
    let rename = |row: Row| Write::Move {
        stack: row.stack,
        from: row.address,
        to: to.parse().unwrap(),
        expected: row.generation,
    };
    edit_row(story, "state mv", from, rename, sealed).await;
}

/// Rolls back to the state with only `a`. Returns the plan, its calls and the remaining objects.
async fn roll_back_to_a(story: &Story, first: Uuid) -> (String, Vec<String>, Vec<String>) {
    story.log();
    let plan = rolled_back(story, first).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
    assert!(!rolled_back(story, first).await.has_changes());
    let left = story.remote().objects.keys().cloned().collect();
    (summary(&plan), story.log(), left)
}

fn delete_line(name: &str) -> String {
    format!("- world_thing.{name} (is not in the state of that time)\n")
}

fn forget_line(name: &str) -> String {
    format!(". world_thing.{name} (is not in the state of that time)\n")
}

#[tokio::test]
async fn created_object_is_deleted_at_the_address_it_moved_to() {
    let moved = a_with_others("- {type: world_thing, name: c, config: {key: b}}")
        + "moved: [{from: world_thing.b, to: world_thing.c}]\n";
    for is_manual in [false, true] {
        let (story, first) = with_a().await;
        story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: b}}")).await;
        match is_manual {
            true => move_row(&story, "world_thing.b", "world_thing.c").await,
            false => drop(story.apply(&moved).await),
        }
        let (plan, calls, left) = roll_back_to_a(&story, first).await;
        assert_eq!((plan, calls, left), (delete_line("c"), vec!["delete b".to_owned()], vec!["a".to_owned()]));
    }
}

#[tokio::test]
async fn adopted_object_is_released_at_the_address_it_moved_to() {
    let moved = a_with_others(&adopted("c", "b")) + "moved: [{from: world_thing.b, to: world_thing.c}]\n";
    for is_manual in [false, true] {
        let (story, first) = with_a().await;
        create_externally(&story, "b");
        story.apply(&a_with_others(&adopted("b", "b"))).await;
        match is_manual {
            true => move_row(&story, "world_thing.b", "world_thing.c").await,
            false => drop(story.apply(&moved).await),
        }
        let (plan, calls, left) = roll_back_to_a(&story, first).await;
        assert_eq!((plan, calls, left), (forget_line("c"), vec![], vec!["a".to_owned(), "b".to_owned()]));
    }
}

#[tokio::test]
async fn objects_that_swap_addresses_keep_their_provenance() {
    let (story, first) = with_a().await;
    create_externally(&story, "b");
    let made = |name: &str| format!("- {{type: world_thing, name: {name}, config: {{key: c}}}}\n");
    story.apply(&a_with_others(&(made("c") + &adopted("b", "b")))).await;
    // Both move in one apply, and then each to the former address of the other.
    let moved = "moved: [{from: world_thing.c, to: world_thing.e}, {from: world_thing.b, to: world_thing.d}]\n";
    story.apply(&(a_with_others(&(made("e") + &adopted("d", "b"))) + moved)).await;
    move_row(&story, "world_thing.e", "world_thing.b").await;
    move_row(&story, "world_thing.d", "world_thing.c").await;
    let (plan, calls, left) = roll_back_to_a(&story, first).await;
    let expected = forget_line("c") + &delete_line("b");
    let lines: std::collections::BTreeSet<&str> = plan.lines().collect();
    assert_eq!(lines, expected.lines().collect());
    assert_eq!((calls, left), (vec!["delete c".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn moved_object_is_followed_under_another_key() {
    // The sealed text of its identity differs, too.
    let variables = "variables: {token: {type: string, default: b, sensitive: true}}\n";
    let of = |name: &str| format!("- {{type: world_thing, name: {name}, config: {{key: '${{{{ vars.token }}}}'}}}}");
    for is_lost in [false, true] {
        let (mut story, first) = with_a().await;
        story.apply(&(a_with_others(&of("b")) + variables)).await;
        move_row(&story, "world_thing.b", "world_thing.c").await;
        if is_lost {
            // The new key opens only the later rows.
            story.apply(&(a_with_others(&of("c").replace("key: '", "val: 2, key: '")) + variables)).await;
        }
        rekeyed(&mut story, is_lost.then_some("world_thing.b")).await;
        let plan = rolled_back(&story, first).await;
        let notes: Vec<&str> = plan.notes.iter().map(|note| note.message.as_str()).collect();
        match is_lost {
            false => assert_eq!((summary(&plan), notes.len()), (delete_line("c"), 0)),
            true => {
                assert_eq!((summary(&plan), notes.len()), (String::new(), 1));
                assert!(notes[0].contains("world_thing.c or adopted it"), "{notes:?}");
            }
        }
    }
}

#[tokio::test]
async fn object_created_at_the_address_of_an_adopted_one_is_deleted() {
    // The first object was dropped, replaced in either order, or deleted outside terrace and recreated.
    for way in ["dropped", "replaced", "replaced, created first", "made again"] {
        let (story, first) = with_a().await;
        create_externally(&story, "b");
        story.apply(&a_with_others(&adopted("b", "b"))).await;
        let (text, left) = match way {
            "dropped" => {
                drop_row(&story, "world_thing.b").await;
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
        story.apply(&a_with_others(&text)).await;
        // Later updates do not change its provenance.
        story.apply(&a_with_others(&text.replace("config: {", "config: {val: 2, "))).await;
        let (plan, calls, now) = roll_back_to_a(&story, first).await;
        assert_eq!((plan, calls.len()), (delete_line("b"), 1), "{way}");
        assert_eq!(now, left, "{way}");
    }
}

#[tokio::test]
async fn object_adopted_at_the_address_of_a_created_one_stays() {
    for is_manual in [false, true] {
        let (story, first) = with_a().await;
        story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: old}}")).await;
        match is_manual {
            true => drop_row(&story, "world_thing.b").await,
            false => drop(story.apply(&a_with_others("")).await),
        }
        create_externally(&story, "b");
        story.apply(&a_with_others(&adopted("b", "b"))).await;
        let (plan, calls, left) = roll_back_to_a(&story, first).await;
        assert_eq!((plan, calls), (forget_line("b"), vec![]));
        assert!(left.contains(&"b".to_owned()));
    }
}

#[tokio::test]
async fn object_adopted_with_an_update_is_adopted() {
    let (story, first) = with_a().await;
    create_externally(&story, "b");
    story.apply(&a_with_others(&adopted("b", "b").replace("key: b", "key: b, val: 2"))).await;
    assert_eq!(story.log(), ["create a", "update b"]);
    let (plan, calls, _) = roll_back_to_a(&story, first).await;
    assert_eq!((plan, calls), (forget_line("b"), vec![]));
}

#[tokio::test]
async fn rollback_to_an_absent_row_releases_an_adopted_object() {
    let story = Story::new();
    create_externally(&story, "b");
    story.apply(&a_with_others(&adopted("b", "b"))).await;
    // The same as with the generation of a deletion.
    let target =
        RollbackTarget { rows: [("world_thing.b".parse().unwrap(), None)].into(), ..RollbackTarget::default() };
    let plan = story.plan_rollback(&demo(), target).await;
    assert_eq!(summary(&plan), forget_line("b"));
}

#[tokio::test]
async fn object_adopted_in_place_of_another_is_not_replaced() {
    for still_exists in [false, true] {
        let story = Story::new();
        let first = story.apply(&a_with_others(&adopted("b", "b"))).await.operation;
        story.apply(&(a_with_others("") + "forget: [world_thing.b]\n")).await;
        if !still_exists {
            story.remote().objects.remove("b");
        }
        create_externally(&story, "theirs");
        story.apply(&a_with_others(&adopted("b", "theirs"))).await;
        story.log();
        let target = target(&story, first).await.unwrap();
        let plan = story.try_plan_rollback(&demo(), target).await.plan;
        assert!(plan.is_errored && !plan.has_changes(), "{}", summary(&plan));
        let messages: Vec<&str> = plan.notes.iter().map(|note| note.message.as_str()).collect();
        assert_eq!(
            messages,
            ["demo@test:world_thing.b is another object now, which terrace did not create: a rollback would delete it"]
        );
        assert!(story.log().is_empty());
    }
}

#[tokio::test]
async fn adopted_object_whose_name_became_sensitive_is_the_same() {
    let story = Story::new();
    create_externally(&story, "hunter2");
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
async fn adopted_data_is_released_and_not_retained() {
    for remove_data in [false, true] {
        let (mut story, first) = with_a().await;
        create_externally(&story, "b");
        story.apply(&a_with_others(&adopted("b", "b").replace("world_thing", "world_data"))).await;
        story.options.remove_data = remove_data;
        let (plan, calls, left) = roll_back_to_a(&story, first).await;
        assert_eq!(plan, ". world_data.b (is not in the state of that time)\n");
        assert_eq!((calls, left), (vec![], vec!["a".to_owned(), "b".to_owned()]));
    }
}

#[tokio::test]
async fn protection_prevents_deletion_but_not_release() {
    let (story, first) = with_a().await;
    create_externally(&story, "b");
    let protected = adopted("b", "b").replace("config", "lifecycle: {preventDestroy: true}, config");
    story.apply(&a_with_others(&protected)).await;
    let (plan, calls, _) = roll_back_to_a(&story, first).await;
    assert_eq!((plan, calls), (forget_line("b"), vec![]));
}

#[tokio::test]
async fn object_of_unknown_provenance_stays() {
    let story = Story::new();
    story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: b}}")).await;
    story.administration.prune(std::time::Duration::ZERO).await.unwrap();
    let target =
        || RollbackTarget { rows: [("world_thing.b".parse().unwrap(), None)].into(), ..RollbackTarget::default() };
    let plan_and_note = |plan: Plan| {
        let note = plan.notes.first().map(|note| (note.message.clone(), note.hint.clone().unwrap_or_default()));
        (summary(&plan), note)
    };
    let message = "the history does not show any more whether terrace created demo@test:world_thing.b or adopted it, so it stays as it is";
    let hint = "to keep the object, forget it with `terrace state rm demo@test:world_thing.b`; to delete it, apply a \
                descriptor without it";
    let unknown = (String::new(), Some((message.to_owned(), hint.to_owned())));
    assert_eq!(plan_and_note(story.plan_rollback(&demo(), target()).await), unknown);
    // A later change does not tell either.
    story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: b, val: 2}}")).await;
    assert_eq!(plan_and_note(story.plan_rollback(&demo(), target()).await), unknown);
    // Nor does a move of a pruned row.
    move_row(&story, "world_thing.b", "world_thing.c").await;
    let target =
        RollbackTarget { rows: [("world_thing.c".parse().unwrap(), None)].into(), ..RollbackTarget::default() };
    let (plan, note) = plan_and_note(story.plan_rollback(&demo(), target).await);
    assert_eq!(plan, "");
    assert!(note.is_some_and(|(message, _)| message.contains("world_thing.c or adopted it")));
}

#[tokio::test]
async fn object_adopted_since_stays_in_the_system() {
    let story = Story::new();
    let first = story.apply(&things("val: 1", "")).await.operation;
    let external = [("key".to_owned(), "b".into()), ("id".to_owned(), "id-9".into()), ("echo".to_owned(), Value::Null)];
    story.remote().objects.insert("b".to_owned(), external.into_iter().collect());
    let taken = "- {type: world_thing, name: b, adopt: ifExists, config: {key: b}}";
    story.apply(&things("val: 1", taken)).await;
    story.log();
    let plan = rolled_back(&story, first).await;
    assert_eq!(summary(&plan), ". world_thing.b (is not in the state of that time)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), [] as [String; 0]);
    assert!(story.remote().objects.contains_key("b"));
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn object_with_another_row_is_not_adopted() {
    let story = Story::new();
    let first = story.apply(&things("val: 1", "")).await.operation;
    move_row(&story, "world_thing.a", "world_thing.b").await;
    story.log();
    // A rollback of the whole stack moves the row back; a rollback of the one address does not know the other.
    assert_eq!(summary(&rolled_back(&story, first).await), "> world_thing.a from world_thing.b\n");
    let mut only_a = target(&story, first).await.unwrap();
    only_a.rows.retain(|address, _| address.to_string() == "world_thing.a");
    let problems = story.try_plan_rollback(&demo(), only_a.clone()).await.diagnostics;
    let problems: Vec<_> = problems.into_iter().map(|it| (it.message, it.hint.unwrap_or_default())).collect();
    let hint =
        "if it is the same resource, move it back first: `terrace state mv demo@test:world_thing.b world_thing.a`";
    let message = "demo@test:world_thing.a would adopt the object of demo@test:world_thing.b";
    assert_eq!(problems, [(message.to_owned(), hint.to_owned())]);
    // The same if another stack has adopted it since.
    drop_row(&story, "world_thing.b").await;
    story.apply(&stack(&adopted("a", "a")).replace("name: demo}", "name: other}")).await;
    story.log();
    let problems = story.try_plan_rollback(&demo(), only_a).await.diagnostics;
    assert_eq!(problems[0].message, "demo@test:world_thing.a would adopt the object of other@test:world_thing.a");
    assert!(story.log().is_empty());
}

/// Rolls back to the state with `b`, and checks that an external object with its key is left alone.
pub(super) async fn check_left_external(story: &Story, both: Uuid) {
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
async fn external_object_in_place_of_a_deleted_one_is_not_adopted() {
    let story = Story::new();
    let both = story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
    story.apply(&a_with_others("")).await;
    create_externally(&story, "b");
    check_left_external(&story, both).await;
}

#[tokio::test]
async fn external_object_in_place_of_a_moved_deleted_one_is_not_adopted() {
    for is_manual in [false, true] {
        let story = Story::new();
        let both = story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
        let c = "- {type: world_thing, name: c, config: {key: b}}\n";
        match is_manual {
            true => move_row(&story, "world_thing.b", "world_thing.c").await,
            false => {
                story.apply(&(a_with_others(c) + "moved: [{from: world_thing.b, to: world_thing.c}]\n")).await;
            }
        }
        story.apply(&a_with_others("")).await;
        create_externally(&story, "b");
        check_left_external(&story, both).await;
    }
}

#[tokio::test]
async fn adopted_and_dropped_external_object_is_not_the_deleted_one() {
    let story = Story::new();
    let both = story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
    story.apply(&a_with_others("")).await;
    create_externally(&story, "b");
    story.apply(&a_with_others(&adopted("b", "b"))).await;
    drop_row(&story, "world_thing.b").await;
    check_left_external(&story, both).await;
}

#[tokio::test]
async fn moved_and_dropped_object_is_adopted() {
    let story = Story::new();
    let both = story.apply(&a_with_others("- {type: world_thing, name: b, config: {key: b}}")).await.operation;
    move_row(&story, "world_thing.b", "world_thing.c").await;
    drop_row(&story, "world_thing.c").await;
    story.log();
    let plan = rolled_back(&story, both).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    assert!(story.log().is_empty(), "the object is unchanged");
}
