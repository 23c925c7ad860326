//! Errors of PostgreSQL, in words that users can act on. They contain no password: server and driver repeat none, and
//! of the URL only user, host and database are shown.

use crate::misuse::Misuse;
use deadpool_postgres::{PoolError, TimeoutType};
use std::error::Error as _;
use std::time::Duration;
use terrace_provider::tls;
use terrace_store::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Why work on a connection failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the server or the connection.
    Postgres(Error),
    /// The pool has no connection.
    Pool(PoolError),
    /// An answer missed its deadline: the client closed the connection.
    TimedOut(Duration),
    /// The connection ended before the answer to a commit; no error if the client closed it.
    InDoubt(Option<Error>),
    /// The store cannot find out whether an earlier attempt committed.
    UnknownCommit,
    /// A row cannot be read.
    Unreadable(String),
    /// A refusal of the store.
    Refused(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
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

    /// The failure of the commit itself.
    pub(super) fn of_commit(error: Error) -> Self {
        let is_refused = error.as_db_error().is_some() && !is_gone(&error);
        if is_refused { Self::Postgres(error) } else { Self::InDoubt(Some(error)) }
    }

    /// The failure of a commit whose answer missed its deadline.
    pub(super) fn of_late_commit(self) -> Self {
        if matches!(self, Self::TimedOut(_)) { Self::InDoubt(None) } else { self }
    }

    /// The failure of a transaction's begin, although its commit was answered.
    pub(super) fn of_commit_too(self) -> Self {
        match self {
            Self::Postgres(error) => Self::of_commit(error),
            other => other.of_late_commit(),
        }
    }

    /// True for an error that the server reported.
    pub(super) fn is_reported(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.as_db_error().is_some())
    }

    /// True when an answer missed its deadline.
    pub(super) const fn is_late(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::InDoubt(None))
    }

    /// True if another transaction was the only reason of the failure.
    pub(super) fn is_transient(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let conflicts =
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
        error.code().is_some_and(|code| conflicts.contains(code))
    }

    /// True if there is no connection to the server, and nothing was committed.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::TimedOut(_))
            || matches!(self, Self::Postgres(error) | Self::Pool(PoolError::Backend(error)) if is_gone(error))
    }

    /// True if the connection was lost before the commit was answered.
    pub(super) const fn is_in_doubt(&self) -> bool {
        matches!(self, Self::InDoubt(_))
    }

    /// The server's words for damaged data; otherwise the failure.
    pub(super) fn into_damage(self) -> Result<String, Self> {
        let damaged = [
            SqlState::DATA_CORRUPTED,
            SqlState::INDEX_CORRUPTED,
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
        ];
        match self {
            Self::Postgres(error) if error.code().is_some_and(|code| damaged.contains(code)) => Ok(chain(&error)),
            other => Err(other),
        }
    }

    /// The failure in the engine's form; `action` is `opened`, `read` or `written`.
    pub(super) fn into_store_error(self, action: &'static str, url: &str) -> StoreError {
        let reason = match self {
            Self::Refused(error) => return error,
            Self::Postgres(error) | Self::Pool(PoolError::Backend(error)) => in_words(&error, url),
            // The server was not involved yet.
            Self::Pool(PoolError::Timeout(TimeoutType::Wait)) => {
                format!("all connections of this process to {url} were busy for too long")
            }
            Self::Pool(PoolError::Timeout(_)) => format!("{url} does not answer in time"),
            Self::Pool(error) => error.to_string(),
            Self::TimedOut(deadline) => format!("{url} does not answer in time ({} s): try again", deadline.as_secs()),
            Self::InDoubt(error) => format!(
                "the connection to {url} was lost during a commit, whose outcome is unknown ({})",
                error.as_ref().map_or_else(|| "no answer in time".to_owned(), chain)
            ),
            Self::UnknownCommit => format!("it is unknown whether {url} committed it before"),
            Self::Unreadable(reason) => reason,
        };
        StoreError::Unavailable { action, reason }
    }
}

fn is_gone(error: &Error) -> bool {
    let ended = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::CONNECTION_FAILURE,
    ];
    let is_cut = || error.source().is_some_and(|source| source.is::<std::io::Error>());
    error.is_closed() || is_cut() || error.code().is_some_and(|code| ended.contains(code))
}

/// The error of the server or the driver, with its causes.
fn chain(error: &Error) -> String {
    if let Some(text) = error.as_db_error() {
        return format!("{}: {}", text.code().code(), text.message());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn in_words(error: &Error, url: &str) -> String {
    let text = chain(error);
    let advice = match error.code() {
        Some(code) if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(code) => {
            format!("{url} refuses the user or the password")
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            format!("there is no database at {url}: create it first")
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            format!("the user of {url} lacks a privilege: it needs a schema in which it may create tables")
        }
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            format!("{url} is read-only: use the primary server, and a user with write permission")
        }
        Some(code) if *code == SqlState::DISK_FULL => "the disk of the server is full: free some space".to_owned(),
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => format!("{url} has too many connections: try again"),
        Some(code) if *code == SqlState::QUERY_CANCELED => {
            format!("{url} is too slow, or an administrator cancelled a statement: check the load of the server")
        }
        Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => {
            format!("another transaction has locked {url}: try again")
        }
        Some(code)
            if [SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(code) =>
        {
            format!("the server of {url} is starting or stopping: try again")
        }
        Some(code) if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) => {
            format!("{url} is damaged: restore it from a backup")
        }
        Some(_) => return text,
        None if is_gone(error) && !text.starts_with("error connecting") => format!("the connection to {url} was lost"),
        None => match tls::advice(&text) {
            Some(advice) => format!("{url} does not accept encrypted connections: {advice}"),
            None => format!("{url} cannot be reached"),
        },
    };
    format!("{advice} ({text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_pool_is_not_reported_as_a_slow_server() {
        let text = |timeout| {
            Failure::from(PoolError::Timeout(timeout)).into_store_error("read", "postgres://server/db").to_string()
        };
        let busy = text(TimeoutType::Wait);
        assert!(busy.contains("all connections of this process to postgres://server/db were busy"), "{busy}");
        for timeout in [TimeoutType::Create, TimeoutType::Recycle] {
            assert!(text(timeout).contains("does not answer in time"));
        }
    }
}
