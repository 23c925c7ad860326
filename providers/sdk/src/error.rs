//! The one error of providers: its kind decides what the engine does next, its texts are for people.

use crate::{Observed, Path};
use std::fmt;
use std::time::Duration;

/// What went wrong, as far as the engine must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object is not there.
    NotFound,
    /// An object of that identity is there and is not ours; its import id when the provider knows it.
    AlreadyExists {
        /// What `terrace import` would be given.
        import_id: Option<String>,
    },
    /// The planned values cannot work.
    InvalidInput {
        /// The attribute at fault.
        path: Option<Path>,
    },
    /// The instance is told too little to ask anybody: nothing says where its system is, or how to sign in there. What is
    /// looked for there cannot have been made by it.
    NotConfigured,
    /// The configured identity may not do this.
    PermissionDenied,
    /// Too many calls; retried after the pause.
    Throttled {
        /// The pause that the service asks for.
        retry_after: Option<Duration>,
    },
    /// It did not happen and may work the next time; retried.
    Transient,
    /// It may have happened: a timeout after the request was sent. Never retried without `find`; an object that `find`
    /// recognises counts as made.
    Ambiguous,
    /// It ran and failed, and nothing is pending: something half-made may be there, which `find` tells.
    Failed,
    /// The call was cancelled before it had any effect.
    Cancelled,
    /// The limits of the instance, or the user's stop, kept the call from its provider: nothing happened. What is around
    /// a session says so, no provider does.
    NotBegun,
    /// The provider itself is at fault.
    Bug,
}

impl ErrorKind {
    /// The one question that the retry wrapper asks.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Transient)
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

/// A provider call failed.
#[derive(Debug, Clone)]
pub struct ProviderError {
    /// What the engine acts on.
    pub kind: ErrorKind,
    /// What went wrong, in one sentence. What is sensitive of what the call was given is taken out of it.
    pub message: String,
    /// The vendor's own code, when it gave one.
    pub vendor_code: Option<String>,
    /// Further facts, one a line.
    pub problems: Vec<String>,
    /// What a person can do about it.
    pub solutions: Vec<String>,
    /// The object that is there although the call failed: it is recorded, tainted after a create.
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

    /// The instance is told too little to ask anybody; the message says what is missing.
    #[must_use]
    pub fn unconfigured(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotConfigured, message)
    }

    /// The provider itself is at fault.
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

    /// Adds a way out.
    #[must_use]
    pub fn solution(mut self, solution: impl Into<String>) -> Self {
        self.solutions.push(solution.into());
        self
    }

    /// The error with those of its further facts that it does not say, where there is one line for all of it.
    #[must_use]
    pub fn with_problems(&self) -> String {
        let told = self.to_string();
        let more = self.problems.iter().filter(|problem| !told.contains(problem.as_str()));
        let more: String = more.map(|problem| format!("; {problem}")).collect();
        told + &more
    }

    /// Adds the object that is there although the call failed.
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
