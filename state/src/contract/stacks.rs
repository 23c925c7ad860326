//! Stacks, components and owners.

use super::fixture::{Fixture, delete, demo, intent, put, row};
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_store::access::Access;
use terrace_store::address::{Address, StackId};
use terrace_store::{
    ComponentRow, Ids, NewOperation, OwnerRow, OwnersOf, Ownership, Record, Row, RowStatus, Sealed, StackRead,
    StepAction, StepResult, StoreError, Write,
};
use uuid::Uuid;

fn component(key: &str) -> ComponentRow {
    ComponentRow {
        key: key.into(),
        depends_on: vec!["db".into()],
        outputs: Sealed::from_stored(r#"{"url":"x"}"#),
        blueprint: Some("plain@1.0.0".to_owned()),
        reads: vec![StackRead { stack: StackId::new("other", "local"), component: "db".into() }],
        access: Some(access(r#"{"for":{"days":30,"why":"\u0000 ☃"}}"#)),
        ids: Some(Ids {
            product: "urn:dmb:dp:a:b:0".to_owned(),
            component: format!("urn:dmb:cmp:a:b:0:{key}\u{0} ☃"),
            names: Default::default(),
        }),
    }
}

fn access(fields: &str) -> Access {
    let principals = vec!["user:ada".to_owned(), "group:readers".to_owned()];
    Access::new(principals, serde_json::from_str(fields).unwrap())
}

fn shared(key: &str) -> Address {
    Address::shared("local_directory", key)
}

fn owner(key: &str, stack: &StackId, component: &str) -> OwnerRow {
    let ownership = Ownership { address: shared(key), stack: stack.clone(), component: component.into() };
    OwnerRow { ownership, declaration: Sealed::from_stored(r#"{"config":{}}"#) }
}

fn drop_owner(owner: &OwnerRow, may_be_last: bool) -> Write {
    Write::DropOwner { ownership: owner.ownership.clone(), may_be_last }
}

fn of(keys: &[&str]) -> OwnersOf {
    OwnersOf::Addresses(keys.iter().map(|key| shared(key)).collect::<BTreeSet<_>>())
}

/// A stack is listed while it has a row, an open step, a shared row or an output.
pub async fn only_stacks_with_content_are_listed(fixture: Fixture) {
    assert!(fixture.store.stacks().await.unwrap().is_empty());
    let other = StackId::new("another", "local");
    let row_of_other = Row { stack: other.clone(), ..row("local_value.a") };
    fixture.write(vec![put(row("local_value.a"), 0), put(row_of_other, 0)]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), [other.clone(), demo()]);
    fixture.write(vec![delete("local_value.a", 1)]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), std::slice::from_ref(&other));
    let operation = fixture.begin().await;
    let opened = Record::Intent(Box::new(intent(operation, 1, row("local_value.b"))));
    fixture.store.commit(&[], vec![opened]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), [other.clone(), demo()]);
    let closed = Record::Outcome {
        operation,
        step: 1,
        stack: demo(),
        address: row("local_value.b").address,
        action: StepAction::Create,
        result: StepResult::Failed("no".to_owned()),
        writes: Vec::new(),
    };
    fixture.store.commit(&[], vec![closed]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), std::slice::from_ref(&other));
    fixture.write(vec![Write::PutOwner(owner("x", &demo(), "api"))]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), [other.clone(), demo()]);
    fixture.write(vec![drop_owner(&owner("x", &demo(), "api"), true)]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), std::slice::from_ref(&other));
    let record = |component| Write::Component { stack: demo(), component };
    fixture.write(vec![record(component("api"))]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), [other.clone(), demo()]);
    fixture.write(vec![record(ComponentRow { outputs: Sealed::from_stored("{}"), ..component("api") })]).await.unwrap();
    assert_eq!(fixture.store.stacks().await.unwrap(), [other]);
}

/// The history of a stack stays after its last row, so that users can roll back.
pub async fn stack_stays_known_without_rows(fixture: Fixture) {
    // A stack that was only planned has no content.
    let (id, stacks) = (Uuid::now_v7(), vec![StackId::new("other", "local")]);
    let planned = NewOperation { id, kind: "plan".to_owned(), stacks, actor: "test".to_owned() };
    fixture.store.begin(&planned).await.unwrap();
    assert!(fixture.store.known_stacks().await.unwrap().is_empty());
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    fixture.write(vec![delete("local_value.a", 1)]).await.unwrap();
    assert!(fixture.store.stacks().await.unwrap().is_empty());
    assert_eq!(fixture.store.known_stacks().await.unwrap(), [demo()]);
}

/// Components keep their last write.
pub async fn components_are_recorded_and_dropped(fixture: Fixture) {
    let record = |component| Write::Component { stack: demo(), component };
    fixture.write(vec![record(component("web")), record(component("api"))]).await.unwrap();
    let changed =
        ComponentRow { outputs: Sealed::from_stored("{}"), blueprint: None, access: None, ..component("web") };
    fixture.write(vec![record(changed.clone())]).await.unwrap();
    assert_eq!(fixture.store.components(&demo()).await.unwrap(), [component("api"), changed.clone()]);
    assert!(fixture.store.components(&StackId::new("demo", "other")).await.unwrap().is_empty());
    fixture.write(vec![Write::DropComponent { stack: demo(), key: "api".into() }]).await.unwrap();
    assert_eq!(fixture.store.components(&demo()).await.unwrap(), [changed]);
}

/// The fields beside the principals are recorded, and a change makes a new version.
pub async fn access_of_a_component_is_recorded(fixture: Fixture) {
    let record = |access: &Option<Access>| {
        let component = ComponentRow { access: access.clone(), ..component("web") };
        Write::Component { stack: demo(), component }
    };
    let accesses = [None, Some(access("{}")), Some(access(r#"{"a":1}"#)), Some(Access::default()), None];
    for access in &accesses {
        fixture.write(vec![record(access), record(access)]).await.unwrap();
        assert_eq!(fixture.store.components(&demo()).await.unwrap()[0].access, *access);
    }
    let versions = fixture.store.snapshot(Some(&demo()), true).await.unwrap().remove(0).component_history;
    let recorded: Vec<_> = versions.into_iter().map(|entry| entry.component.unwrap().access).collect();
    assert_eq!(recorded, accesses);
}

/// The IDs of a component are recorded, and a change makes a new version.
pub async fn ids_of_a_component_are_recorded(fixture: Fixture) {
    let all_ids = [None, component("web").ids, component("api").ids, None];
    for ids in &all_ids {
        let record =
            || Write::Component { stack: demo(), component: ComponentRow { ids: ids.clone(), ..component("web") } };
        fixture.write(vec![record(), record()]).await.unwrap();
        assert_eq!(fixture.store.components(&demo()).await.unwrap()[0].ids, *ids);
    }
    let versions = fixture.store.snapshot(Some(&demo()), true).await.unwrap().remove(0).component_history;
    let recorded: Vec<_> = versions.into_iter().map(|entry| entry.component.unwrap().ids).collect();
    assert_eq!(recorded, all_ids);
}

/// Versions of components are listed, oldest first, until they are old and replaced. An unchanged write makes no
/// version.
pub async fn components_have_a_history(fixture: Fixture) {
    let record = |component| Write::Component { stack: demo(), component };
    let changed = ComponentRow { outputs: Sealed::from_stored("{}"), ..component("api") };
    fixture.write(vec![record(component("api")), record(component("api"))]).await.unwrap();
    fixture.clock.advance(Duration::from_secs(7200));
    let operation = fixture.begin().await;
    fixture.write_as(operation, vec![record(changed.clone()), record(component("web"))]).await.unwrap();
    fixture.write(vec![Write::DropComponent { stack: demo(), key: "web".into() }]).await.unwrap();
    fixture.write(vec![Write::DropComponent { stack: demo(), key: "web".into() }]).await.unwrap();
    let history = async || fixture.store.snapshot(Some(&demo()), true).await.unwrap().remove(0).component_history;
    let entries = history().await;
    let components: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.component.clone())).collect();
    let expected =
        [("api", Some(component("api"))), ("api", Some(changed)), ("web", Some(component("web"))), ("web", None)];
    assert_eq!(components, expected);
    assert_eq!(entries.iter().map(|entry| entry.is_first).collect::<Vec<_>>(), [true, false, true, false]);
    assert!(entries[0].at < entries[1].at && entries[1].operation == operation);
    assert!(fixture.store.snapshot(Some(&demo()), false).await.unwrap()[0].component_history.is_empty());
    let reseal = |version| Write::ResealComponent { stack: demo(), version, outputs: Sealed::from_stored("[]") };
    fixture.write(entries.iter().map(|entry| reseal(entry.version)).chain([reseal(99)]).collect()).await.unwrap();
    let resealed: Vec<_> = history().await.into_iter().map(|entry| entry.component.map(|it| it.outputs)).collect();
    assert_eq!(
        resealed,
        [Some(Sealed::from_stored("[]")), Some(Sealed::from_stored("[]")), Some(Sealed::from_stored("[]")), None]
    );
    // Pruning keeps versions that were current at its moment.
    fixture.store.prune(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(history().await.len(), 4);
    fixture.clock.advance(Duration::from_secs(7200));
    fixture.store.prune(Duration::from_secs(3600)).await.unwrap();
    let left: Vec<_> = history().await.into_iter().map(|entry| (entry.key, entry.is_first)).collect();
    assert_eq!(left, [("api".into(), false), ("web".into(), false)]);
}

/// A component is removed after its objects, except retained ones.
pub async fn component_with_objects_cannot_be_dropped(fixture: Fixture) {
    let forget = || Write::DropComponent { stack: demo(), key: "api".into() };
    let retained = Row { status: RowStatus::Retained, ..row("api/local_value.a") };
    let record = Write::Component { stack: demo(), component: component("api") };
    fixture.write(vec![record, put(row("api/local_value.a"), 0)]).await.unwrap();
    let result = fixture.write(vec![forget()]).await;
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    fixture.write(vec![put(retained, 1), forget()]).await.unwrap();
    assert!(fixture.store.components(&demo()).await.unwrap().is_empty());
}

/// Adding and dropping are idempotent.
pub async fn adding_and_dropping_owners_is_idempotent(fixture: Fixture) {
    let other = StackId::new("another", "local");
    let (mine, theirs) = (owner("x", &demo(), "api"), owner("x", &other, "web"));
    let second = owner("y", &demo(), "api");
    let all = [&mine, &theirs, &second, &mine].map(|owner| Write::PutOwner(owner.clone()));
    fixture.write(all.to_vec()).await.unwrap();
    let owners = async |of: OwnersOf| fixture.store.owners("local", &of).await;
    assert_eq!(owners(of(&["x"])).await.unwrap(), [theirs.clone(), mine.clone()]);
    assert_eq!(owners(OwnersOf::Stack(demo())).await.unwrap(), [mine.clone(), second]);
    fixture.write(vec![drop_owner(&mine, false), drop_owner(&mine, false)]).await.unwrap();
    assert_eq!(owners(of(&["x", "z"])).await.unwrap(), [theirs]);
}

/// The last declaration counts.
pub async fn owner_can_change_its_declaration(fixture: Fixture) {
    let before = owner("x", &demo(), "api");
    let after = OwnerRow { declaration: Sealed::from_stored(r#"{"config":{"path":"y"}}"#), ..before.clone() };
    fixture.write(vec![Write::PutOwner(before), Write::PutOwner(after.clone())]).await.unwrap();
    assert_eq!(fixture.store.owners("local", &of(&["x"])).await.unwrap(), [after]);
}

/// Each of two owners that leave at the same time believes that the other one stays: one must stay to remove the
/// object.
pub async fn last_owner_stays_unless_it_may_leave(fixture: Fixture) {
    let other = StackId::new("another", "local");
    let (mine, theirs) = (owner("x", &demo(), "api"), owner("x", &other, "web"));
    // Owners of other rows or environments could not remove it.
    let elsewhere = [owner("y", &other, "web"), owner("x", &StackId::new("demo", "production"), "api")];
    let all = [&mine, &theirs].into_iter().chain(&elsewhere).map(|owner| Write::PutOwner(owner.clone()));
    fixture.write(all.collect()).await.unwrap();
    fixture.write(vec![drop_owner(&mine, false)]).await.unwrap();
    fixture.write(vec![drop_owner(&theirs, false)]).await.unwrap();
    assert_eq!(fixture.store.owners("local", &of(&["x"])).await.unwrap(), std::slice::from_ref(&theirs));
    fixture.write(vec![drop_owner(&theirs, true)]).await.unwrap();
    assert!(fixture.store.owners("local", &of(&["x"])).await.unwrap().is_empty());
}

/// The order of removal stays the same in every stack. The readers get no new version.
pub async fn readers_follow_moved_objects_of_a_component(fixture: Fixture) {
    let other = StackId::new("other", "local");
    let read = |stack: &StackId, component: &str| StackRead { stack: stack.clone(), component: component.into() };
    let elsewhere = ComponentRow { reads: vec![read(&demo(), "db")], ..component("b") };
    let both = [&demo(), &other].map(|stack| Write::Component { stack: stack.clone(), component: component("a") });
    let third = Write::Component { stack: demo(), component: elsewhere.clone() };
    fixture.write(both.into_iter().chain([third]).collect()).await.unwrap();
    let follow = Write::FollowReads { stack: other.clone(), from: "db".into(), to: "core".into() };
    fixture.write(vec![follow.clone(), follow]).await.unwrap();
    let followed = ComponentRow { reads: ["core", "db"].map(|key| read(&other, key)).to_vec(), ..component("a") };
    assert_eq!(fixture.store.components(&demo()).await.unwrap(), [followed.clone(), elsewhere]);
    assert_eq!(fixture.store.components(&other).await.unwrap(), std::slice::from_ref(&followed));
    let history = fixture.store.snapshot(Some(&other), true).await.unwrap().remove(0).component_history;
    let history: Vec<_> = history.into_iter().map(|entry| entry.component).collect();
    assert_eq!(history, [Some(followed)]);
    // The write does not create its stack.
    let follow = Write::FollowReads { stack: StackId::new("third", "local"), from: "a".into(), to: "b".into() };
    fixture.write(vec![follow]).await.unwrap();
    let mut known = fixture.store.known_stacks().await.unwrap();
    known.sort();
    assert_eq!(known, [demo(), other]);
}

/// Shared rows belong to their environment.
pub async fn owners_are_separate_by_environment(fixture: Fixture) {
    let production = StackId::new("demo", "production");
    let mine = owner("x", &production, "api");
    fixture.write(vec![Write::PutOwner(mine.clone())]).await.unwrap();
    assert!(fixture.store.owners("local", &of(&["x"])).await.unwrap().is_empty());
    assert!(fixture.store.owners("local", &OwnersOf::Stack(demo())).await.unwrap().is_empty());
    assert_eq!(fixture.store.owners("production", &of(&["x"])).await.unwrap(), [mine]);
}

/// A shared row keeps its owners when its address changes.
pub async fn owners_follow_a_moved_shared_row(fixture: Fixture) {
    let stack = StackId::shared("local");
    let row = Row { stack: stack.clone(), address: shared("x"), ..row("local_value.a") };
    fixture.write(vec![put(row, 0), Write::PutOwner(owner("x", &demo(), "api"))]).await.unwrap();
    let rename = Write::Move { stack, from: shared("x"), to: shared("y"), expected: 1 };
    fixture.write(vec![rename]).await.unwrap();
    let owners = fixture.store.owners("local", &of(&["x", "y"])).await.unwrap();
    assert_eq!(owners, [owner("y", &demo(), "api")]);
}

/// One call returns everything.
pub async fn snapshot_has_everything_of_a_stack(fixture: Fixture) {
    let mine = owner("x", &demo(), "api");
    fixture
        .write(vec![
            put(row("local_value.a"), 0),
            put(row("local_value.b"), 0),
            delete("local_value.a", 1),
            Write::Component { stack: demo(), component: component("api") },
            Write::PutOwner(mine.clone()),
            put(Row { stack: StackId::new("another", "local"), ..row("local_value.c") }, 0),
        ])
        .await
        .unwrap();
    let snapshots = fixture.store.snapshot(Some(&demo()), true).await.unwrap();
    assert_eq!(snapshots.len(), 1);
    let snapshot = &snapshots[0];
    assert_eq!(snapshot.stack, demo());
    assert_eq!(snapshot.rows.iter().map(|row| row.address.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!((&snapshot.components[..], &snapshot.owned[..]), (&[component("api")][..], &[mine][..]));
    let versions: Vec<_> = snapshot
        .history
        .iter()
        .map(|(address, entry)| (address.name.as_str(), entry.generation, entry.row.is_some()))
        .collect();
    assert_eq!(BTreeSet::from_iter(versions), BTreeSet::from([("a", 1, true), ("a", 2, false), ("b", 1, true)]));
    let all = fixture.store.snapshot(None, false).await.unwrap();
    assert_eq!(all.iter().map(|one| one.stack.name.as_str()).collect::<Vec<_>>(), ["another", "demo"]);
    assert!(all.iter().all(|one| one.history.is_empty()));
}
