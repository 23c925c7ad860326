//! Errors of SQLite, in words that users can act on.

use crate::StoreUrl;
use crate::misuse::Misuse;
use rusqlite::{Connection, ErrorCode};
use terrace_store::StoreError;

/// Why work on a connection failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of SQLite.
    Sqlite(rusqlite::Error),
    /// A refusal of the store.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Misuse> for Failure {
    fn from(Misuse(reason): Misuse) -> Self {
        Self::misuse(reason)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The refusal of invalid input.
    pub(super) fn misuse(reason: impl Into<String>) -> Self {
        Self::Refused(StoreError::Unavailable { action: "written", reason: reason.into() })
    }

    /// The failure in the engine's form; `action` is `opened`, `read` or `written`.
    pub(super) fn into_store_error(self, action: &'static str, connection: &Connection) -> StoreError {
        match self {
            Self::Sqlite(error) => unavailable(action, connection.path(), &error),
            Self::Refused(error) => error,
        }
    }
}

/// An error of SQLite in the engine's form.
pub(super) fn unavailable(action: &'static str, path: Option<&str>, error: &rusqlite::Error) -> StoreError {
    let file = match path {
        None | Some("") => "its file".to_owned(),
        Some(path) => StoreUrl::Sqlite(path.into()).to_string(),
    };
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full: free some space and try again",
        Some(ErrorCode::ReadOnly) => &format!("{file} or its folder is read-only"),
        Some(ErrorCode::PermissionDenied) => &format!("terrace has no permission to access {file}"),
        Some(ErrorCode::CannotOpen) => &format!("check that {file} and its folder are readable and writable"),
        Some(ErrorCode::DatabaseCorrupt) => {
            &format!("{file} is damaged: restore it from a backup, and remove its `-wal` and `-shm` files")
        }
        Some(ErrorCode::NotADatabase) => &format!("{file} is not a SQLite database"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            &format!("another process has locked {file}: try again")
        }
        // A full disk may cause this error, too, when the files beside the database cannot be created.
        Some(ErrorCode::SystemIoFailure) => "the disk is full or reports an error: free some space, or check the disk",
        Some(ErrorCode::OutOfMemory) => "there is not enough memory",
        Some(ErrorCode::TooBig) => "a value is larger than a SQLite database can hold",
        _ => return StoreError::Unavailable { action, reason: error.to_string() },
    };
    StoreError::Unavailable { action, reason: format!("{advice} ({error})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_has_one_reason_and_mentions_a_full_disk() {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let message =
            unavailable("opened", Some("/x/state.db"), &rusqlite::Error::SqliteFailure(code, None)).to_string();
        assert!(
            message.starts_with("state cannot be opened: check that sqlite:/x/state.db and its folder are readable"),
            "{message}"
        );
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        let message = unavailable("read", None, &rusqlite::Error::SqliteFailure(code, None)).to_string();
        assert!(
            message.starts_with("state cannot be read: the disk is full or reports an error: free some space"),
            "{message}"
        );
    }
}
