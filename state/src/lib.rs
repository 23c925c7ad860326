//! State stores: the engine's [`StateStore`](terrace_store::StateStore) on SQLite and PostgreSQL.
//!
//! [`open`] returns the store at a URL, and [`in_memory`] a new one without a file. A store has rows with all their
//! versions, a journal of steps, leases, operations and logs. It never has secrets in plain text: the engine seals them
//! first. No store interprets attributes.
//!
//! Read in this order: `migrations/sqlite/0001_init.sql` (schema), `sqlite` (the store), `sqlite::commit` (one
//! transaction), `sqlite::lease` (rights of writers). `postgres` has the same structure. Both take their decisions from
//! `rules` and read their rows with `columns`. The suite in `contract` checks the same behaviours of every store.
//! [`roles`] stores the data of Hasura's role mapper beside a state.
#![forbid(unsafe_code)]
// Tests may slice strings: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]
#![allow(clippy::result_large_err, reason = "`StoreError` names rows in full, and no hot path has errors")]

mod access;
#[cfg(feature = "postgres")]
mod beacon;
pub mod clock;
mod columns;
#[cfg(feature = "contract")]
pub mod contract;
pub mod export;
mod misuse;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
pub mod roles;
mod rules;
mod sql;
mod sqlite;
pub mod transfer;
mod url;
mod values;

pub use access::Access;
pub use clock::{Clock, ManualClock, SystemClock};
pub use url::{PostgresUrl, StoreUrl, StoreUrlError};

use sqlite::SqliteStore;
pub use sqlite::{SQLITE_MARK, find_saved_copy};
use std::sync::Arc;
use terrace_store::{ServerStore, StoreError};
use uuid::Uuid;

/// Opens a store.
///
/// # Errors
/// When the URL does not lead to a store, its format is newer, or it cannot be opened: a missing folder, a read-only
/// file.
pub async fn open(url: &StoreUrl, access: Access) -> Result<Arc<dyn ServerStore>, StoreError> {
    open_with_clock(url, access, Arc::new(SystemClock)).await
}

/// Opens a new, empty store in memory, which ends with its last user: for tests, and for plans without a state.
///
/// # Errors
/// When SQLite has no memory.
pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Arc<dyn ServerStore>, StoreError> {
    Ok(Arc::new(SqliteStore::in_memory(Access::ReadWrite, clock)?))
}

/// The newest format of a store that this build knows, and writes.
#[must_use]
pub fn newest_format(url: &StoreUrl) -> u32 {
    match url {
        StoreUrl::Sqlite(_) | StoreUrl::SqliteMemory => sqlite::FORMAT,
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(_) => postgres::FORMAT,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => 0,
    }
}

/// The format of a store, without changing it; 0 for an empty one.
///
/// # Errors
/// When the URL does not lead to a store, its format is newer, or it cannot be opened.
pub async fn format_of(url: &StoreUrl) -> Result<u32, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::format_of(path),
        StoreUrl::SqliteMemory => Ok(sqlite::FORMAT),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => postgres::format_of(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(access::no_postgres()),
    }
}

/// The damage of a store, in the words of its database; `None` if it is intact, or missing. For a SQLite file, all
/// pages and indexes are checked; for a PostgreSQL database, the references between rows.
///
/// # Errors
/// When the store cannot be opened.
pub async fn damage(url: &StoreUrl) -> Result<Option<String>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::damage(path),
        StoreUrl::SqliteMemory => Ok(None),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => postgres::damage(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(access::no_postgres()),
    }
}

/// The ID of a state of any format, and whether it has ever had an operation or a stack; `None` if it is missing.
/// Nothing is created or changed.
async fn identify(url: &StoreUrl) -> Result<Option<(Uuid, bool)>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::identify(path),
        StoreUrl::SqliteMemory => Ok(None),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => postgres::identify(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(access::no_postgres()),
    }
}

/// Opens a store with the given clock.
///
/// # Errors
/// As [`open`].
pub async fn open_with_clock(
    url: &StoreUrl,
    access: Access,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn ServerStore>, StoreError> {
    let opened = match url {
        StoreUrl::Sqlite(path) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || SqliteStore::open(&path, access, clock)).await
        }
        StoreUrl::SqliteMemory => return Ok(Arc::new(SqliteStore::in_memory(access, clock)?)),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => return postgres::open(url, access, clock).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => return Err(access::no_postgres()),
    };
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(error) => Err(StoreError::Unavailable { action: "opened", reason: error.to_string() }),
    }
}
