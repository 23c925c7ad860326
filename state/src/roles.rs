//! Roles of Hasura's role mapper: the GraphQL root fields of a role, and the users and groups that have it.
//!
//! The tables are beside a state, so that operators have only one database. They have migrations of their own
//! (`migrations/roles`), which [`open`] runs: a state without a role mapper does not have them. No store interprets the
//! names.

use crate::clock::{Clock, SystemClock};
use crate::sqlite::SqliteStore;
use crate::{Access, StoreUrl};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_store::{AuditLog, StoreError};

/// A role with its root fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its ID.
    pub id: String,
    /// Its component. A component has at most one role.
    pub component: String,
    /// The root fields that the role covers.
    pub fields: BTreeSet<String>,
}

/// The kinds of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// Users: `user:ada_example.com`.
    Users,
    /// Groups: `group:developers`.
    Groups,
}

/// The result of writing a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The role is written.
    Done,
    /// A role with that ID belongs to another component: nothing is written.
    OfAnotherComponent,
    /// The component already has this other role: nothing is written.
    ComponentTaken(String),
}

/// A store of roles beside a state with its audit log. Each call is one transaction.
#[async_trait]
pub trait RoleStore: AuditLog {
    /// All roles, sorted by id.
    ///
    /// # Errors
    /// When the database cannot be read; for changes, when it cannot be written.
    async fn roles(&self) -> Result<Vec<Role>, StoreError>;

    /// A role.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn role(&self, id: &str) -> Result<Option<Role>, StoreError>;

    /// The role of a component.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn role_of_component(&self, component: &str) -> Result<Option<Role>, StoreError>;

    /// Creates a role, or replaces its root fields.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn put_role(&self, role: &Role) -> Result<Put, StoreError>;

    /// Removes a role with its root fields and members; false if it does not exist.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn remove_role(&self, id: &str) -> Result<bool, StoreError>;

    /// The members of a role, sorted; `None` if the role does not exist.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn members(&self, id: &str, kind: Members) -> Result<Option<Vec<String>>, StoreError>;

    /// Replaces the members of that kind; false if the role does not exist.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn put_members(&self, id: &str, kind: Members, names: &BTreeSet<String>) -> Result<bool, StoreError>;

    /// The first role, by ID, that the user or one of the groups has, and that covers all of the root fields.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn covering(
        &self,
        user: &str,
        groups: &BTreeSet<String>,
        fields: &BTreeSet<String>,
    ) -> Result<Option<String>, StoreError>;
}

/// Opens the roles beside a state; creates missing tables.
///
/// # Errors
/// As [`open`](crate::open), and when the tables have a newer format.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn RoleStore>, StoreError> {
    open_with_clock(url, Arc::new(SystemClock)).await
}

/// Like [`open`], with the given clock.
///
/// # Errors
/// See [`open`].
pub async fn open_with_clock(url: &StoreUrl, clock: Arc<dyn Clock>) -> Result<Arc<dyn RoleStore>, StoreError> {
    let opened = match url {
        StoreUrl::Sqlite(path) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || SqliteStore::open(&path, Access::ReadWrite, clock)).await
        }
        StoreUrl::SqliteMemory => Ok(SqliteStore::in_memory(Access::ReadWrite, clock)),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => return crate::postgres::open_roles(url, clock).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => return Err(crate::access::no_postgres()),
    };
    let store = opened.map_err(|error| StoreError::Unavailable { action: "opened", reason: error.to_string() })??;
    store.make_roles().await?;
    Ok(Arc::new(store))
}

/// The error of tables that a newer build created.
fn newer(url: &str, found: u32, known: u32) -> StoreError {
    let reason = format!("the role mapper's tables in {url} have format {found}, and this build knows up to {known}");
    StoreError::Unavailable { action: "opened", reason }
}

/// Checks the found format, before anything is created.
pub(crate) fn check_format(url: &str, found: u32, known: usize) -> Result<usize, StoreError> {
    let known = u32::try_from(known).unwrap_or(u32::MAX);
    if found > known { Err(newer(url, found, known)) } else { Ok(found as usize) }
}
