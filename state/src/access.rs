//! How a store is opened, and why it cannot be used.

use terrace_store::StoreError;

/// The purpose for which a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and write. A missing store is created, and an older one upgraded to the newest format.
    ReadWrite,
    /// Only read: nothing is created or changed. A missing store looks empty, and its ID is nil.
    ReadOnly,
}

/// The error of a write to a store that was opened for reading.
pub(crate) fn read_only_error() -> StoreError {
    StoreError::Unavailable { action: "written", reason: "it was opened for reading only".to_owned() }
}

/// The error of reading a store of an older format: readers do not upgrade, and their SQL is that of the newest format.
pub(crate) fn needs_migration(format: u32, newest: u32, url: &str) -> StoreError {
    let reason = format!(
        "{url} has the older format {format}; `terrace state upgrade`, or the next command that writes, upgrades it to format {newest}"
    );
    StoreError::Unavailable { action: "read", reason }
}

/// The error of a URL of PostgreSQL.
#[cfg(not(feature = "postgres"))]
pub(crate) fn no_postgres() -> StoreError {
    let reason = "this build has no support for PostgreSQL; use `sqlite:PATH`".to_owned();
    StoreError::Unavailable { action: "opened", reason }
}
