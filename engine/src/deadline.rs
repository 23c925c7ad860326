//! How long provider calls are waited for.

use std::time::Duration;
use terrace_provider::{ErrorKind, ProviderError};

/// Waits for a call that changes something: one that does not answer may have happened.
pub(crate) async fn changing<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| Err(no_answer(ErrorKind::Ambiguous, timeout)))
}

/// Waits for a call that changes nothing.
pub(crate) async fn reading<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| Err(no_answer(ErrorKind::Transient, timeout)))
}

/// The error of a call that did not answer.
pub(crate) fn no_answer(kind: ErrorKind, timeout: Duration) -> ProviderError {
    ProviderError::new(kind, format!("no answer within {} s", timeout.as_secs()))
        .solution("give the resource a longer `timeouts`, or look at what keeps the provider busy")
}
