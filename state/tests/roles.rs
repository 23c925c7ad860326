//! Roles of the role mapper: the contract with both databases, and their place beside a state.

use crate::{demo, put, row};
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_state::roles::{self, Members, Role, RoleStore};
use terrace_state::{Access, StoreUrl};
use terrace_store::Selection;

mod file {
    use super::*;

    async fn in_a_file() -> (Arc<dyn RoleStore>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = roles::open(&StoreUrl::Sqlite(folder.path().join("state.db"))).await.unwrap();
        (store, folder)
    }

    terrace_state::role_contract!(in_a_file);

    #[tokio::test]
    async fn roles_exist_beside_a_state_and_outlive_their_store() {
        let folder = tempfile::tempdir().unwrap();
        check_roles_beside_a_state(&StoreUrl::Sqlite(folder.path().join("state.db"))).await;
    }

    #[tokio::test]
    async fn tables_of_a_newer_build_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let url = StoreUrl::Sqlite(path.clone());
        drop(roles::open(&url).await.unwrap());
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute("INSERT INTO role_mapper_schema (version) VALUES (99)", []).unwrap();
        let error = roles::open(&url).await.err().unwrap().to_string();
        assert!(error.contains("have format 99, and this build knows up to 1"), "{error}");
    }
}

mod memory {
    use super::*;

    async fn in_memory() -> (Arc<dyn RoleStore>, ()) {
        (roles::open(&StoreUrl::SqliteMemory).await.unwrap(), ())
    }

    terrace_state::role_contract!(in_memory);
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use terrace_state::contract::cluster::Cluster;

    async fn in_a_database() -> (Arc<dyn RoleStore>, ()) {
        (roles::open(&Cluster::shared().database().await.parse().unwrap()).await.unwrap(), ())
    }

    terrace_state::role_contract!(in_a_database);

    #[tokio::test]
    async fn roles_exist_beside_a_state_and_outlive_their_store() {
        check_roles_beside_a_state(&Cluster::shared().database().await.parse().unwrap()).await;
    }

    #[tokio::test]
    async fn restarting_server_is_waited_for() {
        let cluster = Cluster::alone();
        let store = roles::open(&cluster.database().await.parse().unwrap()).await.unwrap();
        write(&store).await;
        cluster.order("restart");
        assert!(store.put_members("a", Members::Users, &BTreeSet::new()).await.unwrap());
        assert!(store.remove_role("a").await.unwrap());
    }
}

async fn write(store: &Arc<dyn RoleStore>) {
    let role = Role { id: "a".to_owned(), component: "c".to_owned(), fields: ["x".to_owned()].into() };
    store.put_role(&role).await.unwrap();
    store.put_members("a", Members::Users, &["user:ada".to_owned()].into()).await.unwrap();
}

/// A state works with and without roles; opening the roles creates a missing state.
async fn check_roles_beside_a_state(url: &StoreUrl) {
    let roles_alone = roles::open(url).await.unwrap();
    write(&roles_alone).await;
    let state = terrace_state::open(url, Access::ReadWrite).await.unwrap();
    state.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    drop(roles_alone);
    let again = roles::open(url).await.unwrap();
    assert_eq!(again.members("a", Members::Users).await.unwrap().unwrap(), ["user:ada"]);
    let reader = terrace_state::open(url, Access::ReadOnly).await.unwrap();
    assert_eq!(reader.rows(&demo(), &Selection::All).await.unwrap().len(), 1);
    assert_eq!(terrace_state::damage(url).await.unwrap(), None);
}
