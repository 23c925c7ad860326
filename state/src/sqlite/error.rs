//! What went wrong, in words that a person can act on.

use crate::StoreUrl;
use rusqlite::{Connection, ErrorCode};
use terrace_engine::store::StoreError;

/// Why a piece of work on a connection failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite could not do it.
    Sqlite(rusqlite::Error),
    /// The store refuses it.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// A refusal of something that the caller must not ask for.
    pub(super) fn misuse(reason: impl Into<String>) -> Self {
        Self::Refused(StoreError::Unavailable { doing: "written", reason: reason.into() })
    }

    /// The failure as the engine sees it; `doing` is `opened`, `read` or `written`.
    pub(super) fn into_store_error(self, doing: &'static str, connection: &Connection) -> StoreError {
        match self {
            Self::Sqlite(error) => unavailable(doing, connection.path(), &error),
            Self::Refused(error) => error,
        }
    }
}

/// SQLite's error as the engine sees it.
pub(super) fn unavailable(doing: &'static str, path: Option<&str>, error: &rusqlite::Error) -> StoreError {
    let file = match path {
        None | Some("") => "its file".to_owned(),
        Some(path) => StoreUrl::Sqlite(path.into()).to_string(),
    };
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full: free some space and try again",
        Some(ErrorCode::ReadOnly) => &format!("{file} or its folder is read-only"),
        Some(ErrorCode::PermissionDenied) => &format!("the permission to access {file} is missing"),
        Some(ErrorCode::CannotOpen) => &format!("see that {file} and its folder may be read and written"),
        Some(ErrorCode::DatabaseCorrupt) => {
            &format!("{file} is damaged: restore it from a backup, and remove what ends in `-wal` and `-shm` beside it")
        }
        Some(ErrorCode::NotADatabase) => &format!("{file} is not a SQLite database"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            &format!("another process keeps {file} locked: try again")
        }
        // A full disk may look like this, too: the files beside the database cannot be made then.
        Some(ErrorCode::SystemIoFailure) => "the disk is full or reports an error: free some space, or check the disk",
        Some(ErrorCode::OutOfMemory) => "there is not enough memory",
        Some(ErrorCode::TooBig) => "a value is larger than a SQLite database can hold",
        _ => return StoreError::Unavailable { doing, reason: error.to_string() },
    };
    StoreError::Unavailable { doing, reason: format!("{advice} ({error})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_once_and_a_disk_that_fails_may_be_full() {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let told = unavailable("opened", Some("/x/state.db"), &rusqlite::Error::SqliteFailure(code, None)).to_string();
        assert!(
            told.starts_with("state cannot be opened: see that sqlite:/x/state.db and its folder may be read"),
            "{told}"
        );
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        let told = unavailable("read", None, &rusqlite::Error::SqliteFailure(code, None)).to_string();
        assert!(
            told.starts_with("state cannot be read: the disk is full or reports an error: free some space"),
            "{told}"
        );
    }
}
