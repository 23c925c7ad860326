//! What a call reported of its object, for whoever looks for that object when the call failed. After a crash the journal
//! says the same.

use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use terrace_provider::{Attributes, Partial, Planned, Private, Progress, ProviderError, ResourceType, Severity};

/// Passes on what a call has to say, and remembers what was recorded of it.
pub(super) struct Heard {
    progress: Arc<dyn Progress>,
    reported: Mutex<Partial>,
}

impl Heard {
    pub(super) fn new(progress: Arc<dyn Progress>) -> Arc<Self> {
        Arc::new(Self { progress, reported: Mutex::default() })
    }

    /// What names the object, and what its provider knows it by: as reported last, else as planned.
    pub(super) fn attempted(&self, ty: &ResourceType, planned: &Planned) -> (Attributes, Private) {
        let Partial { identity, private } = self.reported.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let identity = identity.or_else(|| ty.identity_of(&planned.attributes)).unwrap_or_default();
        (identity, private.unwrap_or_else(|| planned.private.clone()))
    }
}

#[async_trait]
impl Progress for Heard {
    fn message(&self, text: &str) {
        self.progress.message(text);
    }

    fn remark(&self, severity: Severity, text: &str) {
        self.progress.remark(severity, text);
    }

    async fn partial(&self, partial: Partial) -> Result<(), ProviderError> {
        let Partial { identity, private } = partial.clone();
        self.progress.partial(partial).await?;
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.identity = identity.or(reported.identity.take());
        reported.private = private.or(reported.private.take());
        Ok(())
    }
}
