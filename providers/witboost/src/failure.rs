//! What is told of calls that went wrong, and what terrace does then.

use crate::adapter::{Problem, Reply, State, Status};
use crate::endpoint::Endpoint;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// An adapter that answers with an error: what it says, and whether anything can have happened.
pub(crate) fn refused(endpoint: &Endpoint, what: &str, reply: &Reply) -> ProviderError {
    let kind = match reply.status {
        400 | 413 | 415 | 422 => ErrorKind::InvalidInput { path: Some(Path::attribute("descriptor")) },
        300..=399 | 404 | 405 | 410 | 501 => ErrorKind::InvalidInput { path: Some(Path::attribute("endpoint")) },
        401 | 403 | 407 => ErrorKind::PermissionDenied,
        408 | 409 | 425 => ErrorKind::Transient,
        429 | 503 => ErrorKind::Throttled { retry_after: reply.retry_after },
        // A gateway that lost sight of the adapter.
        502 | 504 => ErrorKind::Ambiguous,
        _ => ErrorKind::Failed,
    };
    let Problem { message, problems, solutions } = Problem::read(&reply.text);
    let said = message.map_or_else(|| usual(reply.status).to_owned(), |message| format!(": {message}"));
    let mut error = ProviderError::new(kind, format!("{} does not {what}{said}", endpoint.shown()));
    error.vendor_code = Some(format!("HTTP {}", reply.status));
    error.problems = problems;
    error.solutions = solutions;
    match (reply.status, &error.kind) {
        (401 | 403 | 407, _) => error.solution("look at `token` and `headers` of the instance"),
        (_, ErrorKind::InvalidInput { path: Some(path) }) if *path == Path::attribute("endpoint") => error.solution(
            "look at `endpoint` and `templates` of the instance: many adapters have a base path, such as \
             `/datamesh.specificprovisioner`",
        ),
        _ => error,
    }
}

fn usual(status: u16) -> &'static str {
    match status {
        300..=399 => ", and names another place instead",
        401 | 403 | 407 => ": who asks may not",
        404 | 405 | 410 => ": there is no such call",
        429 | 503 => " now: it has too much to do",
        501 => ": it cannot",
        _ => "",
    }
}

/// Work that ended badly.
pub(crate) fn failed(endpoint: &Endpoint, what: &str, status: &Status) -> ProviderError {
    let mut causes = status.causes();
    let message = match (status.state, causes.is_empty()) {
        (State::Terminated, _) => format!("{} was stopped while it was to {what}", endpoint.shown()),
        (_, true) => format!("{} failed to {what}, and does not say why", endpoint.shown()),
        (_, false) => format!("{} failed to {what}: {}", endpoint.shown(), causes.remove(0)),
    };
    let error = ProviderError::new(ErrorKind::Failed, message);
    causes.into_iter().fold(error, ProviderError::problem)
}

/// A request that was not sent: nothing happened.
pub(crate) fn not_sent(endpoint: &Endpoint, why: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Transient, format!("{} cannot be reached: {why}", endpoint.shown()))
        .solution("look whether the adapter runs, and whether `endpoint` or `templates` of the instance name it")
}

/// Nobody knows what became of a call.
pub(crate) fn unknown(endpoint: &Endpoint, what: &str, why: &str) -> ProviderError {
    let message = format!("whether {} was told to {what} is not known: {why}", endpoint.shown());
    ProviderError::new(ErrorKind::Ambiguous, message)
}

/// The work goes on without anybody who waits for it.
pub(crate) fn left(endpoint: &Endpoint, what: &str, why: &str) -> ProviderError {
    let message = format!("{} was told to {what} and is not known to have done it: {why}", endpoint.shown());
    ProviderError::new(ErrorKind::Ambiguous, message)
        .solution("the next run asks the adapter by the token of the call, and does not call again")
}
