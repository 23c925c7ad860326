//! Errors of databases, with hints.

use super::record::Record;
use std::io;
use terrace_provider::names::{closest, listed};

/// Kind of an error, as far as callers distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// The database does not exist.
    Missing,
    /// The database exists already.
    AlreadyExists,
    /// Another process holds its lock.
    InUse,
    /// The cluster does not answer.
    Unreachable,
    /// The request is not valid.
    Invalid,
    /// An operation failed.
    Failed,
    /// The operation was cancelled.
    Cancelled,
}

impl DatabaseErrorKind {
    /// Returns true if the same call may succeed later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::InUse | Self::Unreachable)
    }
}

/// Error of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseError {
    /// Kind of the error.
    pub kind: DatabaseErrorKind,
    /// Message.
    pub message: String,
    /// More details, in lines.
    pub facts: Vec<String>,
    /// Hint for the user.
    pub hint: Option<String>,
}

impl DatabaseError {
    /// Creates an error.
    #[must_use]
    pub fn new(kind: DatabaseErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), facts: Vec::new(), hint: None }
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds details.
    #[must_use]
    pub fn facts(mut self, facts: impl IntoIterator<Item = String>) -> Self {
        self.facts.extend(facts);
        self
    }
}

/// Error of a file or process.
pub(super) fn operation_error(operation: &str, name: &str, error: &io::Error) -> DatabaseError {
    let failed =
        DatabaseError::new(DatabaseErrorKind::Failed, format!("cannot {operation} the database `{name}`: {error}"));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failed.hint("free space on the disk, then try again")
        }
        io::ErrorKind::PermissionDenied => failed.hint("run terrace as the owner of the database"),
        _ => failed,
    }
}

/// Error for an unknown database.
pub(super) fn missing(name: &str, names: &[String]) -> DatabaseError {
    let error = DatabaseError::new(DatabaseErrorKind::Missing, format!("there is no database `{name}`"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match closest(name, names.iter().copied()) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None if names.is_empty() => error.hint(
            "declare a `pipelines_database` in a descriptor, or create one for a run with `terrace pipelines run --new-database`",
        ),
        None => error.hint(format!("available databases: {}", listed(&names))),
    }
}

/// Error for the extension of a database without a lifetime.
pub(super) fn no_deadline(name: &str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Invalid, format!("the database `{name}` does not expire"))
        .hint("use it without an extension: it stays until it is removed")
}

/// Error for a name that is taken.
pub(super) fn exists(name: &str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::AlreadyExists, format!("the database `{name}` exists already"))
        .hint("give it another name, or import it")
}

/// Error for an expired database.
pub(super) fn expired(record: &Record) -> DatabaseError {
    DatabaseError::new(
        DatabaseErrorKind::Invalid,
        format!("the database `{}` has expired: its data is gone", record.name),
    )
    .hint(
        "recreate it with a run that uses it, as `terrace pipelines run --database`, or with `terrace apply --replace`",
    )
}
