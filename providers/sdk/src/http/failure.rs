//! Failures of requests, and their conversion to provider errors.

use super::Reply;
use crate::{ErrorKind, Path, ProviderError};
use std::time::Duration;

/// The reason that a request has no success answer.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The request was never sent: it had no effect.
    NotSent(String),
    /// The request was sent, or may have been; its outcome is unknown.
    Lost(String),
    /// The server returned a failure status.
    Answered(Box<Reply>),
    /// The token server refused to issue a token.
    Unauthorized {
        /// The error code, such as `invalid_client`.
        code: Option<String>,
        /// The message.
        message: String,
    },
    /// The call was cancelled before it had any effect.
    Cancelled,
    /// The request cannot be built.
    Refused(String),
}

impl Failure {
    /// The failure answer, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Reply> {
        match self {
            Self::Answered(reply) => Some(reply),
            _ => None,
        }
    }

    /// The status of the failure answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|reply| reply.status)
    }

    /// The reason, without any part of a body.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::NotSent(why) | Self::Lost(why) | Self::Refused(why) => why.clone(),
            Self::Answered(reply) => format!("it answers {}", reply.status),
            Self::Unauthorized { message, .. } => message.clone(),
            Self::Cancelled => "it was stopped before it began".to_owned(),
        }
    }
}

/// The content of a vendor's failure answer.
#[derive(Debug, Clone, Default)]
pub struct ParsedError {
    /// The vendor's own code.
    pub code: Option<String>,
    /// The message, without a trailing period.
    pub message: Option<String>,
    /// The kind of failure; `None` to decide by the status.
    pub kind: Option<ErrorKind>,
    /// Further facts.
    pub problems: Vec<String>,
    /// Possible solutions.
    pub solutions: Vec<String>,
}

/// A vendor: its name for messages, and the meaning of its answers.
#[derive(Debug, Clone, Copy)]
pub struct Vendor {
    /// The name in messages: `Airbyte`.
    pub name: &'static str,
    /// Parses a failure answer. [`Api`](super::Api) shortens and redacts its texts.
    pub parse_error: fn(&Reply) -> ParsedError,
    /// True if a write with this failure answer had no effect and may be retried. Status 429 always counts.
    pub had_no_effect: fn(&Reply) -> bool,
    /// The solution for a server that cannot be reached: "look at `url` of the instance".
    pub reach: &'static str,
    /// The solution for refused credentials: "look at `token` of the instance".
    pub sign_in: &'static str,
}

impl Vendor {
    /// A vendor with this name, whose failure answers are not parsed, and without solutions.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self { name, parse_error: |_| ParsedError::default(), had_no_effect: |_| false, reach: "", sign_in: "" }
    }
}

/// The purpose of a request, for errors.
#[derive(Debug, Clone, Default)]
pub struct Purpose {
    action: String,
    is_read: bool,
    import_id: Option<String>,
    path: Option<Path>,
    solutions: Vec<String>,
}

impl Purpose {
    /// A change: ``create the source `orders` ``.
    #[must_use]
    pub fn to(action: impl Into<String>) -> Self {
        Self { action: action.into(), ..Self::default() }
    }

    /// A read: ``read the source `orders` ``. A lost answer is only a delay.
    #[must_use]
    pub fn read(action: impl Into<String>) -> Self {
        Self { is_read: true, ..Self::to(action) }
    }

    /// The request creates an object with this id, which may already exist.
    #[must_use]
    pub fn creates(mut self, import_id: impl Into<String>) -> Self {
        self.import_id = Some(import_id.into());
        self
    }

    /// The request concerns this attribute.
    #[must_use]
    pub fn at(mut self, path: Path) -> Self {
        self.path = Some(path);
        self
    }

    /// The solution if the request lacks a permission.
    #[must_use]
    pub fn needs(mut self, solution: impl Into<String>) -> Self {
        self.solutions.push(solution.into());
        self
    }
}

/// The longest part of a vendor's text in a message, in characters.
const LONGEST_TEXT: usize = 2000;

impl Vendor {
    /// Converts a failure. The texts may contain secrets: [`super::Api::error`] redacts them.
    pub(super) fn error(&self, host: &str, failure: &Failure, purpose: &Purpose) -> ProviderError {
        let name = self.name;
        let action = if purpose.action.is_empty() { "do that" } else { purpose.action.as_str() };
        match failure {
            Failure::NotSent(why) => {
                let message = format!("{name} cannot be reached at `{host}`: {why}");
                ProviderError::new(ErrorKind::Transient, message).solution(self.reach)
            }
            Failure::Lost(why) if purpose.is_read => {
                ProviderError::new(ErrorKind::Transient, format!("{name} does not answer: {why}"))
            }
            Failure::Lost(why) => ProviderError::new(
                ErrorKind::Ambiguous,
                format!("{name} may have received the request to {action}, outcome unknown: {why}"),
            ),
            Failure::Unauthorized { code, message } => {
                let message = format!("{name} does not let terrace in: {}", trimmed(message));
                let mut error = ProviderError::new(ErrorKind::PermissionDenied, message).solution(self.sign_in);
                error.vendor_code.clone_from(code);
                error
            }
            Failure::Cancelled => {
                ProviderError::new(ErrorKind::Cancelled, format!("to {action} was stopped before it began"))
            }
            Failure::Refused(why) => {
                let kind = ErrorKind::InvalidInput { path: purpose.path.clone() };
                ProviderError::new(kind, format!("{name} cannot be asked to {action}: {why}"))
            }
            Failure::Answered(reply) => self.refused(reply, purpose, action),
        }
    }

    fn refused(&self, reply: &Reply, purpose: &Purpose, action: &str) -> ProviderError {
        let parsed = (self.parse_error)(reply);
        let kind = match parsed.kind.unwrap_or_else(|| default_kind(reply, purpose)) {
            ErrorKind::InvalidInput { path: None } => ErrorKind::InvalidInput { path: purpose.path.clone() },
            ErrorKind::AlreadyExists { import_id: None } => {
                ErrorKind::AlreadyExists { import_id: purpose.import_id.clone() }
            }
            ErrorKind::Throttled { retry_after: None } => ErrorKind::Throttled { retry_after: reply.retry_after },
            ErrorKind::Ambiguous if purpose.is_read => ErrorKind::Transient,
            kind => kind,
        };
        let why = parsed.message.as_deref().map(trimmed).filter(|text| !text.is_empty());
        let why = why.unwrap_or_else(|| default_message(reply.status).to_owned());
        let name = self.name;
        let message = match &kind {
            ErrorKind::Ambiguous => format!("{name} may have received the request to {action}, outcome unknown: {why}"),
            ErrorKind::PermissionDenied if matches!(reply.status, 401 | 407) => {
                format!("{name} does not let terrace in: {why}")
            }
            ErrorKind::PermissionDenied => format!("the identity of the instance may not {action}: {why}"),
            ErrorKind::Throttled { .. } => format!("{name} is too busy to {action}: {why}"),
            _ => format!("{name} cannot {action}: {why}"),
        };
        let mut error = ProviderError::new(kind, message);
        let status = format!("HTTP {}", reply.status);
        error.vendor_code = Some(parsed.code.map_or_else(|| status.clone(), |code| format!("{code}, {status}")));
        error.problems = parsed.problems.iter().map(|text| trimmed(text)).collect();
        error.solutions = parsed.solutions;
        if error.kind == ErrorKind::PermissionDenied {
            match reply.status {
                401 | 407 => error.solutions.push(self.sign_in.to_owned()),
                _ => error.solutions.extend(purpose.solutions.iter().cloned()),
            }
        }
        if matches!(reply.status, 300..=399 | 405) {
            error.solutions.push(self.reach.to_owned());
        }
        error
    }
}

/// The meaning of a status if the vendor gives none.
fn default_kind(reply: &Reply, purpose: &Purpose) -> ErrorKind {
    let or_transient = |kind: ErrorKind| if purpose.is_read { ErrorKind::Transient } else { kind };
    match reply.status {
        401 | 403 | 407 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        // An earlier attempt with a lost answer may have created it: the engine must look.
        409 if reply.may_have_run => ErrorKind::Ambiguous,
        409 if purpose.import_id.is_some() => ErrorKind::AlreadyExists { import_id: None },
        409 => or_transient(ErrorKind::Failed),
        425 => ErrorKind::Transient,
        429 => ErrorKind::Throttled { retry_after: reply.retry_after },
        503 if purpose.is_read => ErrorKind::Throttled { retry_after: reply.retry_after },
        // A gateway may answer this after it has passed the request on.
        408 | 502..=504 => or_transient(ErrorKind::Ambiguous),
        500..=599 => or_transient(ErrorKind::Failed),
        _ => ErrorKind::InvalidInput { path: None },
    }
}

fn default_message(status: u16) -> &'static str {
    match status {
        300..=399 => "it redirects to another URL",
        401 | 407 => "the credentials are unknown or expired",
        403 => "that is not allowed",
        404 | 410 => "not found",
        405 => "it has no such call",
        408 | 504 => "it took too long",
        409 => "it conflicts with an existing object",
        413 => "the request is too large",
        429 | 503 => "it asks to retry later",
        500..=599 => "it failed without a reason",
        _ => "it gives no reason",
    }
}

/// A vendor's text as part of a sentence.
fn trimmed(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The pause that a throttled answer requests; `None` if it is not throttled.
pub(super) fn pause_of(failure: &Failure) -> Option<Duration> {
    failure.answer()?.retry_after
}
