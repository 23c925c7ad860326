//! Converts errors of the server and the connection into provider errors with solutions.
//!
//! Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>. Values of rows are left out: logs must not
//! contain data.

use crate::identifier::quote;
use crate::operation::Operation;
use crate::server::Server;
use deadpool_postgres::{HookError, PoolError};
use std::error::Error as _;
use terrace_provider::error::with_causes;
use terrace_provider::{ErrorKind, Path, ProviderError, tls};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// Reasons why work stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused, or did not answer; with the attribute at fault if it is known.
    Server { error: Error, at: Option<Path> },
    /// The connection was refused or failed.
    Connecting(Error),
    /// The connection was lost before the server confirmed the work.
    InDoubt(Error),
    /// An object may exist, but it could not be read.
    Unreadable(Box<Failure>),
    /// No connection was free in time.
    Busy(&'static str),
    /// The provider refused.
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

/// The work that stopped.
pub(crate) struct Context<'a> {
    pub(crate) server: &'a Server,
    pub(crate) operation: Operation,
    /// Its object: `the table `sales.orders``.
    pub(crate) object: String,
    /// Its database.
    pub(crate) database: String,
    /// The statement that grants the missing right.
    pub(crate) right: String,
}

impl Failure {
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::Refused(Box::new(ProviderError::bug(message)))
    }

    /// The failure of a commit, or of a statement outside of a transaction.
    pub(crate) fn of_commit(error: Error) -> Self {
        let is_refused = error.as_db_error().is_some() && !is_gone(&error);
        if is_refused { Self::Server { error, at: None } } else { Self::InDoubt(error) }
    }

    /// The failure of a read after an object was created, or may have been.
    pub(crate) fn after_possible_creation(self) -> Self {
        Self::Unreadable(Box::new(self))
    }

    pub(crate) fn of_pool(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => Self::Connecting(error),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                Self::Busy("all its connections are busy: give the instance more `connections`")
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

    /// The message of an error without a position.
    pub(crate) fn unplaced(&self) -> Option<&str> {
        match self {
            Self::Server { error, at: None } => error.as_db_error().map(DbError::message),
            _ => None,
        }
    }

    /// True if the database does not exist.
    pub(crate) fn is_missing_database(&self) -> bool {
        self.code() == Some(&SqlState::INVALID_CATALOG_NAME)
    }

    /// True if an object of that name exists.
    pub(crate) fn is_duplicate_object(&self) -> bool {
        let codes = [
            SqlState::DUPLICATE_TABLE,
            SqlState::DUPLICATE_SCHEMA,
            SqlState::DUPLICATE_DATABASE,
            SqlState::DUPLICATE_OBJECT,
        ];
        self.code().is_some_and(|code| codes.contains(code))
    }

    /// True if a named object does not exist.
    pub(crate) fn is_undefined_object(&self) -> bool {
        let codes = [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::UNDEFINED_OBJECT,
        ];
        self.code().is_some_and(|code| codes.contains(code))
    }

    /// The error for the engine.
    pub(crate) fn into_error(self, context: &Context<'_>) -> ProviderError {
        let what = format!("{} cannot be {}", context.object, context.operation.done());
        let place = context.server.config.place();
        match self {
            Self::Refused(error) => *error,
            Self::Busy(why) => {
                ProviderError::new(ErrorKind::Transient, format!("{what}: {place} cannot be used now: {why}"))
            }
            Self::InDoubt(error) => {
                let message = format!(
                    "{} may have been {}: the connection to {place} was lost ({})",
                    context.object,
                    context.operation.done(),
                    chain(&error)
                );
                ProviderError::new(ErrorKind::Ambiguous, message)
                    .solution("apply again: the provider first determines the outcome")
            }
            Self::Unreadable(failure) => {
                let error = failure.into_error(context);
                let message = format!("the outcome for {} is unknown: {}", context.object, error.message);
                ProviderError { kind: ErrorKind::Ambiguous, message, ..error }
                    .solution("apply again: the provider first determines the outcome")
            }
            Self::Connecting(error) => match error.as_db_error() {
                Some(database_error) => {
                    let (database, user) = (quote(&context.database), quote(&context.server.config.user()));
                    let right = format!("GRANT CONNECT ON DATABASE {database} TO {user}");
                    refused(database_error, None, &what, &right, context)
                }
                None => unreachable_server(&error, &what, context),
            },
            Self::Server { error, at } => match error.as_db_error() {
                Some(database_error) => refused(database_error, at, &what, &context.right, context),
                None => unreachable_server(&error, &what, context),
            },
        }
    }
}

/// An error of the connection: the server is unreachable or went away.
fn unreachable_server(error: &Error, what: &str, context: &Context<'_>) -> ProviderError {
    let place = context.server.config.place();
    let instance = &context.server.config.instance;
    let message = chain(error);
    // An unknown host or a refused certificate fails in the next attempt, too.
    let lasting = ["lookup", "certificate", "invalid configuration", "password missing"];
    let is_lasting = lasting.iter().any(|word| message.contains(word));
    if !is_lasting && is_gone(error) && !message.starts_with("error connecting") {
        let message = format!("{what}: the connection to {place} was lost ({message})");
        return ProviderError::new(ErrorKind::Transient, message).solution("see that the server runs, and apply again");
    }
    if let Some(advice) = tls::advice(&message) {
        let message = format!("{what}: {place} takes no encrypted connections");
        return ProviderError::new(ErrorKind::InvalidInput { path: None }, message)
            .solution(advice.replace("sslmode=", "sslMode: "));
    }
    let kind = match is_lasting {
        true => ErrorKind::InvalidInput { path: None },
        false => ErrorKind::Transient,
    };
    ProviderError::new(kind, format!("{what}: {place} cannot be reached ({message})")).solution(format!(
        "look whether the server runs, and whether `url` or `host` of the instance `{instance}` (or PGHOST) names it"
    ))
}

/// The error for a server error, with a solution.
fn refused(
    database_error: &DbError,
    at: Option<Path>,
    what: &str,
    right: &str,
    context: &Context<'_>,
) -> ProviderError {
    let code = database_error.code();
    let place = context.server.config.place();
    let invalid = || ErrorKind::InvalidInput { path: at.clone() };
    let (kind, solution) = match code.code() {
        "28P01" | "28000" => (
            ErrorKind::PermissionDenied,
            Some(format!(
                "look at `user` and `password` of the instance `{}` (or PGUSER and PGPASSWORD), and at pg_hba.conf of \
                 the server",
                context.server.config.instance
            )),
        ),
        "3D000" => (
            invalid(),
            Some(format!(
                "create the database `{}` first, or let `database` refer to a `postgres_database`",
                context.database
            )),
        ),
        "42501" => (ErrorKind::PermissionDenied, Some(format!("let an administrator run `{right};`"))),
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
        "40001" | "40P01" => (ErrorKind::Transient, Some("another transaction conflicted: try again".to_owned())),
        "57P01" | "57P02" | "57P03" | "08006" | "25P03" => {
            (ErrorKind::Transient, Some("the server is starting or stopping: try again".to_owned()))
        }
        "57014" => (ErrorKind::Failed, Some("give the resource longer `timeouts`".to_owned())),
        "53100" => (ErrorKind::Failed, Some("free some room on the disk of the server, and apply again".to_owned())),
        "2BP01" => {
            (invalid(), Some("remove or change first what depends on it, listed above; nothing was changed".to_owned()))
        }
        "42704" if database_error.message().contains("type") => (
            invalid(),
            Some("list the types with `\\dT` in psql; write a type of another schema with its schema".to_owned()),
        ),
        code => match code.get(..2) {
            Some("22" | "23" | "42" | "0A" | "2B" | "3F" | "54" | "55") => (invalid(), None),
            _ => (ErrorKind::Failed, None),
        },
    };
    let mut error = ProviderError::new(kind, format!("{what}: {}", without_values(database_error)));
    if matches!(code.code(), "28P01" | "28000") {
        error.message = format!("{what}: {place} refuses the user or the password");
    }
    error.vendor_code = Some(code.code().to_owned());
    // Details of these classes contain values of rows.
    if !matches!(code.code().get(..2), Some("22" | "23")) {
        error.problems.extend(database_error.detail().into_iter().flat_map(str::lines).map(str::to_owned));
    }
    error.solutions.extend(solution);
    if error.solutions.is_empty() {
        error.solutions.extend(database_error.hint().map(str::to_owned));
    }
    error
}

/// The message without a value at its end.
fn without_values(database_error: &DbError) -> &str {
    let message = database_error.message();
    match database_error.code().code().get(..2) {
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

/// The error of the driver with its causes.
fn chain(error: &Error) -> String {
    if let Some(database_error) = error.as_db_error() {
        return format!("{}: {}", database_error.code().code(), database_error.message());
    }
    with_causes(error)
}
