//! What comes with every call that changes something: who asks, until when, and where to report.

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
    /// The step within the operation; operation and step together name this call for ever.
    pub step: String,
    /// How long the call may take from now on.
    pub timeout: Duration,
    /// A delete may take the data along, too: somebody asked for that. False for every other call.
    pub removes_data: bool,
    /// Set when the user wants to stop: polling may end early, a write is never abandoned.
    pub cancel: CancellationToken,
    /// Where to report.
    pub progress: Arc<dyn Progress>,
}

/// Takes what a call has to say while it runs.
#[async_trait]
pub trait Progress: Send + Sync {
    /// A line for people. It is shown and kept in the operation's log, without what is sensitive of what the call was
    /// given.
    fn message(&self, text: &str);

    /// A line of which people should take notice; the same as [`Progress::message`] where nobody tells these apart.
    fn remark(&self, severity: Severity, text: &str) {
        self.message(&remarked(severity, text));
    }

    /// Records what is known of the object so far; returns when that is durable.
    ///
    /// # Errors
    /// When it cannot be recorded: the call should then start nothing more.
    async fn partial(&self, partial: Partial) -> Result<(), ProviderError>;
}

/// How a line of which people should take notice begins where nothing else says so: `warning: …`.
#[must_use]
pub fn remarked(severity: Severity, text: &str) -> String {
    match severity {
        Severity::Note => text.to_owned(),
        Severity::Warning => format!("warning: {text}"),
        Severity::Error => format!("error: {text}"),
    }
}

/// What a long call knows of its object before it ends.
#[derive(Debug, Clone, Default)]
pub struct Partial {
    /// The identity, as soon as there is one.
    pub identity: Option<Attributes>,
    /// Whatever [`crate::Session::find`] needs to recognise this attempt again.
    pub private: Option<Private>,
}

impl Partial {
    /// What is known once more was reported: the newest of each.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self { identity: later.identity.or(self.identity), private: later.private.or(self.private) }
    }

    /// What names the object, and what its provider knows it by, for whoever looks for it: as reported, else as planned.
    #[must_use]
    pub fn attempted(self, ty: &ResourceType, planned: &Attributes, private: &Private) -> (Attributes, Private) {
        let identity = self.identity.or_else(|| ty.identity_of(planned)).unwrap_or_default();
        (identity, self.private.unwrap_or_else(|| private.clone()))
    }
}

/// A [`Progress`] that drops everything: for tests and for calls outside operations.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

#[async_trait]
impl Progress for NoProgress {
    fn message(&self, _text: &str) {}

    async fn partial(&self, _partial: Partial) -> Result<(), ProviderError> {
        Ok(())
    }
}
