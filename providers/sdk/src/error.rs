//! The error type of providers: its kind decides the engine's next action, its texts are for people.

use crate::{Observed, Path};
use std::fmt;
use std::time::Duration;

/// The message of an error and those of its causes, each once.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Kinds of failure that the engine distinguishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object does not exist.
    NotFound,
    /// An object of that identity exists and this resource did not create it; with its import id if the provider knows
    /// it.
    AlreadyExists {
        /// The id for `terrace import`.
        import_id: Option<String>,
    },
    /// The planned values cannot work.
    InvalidInput {
        /// The attribute at fault.
        path: Option<Path>,
    },
    /// The settings lack the address or the credentials of the system. This instance cannot have created any object
    /// there.
    NotConfigured,
    /// The configured identity lacks the permission.
    PermissionDenied,
    /// Too many calls; the engine retries after the pause.
    Throttled {
        /// The pause that the service requests.
        retry_after: Option<Duration>,
    },
    /// The call had no effect and may succeed next time; the engine retries it.
    Transient,
    /// The call may have taken effect: a timeout after the request was sent. The engine calls `find` before any retry.
    /// An object that `find` recognises counts as created.
    Ambiguous,
    /// The call ran and failed, and nothing is pending. A partial object may exist; `find` reports it.
    Failed,
    /// The call was cancelled before it had any effect.
    Cancelled,
    /// The limits of the instance, or the user's stop, kept the call from the provider: it had no effect. Only the
    /// wrappers of a session use this kind.
    NotBegun,
    /// A mistake in the provider.
    Bug,
}

impl ErrorKind {
    /// True if the retry wrapper may repeat the call.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Transient)
    }

    /// For an error of connecting: true if the settings are at fault, and false if the system does not answer.
    #[must_use]
    pub fn is_about_settings(&self) -> bool {
        matches!(self, Self::InvalidInput { .. } | Self::NotConfigured)
    }

    /// A stable word for JSON, logs and state.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::InvalidInput { .. } => "invalid_input",
            Self::NotConfigured => "not_configured",
            Self::PermissionDenied => "permission_denied",
            Self::Throttled { .. } => "throttled",
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::NotBegun => "not_begun",
            Self::Bug => "provider_bug",
        }
    }
}

/// A failed provider call.
#[derive(Debug, Clone)]
pub struct ProviderError {
    /// The kind, for the engine.
    pub kind: ErrorKind,
    /// The failure, in one sentence. The wrapper redacts the sensitive values of the call.
    pub message: String,
    /// The vendor's own code, when it gave one.
    pub vendor_code: Option<String>,
    /// Further facts, one per line.
    pub problems: Vec<String>,
    /// Possible solutions.
    pub solutions: Vec<String>,
    /// The object that exists although the call failed: the engine records it, tainted after a create.
    pub object: Option<Box<Observed>>,
}

impl ProviderError {
    /// An error of that kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            vendor_code: None,
            problems: Vec::new(),
            solutions: Vec::new(),
            object: None,
        }
    }

    /// The planned values cannot work.
    #[must_use]
    pub fn invalid(path: Option<Path>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput { path }, message)
    }

    /// The settings lack an address or credentials; the message names the missing part.
    #[must_use]
    pub fn unconfigured(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotConfigured, message)
    }

    /// A mistake in the provider.
    #[must_use]
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// Adds a further fact.
    #[must_use]
    pub fn problem(mut self, problem: impl Into<String>) -> Self {
        self.problems.push(problem.into());
        self
    }

    /// Adds a possible solution.
    #[must_use]
    pub fn solution(mut self, solution: impl Into<String>) -> Self {
        self.solutions.push(solution.into());
        self
    }

    /// All solutions in one sentence, for a diagnostic.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        (!self.solutions.is_empty()).then(|| self.solutions.join("; or "))
    }

    /// The error on one line, with the further facts that its message does not contain.
    #[must_use]
    pub fn with_problems(&self) -> String {
        let message = self.to_string();
        let more = self.problems.iter().filter(|problem| !message.contains(problem.as_str()));
        let more: String = more.map(|problem| format!("; {problem}")).collect();
        message + &more
    }

    /// Adds the object that exists although the call failed.
    #[must_use]
    pub fn with_object(mut self, object: Observed) -> Self {
        self.object = Some(Box::new(object));
        self
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.vendor_code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProviderError {}
