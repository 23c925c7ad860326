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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_strings_are_escaped() {
        assert_eq!(literal(r"it's \ so"), r"'it\'s \\ so'");
        assert_eq!(quote("a`; DROP"), "`a``; DROP`");
    }
}
