//! Time limits of reading calls, the errors of their last attempts, and the user's stop.

use crate::ProviderError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

/// The errors of the latest attempts, by the address of the object; the address is empty for calls without a recorded
/// object.
#[derive(Debug, Default)]
pub struct LatestErrors(HashMap<String, ProviderError>);

impl LatestErrors {
    /// The latest temporary error of an object, if there was one.
    #[must_use]
    pub fn of(&self, address: &str) -> Option<&ProviderError> {
        self.0.get(address)
    }

    /// The latest error of a call for a single object.
    #[must_use]
    pub fn only(self) -> Option<ProviderError> {
        self.0.into_values().next()
    }
}

tokio::task_local! {
    static LATEST_ERRORS: Arc<Mutex<LatestErrors>>;
    static STOP: CancellationToken;
}

/// Runs work to its end. After a stop, reading calls no longer wait for the limits: only the outcome matters then.
pub async fn stoppable<T>(stop: CancellationToken, work: impl Future<Output = T>) -> T {
    STOP.scope(stop, work).await
}

/// The stop of the current work; never cancelled by default.
pub(super) fn stop() -> CancellationToken {
    STOP.try_with(Clone::clone).unwrap_or_default()
}

/// Grace period for an answer after the time limit.
const GRACE: Duration = Duration::from_millis(500);

/// Waits for work up to this time, with a grace period for answers that have arrived. After a suspend of the process,
/// timers end before it reads the answers.
///
/// # Errors
/// When there is no answer in time.
pub async fn in_time<W: Future + Unpin>(timeout: Duration, mut work: W) -> Result<W::Output, Elapsed> {
    match tokio::time::timeout(timeout, &mut work).await {
        Err(_) => tokio::time::timeout(GRACE, work).await,
        answer => answer,
    }
}

/// Waits for calls of a guarded session up to this time.
///
/// # Errors
/// When there is no answer in time: the latest temporary errors.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, LatestErrors> {
    let latest = Arc::<Mutex<LatestErrors>>::default();
    let work = LATEST_ERRORS.scope(Arc::clone(&latest), work);
    tokio::pin!(work);
    in_time(timeout, work)
        .await
        .map_err(|_| std::mem::take(&mut *latest.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Records the end of an attempt for the waiting caller: a temporary error explains the next attempt.
pub(super) fn record_attempt<T>(address: &str, result: &Result<T, ProviderError>) {
    let error = result.as_ref().err().filter(|error| error.kind.is_temporary());
    // Changes have no such caller.
    let _ = LATEST_ERRORS.try_with(|latest| {
        let LatestErrors(latest) = &mut *latest.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => drop(latest.insert(address.to_owned(), error.clone())),
            None => drop(latest.remove(address)),
        }
    });
}
