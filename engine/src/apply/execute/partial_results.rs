//! Partial results of a call: what it reported of its object, to find the object after the call failed. After a crash the
//! journal holds the same.

use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use terrace_provider::{Attributes, Partial, Planned, Private, Progress, ProviderError, ResourceType, Severity};

/// Passes on what a call has to say, and remembers what was recorded of it.
pub(super) struct PartialResults {
    progress: Arc<dyn Progress>,
    reported: Mutex<Partial>,
}

impl PartialResults {
    pub(super) fn new(progress: Arc<dyn Progress>) -> Arc<Self> {
        Arc::new(Self { progress, reported: Mutex::default() })
    }

    /// What names the object, and what its provider knows it by: as reported last, else as planned.
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
