//! Where results live: the engine's [`StateStore`](terrace_engine::store::StateStore) on SQLite and PostgreSQL, and in
//! memory for tests.
//!
//! [`open`] takes the place of a store and gives the store. What is stored: rows with all their versions, a journal of
//! steps, leases, operations, logs. What never is: a secret in plain text, which the engine seals before it comes
//! here. No store looks into attributes.
//!
//! Read in this order: `migrations/sqlite/0001_init.sql` (the layout), `sqlite` (the store), `sqlite::commit` (what
//! one transaction does), `sqlite::lease` (who may write). `postgres` is laid out alike. The suite in `contract` shows
//! the same behaviours of every store. [`roles`] is what the role mapper of Hasura keeps beside a state.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]
#![allow(clippy::result_large_err, reason = "`StoreError` names rows in full, and no error is on a path that is hot")]

#[cfg(feature = "postgres")]
mod beacon;
pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod export;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
pub mod roles;
mod sqlite;
pub mod transfer;
mod url;
mod values;

pub use clock::{Clock, ManualClock, SystemClock};
pub use memory::MemoryStore;
pub use url::{PostgresUrl, StoreUrl, StoreUrlError};

use sqlite::SqliteStore;
pub use sqlite::{SQLITE_MARK, saved_beside};
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::{Lease, Row, Selection, ServerStore, StoreError};
use uuid::Uuid;

/// The most entries of the audit log that one transaction prunes.
const AUDIT_BATCH: usize = 10_000;

/// So long after its pause somebody has taken up what was given back, where anybody works on requests.
const OVERDUE: Duration = Duration::from_secs(60);

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read and write; a store is made where there is none, and brought to the newest format.
    ReadWrite,
    /// To read; nothing is made or changed. Where there is no store yet it looks empty and its id is nil.
    ReadOnly,
}

/// Opens a store.
///
/// # Errors
/// When what is there is no store or one of a newer format, or cannot be opened: a missing folder, a read-only file.
pub async fn open(url: &StoreUrl, access: Access) -> Result<Arc<dyn ServerStore>, StoreError> {
    open_with_clock(url, access, Arc::new(SystemClock)).await
}

/// The newest format of a store in that place that this build knows, and writes.
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

/// The format of a store, which is not changed; 0 for an empty one.
///
/// # Errors
/// When what is there is no store or one of a newer format, or cannot be opened.
pub async fn format_of(url: &StoreUrl) -> Result<u32, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::format_of(path),
        StoreUrl::SqliteMemory => Ok(sqlite::FORMAT),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => postgres::format_of(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(no_postgres()),
    }
}

/// What is wrong with a store, in the words of its database: every page and index of a file is looked at; of a database on
/// a server, that every row leads to what it points at. Nothing where it is whole, or is not there yet.
///
/// # Errors
/// When what is there cannot be opened.
pub async fn damage(url: &StoreUrl) -> Result<Option<String>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::damage(path),
        StoreUrl::SqliteMemory => Ok(None),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => postgres::damage(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(no_postgres()),
    }
}

/// Which state there is, and whether an operation or a stack was ever recorded in it; none where none was made yet. Nothing
/// is made or changed, whatever the format.
async fn glance(url: &StoreUrl) -> Result<Option<(Uuid, bool)>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::glance(path),
        StoreUrl::SqliteMemory => Ok(None),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => postgres::glance(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(no_postgres()),
    }
}

#[cfg(not(feature = "postgres"))]
fn no_postgres() -> StoreError {
    let reason = "this build has no support for PostgreSQL; use `sqlite:PATH`".to_owned();
    StoreError::Unavailable { doing: "opened", reason }
}

/// Opens a store whose time is told by the given clock.
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
        StoreUrl::SqliteMemory => tokio::task::spawn_blocking(move || SqliteStore::in_memory(access, clock)).await,
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => return postgres::open(url, access, clock).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => return Err(no_postgres()),
    };
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(error) => Err(StoreError::Unavailable { doing: "opened", reason: error.to_string() }),
    }
}

/// The refusal to write to a store that was opened for reading.
fn only_read() -> StoreError {
    StoreError::Unavailable { doing: "written", reason: "it was opened for reading only".to_owned() }
}

/// The refusal to read a store of an older format: readers change nothing, and their statements are those of the newest.
fn needs_migration(format: u32, newest: u32, url: &str) -> StoreError {
    let reason = format!(
        "{url} has the older format {format}; `terrace state upgrade`, or the next command that writes, brings it to format {newest}"
    );
    StoreError::Unavailable { doing: "read", reason }
}

/// True where something was recorded, in every format.
const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM stack) OR EXISTS (SELECT 1 FROM operation)";

/// What is recorded of a component without outputs.
const NO_OUTPUTS: &str = "{}";

/// The lease that gives the right to change a row: the one on its component or, for a shared row, on the row itself.
fn covering<'a>(leases: &'a [Lease], row: &Row) -> Option<&'a Lease> {
    let address = row.address.to_string();
    let of_stack = || leases.iter().filter(|lease| lease.stack == row.stack);
    of_stack()
        .find(|lease| lease.component == address)
        .or_else(|| of_stack().find(|lease| lease.component == row.address.component))
}

fn selects(selection: &Selection, address: &Address) -> bool {
    match selection {
        Selection::All => true,
        Selection::Components(components) => components.contains(&address.component),
        Selection::Addresses(addresses) => addresses.contains(address),
    }
}

fn still_in_use(stack: &StackId, component: &str) -> String {
    format!("component `{component}` of {stack} still has recorded objects")
}

fn never_begun(operation: Uuid) -> String {
    format!("operation {operation} was never begun")
}

fn begun_twice(operation: Uuid) -> String {
    format!("operation {operation} was begun before")
}

fn of_no_stack(operation: Uuid) -> String {
    format!("the request {operation} is about no stack")
}

fn opened_twice(operation: Uuid, step: u32) -> String {
    format!("step {step} of operation {operation} was opened before")
}

fn not_open(operation: Uuid, step: u32) -> String {
    format!("step {step} of operation {operation} is not open")
}
