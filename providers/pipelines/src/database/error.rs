//! What went wrong with a database: in words, with what helps.

use super::record::Record;
use std::io;
use terrace_provider::names::{closest, listed};

/// What kind of mistake it is, as far as somebody acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no such database.
    Missing,
    /// There is one already.
    There,
    /// Somebody else works on it.
    Held,
    /// What is asked cannot be.
    Wrong,
    /// It was tried, and failed.
    Failed,
    /// Somebody wanted to stop.
    Cancelled,
}

/// A database could not be made, found or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DatabaseError {
    /// What kind of mistake it is.
    pub why: Why,
    /// What went wrong.
    pub what: String,
    /// Further facts, one a line.
    pub facts: Vec<String>,
    /// What a person can do.
    pub hint: Option<String>,
}

impl DatabaseError {
    /// An error of that kind.
    #[must_use]
    pub fn new(why: Why, what: impl Into<String>) -> Self {
        Self { why, what: what.into(), facts: Vec::new(), hint: None }
    }

    /// Says what a person can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds further facts.
    #[must_use]
    pub fn facts(mut self, facts: impl IntoIterator<Item = String>) -> Self {
        self.facts.extend(facts);
        self
    }
}

/// A file or process could not be worked with.
pub(super) fn cannot(what: &str, name: &str, error: &io::Error) -> DatabaseError {
    let failed = DatabaseError::new(Why::Failed, format!("cannot {what} the database `{name}`: {error}"));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failed.hint("make room on the disk, then try again")
        }
        io::ErrorKind::PermissionDenied => failed.hint("run terrace as whom the database belongs to"),
        _ => failed,
    }
}

/// There is no such database.
pub(super) fn missing(name: &str, names: &[String]) -> DatabaseError {
    let error = DatabaseError::new(Why::Missing, format!("there is no database `{name}`"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match closest(name, names.iter().copied()) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None if names.is_empty() => error
            .hint("a `pipelines_database` in a descriptor makes one; `terrace run --new-database` makes one for a run"),
        None => error.hint(format!("the databases there are {}", listed(&names))),
    }
}

/// Its time is over.
pub(super) fn expired(record: &Record) -> DatabaseError {
    DatabaseError::new(Why::Wrong, format!("the database `{}` has expired: what it held is gone", record.name))
        .hint("what needs it makes it anew, such as `terrace run --database`; `terrace apply --replace` does, too")
}
