//! How long provider calls are waited for, and what becomes of those that break off.

use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use terrace_provider::{ErrorKind, ProviderError};

/// Waits for a call that changes something: one that does not answer may have happened.
pub(crate) async fn changing<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    answer(ErrorKind::Ambiguous, ErrorKind::Ambiguous, timeout, call).await
}

/// Waits for a call that changes nothing.
pub(crate) async fn reading<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    answer(ErrorKind::Transient, ErrorKind::Bug, timeout, call).await
}

/// A provider that panics takes its own call down, not those of others: what is asserted to be safe is dropped.
async fn answer<T>(
    late: ErrorKind,
    panicked: ErrorKind,
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    match tokio::time::timeout(timeout, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(ProviderError::new(panicked, "the provider broke off in the middle of the call")
            .solution("this is a fault of the provider: report it to its author")),
        Err(_) => Err(no_answer(late, timeout)),
    }
}

/// The error of a call that did not answer.
pub(crate) fn no_answer(kind: ErrorKind, timeout: Duration) -> ProviderError {
    ProviderError::new(kind, format!("no answer within {} s", timeout.as_secs()))
        .solution("give the resource a longer `timeouts`, or look at what keeps the provider busy")
}
