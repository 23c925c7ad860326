//! Converts the errors of SQLite to provider errors with solutions.

use rusqlite::ErrorCode;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// An error of work in a database, from SQLite or from this provider.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error of SQLite.
    Sqlite(rusqlite::Error),
    /// An error of this provider.
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
    /// Converts to a provider error; `path` is the configured path of the database file.
    pub(crate) fn on(self, path: &str) -> ProviderError {
        match self {
            Self::Sqlite(error) => from_sqlite(path, &error),
            Self::Refused(error) => *error,
        }
    }
}

/// Converts an error of SQLite; `path` is the configured path of the database file.
pub(crate) fn from_sqlite(path: &str, error: &rusqlite::Error) -> ProviderError {
    let rusqlite::Error::SqliteFailure(failure, text) = error else {
        return ProviderError::invalid(None, format!("SQLite refuses a statement on `{path}`: {error}"));
    };
    let reason = text.clone().unwrap_or_else(|| failure.to_string());
    let at_path = ErrorKind::InvalidInput { path: Some(Path::attribute("path")) };
    let mut answer = match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            ProviderError::new(ErrorKind::Transient, format!("`{path}` is locked by another connection"))
                .solution("end the transaction of the program that has the file open, or close this program")
        }
        ErrorCode::NotADatabase => {
            ProviderError::new(at_path, format!("`{path}` is a file, but not an SQLite database"))
                .solution("choose another `path`, or move this file away")
        }
        ErrorCode::DatabaseCorrupt => ProviderError::new(at_path, format!("`{path}` is damaged"))
            .solution("restore the file from a backup; `PRAGMA integrity_check` shows the damage"),
        ErrorCode::CannotOpen => ProviderError::new(at_path, format!("`{path}` cannot be opened"))
            .solution("check that the folder exists and is writable, and that `path` is not a folder"),
        ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied => {
            ProviderError::new(ErrorKind::PermissionDenied, format!("`{path}` is not writable"))
                .solution("allow the user that runs terrace to write the file and its folder")
        }
        // A retry does not free any space.
        ErrorCode::DiskFull => {
            ProviderError::new(ErrorKind::Failed, format!("there is no space left on the disk of `{path}`"))
                .solution("free some space and apply again; nothing was changed")
        }
        ErrorCode::OperationInterrupted => {
            ProviderError::new(ErrorKind::Cancelled, format!("a statement on `{path}` was interrupted"))
        }
        // A failed commit may have reached the disk.
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

/// Converts a file system error; `path` is the configured path of the database file.
pub(crate) fn from_io(path: &str, action: &str, error: &std::io::Error) -> ProviderError {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Failed,
        _ => ErrorKind::InvalidInput { path: Some(Path::attribute("path")) },
    };
    ProviderError::new(kind, format!("{action} `{path}` failed: {error}"))
}
