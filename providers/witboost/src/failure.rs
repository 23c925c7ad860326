//! Converts failed calls into provider errors.

use crate::adapter::{Problem, Reply, State, Status};
use crate::endpoint::Endpoint;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// The error for an error answer. The HTTP status determines if the call may have had an effect.
pub(crate) fn refused(endpoint: &Endpoint, task: &str, reply: &Reply) -> ProviderError {
    let kind = match reply.status {
        400 | 413 | 415 | 422 => ErrorKind::InvalidInput { path: Some(Path::attribute("descriptor")) },
        300..=399 | 404 | 405 | 410 | 501 => ErrorKind::InvalidInput { path: Some(Path::attribute("endpoint")) },
        401 | 403 | 407 => ErrorKind::PermissionDenied,
        408 | 409 | 425 => ErrorKind::Transient,
        429 | 503 => ErrorKind::Throttled { retry_after: reply.retry_after },
        // A gateway lost the connection to the adapter.
        502 | 504 => ErrorKind::Ambiguous,
        _ => ErrorKind::Failed,
    };
    let Problem { message, problems, solutions } = Problem::read(&reply.text);
    let reason = message.map_or_else(|| default_reason(reply.status).to_owned(), |message| format!(": {message}"));
    let mut error = ProviderError::new(kind, format!("{} did not {task}{reason}", endpoint.as_str()));
    error.vendor_code = Some(format!("HTTP {}", reply.status));
    error.problems = problems;
    error.solutions = solutions;
    match (reply.status, &error.kind) {
        (401 | 403 | 407, _) => error.solution("check `token` and `headers` of the instance"),
        (_, ErrorKind::InvalidInput { path: Some(path) }) if *path == Path::attribute("endpoint") => error.solution(
            "check `endpoint` and `templates` of the instance: many adapters have a base path, such as \
             `/datamesh.specificprovisioner`",
        ),
        _ => error,
    }
}

fn default_reason(status: u16) -> &'static str {
    match status {
        300..=399 => ": it redirects to another URL",
        401 | 403 | 407 => ": not authorized",
        404 | 405 | 410 => ": no such endpoint",
        429 | 503 => ": it is overloaded",
        501 => ": not supported",
        _ => "",
    }
}

/// The error for work that failed.
pub(crate) fn failed(endpoint: &Endpoint, task: &str, status: &Status) -> ProviderError {
    let mut causes = status.causes();
    let message = match (status.state, causes.is_empty()) {
        (State::Terminated, _) => format!("{} terminated the request to {task}", endpoint.as_str()),
        (_, true) => format!("{} failed to {task} without a reason", endpoint.as_str()),
        (_, false) => format!("{} failed to {task}: {}", endpoint.as_str(), causes.remove(0)),
    };
    let error = ProviderError::new(ErrorKind::Failed, message);
    causes.into_iter().fold(error, ProviderError::problem)
}

/// The error for a request that was not sent: nothing happened.
pub(crate) fn not_sent(endpoint: &Endpoint, why: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Transient, format!("{} cannot be reached: {why}", endpoint.as_str()))
        .solution("check that the adapter runs, and that `endpoint` or `templates` of the instance is its URL")
}

/// The error for a call without a usable answer.
pub(crate) fn unknown(endpoint: &Endpoint, task: &str, why: &str) -> ProviderError {
    let message = format!("{}: the request to {task} has an unknown outcome: {why}", endpoint.as_str());
    ProviderError::new(ErrorKind::Ambiguous, message)
}

/// The error for accepted work whose end was not observed.
pub(crate) fn unobserved(endpoint: &Endpoint, task: &str, why: &str) -> ProviderError {
    let message = format!("{} accepted the request to {task}, but its outcome is unknown: {why}", endpoint.as_str());
    ProviderError::new(ErrorKind::Ambiguous, message)
        .solution("run the command again: terrace reads the outcome by the call's token, and does not repeat the call")
}
