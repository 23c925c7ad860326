//! Conversion of failed statements into provider errors.
//!
//! Snowflake's codes: 001003 syntax, 002003 and 002043 missing or not authorized, 002002 exists, 003001 insufficient
//! privileges, 000904 unknown column, 000606 no warehouse, 390xxx refused credentials.

use crate::client::{Client, Failure};
use crate::identifier::quote;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// The purpose of a statement, and the rights that it needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Purpose {
    /// `create the table DB.S.T`.
    action: String,
    /// Rights in the form of `GRANT`: `CREATE TABLE ON SCHEMA "DB"."S"`.
    rights: Vec<String>,
    /// The import id of a created object, which may already exist.
    import_id: Option<String>,
    /// The attribute of the statement.
    path: Option<Path>,
}

impl Purpose {
    /// The purpose of a statement.
    pub(crate) fn to(action: impl Into<String>) -> Self {
        Self { action: action.into(), ..Self::default() }
    }

    /// Adds a needed right.
    pub(crate) fn right(mut self, right: impl Into<String>) -> Self {
        self.rights.push(right.into());
        self
    }

    /// Declares that the statement creates an object with this id.
    pub(crate) fn creates(mut self, import_id: impl Into<String>) -> Self {
        self.import_id = Some(import_id.into());
        self
    }

    /// Sets the attribute of the statement.
    pub(crate) fn at(mut self, path: Path) -> Self {
        self.path = Some(path);
        self
    }

    fn solutions<'a>(&'a self, role: Option<&'a str>) -> impl Iterator<Item = String> + 'a {
        self.rights.iter().map(move |right| grant_statement(right, role))
    }
}

/// The statement that grants a right to a role; a right such as `CREATE ROLE ON ACCOUNT`.
pub(crate) fn grant_statement(right: &str, role: Option<&str>) -> String {
    let role = role.map_or_else(|| "<the role of the instance>".to_owned(), quote);
    format!("GRANT {right} TO ROLE {role}")
}

/// True if the object does not exist or the role may not see it: Snowflake does not distinguish these.
pub(crate) fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::Sql { code, .. } if matches!(code.as_str(), "002003" | "002043"))
}

/// The error of a reading statement.
pub(crate) fn read_error(client: &Client, failure: &Failure, purpose: &Purpose) -> ProviderError {
    match failure {
        // A read has no effect, so its outcome does not matter.
        Failure::Lost(why) => {
            let message = format!("Snowflake does not answer: {why}");
            client.redaction().error(ProviderError::new(ErrorKind::Transient, message))
        }
        Failure::TimedOut => ProviderError::new(ErrorKind::Transient, "Snowflake takes too long to answer"),
        other => change_error(client, other, purpose),
    }
}

/// The error of a changing statement.
pub(crate) fn change_error(client: &Client, failure: &Failure, purpose: &Purpose) -> ProviderError {
    // The wrapper of the session does not know secrets from variables.
    client.redaction().error(error_of(client, failure, purpose))
}

fn error_of(client: &Client, failure: &Failure, purpose: &Purpose) -> ProviderError {
    let action = if purpose.action.is_empty() { "do that" } else { purpose.action.as_str() };
    match failure {
        Failure::Sql { code, state, message } => {
            let mut error = of_sql(client, (code, state, message), purpose, action);
            error.vendor_code = Some(format!("{code}, SQLSTATE {state}"));
            error
        }
        Failure::Unauthorized { code, message } => {
            let mut error = ProviderError::new(
                ErrorKind::PermissionDenied,
                format!("Snowflake does not let terrace in: {message}"),
            );
            error.vendor_code = Some(code.clone());
            if client.signs_in_by_password() {
                error = error.problem(
                    "SNOWFLAKE_PASSWORD was sent as a programmatic access token: the SQL API does not accept passwords",
                );
                return error.solution("put a programmatic access token there, or set `privateKeyFile`");
            }
            let what = match code.as_str() {
                "390144" => {
                    "check that the user's public key (`DESC USER`, RSA_PUBLIC_KEY_FP) belongs to the private key, and check `account` and `user`"
                }
                "390189" => "check `role`: the user must have it",
                "390114" | "390318" => "create a new token: this one has expired",
                _ => "check `account`, `user` and the credentials",
            };
            error.solution(what)
        }
        Failure::Throttled(pause) => ProviderError::new(
            ErrorKind::Throttled { retry_after: *pause },
            "Snowflake is too busy for more requests of this user",
        ),
        Failure::TimedOut => ProviderError::new(
            ErrorKind::Failed,
            format!("Snowflake stopped the request to {action}: it took too long"),
        )
        .solution("set longer `timeouts` for the resource, or raise STATEMENT_TIMEOUT_IN_SECONDS"),
        Failure::NotSent(why) => {
            let message = format!("Snowflake cannot be reached at `{}`: {why}", client.host());
            ProviderError::new(ErrorKind::Transient, message)
                .solution("check `account` or `host`, and the network access of this machine")
        }
        Failure::Lost(why) => ProviderError::new(
            ErrorKind::Ambiguous,
            format!("Snowflake may have received the request to {action}, outcome unknown: {why}"),
        ),
        Failure::Refused(why) => ProviderError::new(
            ErrorKind::InvalidInput { path: None },
            format!("Snowflake does not accept the request: {why}"),
        )
        .solution("check `account` or `host`: it must be the host of the SQL API"),
    }
}

fn of_sql(
    client: &Client,
    (code, state, message): (&str, &str, &str),
    purpose: &Purpose,
    action: &str,
) -> ProviderError {
    // The compiler's prefix carries no information.
    let reason =
        message.trim_start_matches("SQL compilation error:").trim_start_matches("SQL access control error:").trim();
    let invalid = || ErrorKind::InvalidInput { path: purpose.path.clone() };
    let with_rights = |error: ProviderError| purpose.solutions(client.role()).fold(error, ProviderError::solution);
    match code {
        "002002" if purpose.import_id.is_some() => {
            let kind = ErrorKind::AlreadyExists { import_id: purpose.import_id.clone() };
            ProviderError::new(kind, format!("Snowflake cannot {action}: {reason}"))
        }
        "003001" => {
            with_rights(ProviderError::new(ErrorKind::PermissionDenied, format!("the role may not {action}: {reason}")))
        }
        "002003" | "002043" => {
            let error = ProviderError::new(invalid(), format!("Snowflake cannot {action}: {reason}"));
            with_rights(
                error.problem("Snowflake does not distinguish missing objects from objects that the role may not see"),
            )
        }
        "000606" => ProviderError::new(invalid(), format!("Snowflake cannot {action}: no warehouse is in use"))
            .solution(
                "set `warehouse` of the instance, and grant its use to the role: GRANT USAGE ON WAREHOUSE … TO ROLE …",
            ),
        "000604" => ProviderError::new(ErrorKind::Cancelled, format!("to {action} was stopped before its end")),
        "000630" => ProviderError::new(ErrorKind::Failed, format!("the time limit to {action} was exceeded")),
        _ if state == "0A000" => ProviderError::new(invalid(), format!("this account cannot {action}: {reason}"))
            .solution("tags need the Enterprise edition: to omit them, set `settings.snowflake.tags.enabled: false`"),
        _ if state.starts_with("XX") => {
            ProviderError::new(ErrorKind::Failed, format!("Snowflake failed to {action}: {reason}"))
        }
        _ => ProviderError::new(invalid(), format!("Snowflake cannot {action}: {reason}")),
    }
}
