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
/// When there is no answer in time: with the temporary error for which something was tried again, if there was one.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, Option<ProviderError>> {
    let latest = Latest::default();
    let answer = tokio::time::timeout(timeout, LATEST.scope(Arc::clone(&latest), work)).await;
    answer.map_err(|_| latest.lock().unwrap_or_else(PoisonError::into_inner).take())
}

/// Remembers for who waits how an attempt ended: a temporary error is why there is another one.
pub(super) fn remember<T>(result: &Result<T, ProviderError>) {
    let error = result.as_ref().err().filter(|error| error.kind.is_temporary()).cloned();
    // Nobody waits so for calls that change something.
    let _ = LATEST.try_with(|latest| *latest.lock().unwrap_or_else(PoisonError::into_inner) = error);
}
