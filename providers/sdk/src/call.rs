//! Context of a call that changes something: its operation, its time limit, and its progress reports.

use crate::{Attributes, Private, ProviderError, ResourceType, Severity};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One call of one step of an operation.
#[derive(Clone)]
pub struct Call {
    /// The resource's address with its stack: `demo@local:local_file.a`.
    pub address: String,
    /// The operation, for marks and logs.
    pub operation: String,
    /// The step within the operation. Operation and step together identify this call.
    pub step: String,
    /// The time limit of the call, from now on.
    pub timeout: Duration,
    /// True if a delete may also remove the data, because the user asked for it. False for every other call.
    pub removes_data: bool,
    /// Set when the user stops the operation: polling may end early, a write is never abandoned.
    pub cancel: CancellationToken,
    /// Receiver of reports.
    pub progress: Arc<dyn Progress>,
}

/// Receives the reports of a running call.
#[async_trait]
pub trait Progress: Send + Sync {
    /// Reports a line for people. The engine shows it and keeps it in the operation's log, with the sensitive values of
    /// the call redacted.
    fn message(&self, text: &str);

    /// Reports a line with a severity. The default prefixes the line and passes it to [`Progress::message`].
    fn remark(&self, severity: Severity, text: &str) {
        self.message(&with_severity(severity, text));
    }

    /// Records the known parts of the object; returns when the record is durable.
    ///
    /// # Errors
    /// When the record fails: the call should then start nothing more.
    async fn partial(&self, partial: Partial) -> Result<(), ProviderError>;
}

/// A line with its severity as a prefix: `warning: …`.
#[must_use]
pub fn with_severity(severity: Severity, text: &str) -> String {
    match severity {
        Severity::Note => text.to_owned(),
        Severity::Warning => format!("warning: {text}"),
        Severity::Error => format!("error: {text}"),
    }
}

/// Known parts of an object while a long call runs.
#[derive(Debug, Clone, Default)]
pub struct Partial {
    /// The identity, as soon as it is known.
    pub identity: Option<Attributes>,
    /// The bytes that [`crate::Session::find`] needs to recognise this attempt.
    pub private: Option<Private>,
}

impl Partial {
    /// Merges a later report into this one: the newest of each part.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self { identity: later.identity.or(self.identity), private: later.private.or(self.private) }
    }

    /// Identity and private bytes for a search after this call: as reported, otherwise as planned.
    #[must_use]
    pub fn attempted(self, ty: &ResourceType, planned: &Attributes, private: &Private) -> (Attributes, Private) {
        let identity = self.identity.or_else(|| ty.identity_of(planned)).unwrap_or_default();
        (identity, self.private.unwrap_or_else(|| private.clone()))
    }
}

/// A [`Progress`] that drops all reports: for tests and for calls outside operations.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

#[async_trait]
impl Progress for NoProgress {
    fn message(&self, _text: &str) {}

    async fn partial(&self, _partial: Partial) -> Result<(), ProviderError> {
        Ok(())
    }
}
