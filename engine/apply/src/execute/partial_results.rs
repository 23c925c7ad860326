//! Partial results of a call: identity and private data that it reported, to find the object after the call failed. The journal
//! holds the same for recovery after a crash.

use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use terrace_provider::{Attributes, Partial, Planned, Private, Progress, ProviderError, ResourceType, Severity};

/// Forwards the progress of a call, and remembers its partial results.
pub(super) struct PartialResults {
    progress: Arc<dyn Progress>,
    reported: Mutex<Partial>,
}

impl PartialResults {
    pub(super) fn new(progress: Arc<dyn Progress>) -> Arc<Self> {
        Arc::new(Self { progress, reported: Mutex::default() })
    }

    /// The identity and private data of the object: as last reported, or else as planned.
    pub(super) fn attempted(&self, ty: &ResourceType, planned: &Planned) -> (Attributes, Private) {
        let reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reported.attempted(ty, &planned.attributes, &planned.private)
    }
}

#[async_trait]
impl Progress for PartialResults {
    fn message(&self, text: &str) {
        self.progress.message(text);
    }

    fn remark(&self, severity: Severity, text: &str) {
        self.progress.remark(severity, text);
    }

    async fn partial(&self, partial: Partial) -> Result<(), ProviderError> {
        self.progress.partial(partial.clone()).await?;
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        *reported = std::mem::take(&mut *reported).then(partial);
        Ok(())
    }
}
