//! What every session gets around it: a limit on concurrent calls, retries of temporary errors, trace lines, and texts
//! that repeat nothing sensitive.
//!
//! Providers hold none of this themselves.

mod redacting;

use crate::plan::{PlannedChange, ProposedChange};
use crate::provider::Planned;
use crate::{
    Attempt, Attributes, Call, DataAmount, Finding, Found, Observed, Provider, ProviderError, Recorded, ResourceType,
    Session, Settings,
};
use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How calls to one instance are limited and retried.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls at once.
    pub max_concurrency: usize,
    /// Attempts after the first that a temporary error gets.
    pub retries: usize,
    /// The first pause between attempts; it doubles, with jitter.
    pub first_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrency: 16, retries: 5, first_pause: Duration::from_millis(200) }
    }
}

/// Opens an instance: a session within its limits, whose texts repeat nothing sensitive.
///
/// # Errors
/// When the provider cannot open it.
pub async fn guarded(
    provider: &dyn Provider,
    settings: &Settings,
    limits: Limits,
) -> Result<Arc<dyn Session>, ProviderError> {
    // Innermost, so that trace lines hold what everybody may read.
    let session = redacting::redacting(provider, settings).await?;
    let instance = settings.instance.clone();
    Ok(Arc::new(Guarded { instance, session, slots: Semaphore::new(limits.max_concurrency), limits }))
}

struct Guarded {
    instance: String,
    session: Arc<dyn Session>,
    slots: Semaphore,
    limits: Limits,
}

impl Guarded {
    /// Runs a call, again while its error is temporary and there is time. A pause between attempts holds no slot.
    async fn call<T, F, Fut>(
        &self,
        what: &'static str,
        ty: &str,
        change: Option<&Call>,
        call: F,
    ) -> Result<T, ProviderError>
    where
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let attempt = || async {
            let _slot = self.slots.acquire().await.map_err(|_| ProviderError::bug("the session was closed"))?;
            tracing::trace!(instance = %self.instance, ty, what, "call");
            let result = call().await;
            if let Err(error) = &result {
                tracing::debug!(instance = %self.instance, ty, what, kind = error.kind.code(), %error, "call failed");
            }
            result
        };
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.limits.first_pause)
            .with_max_delay(Duration::from_secs(30))
            .with_max_times(self.limits.retries)
            .with_jitter();
        let began = Instant::now();
        attempt
            .retry(backoff)
            // Once the user stops, nothing new begins: not another attempt either.
            .when(|error| error.kind.is_temporary() && !change.is_some_and(|call| call.cancel.is_cancelled()))
            .adjust(|error, pause| {
                let pause = match &error.kind {
                    crate::ErrorKind::Throttled { retry_after: Some(wanted) } => pause?.max(*wanted),
                    _ => pause?,
                };
                // The last error says more than that the time is over.
                let is_over = change.is_some_and(|call| began.elapsed().saturating_add(pause) >= call.timeout);
                (!is_over).then_some(pause)
            })
            .await
    }
}

#[async_trait]
impl Session for Guarded {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.call("read", ty.name, None, || self.session.read(ty, prior)).await
    }

    async fn read_many(&self, ty: &ResourceType, priors: &[Recorded]) -> Vec<Result<Option<Observed>, ProviderError>> {
        let Ok(slot) = self.slots.acquire().await else {
            return priors.iter().map(|_| Err(ProviderError::bug("the session was closed"))).collect();
        };
        tracing::trace!(instance = %self.instance, ty = ty.name, what = "read", count = priors.len(), "call");
        let mut answers = self.session.read_many(ty, priors).await;
        drop(slot);
        if answers.len() != priors.len() {
            let fault = format!("{} answers to {} questions about `{}`", answers.len(), priors.len(), ty.name);
            return priors.iter().map(|_| Err(ProviderError::bug(fault.clone()))).collect();
        }
        // What a batch answers with a temporary error is asked again on its own, with all patience.
        for (answer, prior) in answers.iter_mut().zip(priors) {
            if answer.as_ref().is_err_and(|error| error.kind.is_temporary()) {
                *answer = self.read(ty, prior).await;
            }
        }
        answers
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        self.session.plan(ty, change).await
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        self.call("create", ty.name, Some(call), || self.session.create(ty, call, planned)).await
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.call("update", ty.name, Some(call), || self.session.update(ty, call, prior, planned)).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        self.call("delete", ty.name, Some(call), || self.session.delete(ty, call, prior)).await
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        self.call("find", ty.name, None, || self.session.find(ty, attempt)).await
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        self.call("import", ty.name, None, || self.session.import(ty, id)).await
    }

    async fn upgrade(&self, ty: &ResourceType, from: u32, stored: Attributes) -> Result<Attributes, ProviderError> {
        self.session.upgrade(ty, from, stored).await
    }

    async fn validate_remote(&self, ty: &ResourceType, planned: &Attributes) -> Vec<Finding> {
        self.session.validate_remote(ty, planned).await
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        self.call("lookup", name, None, || self.session.lookup(name, arguments)).await
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        self.call("count_data", ty.name, None, || self.session.count_data(ty, prior)).await
    }
}
