//! Resources shared by several stacks: created once, declared equally, leased briefly, and deleted with the last
//! owner.

use crate::support::Story;
use crate::support::story::summary;
use crate::support::world::Fault;
use terrace_engine::address::StackId;
use terrace_engine::apply::{ApplyError, Report};
use terrace_engine::store::{NewOperation, OwnersOf, Record, Selection, Write};
use terrace_provider::ErrorKind;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A stack whose one component owns the shared resource and a dependent of it.
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

/// The stack without components.
fn nothing(name: &str) -> String {
    format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ncomponents: {{}}\n")
}

fn both(one: &str, two: &str) -> String {
    format!("{one}\n---\n{two}")
}

/// Runs an apply until a call hangs.
async fn until(running: &mut (impl Future<Output = Result<Report, ApplyError>> + Unpin), hung: CancellationToken) {
    tokio::select! {
        _ = running => panic!("the apply ended"),
        () = hung.cancelled() => {}
    }
}

async fn owners(story: &Story) -> Vec<String> {
    let all = OwnersOf::Addresses(["shared/world_thing[\"common\"]".parse().unwrap()].into());
    let owners = story.store.owners("test", &all).await.unwrap();
    owners.iter().map(|owner| format!("{}:{}", owner.ownership.stack, owner.ownership.component)).collect()
}

#[tokio::test]
async fn stacks_of_one_plan_create_a_shared_resource_once() {
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
    assert_eq!(log[0], "create base", "dependents wait in every stack: {log:?}");
    assert_eq!(owners(&story).await, ["one@test:x", "two@test:x"]);
    assert_eq!(
        story.remote_value("two", "val"),
        story.remote_value("base", "id"),
        "the second stack reads the new object"
    );
}

#[tokio::test]
async fn dependents_are_blocked_in_all_stacks_if_a_shared_resource_fails() {
    let story = Story::new();
    story.fault("create base", Fault::Before(ErrorKind::PermissionDenied));
    let text = both(&product("one", "1"), &product("two", "1"));
    let report = story.apply_once(&text).await;
    assert_eq!((report.done.len(), report.failed.len(), report.blocked.len()), (0, 1, 2));
    assert_eq!(story.log(), ["create base"]);
    story.apply(&text).await;
}

#[tokio::test]
async fn shared_resource_is_replaced_before_its_consumers_change() {
    let story = Story::new();
    let stacks =
        |key: &str| both(&with_base("one", &format!("{{key: {key}}}")), &with_base("two", &format!("{{key: {key}}}")));
    story.apply(&stacks("old")).await;
    story.log();
    story.apply(&stacks("new")).await;
    let log = story.log();
    assert_eq!(log[..2], ["delete old", "create new"]);
    assert_eq!(log.len(), 4, "both consumers are updated: {log:?}");
}

#[tokio::test]
async fn consumer_is_deleted_before_another_stack_replaces_its_dependency() {
    let story = Story::new();
    story.apply(&both(&with_base("one", "{key: old}"), &with_base("two", "{key: old}"))).await;
    story.log();
    story.apply(&both(&nothing("one"), &with_base("two", "{key: new}"))).await;
    assert_eq!(story.log(), ["delete one", "delete old", "create new", "update two"]);
}

#[tokio::test]
async fn resource_that_changes_owners_in_one_plan_stays() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.log();
    story.apply(&both(&nothing("one"), &product("two", "1"))).await;
    assert_eq!(owners(&story).await, ["two@test:x"]);
    assert!(!story.log().contains(&"delete base".to_owned()));
}

#[tokio::test]
async fn conflicting_declaration_names_the_other_owner() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    insta::assert_snapshot!(story.errors(&product("two", "2")).await, @r#"
    stack.yaml:7:9: `x` of two@test declares shared/world_thing["common"] with a different `val` than `x` of one@test, which owns it too
      hint: change the shared resource in one@test too, and plan both stacks in one run
    "#);
}

#[tokio::test]
async fn new_owner_must_declare_the_resource_equally() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    let messages = story.errors(&product("two", "2")).await;
    assert!(messages.contains("with a different `val` than `x` of one@test"), "{messages}");
}

#[tokio::test]
async fn owners_must_declare_the_same_lifecycle() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    let messages = story.errors(&product("two", "1").replace("onLastRelease: delete", "onLastRelease: retain")).await;
    assert!(messages.contains("with a different `lifecycle` than"), "{messages}");
}

#[tokio::test]
async fn unknown_values_are_compared_once_they_are_known() {
    let story = Story::new();
    let stack = |name: &str, val: &str| {
        with_base(name, &format!("{{key: base, val: {val}}}")).replace(
            "    resources:\n",
            "    resources:\n      - {type: world_thing, name: seed, shared: seed, config: {key: seed}}\n",
        )
    };
    // At first the value is known only after apply.
    story.apply(&stack("one", "'${{ resources.seed.id }}'")).await;
    let messages = story.errors(&stack("two", "other")).await;
    assert!(messages.contains("with a different `val` than `x` of one@test"), "{messages}");
    story.apply(&stack("two", "id-1")).await;
}

#[tokio::test]
async fn secrets_of_a_shared_resource_are_compared_and_not_printed() {
    let story = Story::new();
    story.apply(&with_base("one", "{key: base, secret: hunter2}")).await;
    let messages = story.errors(&with_base("two", "{key: base, secret: other}")).await;
    assert!(messages.contains("with a different `secret` than") && !messages.contains("hunter2"), "{messages}");
    story.apply(&with_base("two", "{key: base, secret: hunter2}")).await;
    let all = OwnersOf::Addresses(["shared/world_thing[\"common\"]".parse().unwrap()].into());
    for owner in story.store.owners("test", &all).await.unwrap() {
        assert!(!owner.declaration.as_str().contains("hunter2"), "sealed at rest");
    }
}

#[tokio::test]
async fn owners_planned_together_change_the_resource() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    story.log();
    story.apply(&both(&product("one", "2"), &product("two", "2"))).await;
    assert_eq!(story.log(), ["update base"]);
    // Each owner agrees from now on, also if planned alone.
    story.check_second_plan(&product("one", "2")).await;
    story.check_second_plan(&product("two", "2")).await;
    assert!(story.errors(&product("one", "1")).await.contains("with a different `val` than `x` of two@test"));
}

#[tokio::test]
async fn only_owner_changes_the_resource_alone() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    story.apply(&nothing("two")).await;
    story.apply(&product("one", "2")).await;
    assert_eq!(story.remote_value("base", "val"), 2_i64.into());
}

#[tokio::test]
async fn failed_change_does_not_count_as_declared() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.fault("update base", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&product("one", "2")).await;
    story.apply(&product("two", "1")).await;
}

#[tokio::test]
async fn plan_is_stale_once_its_changed_resource_has_a_new_owner() {
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
async fn owners_that_leave_concurrently_leave_one_responsible() {
    let story = Story::new();
    story.apply(&product("one", "1")).await;
    story.apply(&product("two", "1")).await;
    let (first, second) = (story.plan(&nothing("one")).await, story.plan(&nothing("two")).await);
    story.apply_plan(&first).await.unwrap();
    let report = story.apply_plan(&second).await.unwrap();
    assert_eq!(report.still_owned.len(), 1, "and is reported");
    assert_eq!(owners(&story).await, ["two@test:x"], "one owner must stay to delete it");
    story.apply(&nothing("two")).await;
    assert!(story.rows().await.is_empty());
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn former_owner_of_retained_data_has_no_vote() {
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
async fn lease_of_a_shared_resource_ends_with_its_step() {
    let story = Story::new();
    story.fault("create one", Fault::HangAfter);
    let (plan, hung) = (story.plan(&product("one", "1")).await, story.remote().hung.clone());
    let first = story.other_process();
    let mut running = std::pin::pin!(first.apply_plan(&plan));
    until(&mut running, hung).await;
    let held = story.store.leases().await.unwrap();
    assert_eq!(held.iter().map(|lease| lease.component.as_str()).collect::<Vec<_>>(), ["x"]);
    // Another stack becomes an owner while the first one still applies its own resources.
    story.apply(&product("two", "1")).await;
}

#[tokio::test]
async fn shared_resource_is_leased_during_its_creation() {
    let story = Story::new();
    story.fault("create base", Fault::HangBefore);
    let (plan, hung) = (story.plan(&product("one", "1")).await, story.remote().hung.clone());
    let first = story.other_process();
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
async fn lease_of_one_shared_resource_does_not_block_another() {
    let story = Story::new();
    story.fault("create base", Fault::HangBefore);
    let (plan, hung) = (story.plan(&product("one", "1")).await, story.remote().hung.clone());
    let first = story.other_process();
    let mut running = std::pin::pin!(first.apply_plan(&plan));
    until(&mut running, hung).await;
    let other = product("two", "1").replace("shared: common", "shared: other").replace("key: base", "key: other");
    story.apply(&other).await;
}

#[tokio::test]
async fn one_declaration_creates_several_shared_resources() {
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
    assert_eq!(own.how.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shared/world_thing[\"s-a\"]"]);
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
async fn shared_resource_can_be_released_in_any_order() {
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

/// A stack that owns a room with a name from a lookup, through a door of its own.
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
async fn shared_resource_may_have_a_key_from_a_lookup_and_a_way_per_owner() {
    let story = with_house();
    story.apply(&by_door("one", "left")).await;
    // Planned alone, and together with the first stack: no owner changes the way of the other.
    story.apply(&by_door("two", "right")).await;
    story.apply(&both(&by_door("two", "right"), &by_door("one", "left"))).await;
    assert_eq!(story.log(), ["create room"]);
    assert_eq!(story.rows().await, ["shared/world_room[\"room of green\"]"]);
    assert_eq!(story.remote_value("room", "door"), "left".into());
    story.apply(&nothing("one")).await;
    assert_eq!(story.log(), [] as [&str; 0], "the other owner is left");
    story.apply(&nothing("two")).await;
    assert_eq!(story.log(), ["delete room"]);
}

#[tokio::test]
async fn failed_lookup_of_a_shared_key_is_one_error() {
    let errors = Story::new().errors(&by_door("one", "left")).await;
    assert_eq!(errors.matches("lookup_failed").count() + errors.matches("has no answer").count(), 1, "{errors}");
    assert!(!errors.contains("`shared`"), "{errors}");
}

#[tokio::test]
async fn offline_plan_does_not_look_up_a_shared_key() {
    let mut story = with_house();
    story.options.offline = true;
    story.options.refresh = false;
    let plan = story.plan(&by_door("one", "left")).await;
    let shared: Vec<String> = plan.changes().map(|(_, change)| change.address.to_string()).collect();
    assert_eq!(shared, ["shared/world_room[\"room of (known after apply)\"]"]);
}

/// A new key for the same shared object: the object stays once its row has moved.
#[tokio::test]
async fn changed_key_of_a_shared_resource_gets_a_move_command() {
    let keyed = |name: &str, key: &str| {
        product(name, "1").replace("shared: common,", &format!("shared: {key}, adopt: ifExists,"))
    };
    const MOVE: &str = "terrace state mv 'shared@test:shared/world_thing[\"common\"]' 'shared/world_thing[\"other\"]'`";
    let story = Story::new();
    story.apply(&keyed("one", "common")).await;
    // The only owner releases the old key and adopts the new one.
    let messages = story.errors(&keyed("one", "other")).await;
    assert!(messages.contains(MOVE), "{messages}");
    // The same with one of two owners.
    story.apply(&keyed("two", "common")).await;
    let messages = story.errors(&keyed("one", "other")).await;
    assert!(messages.contains(MOVE), "{messages}");
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
