//! What the role mapper of Hasura keeps: which root fields of GraphQL a role has, and which users and groups have the role.
//!
//! It lies in tables of its own beside a state, so that there is one database to look after. They have numbered files of
//! statements of their own (`migrations/roles`), and are made when [`open`] is called: a state that no role mapper uses does
//! not have them. No store interprets what names say.

use crate::clock::{Clock, SystemClock};
use crate::sqlite::SqliteStore;
use crate::{Access, StoreUrl};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_engine::store::{AuditLog, StoreError};

/// A role with its root fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// The component that it is for; no other role is for it.
    pub component: String,
    /// The root fields that it may ask for, and no others.
    pub fields: BTreeSet<String>,
}

/// Who has roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// Users: `user:ada_example.com`.
    Users,
    /// Groups: `group:developers`.
    Groups,
}

/// What came of writing a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is as it was to be.
    Done,
    /// There is one of that id for another component: nothing is written.
    OfAnotherComponent,
    /// Another role, named here, is for that component: nothing is written.
    ComponentTaken(String),
}

/// Where roles are kept, beside a state with its audit log. Each call is one transaction.
#[async_trait]
pub trait RoleStore: AuditLog {
    /// All roles, sorted by id.
    ///
    /// # Errors
    /// When the database cannot be read, as for all calls; or written.
    async fn roles(&self) -> Result<Vec<Role>, StoreError>;

    /// A role.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn role(&self, id: &str) -> Result<Option<Role>, StoreError>;

    /// The role that is for a component.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn role_of_component(&self, component: &str) -> Result<Option<Role>, StoreError>;

    /// Makes a role, or gives one just these root fields.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn put_role(&self, role: &Role) -> Result<Put, StoreError>;

    /// Removes a role with its root fields and everybody who has it; false where there is none.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn remove_role(&self, id: &str) -> Result<bool, StoreError>;

    /// Who has a role, sorted; nothing where there is no such role.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn members(&self, id: &str, which: Members) -> Result<Option<Vec<String>>, StoreError>;

    /// Gives a role to just these, and takes it from all others of that kind; false where there is no such role.
    ///
    /// # Errors
    /// See [`RoleStore::roles`].
    async fn put_members(&self, id: &str, which: Members, names: &BTreeSet<String>) -> Result<bool, StoreError>;

    /// The first by id of the roles that a user or one of some groups has, and that have all of some root fields.
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

/// Opens what is kept beside a state, which is made where there is none.
///
/// # Errors
/// As [`open`](crate::open), and when its tables are of a newer format.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn RoleStore>, StoreError> {
    open_with_clock(url, Arc::new(SystemClock)).await
}

/// The same, where the given clock tells the time.
///
/// # Errors
/// See [`open`].
pub async fn open_with_clock(url: &StoreUrl, clock: Arc<dyn Clock>) -> Result<Arc<dyn RoleStore>, StoreError> {
    let opened = match url {
        StoreUrl::Sqlite(path) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || SqliteStore::open(&path, Access::ReadWrite, clock)).await
        }
        StoreUrl::SqliteMemory => {
            tokio::task::spawn_blocking(move || SqliteStore::in_memory(Access::ReadWrite, clock)).await
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => return crate::postgres::open_roles(url, clock).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => return Err(crate::no_postgres()),
    };
    let store = opened.map_err(|error| StoreError::Unavailable { doing: "opened", reason: error.to_string() })??;
    store.make_roles().await?;
    Ok(Arc::new(store))
}

/// The refusal of tables that a newer build made.
fn newer(url: &str, found: u32, known: u32) -> StoreError {
    let reason = format!("the role mapper's tables in {url} have format {found}, and this build knows up to {known}");
    StoreError::Unavailable { doing: "opened", reason }
}

/// What `format` of [`newer`] is compared with, before anything is made.
pub(crate) fn check_format(url: &str, found: u32, known: usize) -> Result<usize, StoreError> {
    let known = u32::try_from(known).unwrap_or(u32::MAX);
    if found > known { Err(newer(url, found, known)) } else { Ok(found as usize) }
}
