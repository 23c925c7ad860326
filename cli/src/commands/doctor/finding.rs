//! Findings of the checks.

use crate::failure::Failure;
use crate::report::harmless;
use serde_json::{Value as Json, json};

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) status: Status,
    /// Subject of the check: `state`, `provider sqlite`.
    pub(super) subject: String,
    pub(super) message: String,
    /// The remedy.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn new(status: Status, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, subject: subject.into(), message: message.into(), remedy: None }
    }

    pub(super) fn ok(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Status::Ok, subject, message)
    }

    pub(super) fn warn(subject: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Status::Warn, subject, message) }
    }

    pub(super) fn fail(subject: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Status::Fail, subject, message) }
    }

    /// A finding from the failure of a command.
    pub(super) fn of_failure(subject: impl Into<String>, failure: &Failure) -> Self {
        let message = failure.message.as_deref().unwrap_or("see the errors above");
        let remedy = failure.hints.first().map_or("correct it, then run `terrace doctor` again", String::as_str);
        Self::fail(subject, message, remedy)
    }

    pub(super) fn line(&self) -> String {
        let remedy = self.remedy.iter().map(|remedy| format!("      {}\n", harmless(remedy)));
        let remedy: String = remedy.collect();
        format!("{:<4}  {}: {}\n{remedy}", self.status.word(), self.subject, harmless(&self.message))
    }

    pub(super) fn to_json(&self) -> Json {
        json!({"status": self.status.word(), "what": self.subject, "message": self.message, "mend": self.remedy})
    }
}
