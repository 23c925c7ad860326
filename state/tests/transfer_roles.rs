//! Transfer of a role mapper's roles together with the state.

use crate::transfer::{columns_of_file, dump, migrate, path, writer};
use std::collections::BTreeSet;
use terrace_state::StoreUrl;
use terrace_state::roles::{self, Members, Put, Role};

/// Writes roles beside a state.
pub(crate) async fn fill(url: &StoreUrl) {
    let store = roles::open(url).await.unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    for id in ["a", "b \0 \u{1} ☃"] {
        let role = Role { id: id.to_owned(), component: format!("urn:{id}"), fields: names(&["x", "y"]) };
        assert_eq!(store.put_role(&role).await.unwrap(), Put::Done);
        assert!(store.put_members(id, Members::Users, &names(&["user:ada", "user:\0"])).await.unwrap());
        assert!(store.put_members(id, Members::Groups, &names(&["group:dev"])).await.unwrap());
    }
}

#[tokio::test]
async fn roles_are_transferred_only_if_they_exist() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| StoreUrl::Sqlite(folder.path().join(name));
    let (plain, roles_only) = (url("plain.db"), url("roles.db"));
    drop(writer(&plain).await);
    fill(&roles_only).await;
    let (first, second, empty) = (url("1.db"), url("2.db"), url("empty.db"));
    migrate(&plain, &first).await.unwrap();
    assert!(!columns_of_file(path(&first)).contains_key("roles"));
    // Empty tables of a role mapper that started already do not block the transfer.
    drop(roles::open(&empty).await.unwrap());
    for to in [&second, &empty] {
        let moved = migrate(&roles_only, to).await.unwrap();
        let rows = |name: &str| moved.tables.iter().find(|table| table.name == name).unwrap().rows;
        assert_eq!(
            [rows("roles"), rows("role_graphql_root_field_names"), rows("user_roles"), rows("group_roles")],
            [2, 4, 4, 2]
        );
        assert_eq!(dump(path(to)), dump(path(&roles_only)));
        let there = roles::open(to).await.unwrap();
        assert_eq!(there.covering("user:\0", &BTreeSet::new(), &BTreeSet::new()).await.unwrap().as_deref(), Some("a"));
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use crate::transfer::postgres::until_one;
    use terrace_state::contract::cluster::{Cluster, connect};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn role_mapper_waits_for_a_transfer() {
        let folder = tempfile::tempdir().unwrap();
        let text = Cluster::shared().database().await;
        let from: StoreUrl = text.parse().unwrap();
        fill(&from).await;
        let store = roles::open(&from).await.unwrap();
        let to = StoreUrl::Sqlite(folder.path().join("to.db"));
        let (started, go_on) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let (started, go_on) = (std::sync::Arc::new(started), std::sync::Arc::new(go_on));
        // All rows are copied, and not committed yet.
        let (begun, until) = (std::sync::Arc::clone(&started), std::sync::Arc::clone(&go_on));
        let moving = {
            let (from, to) = (from.clone(), to.clone());
            tokio::spawn(async move {
                let committing = || {
                    begun.notify_one();
                    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(until.notified()));
                };
                terrace_state::transfer::migrate(&from, &to, &committing).await
            })
        };
        started.notified().await;
        let removing = tokio::spawn(async move { store.remove_role("a").await });
        until_one(&connect(&text).await, "wait_event = 'advisory'").await;
        go_on.notify_one();
        moving.await.unwrap().unwrap();
        assert!(removing.await.unwrap().unwrap());
        assert_eq!(roles::open(&to).await.unwrap().roles().await.unwrap().len(), 2);
        assert_eq!(roles::open(&from).await.unwrap().roles().await.unwrap().len(), 1);
    }
}
