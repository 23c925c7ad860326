//! How long a call that changes nothing is waited for, and what it failed with until then.

use crate::ProviderError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The error of the latest attempt of whatever is waited for.
type Latest = Arc<Mutex<Option<ProviderError>>>;

tokio::task_local! {
    static LATEST: Latest;
}

/// Waits for calls of a guarded session at most that long.
///
/// # Errors
/// When there is no answer in time: with the temporary error for which it was tried again and again, if there was one.
/// It says more than that the time is over.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, Option<ProviderError>> {
    let latest = Latest::default();
    let answer = tokio::time::timeout(timeout, LATEST.scope(Arc::clone(&latest), work)).await;
    answer.map_err(|_| latest.lock().unwrap_or_else(PoisonError::into_inner).take())
}

/// Remembers an error for who waits.
pub(super) fn remember(error: &ProviderError) {
    // Nobody waits in a test of the wrapper alone.
    let _ = LATEST.try_with(|latest| {
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    });
}
