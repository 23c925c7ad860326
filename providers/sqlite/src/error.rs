//! Turns SQLite's errors into the one error of providers, with what a person can do.

use rusqlite::ErrorCode;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// Why work within a database stopped: SQLite said no, or we did.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite said no.
    Sqlite(rusqlite::Error),
    /// We said no.
    Refused(Box<ProviderError>),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl Failure {
    /// The error of the call on the database file that the descriptor calls `path`.
    pub(crate) fn on(self, path: &str) -> ProviderError {
        match self {
            Self::Sqlite(error) => from_sqlite(path, &error),
            Self::Refused(error) => *error,
        }
    }
}

/// The error of a call on the database file that the descriptor calls `path`.
pub(crate) fn from_sqlite(path: &str, error: &rusqlite::Error) -> ProviderError {
    let rusqlite::Error::SqliteFailure(failure, text) = error else {
        return ProviderError::invalid(None, format!("SQLite refuses a statement on `{path}`: {error}"));
    };
    let reason = text.clone().unwrap_or_else(|| failure.to_string());
    let at_path = ErrorKind::InvalidInput { path: Some(Path::attribute("path")) };
    let mut answer = match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            ProviderError::new(ErrorKind::Transient, format!("`{path}` is locked by another connection"))
                .solution("end the transaction of the program that holds the file open, or close that program")
        }
        ErrorCode::NotADatabase => {
            ProviderError::new(at_path, format!("`{path}` is a file, but not an SQLite database"))
                .solution("choose another `path`, or move that file away")
        }
        ErrorCode::DatabaseCorrupt => ProviderError::new(at_path, format!("`{path}` is damaged"))
            .solution("restore the file from a backup; `PRAGMA integrity_check` says what is damaged"),
        ErrorCode::CannotOpen => ProviderError::new(at_path, format!("`{path}` cannot be opened"))
            .solution("check that the folder is there, that `path` is no folder, and who may write to it"),
        ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied => {
            ProviderError::new(ErrorKind::PermissionDenied, format!("`{path}` may not be written"))
                .solution("give the user that runs terrace the right to write the file and its folder")
        }
        // A retry makes no room.
        ErrorCode::DiskFull => {
            ProviderError::new(ErrorKind::Failed, format!("there is no room left on the disk of `{path}`"))
                .solution("free some room and apply again; nothing was changed")
        }
        ErrorCode::OperationInterrupted => {
            ProviderError::new(ErrorKind::Cancelled, format!("a statement on `{path}` was interrupted"))
        }
        // A commit that fails to reach the disk may have reached it.
        ErrorCode::SystemIoFailure => {
            ProviderError::new(ErrorKind::Ambiguous, format!("reading or writing `{path}` failed"))
        }
        _ => ProviderError::invalid(None, format!("SQLite refuses a statement on `{path}`: {reason}")),
    };
    answer.vendor_code = Some(format!("SQLite {}", failure.extended_code));
    if !answer.message.contains(&reason) {
        answer.problems.push(reason);
    }
    answer
}

/// The error of a file operation on the database file that the descriptor calls `path`.
pub(crate) fn from_io(path: &str, doing: &str, error: &std::io::Error) -> ProviderError {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Failed,
        _ => ErrorKind::InvalidInput { path: Some(Path::attribute("path")) },
    };
    ProviderError::new(kind, format!("{doing} `{path}` failed: {error}"))
}
