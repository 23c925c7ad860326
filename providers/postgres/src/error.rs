//! Turns the errors of the server and of the connection into the one error of providers, with what a person can do.
//!
//! Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>. What the server tells of rows is left out: data
//! does not belong into logs.

use crate::identifier::quote;
use crate::rights::Operation;
use crate::server::Server;
use deadpool_postgres::{HookError, PoolError};
use std::error::Error as _;
use terrace_provider::{ErrorKind, Path, ProviderError, tls};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// Why a piece of work stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no, or could not be asked; the attribute at fault, where that is known.
    Server { error: Error, at: Option<Path> },
    /// The server does not let us in, or cannot be reached.
    Connecting(Error),
    /// The connection went before the server said whether what was asked for is done.
    InDoubt(Error),
    /// An object may be there, which cannot be looked at.
    Unseen(Box<Failure>),
    /// There is no connection to be had in time.
    Busy(&'static str),
    /// We said no.
    Refused(Box<ProviderError>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Server { error, at: None }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// What was to be done when it stopped.
pub(crate) struct Doing<'a> {
    pub(crate) server: &'a Server,
    pub(crate) operation: Operation,
    /// What to: `the table `sales.orders``.
    pub(crate) object: String,
    /// The database that was asked.
    pub(crate) database: String,
    /// The statement that gives the right to do it.
    pub(crate) right: String,
}

impl Failure {
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::Refused(Box::new(ProviderError::bug(message)))
    }

    /// The failure of the commit itself, or of a statement that is none of a transaction.
    pub(crate) fn of_commit(error: Error) -> Self {
        let is_refused = error.as_db_error().is_some() && !is_gone(&error);
        if is_refused { Self::Server { error, at: None } } else { Self::InDoubt(error) }
    }

    /// The failure of what came after an object was made, or may have been.
    pub(crate) fn of_what_may_be_there(self) -> Self {
        Self::Unseen(Box::new(self))
    }

    pub(crate) fn of_pool(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => Self::Connecting(error),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                Self::Busy("all its connections are at work: give the instance more `connections`")
            }
            _ => Self::Busy("it does not answer in time"),
        }
    }

    /// The server's code.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server { error, .. } | Self::Connecting(error) => error.code(),
            _ => None,
        }
    }

    /// The message of an error that the server gives no place for.
    pub(crate) fn unplaced(&self) -> Option<&str> {
        match self {
            Self::Server { error, at: None } => error.as_db_error().map(DbError::message),
            _ => None,
        }
    }

    /// True when there is no such database.
    pub(crate) fn is_no_database(&self) -> bool {
        self.code() == Some(&SqlState::INVALID_CATALOG_NAME)
    }

    /// True when there is an object of that name already.
    pub(crate) fn is_already_there(&self) -> bool {
        let codes = [
            SqlState::DUPLICATE_TABLE,
            SqlState::DUPLICATE_SCHEMA,
            SqlState::DUPLICATE_DATABASE,
            SqlState::DUPLICATE_OBJECT,
        ];
        self.code().is_some_and(|code| codes.contains(code))
    }

    /// True when something that was named is not there.
    pub(crate) fn is_about_the_missing(&self) -> bool {
        let codes = [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::UNDEFINED_OBJECT,
        ];
        self.code().is_some_and(|code| codes.contains(code))
    }

    /// The error as the engine sees it.
    pub(crate) fn into_error(self, doing: &Doing<'_>) -> ProviderError {
        let what = format!("{} cannot be {}", doing.object, doing.operation.done());
        let place = doing.server.config.place();
        match self {
            Self::Refused(error) => *error,
            Self::Busy(why) => {
                ProviderError::new(ErrorKind::Transient, format!("{what}: {place} cannot be used now: {why}"))
            }
            Self::InDoubt(error) => {
                let message = format!(
                    "whether {} was {} is not known: the connection to {place} was lost ({})",
                    doing.object,
                    doing.operation.done(),
                    chain(&error)
                );
                ProviderError::new(ErrorKind::Ambiguous, message)
                    .solution("apply again: what became of it is looked up first")
            }
            Self::Unseen(failure) => {
                let error = failure.into_error(doing);
                let message = format!("what became of {} is not known: {}", doing.object, error.message);
                ProviderError { kind: ErrorKind::Ambiguous, message, ..error }
                    .solution("apply again: what became of it is looked up first")
            }
            Self::Connecting(error) => match error.as_db_error() {
                Some(told) => {
                    let (database, user) = (quote(&doing.database), quote(&doing.server.config.user()));
                    let right = format!("GRANT CONNECT ON DATABASE {database} TO {user}");
                    refused(told, None, &what, &right, doing)
                }
                None => unreachable_server(&error, &what, doing),
            },
            Self::Server { error, at } => match error.as_db_error() {
                Some(told) => refused(told, at, &what, &doing.right, doing),
                None => unreachable_server(&error, &what, doing),
            },
        }
    }
}

/// An error without a word of the server: it cannot be reached, or went away.
fn unreachable_server(error: &Error, what: &str, doing: &Doing<'_>) -> ProviderError {
    let place = doing.server.config.place();
    let instance = &doing.server.config.instance;
    let told = chain(error);
    // A host that no name server knows, or a certificate that is refused, will be so the next time too.
    let lasting = ["lookup", "certificate", "invalid configuration", "password missing"];
    let is_lasting = lasting.iter().any(|word| told.contains(word));
    if !is_lasting && is_gone(error) && !told.starts_with("error connecting") {
        let message = format!("{what}: the connection to {place} was lost ({told})");
        return ProviderError::new(ErrorKind::Transient, message).solution("see that the server runs, and apply again");
    }
    if let Some(advice) = tls::advice(&told) {
        let message = format!("{what}: {place} takes no encrypted connections");
        return ProviderError::new(ErrorKind::InvalidInput { path: None }, message)
            .solution(advice.replace("sslmode=", "sslMode: "));
    }
    let kind = match is_lasting {
        true => ErrorKind::InvalidInput { path: None },
        false => ErrorKind::Transient,
    };
    ProviderError::new(kind, format!("{what}: {place} cannot be reached ({told})")).solution(format!(
        "look whether the server runs, and whether `url` or `host` of the instance `{instance}` (or PGHOST) names it"
    ))
}

/// What the server says, and what helps.
fn refused(told: &DbError, at: Option<Path>, what: &str, right: &str, doing: &Doing<'_>) -> ProviderError {
    let code = told.code();
    let place = doing.server.config.place();
    let invalid = || ErrorKind::InvalidInput { path: at.clone() };
    let (kind, solution) = match code.code() {
        "28P01" | "28000" => (
            ErrorKind::PermissionDenied,
            Some(format!(
                "look at `user` and `password` of the instance `{}` (or PGUSER and PGPASSWORD), and at pg_hba.conf of \
                 the server",
                doing.server.config.instance
            )),
        ),
        "3D000" => (
            invalid(),
            Some(format!(
                "create the database `{}` first, or let `database` refer to a `postgres_database`",
                doing.database
            )),
        ),
        "42501" => (ErrorKind::PermissionDenied, Some(format!("let somebody who may run `{right};`"))),
        "25006" => (
            ErrorKind::PermissionDenied,
            Some("name the primary server, and a user whose transactions may write".to_owned()),
        ),
        "53300" => (
            ErrorKind::Throttled { retry_after: None },
            Some("give the instance fewer `connections`, or the server more of them".to_owned()),
        ),
        "55P03" => (
            ErrorKind::Transient,
            Some("another transaction holds a lock: end it, or give the instance a longer `lockTimeout`".to_owned()),
        ),
        "40001" | "40P01" => (ErrorKind::Transient, Some("another transaction was in the way: try again".to_owned())),
        "57P01" | "57P02" | "57P03" | "08006" | "25P03" => {
            (ErrorKind::Transient, Some("the server is starting or stopping: try again".to_owned()))
        }
        "57014" => (ErrorKind::Failed, Some("give the resource longer `timeouts`".to_owned())),
        "53100" => (ErrorKind::Failed, Some("free some room on the disk of the server, and apply again".to_owned())),
        "2BP01" => {
            (invalid(), Some("remove or change first what depends on it, listed above; nothing was changed".to_owned()))
        }
        "42704" if told.message().contains("type") => (
            invalid(),
            Some(
                "see which types there are with `\\dT` of psql; a type of another schema is written with it".to_owned(),
            ),
        ),
        code => match code.get(..2) {
            Some("22" | "23" | "42" | "0A" | "2B" | "3F" | "54" | "55") => (invalid(), None),
            _ => (ErrorKind::Failed, None),
        },
    };
    let mut error = ProviderError::new(kind, format!("{what}: {}", without_values(told)));
    if matches!(code.code(), "28P01" | "28000") {
        error.message = format!("{what}: {place} refuses the user or the password");
    }
    error.vendor_code = Some(code.code().to_owned());
    // Details of these classes repeat what stands in rows.
    if !matches!(code.code().get(..2), Some("22" | "23")) {
        error.problems.extend(told.detail().into_iter().flat_map(str::lines).map(str::to_owned));
    }
    error.solutions.extend(solution);
    if error.solutions.is_empty() {
        error.solutions.extend(told.hint().map(str::to_owned));
    }
    error
}

/// The message, without the value that some end in.
fn without_values(told: &DbError) -> &str {
    let message = told.message();
    match told.code().code().get(..2) {
        Some("22") => message.split(": \"").next().unwrap_or(message),
        _ => message,
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

/// The error of the driver, with what it comes from.
fn chain(error: &Error) -> String {
    if let Some(told) = error.as_db_error() {
        return format!("{}: {}", told.code().code(), told.message());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
