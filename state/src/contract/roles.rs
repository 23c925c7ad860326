//! The behaviours of every store of roles. [`role_contract!`](crate::role_contract) expands to one test for each
//! behaviour. It takes an async function that opens a new, empty store, and returns it with a guard that has to live as
//! long.

use crate::roles::{Members, Put, Role, RoleStore};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Expands to one test for each behaviour of a store of roles. Takes the path of an async function that opens an empty
/// store, and returns it with a guard that has to live as long.
#[macro_export]
macro_rules! role_contract {
    ($open:path) => {
        $crate::role_contract! { @tests $open;
            role_is_read_back_as_written
            writing_a_role_replaces_its_fields
            role_cannot_change_its_component
            component_has_one_role
            writing_members_replaces_those_of_their_kind
            missing_role_cannot_get_members
            removed_role_loses_fields_and_members
            role_covers_a_request_if_held_with_all_fields
            first_covering_role_by_id_is_returned
            names_are_compared_literally
            names_with_a_common_prefix_before_nul_differ
            one_of_several_concurrent_roles_is_written
        }
    };
    (@tests $open:path; $($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, _place) = $open().await;
                $crate::contract::roles::$name(store).await;
            }
        )+
    };
}

type Store = Arc<dyn RoleStore>;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn role(id: &str, fields: &[&str]) -> Role {
    Role { id: id.to_owned(), component: format!("urn:dmb:cmp:sales:{id}"), fields: names(fields) }
}

async fn put(store: &Store, id: &str, fields: &[&str]) {
    assert_eq!(store.put_role(&role(id, fields)).await.unwrap(), Put::Done);
}

async fn users(store: &Store, id: &str, of: &[&str]) -> bool {
    store.put_members(id, Members::Users, &names(of)).await.unwrap()
}

async fn groups(store: &Store, id: &str, of: &[&str]) -> bool {
    store.put_members(id, Members::Groups, &names(of)).await.unwrap()
}

async fn covers(store: &Store, user: &str, groups: &[&str], fields: &[&str]) -> Option<String> {
    store.covering(user, &names(groups), &names(fields)).await.unwrap()
}

/// A written role is found by its ID, by its component, and in the list.
pub async fn role_is_read_back_as_written(store: Store) {
    assert!(store.roles().await.unwrap().is_empty());
    let (second, first) = (role("b'\"; --", &["b_select", "b_by_pk", "ü\u{1}\u{2}"]), role("a", &[]));
    for role in [&second, &first] {
        assert_eq!(store.put_role(role).await.unwrap(), Put::Done);
    }
    assert_eq!(store.role(&second.id).await.unwrap().as_ref(), Some(&second));
    assert_eq!(store.role_of_component(&second.component).await.unwrap().as_ref(), Some(&second));
    assert_eq!(store.roles().await.unwrap(), [first, second]);
    assert_eq!(store.role("c").await.unwrap(), None);
    assert_eq!(store.role_of_component("a").await.unwrap(), None);
}

/// Omitted fields are removed.
pub async fn writing_a_role_replaces_its_fields(store: Store) {
    put(&store, "a", &["x", "y"]).await;
    put(&store, "b", &["x"]).await;
    put(&store, "a", &["y", "z"]).await;
    assert_eq!(store.role("a").await.unwrap().unwrap().fields, names(&["y", "z"]));
    put(&store, "a", &[]).await;
    assert!(store.role("a").await.unwrap().unwrap().fields.is_empty());
    assert_eq!(store.role("b").await.unwrap().unwrap().fields, names(&["x"]));
}

/// A role of another component is not written.
pub async fn role_cannot_change_its_component(store: Store) {
    put(&store, "a", &["x"]).await;
    let theirs = Role { component: "urn:theirs".to_owned(), ..role("a", &["y"]) };
    assert_eq!(store.put_role(&theirs).await.unwrap(), Put::OfAnotherComponent);
    assert_eq!(store.roles().await.unwrap(), [role("a", &["x"])]);
}

/// A second role for a component is not written, and the result names the first one.
pub async fn component_has_one_role(store: Store) {
    put(&store, "a", &["x"]).await;
    let second = Role { id: "b".to_owned(), ..role("a", &["y"]) };
    assert_eq!(store.put_role(&second).await.unwrap(), Put::ComponentTaken("a".to_owned()));
    assert_eq!(store.roles().await.unwrap(), [role("a", &["x"])]);
    assert!(store.remove_role("a").await.unwrap());
    assert_eq!(store.put_role(&second).await.unwrap(), Put::Done);
}

/// A list of users replaces the users, a list of groups the groups.
pub async fn writing_members_replaces_those_of_their_kind(store: Store) {
    put(&store, "a", &[]).await;
    put(&store, "b", &[]).await;
    assert!(users(&store, "a", &["user:b", "user:a"]).await);
    assert!(users(&store, "b", &["user:b"]).await);
    assert!(groups(&store, "a", &["group:a"]).await);
    assert!(users(&store, "a", &["user:c", "user:a"]).await);
    assert_eq!(store.members("a", Members::Users).await.unwrap().unwrap(), ["user:a", "user:c"]);
    assert_eq!(store.members("a", Members::Groups).await.unwrap().unwrap(), ["group:a"]);
    assert_eq!(store.members("b", Members::Users).await.unwrap().unwrap(), ["user:b"]);
    assert!(groups(&store, "a", &[]).await);
    assert_eq!(store.members("a", Members::Groups).await.unwrap(), Some(Vec::new()));
    assert_eq!(store.members("a", Members::Users).await.unwrap().unwrap().len(), 2);
}

/// Members of a missing role are refused.
pub async fn missing_role_cannot_get_members(store: Store) {
    assert!(!users(&store, "a", &["user:a"]).await);
    assert!(!groups(&store, "a", &[]).await);
    assert_eq!(store.members("a", Members::Users).await.unwrap(), None);
    assert!(!store.remove_role("a").await.unwrap());
}

/// No user has a removed role, even if a role with that ID is created again.
pub async fn removed_role_loses_fields_and_members(store: Store) {
    put(&store, "a", &["x"]).await;
    users(&store, "a", &["user:a"]).await;
    groups(&store, "a", &["group:a"]).await;
    assert!(store.remove_role("a").await.unwrap());
    assert_eq!(store.role("a").await.unwrap(), None);
    assert_eq!(covers(&store, "user:a", &["group:a"], &["x"]).await, None);
    put(&store, "a", &[]).await;
    assert!(store.role("a").await.unwrap().unwrap().fields.is_empty());
    assert_eq!(store.members("a", Members::Users).await.unwrap(), Some(Vec::new()));
    assert_eq!(store.members("a", Members::Groups).await.unwrap(), Some(Vec::new()));
}

/// One role must be held and have every field: two roles with a part each do not add up.
pub async fn role_covers_a_request_if_held_with_all_fields(store: Store) {
    put(&store, "a", &["x", "y"]).await;
    put(&store, "b", &["z"]).await;
    put(&store, "c", &["x", "y", "z"]).await;
    users(&store, "a", &["user:ada"]).await;
    groups(&store, "b", &["group:dev", "group:ops"]).await;
    let found = |fields: &'static [&'static str]| covers(&store, "user:ada", &["group:ops", "group:all"], fields);
    assert_eq!(found(&["x", "y"]).await.as_deref(), Some("a"));
    assert_eq!(found(&["y"]).await.as_deref(), Some("a"));
    assert_eq!(found(&["z"]).await.as_deref(), Some("b"));
    assert_eq!(found(&["x", "z"]).await, None);
    assert_eq!(found(&["x", "w"]).await, None);
    assert_eq!(found(&[]).await.as_deref(), Some("a"));
    assert_eq!(covers(&store, "user:eve", &["group:all"], &["x"]).await, None);
    assert_eq!(covers(&store, "user:eve", &[], &[]).await, None);
    // A user is not a group, nor a group a user.
    assert_eq!(covers(&store, "group:ops", &["user:ada"], &[]).await, None);
}

/// The first one by ID.
pub async fn first_covering_role_by_id_is_returned(store: Store) {
    for id in ["c", "a", "b"] {
        put(&store, id, &["x"]).await;
        users(&store, id, &["user:ada"]).await;
        groups(&store, id, &["group:dev"]).await;
    }
    assert_eq!(covers(&store, "user:ada", &["group:dev"], &["x"]).await.as_deref(), Some("a"));
}

/// Case and trailing blanks matter.
pub async fn names_are_compared_literally(store: Store) {
    put(&store, "a", &["Orders"]).await;
    users(&store, "a", &["user:Ada"]).await;
    for (user, field) in [("user:ada", "Orders"), ("user:Ada", "orders"), ("user:Ada ", "Orders")] {
        assert_eq!(covers(&store, user, &[], &[field]).await, None, "{user} {field}");
    }
    assert!(covers(&store, "user:Ada", &[], &["Orders"]).await.is_some());
    assert_eq!(store.role("A").await.unwrap(), None);
}

/// A NUL does not end a name: the characters after it count.
pub async fn names_with_a_common_prefix_before_nul_differ(store: Store) {
    let (user, group, field) = ("user:ada\0x", "group:dev\0x", "x\0y");
    put(&store, "a", &[field]).await;
    assert!(users(&store, "a", &[user]).await && groups(&store, "a", &[group]).await);
    assert_eq!(store.role("a").await.unwrap().unwrap().fields, names(&[field]));
    assert_eq!(store.members("a", Members::Users).await.unwrap().unwrap(), [user]);
    assert_eq!(store.members("a", Members::Groups).await.unwrap().unwrap(), [group]);
    assert_eq!(covers(&store, "user:ada", &["group:dev"], &[]).await, None);
    assert!(
        covers(&store, user, &[], &[field]).await.is_some() && covers(&store, "", &[group], &[field]).await.is_some()
    );
    put(&store, "b", &["x"]).await;
    assert!(groups(&store, "b", &["group:ops"]).await);
    assert_eq!(covers(&store, "", &["group:ops\0x"], &["x"]).await, None);
    assert_eq!(covers(&store, "", &["group:ops"], &[field]).await, None);
}

/// Roles for one component that are written at the same time: one is written, the others are refused, and none fails.
pub async fn one_of_several_concurrent_roles_is_written(store: Store) {
    let writes = (0..8).map(|number| {
        let (store, id) = (Arc::clone(&store), format!("role {number}"));
        tokio::spawn(async move { store.put_role(&Role { id, ..role("a", &["x"]) }).await.unwrap() })
    });
    let mut done = 0;
    for write in writes.collect::<Vec<_>>() {
        done += usize::from(write.await.unwrap() == Put::Done);
    }
    assert_eq!(done, 1);
    assert_eq!(store.roles().await.unwrap().len(), 1);
}
