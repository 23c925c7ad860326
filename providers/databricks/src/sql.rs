//! Statements on a SQL warehouse: quoting of names and strings, and the API that runs statements:
//! <https://docs.databricks.com/api/workspace/statementexecution>.

use crate::attributes::text_of;
use crate::object::Context;
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_provider::http::{Failure, Poll, Purpose, Request};
use terrace_provider::{ErrorKind, Path, ProviderError};

/// How long the first request waits for the statement before polling begins.
const WAIT_TIMEOUT: &str = "30s";

/// Quotes a name in backticks.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Quotes each part of a full name in backticks.
pub(crate) fn qualified(full_name: &str) -> String {
    full_name.split('.').map(quote).collect::<Vec<_>>().join(".")
}

/// Quotes a string: <https://docs.databricks.com/aws/en/sql/language-manual/data-types/string-type>.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Runs a statement, and waits until it ends. A statement with a lost answer may have run; it is not sent again.
///
/// # Errors
/// If the warehouse refuses the statement, or its outcome is unknown.
pub(crate) async fn run(
    context: &Context<'_>,
    warehouse: &str,
    statement: &str,
    action: &str,
    right: &str,
) -> Result<(), ProviderError> {
    let body = json!({"warehouse_id": warehouse, "statement": statement, "wait_timeout": WAIT_TIMEOUT, "on_wait_timeout": "CONTINUE"});
    let request = Request::post("/api/2.0/sql/statements", &[]).json(body).timeout(Duration::from_secs(60));
    // The rights of the statement itself are added to the error below.
    let purpose = Purpose::to(action)
        .needs(format!("grant CAN_USE on the SQL warehouse `{warehouse}` to `<principal of the instance>`"));
    let answer = context.send(&request, &purpose).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => {
            ProviderError { kind: ErrorKind::InvalidInput { path: Some(Path::attribute("warehouse")) }, ..error }
                .solution("use the id of a SQL warehouse, for example from the lookup `databricks_sql_warehouse`")
        }
        _ => error,
    })?;
    let outcome = match outcome_of(&answer) {
        Some(outcome) => outcome,
        None => {
            let id = text_of(&answer, "statement_id").to_owned();
            let request = Request::get("/api/2.0/sql/statements/{id}", &[&id]);
            let done = |reply: &terrace_provider::http::Reply| Ok::<_, Failure>(outcome_of(&reply.json()?));
            let polled = context.workspace.api.poll(&request, &context.within, Poll::default(), done).await;
            polled.map_err(|failure| {
                let error = context.workspace.api.error(&failure, &purpose);
                // The statement may still run later.
                ProviderError { kind: ErrorKind::Ambiguous, ..error }
            })?
        }
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(message) => {
            Err(context.with_principal_name(context.workspace.api.redact_error(refused(&message, action, right))).await)
        }
    }
}

/// The outcome of a statement; `None` while it runs.
fn outcome_of(answer: &Json) -> Option<Result<(), String>> {
    let status = answer.get("status")?;
    match text_of(status, "state") {
        // A statement is closed when it ran and its result has expired.
        "SUCCEEDED" | "CLOSED" => Some(Ok(())),
        "FAILED" | "CANCELED" => {
            let message = status.pointer("/error/message").and_then(Json::as_str);
            Some(Err(message.unwrap_or("the statement was stopped without a reason").to_owned()))
        }
        _ => None,
    }
}

fn refused(message: &str, action: &str, right: &str) -> ProviderError {
    let text = message.trim().trim_end_matches('.');
    let code = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(code, _)| code.to_owned());
    let is = |part: &str| code.as_deref().is_some_and(|code| code.contains(part));
    let kind = match () {
        () if is("ALREADY_EXISTS") => ErrorKind::AlreadyExists { import_id: None },
        () if is("INSUFFICIENT_PERMISSIONS") || text.contains("PERMISSION_DENIED") => ErrorKind::PermissionDenied,
        () if code.is_some() => ErrorKind::InvalidInput { path: None },
        () => ErrorKind::Failed,
    };
    let is_denied = kind == ErrorKind::PermissionDenied;
    let mut error = ProviderError::new(kind, format!("Databricks cannot {action}: {text}"));
    error.vendor_code = code;
    if is_denied { error.solution(right) } else { error }
}

/// A simple query: its columns (empty for all), and the parts of its source's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) columns: Vec<String>,
    pub(crate) source: Vec<String>,
}

/// Parses `SELECT a, b FROM c.s.t`; `None` for any other query.
pub(crate) fn parse(text: &str) -> Option<Query> {
    let tokens = tokens(text.trim().trim_end_matches(';'))?;
    let mut tokens = tokens.into_iter().peekable();
    let is = |token: &Token, wanted: &str| matches!(token, Token::Word(text) if text.eq_ignore_ascii_case(wanted));
    tokens.next().filter(|token| is(token, "SELECT"))?;
    let mut columns = Vec::new();
    if tokens.next_if_eq(&Token::Sign('*')).is_none() {
        loop {
            columns.push(tokens.next()?.name()?);
            if tokens.next_if_eq(&Token::Sign(',')).is_none() {
                break;
            }
        }
    }
    tokens.next().filter(|token| is(token, "FROM"))?;
    let mut source = vec![tokens.next()?.name()?];
    while tokens.next_if_eq(&Token::Sign('.')).is_some() {
        source.push(tokens.next()?.name()?);
    }
    tokens.next().is_none().then_some(Query { columns, source })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

impl Token {
    fn name(self) -> Option<String> {
        match self {
            Self::Word(text) | Self::Quoted(text) => Some(text),
            Self::Sign(_) => None,
        }
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '`' => {
                let mut name = String::new();
                loop {
                    match chars.next()? {
                        '`' if chars.next_if_eq(&'`').is_some() => name.push('`'),
                        '`' => break,
                        other => name.push(other),
                    }
                }
                tokens.push(Token::Quoted(name));
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut name = c.to_string();
                while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    name.push(next);
                }
                tokens.push(Token::Word(name));
            }
            '.' | ',' | '*' => tokens.push(Token::Sign(c)),
            _ => return None,
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_queries_are_parsed() {
        let query = |columns: &[&str]| Query {
            columns: columns.iter().map(|it| (*it).to_owned()).collect(),
            source: ["c", "s", "t`x"].map(str::to_owned).to_vec(),
        };
        assert_eq!(parse("SELECT `a``b`, `select` FROM `c`.`s`.`t``x`"), Some(query(&["a`b", "select"])));
        assert_eq!(parse("select * from c . s.`t``x` ;"), Some(query(&[])));
        for other in [
            "",
            "SELECT a AS b FROM c.s.t",
            "SELECT a FROM c.s.t WHERE a > 1",
            "SELECT a",
            "SELECT `a FROM t",
            "WITH x AS (SELECT 1) SELECT * FROM x",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn quotes_in_strings_are_escaped() {
        assert_eq!(literal(r"it's \ so"), r"'it\'s \\ so'");
        assert_eq!(quote("a`; DROP"), "`a``; DROP`");
    }
}
