//! What is told of statements that went wrong, and what terrace does then.
//!
//! Codes as Snowflake answers with them: 001003 syntax, 002003 and 002043 missing or not authorized, 002002 there already,
//! 003001 insufficient privileges, 000904 unknown column, 000606 no warehouse, 390xxx who asks is not let in.

use crate::client::{Client, Failure};
use crate::identifier::quote;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// What a statement is for, and what its role has to have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Need {
    /// `create the table DB.S.T`.
    doing: String,
    /// Rights, each as it is granted: `CREATE TABLE ON SCHEMA "DB"."S"`.
    rights: Vec<String>,
    /// The id of the object that is made, where it may be there already.
    import_id: Option<String>,
    /// The attribute that the statement is about.
    path: Option<Path>,
}

impl Need {
    /// What a statement is for.
    pub(crate) fn to(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), ..Self::default() }
    }

    /// The role needs that.
    pub(crate) fn right(mut self, right: impl Into<String>) -> Self {
        self.rights.push(right.into());
        self
    }

    /// It makes an object of that id.
    pub(crate) fn makes(mut self, import_id: impl Into<String>) -> Self {
        self.import_id = Some(import_id.into());
        self
    }

    /// It is about that attribute.
    pub(crate) fn at(mut self, path: Path) -> Self {
        self.path = Some(path);
        self
    }

    fn solutions<'a>(&'a self, role: Option<&'a str>) -> impl Iterator<Item = String> + 'a {
        self.rights.iter().map(move |right| giving(right, role))
    }
}

/// The statement that gives a role a right, as `CREATE ROLE ON ACCOUNT`.
pub(crate) fn giving(right: &str, role: Option<&str>) -> String {
    let role = role.map_or_else(|| "<the role of the instance>".to_owned(), quote);
    format!("GRANT {right} TO ROLE {role}")
}

/// True where an object is not there, or the role may not see it: Snowflake does not say which.
pub(crate) fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::Sql { code, .. } if matches!(code.as_str(), "002003" | "002043"))
}

/// The error of a statement that only looks.
pub(crate) fn of_question(client: &Client, failure: &Failure, need: &Need) -> ProviderError {
    match failure {
        // Nothing happened, whatever became of it.
        Failure::Lost(why) => {
            let message = format!("Snowflake does not answer: {why}");
            client.hidden().error(ProviderError::new(ErrorKind::Transient, message))
        }
        Failure::TimedOut => ProviderError::new(ErrorKind::Transient, "Snowflake takes too long to answer"),
        other => of_change(client, other, need),
    }
}

/// The error of a statement that changes something.
pub(crate) fn of_change(client: &Client, failure: &Failure, need: &Need) -> ProviderError {
    // What is not of the settings is known here alone.
    client.hidden().error(told(client, failure, need))
}

fn told(client: &Client, failure: &Failure, need: &Need) -> ProviderError {
    let doing = if need.doing.is_empty() { "do that" } else { need.doing.as_str() };
    match failure {
        Failure::Sql { code, state, message } => {
            let mut error = of_sql(client, (code, state, message), need, doing);
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
                error = error.problem("what SNOWFLAKE_PASSWORD holds was sent as a programmatic access token: the SQL API takes no passwords");
                return error.solution("put a programmatic access token there, or set `privateKeyFile`");
            }
            let what = match code.as_str() {
                "390144" => {
                    "look whether the public key of the user (`DESC USER`, RSA_PUBLIC_KEY_FP) is that of the private key, and whether `account` and `user` are right"
                }
                "390189" => "look at `role`: the user has to have it",
                "390114" | "390318" => "the token is too old: make another one",
                _ => "look at `account`, `user` and the way of signing in",
            };
            error.solution(what)
        }
        Failure::Throttled(pause) => ProviderError::new(
            ErrorKind::Throttled { retry_after: *pause },
            "Snowflake has too much to do for this user",
        ),
        Failure::TimedOut => {
            ProviderError::new(ErrorKind::Failed, format!("Snowflake stopped it: to {doing} took longer than it may"))
                .solution("give the resource more time (`timeouts`), or look at STATEMENT_TIMEOUT_IN_SECONDS")
        }
        Failure::NotSent(why) => {
            let message = format!("Snowflake cannot be reached at `{}`: {why}", client.host());
            ProviderError::new(ErrorKind::Transient, message)
                .solution("look at `account` or `host`, and whether this machine may connect to it")
        }
        Failure::Lost(why) => ProviderError::new(
            ErrorKind::Ambiguous,
            format!("whether Snowflake was told to {doing} is not known: {why}"),
        ),
        Failure::Refused(why) => ProviderError::new(
            ErrorKind::InvalidInput { path: None },
            format!("Snowflake does not take the request: {why}"),
        )
        .solution("look at `account` or `host`: is the SQL API there?"),
    }
}

fn of_sql(client: &Client, (code, state, message): (&str, &str, &str), need: &Need, doing: &str) -> ProviderError {
    // What Snowflake puts before every message of its compiler says nothing.
    let said =
        message.trim_start_matches("SQL compilation error:").trim_start_matches("SQL access control error:").trim();
    let invalid = || ErrorKind::InvalidInput { path: need.path.clone() };
    let with_rights = |error: ProviderError| need.solutions(client.role()).fold(error, ProviderError::solution);
    match code {
        "002002" if need.import_id.is_some() => {
            let kind = ErrorKind::AlreadyExists { import_id: need.import_id.clone() };
            ProviderError::new(kind, format!("Snowflake cannot {doing}: {said}"))
        }
        "003001" => {
            with_rights(ProviderError::new(ErrorKind::PermissionDenied, format!("the role may not {doing}: {said}")))
        }
        "002003" | "002043" => {
            let error = ProviderError::new(invalid(), format!("Snowflake cannot {doing}: {said}"));
            with_rights(error.problem("Snowflake says the same of what is not there and of what the role may not see"))
        }
        "000606" => ProviderError::new(invalid(), format!("Snowflake cannot {doing}: no warehouse is in use"))
            .solution("set `warehouse` of the instance, and let its role use it: GRANT USAGE ON WAREHOUSE … TO ROLE …"),
        "000604" => ProviderError::new(ErrorKind::Cancelled, format!("to {doing} was stopped before it was done")),
        "000630" => ProviderError::new(ErrorKind::Failed, format!("to {doing} took longer than it may")),
        _ if state == "0A000" => ProviderError::new(invalid(), format!("this account cannot {doing}: {said}"))
            .solution("tags need the Enterprise edition: `settings.snowflake.tags.enabled: false` leaves them out"),
        _ if state.starts_with("XX") => {
            ProviderError::new(ErrorKind::Failed, format!("Snowflake failed to {doing}: {said}"))
        }
        _ => ProviderError::new(invalid(), format!("Snowflake cannot {doing}: {said}")),
    }
}
