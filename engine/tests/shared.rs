//! What several stacks own: made once, declared alike, leased for a moment, removed by the last.

use crate::support::Story;
use crate::support::story::summary;
use crate::support::world::Fault;
use terrace_engine::address::StackId;
use terrace_engine::apply::{ApplyError, Report};
use terrace_engine::store::{NewOperation, OwnersOf, Record, Selection, Write};
use terrace_provider::ErrorKind;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A stack whose one component owns what is shared, and something of its own made after it.
fn product(name: &str, val: &str) -> String {
    with_base(name, &format!("{{key: base, val: {val}}}"))
}

fn with_base(name: &str, config: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ncomponents:\n  x:\n    resources:\n      \
         - {{type: world_thing, name: base, shared: common, lifecycle: {{onLastRelease: delete}}, config: {config}}}\n      \
         - {{type: world_thing, name: own, config: {{key: {name}, val: '${{{{ resources.base.id }}}}'}}}}\n"
    )
}

/// The stack without any component.
fn nothing(name: &str) -> String {
    format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ncomponents: {{}}\n")
}

fn both(one: &str, two: &str) -> String {
    format!("{one}\n---\n{two}")
}

/// Lets an apply go on until it stands at a call that never answers.
async fn until(running: &mut (impl Future<Output = Result<Report, ApplyError>> + Unpin), hung: CancellationToken) {
    tokio::select! {
        _ = running => panic!("it did not stop"),
        () = hung.cancelled() => {}
    }
}

async fn owners(story: &Story) -> Vec<String> {
    let all = OwnersOf::Addresses(["shared/world_thing[\"common\"]".parse().unwrap()].into());
    let owners = story.store.owners("test", &all).await.unwrap();
    owners.iter().map(|owner| format!("{}:{}", owner.ownership.stack, owner.ownership.component)).collect()
}

#[tokio::test]
async fn stacks_of_one_plan_that_declare_the_same_new_resource_make_it_once() {
    let story = Story::new();
    let text = both(&product("one", "1"), &product("two", "1"));
    let plan = story.plan(&text).await;
    insta::assert_snapshot!(summary(&plan), @r#"
    + shared/world_thing["common"]
    + x/world_thing.own
    + x/world_thing.own
    owner + x of shared/world_thing["common"]
    owner + x of shared/world_thing["common"]
    "#);
    story.apply(&text).await;
    let log = story.log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert_eq!(log[0], "create base", "what is made after it waits, in whichever stack: {log:?}");
    assert_eq!(owners(&story).await, ["one@test:x", "two@test:x"]);
    assert_eq!(
        story.remote_value("two", "val"),
        story.remote_value("base", "id"),
        "the second stack knows what was made"
    );
}

#[tokio::test]
async fn what_is_made_after_a_shared_resource_is_not_tried_when_that_fails_in_another_stack() {
    let story = Story::new();
    story.fault("create base", Fault::Before(ErrorKind::PermissionDenied));
    let text = both(&product("one", "1"), &product("two", "1"));
    let report = story.apply_once(&text).await;
    assert_eq!((report.done.len(), report.failed.len(), report.blocked.len()), (0, 1, 2));
    assert_eq!(story.log(), ["create base"]);
    story.apply(&text).await;
}

#[tokio::test]
async fn a_shared_resource_that_is_replaced_is_there_again_before_what_uses_it_in_another_stack() {
    let story = Story::new();
    let stacks =
        |key: &str| both(&with_base("one", &format!("{{key: {key}}}")), &with_base("two", &format!("{{key: {key}}}")));
    story.apply(&stacks("old")).await;
    story.log();
    story.apply(&stacks("new")).await;
    let log = story.log();
    assert_eq!(log[..2], ["delete old", "create new"]);
    assert_eq!(log.len(), 4, "both follow: {log:?}");
}

#[tokio::test]
async fn what_goes_in_one_stack_goes_before_the_shared_resource_that_another_replaces() {
    let story = Story::new();
    story.apply(&both(&with_base("one", "{key: old}"), &with_base("two", "{key: old}"))).await;
    story.log();
    story.apply(&both(&nothing("one"), &with_base("two", "{key: new}"))).await;
    assert_eq!(story.log(), ["delete one", "delete old", "create new", "update two"]);
}

#[tokio::test]
async fn a_resource_that_changes_hands_in_one_plan_stays() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.log();
    story.apply(&both(&nothing("one"), &product("two", "1"))).await;
    assert_eq!(owners(&story).await, ["two@test:x"]);
    assert!(!story.log().contains(&"delete base".to_owned()));
}

#[tokio::test]
async fn a_stack_planned_alone_is_told_that_another_owner_declares_the_resource_differently() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    insta::assert_snapshot!(story.errors(&product("two", "2")).await, @r#"
    stack.yaml:7:9: `x` of two@test declares shared/world_thing["common"] with another `val` than `x` of one@test, which owns it too
      hint: to change a shared resource, change it in one@test too and plan both stacks in one run
    "#);
}

#[tokio::test]
async fn a_newcomer_has_to_declare_the_resource_as_its_owners_do() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    let told = story.errors(&product("two", "2")).await;
    assert!(told.contains("with another `val` than `x` of one@test"), "{told}");
}

#[tokio::test]
async fn how_a_resource_behaves_is_declared_alike_too() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    let told = story.errors(&product("two", "1").replace("onLastRelease: delete", "onLastRelease: retain")).await;
    assert!(told.contains("with another `lifecycle` than"), "{told}");
}

#[tokio::test]
async fn what_is_not_known_yet_is_compared_once_it_is() {
    let story = Story::new();
    let stack = |name: &str, val: &str| {
        with_base(name, &format!("{{key: base, val: {val}}}")).replace(
            "    resources:\n",
            "    resources:\n      - {type: world_thing, name: seed, shared: seed, config: {key: seed}}\n",
        )
    };
    // At first the value is known after apply only.
    story.apply(&stack("one", "'${{ resources.seed.id }}'")).await;
    let told = story.errors(&stack("two", "other")).await;
    assert!(told.contains("with another `val` than `x` of one@test"), "{told}");
    story.apply(&stack("two", "id-1")).await;
}

#[tokio::test]
async fn a_secret_of_a_shared_resource_is_compared_and_not_told() {
    let story = Story::new();
    story.apply(&with_base("one", "{key: base, secret: hunter2}")).await;
    let told = story.errors(&with_base("two", "{key: base, secret: other}")).await;
    assert!(told.contains("with another `secret` than") && !told.contains("hunter2"), "{told}");
    story.apply(&with_base("two", "{key: base, secret: hunter2}")).await;
    let all = OwnersOf::Addresses(["shared/world_thing[\"common\"]".parse().unwrap()].into());
    for owner in story.store.owners("test", &all).await.unwrap() {
        assert!(!owner.declaration.contains("hunter2"), "sealed at rest");
    }
}

#[tokio::test]
async fn owners_that_are_planned_together_change_the_resource() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    story.log();
    story.apply(&both(&product("one", "2"), &product("two", "2"))).await;
    assert_eq!(story.log(), ["update base"]);
    // Each of them agrees from now on, planned alone too.
    story.check_second_plan(&product("one", "2")).await;
    story.check_second_plan(&product("two", "2")).await;
    assert!(story.errors(&product("one", "1")).await.contains("with another `val` than `x` of two@test"));
}

#[tokio::test]
async fn the_only_owner_changes_the_resource_alone() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    story.apply(&nothing("two")).await;
    story.apply(&product("one", "2")).await;
    assert_eq!(story.remote_value("base", "val"), 2_i64.into());
}

#[tokio::test]
async fn a_change_that_failed_is_not_what_the_owner_declared() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.fault("update base", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&product("one", "2")).await;
    story.apply(&product("two", "1")).await;
}

#[tokio::test]
async fn a_plan_is_refused_once_somebody_owns_the_resource_that_it_changes() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    let plan = story.plan(&product("one", "2")).await;
    story.apply(&product("two", "1")).await;
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "shared@test:shared/world_thing[\"common\"] would be changed, and `x` of two@test owns it since the plan was made"
    );
    let own = "resources:\n  - {type: world_thing, name: base, shared: common, lifecycle: {onLastRelease: delete}, \
               config: {key: base, val: 1}}\n";
    let three = format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: three}}\n{own}");
    let plan = story.plan(&both(&product("one", "2"), &product("two", "2"))).await;
    story.apply(&three).await;
    let refused = story.apply_plan(&plan).await.unwrap_err().to_string();
    assert!(refused.ends_with("would be changed, and three@test owns it since the plan was made"), "{refused}");
}

#[tokio::test]
async fn owners_that_leave_at_the_same_time_do_not_leave_the_resource_to_nobody() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    let (first, second) = (story.plan(&nothing("one")).await, story.plan(&nothing("two")).await);
    story.apply_plan(&first).await.unwrap();
    let report = story.apply_plan(&second).await.unwrap();
    assert_eq!(report.still_owned.len(), 1, "and is told");
    assert_eq!(owners(&story).await, ["two@test:x"], "somebody has to be there who removes it");
    story.apply(&nothing("two")).await;
    assert!(story.rows().await.is_empty());
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn who_only_kept_the_data_of_a_resource_has_no_say_in_it() {
    let mut story = Story::new();
    let data = |text: String| text.replace("world_thing, name: base", "world_data, name: base");
    story.apply(&data(product("one", "1"))).await;
    story.apply(&nothing("one")).await;
    story.apply(&data(product("two", "2"))).await;
    story.apply(&data(product("two", "3"))).await;
    story.options.remove_data = true;
    story.apply(&nothing("two")).await;
    assert!(story.rows().await.is_empty(), "its last owner went");
}

#[tokio::test]
async fn the_lease_of_a_shared_resource_is_given_back_once_the_object_is_done() {
    let story = Story::new();
    story.fault("create one", Fault::HangAfter);
    let (plan, hung) = (story.plan(&product("one", "1")).await, story.remote().hung.clone());
    let first = story.beside();
    let mut running = std::pin::pin!(first.apply_plan(&plan));
    until(&mut running, hung).await;
    let held = story.store.leases().await.unwrap();
    assert_eq!(held.iter().map(|lease| lease.component.as_str()).collect::<Vec<_>>(), ["x"]);
    // Another stack becomes an owner while the first one is still at work on what is its own.
    story.apply(&product("two", "1")).await;
}

#[tokio::test]
async fn a_shared_resource_is_leased_while_it_is_made() {
    let story = Story::new();
    story.fault("create base", Fault::HangBefore);
    let (plan, hung) = (story.plan(&product("one", "1")).await, story.remote().hung.clone());
    let first = story.beside();
    let mut running = std::pin::pin!(first.apply_plan(&plan));
    until(&mut running, hung).await;
    let held = story.store.leases().await.unwrap();
    let names: Vec<String> = held.iter().map(|lease| format!("{}:{}", lease.stack, lease.component)).collect();
    assert_eq!(names, ["one@test:x", "shared@test:shared/world_thing[\"common\"]"]);
    let plan = story.plan(&product("two", "1")).await;
    let refused = story.apply_plan(&plan).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("the shared resource `shared/world_thing[\"common\"]` of shared@test is held by"),
        "{refused}"
    );
}

#[tokio::test]
async fn work_on_one_shared_resource_does_not_hold_up_another() {
    let story = Story::new();
    story.fault("create base", Fault::HangBefore);
    let (plan, hung) = (story.plan(&product("one", "1")).await, story.remote().hung.clone());
    let first = story.beside();
    let mut running = std::pin::pin!(first.apply_plan(&plan));
    until(&mut running, hung).await;
    let other = product("two", "1").replace("shared: common", "shared: other").replace("key: base", "key: other");
    story.apply(&other).await;
}

#[tokio::test]
async fn one_declaration_makes_several_shared_resources() {
    let story = Story::new();
    let stack = |name: &str, keys: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources:\n  \
             - {{type: world_thing, name: base, forEach: '${{{{ {keys} }}}}', shared: '${{{{ \"s-\" + each.key }}}}', \
             lifecycle: {{onLastRelease: delete}}, config: {{key: '${{{{ each.key }}}}'}}}}\n  \
             - {{type: world_thing, name: own, config: {{key: {name}, val: '${{{{ resources.base[\"a\"].id }}}}'}}}}\n  \
             - {{type: world_thing, name: all, config: {{key: {name}-all, val: '${{{{ resources.base.map(k, k) }}}}'}}}}\n"
        )
    };
    let two = both(&stack("one", "[\"a\", \"b\"]"), &stack("two", "[\"b\", \"a\", \"c\"]"));
    let plan = story.plan(&two).await;
    let own = plan.changes().find(|(_, change)| change.address.name == "own").unwrap().1;
    assert_eq!(own.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shared/world_thing[\"s-a\"]"]);
    story.apply(&two).await;
    let log = story.log();
    assert_eq!(log.iter().filter(|call| ["create a", "create b", "create c"].contains(&call.as_str())).count(), 3);
    assert_eq!(story.remote_value("two", "val"), story.remote_value("a", "id"));
    story.apply(&both(&stack("one", "[\"a\"]"), &stack("two", "[\"a\"]"))).await;
    let mut log = story.log();
    log.retain(|call| call.starts_with("delete"));
    log.sort();
    assert_eq!(log, ["delete b", "delete c"]);
}

#[tokio::test]
async fn a_shared_resource_survives_either_order_of_removal() {
    for order in [["one", "two"], ["two", "one"]] {
        let story = Story::new();
        story.apply(&both(&product("one", "1"), &product("two", "1"))).await;
        story.log();
        let [first, second] = order;
        story.apply(&nothing(first)).await;
        assert_eq!(story.log(), [format!("delete {first}")]);
        story.apply(&nothing(second)).await;
        assert_eq!(story.log(), [format!("delete {second}"), "delete base".to_owned()]);
        assert!(story.rows().await.is_empty());
    }
}

/// A stack that owns a room by the name that a lookup answers with, by a door of its own.
fn by_door(name: &str, door: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ndata:\n  \
         - {{type: world_thing, name: house, config: {{key: house}}}}\nresources:\n  \
         - {{type: world_room, name: room, shared: 'room of ${{{{ data.house.val }}}}', \
         lifecycle: {{onLastRelease: delete}}, config: {{key: room, door: {door}}}}}\n"
    )
}

fn with_house() -> Story {
    let story = Story::new();
    let house = [("key", "house"), ("val", "green"), ("id", "id-0")];
    let house = house.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    story.remote().objects.insert("house".to_owned(), house);
    story
}

#[tokio::test]
async fn what_is_shared_goes_by_what_a_lookup_answers_and_by_whatever_way_each_owner_gets_there() {
    let story = with_house();
    story.apply(&by_door("one", "left")).await;
    // Alone, and in one plan with the first: no owner moves the other's way.
    story.apply(&by_door("two", "right")).await;
    story.apply(&both(&by_door("two", "right"), &by_door("one", "left"))).await;
    assert_eq!(story.log(), ["create room"]);
    assert_eq!(story.rows().await, ["shared/world_room[\"room of green\"]"]);
    assert_eq!(story.remote_value("room", "door"), "left".into());
    story.apply(&nothing("one")).await;
    assert_eq!(story.log(), [] as [&str; 0], "the other one is left");
    story.apply(&nothing("two")).await;
    assert_eq!(story.log(), ["delete room"]);
}

#[tokio::test]
async fn a_lookup_that_fails_is_all_that_is_told_of_what_is_shared_by_its_answer() {
    let errors = Story::new().errors(&by_door("one", "left")).await;
    assert_eq!(errors.matches("lookup_failed").count() + errors.matches("has no answer").count(), 1, "{errors}");
    assert!(!errors.contains("`shared`"), "{errors}");
}

#[tokio::test]
async fn nobody_is_asked_for_the_name_of_what_is_shared_where_nobody_is_asked_for_anything() {
    let mut story = with_house();
    story.options.offline = true;
    story.options.refresh = false;
    let plan = story.plan(&by_door("one", "left")).await;
    let shared: Vec<String> = plan.changes().map(|(_, change)| change.address.to_string()).collect();
    assert_eq!(shared, ["shared/world_room[\"room of (known after apply)\"]"]);
}

/// What is shared by another key from now on: the object stays the one that it is once its row was moved.
#[tokio::test]
async fn another_key_of_what_is_shared_is_told_with_the_command_that_moves_it() {
    let keyed = |name: &str, key: &str| {
        product(name, "1").replace("shared: common,", &format!("shared: {key}, adopt: ifExists,"))
    };
    const MOVE: &str = "terrace state mv 'shared@test:shared/world_thing[\"common\"]' 'shared/world_thing[\"other\"]'`";
    let story = Story::new();
    story.apply(&keyed("one", "common")).await;
    // The only owner lets it go by its old name, and takes it over by the new one.
    let told = story.errors(&keyed("one", "other")).await;
    assert!(told.contains(MOVE), "{told}");
    // One of two owners does.
    story.apply(&keyed("two", "common")).await;
    let told = story.errors(&keyed("one", "other")).await;
    assert!(told.contains(MOVE), "{told}");
    let (stack, common) = (StackId::shared("test"), "shared/world_thing[\"common\"]".parse().unwrap());
    let row = story.store.rows(&stack, &Selection::All).await.unwrap().remove(0);
    let to = "shared/world_thing[\"other\"]".parse().unwrap();
    let write = Write::Move { stack: stack.clone(), from: common, to, expected: row.generation };
    let (operation, actor) = (Uuid::now_v7(), "a test".to_owned());
    let new = NewOperation { id: operation, kind: "state mv".to_owned(), stacks: vec![stack.clone()], actor };
    story.store.begin(&new).await.unwrap();
    story.store.commit(&[], vec![Record::Write { operation, write }]).await.unwrap();
    for name in ["one", "two"] {
        story.check_second_plan(&keyed(name, "other")).await;
    }
}
