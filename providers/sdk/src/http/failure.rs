//! What is told of requests that went wrong, and what terrace does then.

use super::Reply;
use crate::{ErrorKind, Path, ProviderError};
use std::time::Duration;

/// Why there is no answer, or none that says yes.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The request was never sent: nothing happened.
    NotSent(String),
    /// It was sent, or may have been, and nobody knows what became of it.
    Lost(String),
    /// The other side says no.
    Answered(Box<Reply>),
    /// Who gives out tokens gives none: its code, what it says.
    Unauthorized {
        /// Such as `invalid_client`.
        code: Option<String>,
        /// In words.
        message: String,
    },
    /// Nobody waited any more, and nothing happened.
    Cancelled,
    /// The request cannot be put together.
    Refused(String),
}

impl Failure {
    /// The answer that says no, where there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Reply> {
        match self {
            Self::Answered(reply) => Some(reply),
            _ => None,
        }
    }

    /// The status of the answer that says no.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|reply| reply.status)
    }

    /// Why, in words that repeat nothing of any body.
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

/// What a vendor's answer says.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// The vendor's own code.
    pub code: Option<String>,
    /// What it says, without a period at its end.
    pub message: Option<String>,
    /// What that is; the status decides where it is not said.
    pub kind: Option<ErrorKind>,
    /// Further facts.
    pub problems: Vec<String>,
    /// What a person can do.
    pub solutions: Vec<String>,
}

/// Whom one calls, for messages, and how its errors are read.
#[derive(Debug, Clone, Copy)]
pub struct Vendor {
    /// As messages call it: `Airbyte`.
    pub name: &'static str,
    /// Takes an answer that says no apart. Its texts are cut and redacted by who asks.
    pub said: fn(&Reply) -> Said,
    /// Of an answer that says no to a write: nothing was done, and it can be sent again. Of 429 that is known.
    pub did_nothing: fn(&Reply) -> bool,
    /// What to look at where it cannot be reached: "look at `url` of the instance".
    pub reach: &'static str,
    /// What to look at where it does not let terrace in: "look at `token` of the instance".
    pub sign_in: &'static str,
}

/// What a request is for, as errors tell it.
#[derive(Debug, Clone, Default)]
pub struct Purpose {
    doing: String,
    is_question: bool,
    import_id: Option<String>,
    path: Option<Path>,
    solutions: Vec<String>,
}

impl Purpose {
    /// A change: ``create the source `orders` ``.
    #[must_use]
    pub fn to(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), ..Self::default() }
    }

    /// A question: ``read the source `orders` ``. That its answer is lost is nothing but a delay.
    #[must_use]
    pub fn look(doing: impl Into<String>) -> Self {
        Self { is_question: true, ..Self::to(doing) }
    }

    /// It makes an object of that id, which may be there already.
    #[must_use]
    pub fn makes(mut self, import_id: impl Into<String>) -> Self {
        self.import_id = Some(import_id.into());
        self
    }

    /// It is about that attribute.
    #[must_use]
    pub fn at(mut self, path: Path) -> Self {
        self.path = Some(path);
        self
    }

    /// What helps where it is refused for want of a right.
    #[must_use]
    pub fn needs(mut self, solution: impl Into<String>) -> Self {
        self.solutions.push(solution.into());
        self
    }
}

/// Nobody reads more of a vendor's text.
const LONGEST_TEXT: usize = 2000;

impl Vendor {
    /// The one mapping of failures. The texts may hold secrets: [`super::Api::error`] takes them out.
    pub(super) fn error(&self, host: &str, failure: &Failure, purpose: &Purpose) -> ProviderError {
        let name = self.name;
        let doing = if purpose.doing.is_empty() { "do that" } else { purpose.doing.as_str() };
        match failure {
            Failure::NotSent(why) => {
                let message = format!("{name} cannot be reached at `{host}`: {why}");
                ProviderError::new(ErrorKind::Transient, message).solution(self.reach)
            }
            Failure::Lost(why) if purpose.is_question => {
                ProviderError::new(ErrorKind::Transient, format!("{name} does not answer: {why}"))
            }
            Failure::Lost(why) => ProviderError::new(
                ErrorKind::Ambiguous,
                format!("whether {name} was told to {doing} is not known: {why}"),
            ),
            Failure::Unauthorized { code, message } => {
                let message = format!("{name} does not let terrace in: {}", trimmed(message));
                let mut error = ProviderError::new(ErrorKind::PermissionDenied, message).solution(self.sign_in);
                error.vendor_code.clone_from(code);
                error
            }
            Failure::Cancelled => {
                ProviderError::new(ErrorKind::Cancelled, format!("to {doing} was stopped before it began"))
            }
            Failure::Refused(why) => {
                let kind = ErrorKind::InvalidInput { path: purpose.path.clone() };
                ProviderError::new(kind, format!("{name} cannot be asked to {doing}: {why}"))
            }
            Failure::Answered(reply) => self.refused(reply, purpose, doing),
        }
    }

    fn refused(&self, reply: &Reply, purpose: &Purpose, doing: &str) -> ProviderError {
        let said = (self.said)(reply);
        let kind = match said.kind.unwrap_or_else(|| usual_kind(reply, purpose)) {
            ErrorKind::InvalidInput { path: None } => ErrorKind::InvalidInput { path: purpose.path.clone() },
            ErrorKind::AlreadyExists { import_id: None } => {
                ErrorKind::AlreadyExists { import_id: purpose.import_id.clone() }
            }
            ErrorKind::Throttled { retry_after: None } => ErrorKind::Throttled { retry_after: reply.retry_after },
            ErrorKind::Ambiguous if purpose.is_question => ErrorKind::Transient,
            kind => kind,
        };
        let why = said.message.as_deref().map(trimmed).filter(|text| !text.is_empty());
        let why = why.unwrap_or_else(|| usual_words(reply.status).to_owned());
        let name = self.name;
        let message = match &kind {
            ErrorKind::Ambiguous => format!("whether {name} was told to {doing} is not known: {why}"),
            ErrorKind::PermissionDenied if matches!(reply.status, 401 | 407) => {
                format!("{name} does not let terrace in: {why}")
            }
            ErrorKind::PermissionDenied => format!("who works in the instance may not {doing}: {why}"),
            ErrorKind::Throttled { .. } => format!("{name} has too much to do to {doing}: {why}"),
            _ => format!("{name} cannot {doing}: {why}"),
        };
        let mut error = ProviderError::new(kind, message);
        let status = format!("HTTP {}", reply.status);
        error.vendor_code = Some(said.code.map_or_else(|| status.clone(), |code| format!("{code}, {status}")));
        error.problems = said.problems.iter().map(|text| trimmed(text)).collect();
        error.solutions = said.solutions;
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

/// What a status means where the vendor does not say more.
fn usual_kind(reply: &Reply, purpose: &Purpose) -> ErrorKind {
    let or_question = |kind: ErrorKind| if purpose.is_question { ErrorKind::Transient } else { kind };
    match reply.status {
        401 | 403 | 407 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        // What was made by a request whose answer was lost is told by looking.
        409 if reply.may_have_run => ErrorKind::Ambiguous,
        409 if purpose.import_id.is_some() => ErrorKind::AlreadyExists { import_id: None },
        409 => or_question(ErrorKind::Failed),
        425 => ErrorKind::Transient,
        429 => ErrorKind::Throttled { retry_after: reply.retry_after },
        503 if purpose.is_question => ErrorKind::Throttled { retry_after: reply.retry_after },
        // A gateway says these, too, of what it has passed on.
        408 | 502..=504 => or_question(ErrorKind::Ambiguous),
        500..=599 => or_question(ErrorKind::Failed),
        _ => ErrorKind::InvalidInput { path: None },
    }
}

fn usual_words(status: u16) -> &'static str {
    match status {
        300..=399 => "it names another place instead",
        401 | 407 => "it does not know who asks",
        403 => "that is not allowed",
        404 | 410 => "there is no such thing",
        405 => "there is no such call",
        408 | 504 => "it took too long",
        409 => "it is in conflict with what is there",
        413 => "that is too much at once",
        429 | 503 => "it asks to come again later",
        500..=599 => "it failed, and does not say why",
        _ => "it does not say why",
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

/// How long a throttled answer asks to wait; nothing where it is not throttled.
pub(super) fn pause_of(failure: &Failure) -> Option<Duration> {
    failure.answer()?.retry_after
}
