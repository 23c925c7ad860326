//! Time limits of provider calls, and the errors of calls that time out or panic.

use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use terrace_provider::wrap::{in_time, within};
use terrace_provider::{Call, ErrorKind, ProviderError};
use terrace_store::GRACE;

/// A changing call that ended without a result, or did not end.
pub struct UnfinishedCall {
    /// The error to report.
    pub error: ProviderError,
    /// The engine stopped waiting, and the call may still run: reads of the object may show a state that is not final.
    pub may_still_run: bool,
}

/// Waits for a call that changes something. Without an answer, the change may have happened or may still happen:
/// dropping the future does not stop work on another thread. If only the end of the call proves that it has no more
/// effect (`settle` is zero), the engine waits for [`GRACE`] longer.
pub async fn call_changing<T>(
    call: &Call,
    settle: Duration,
    work: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, UnfinishedCall> {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::pin!(work);
    let mut answer = in_time(call.timeout, work.as_mut()).await;
    if answer.is_err() && settle.is_zero() {
        call.progress.message(&format!("{}; waiting for it to end", timeout_message(call.timeout)));
        answer = tokio::time::timeout(GRACE, work).await;
    }
    match answer {
        Ok(Ok(answer)) => answer.map_err(|error| UnfinishedCall { error, may_still_run: false }),
        Ok(Err(_)) => Err(UnfinishedCall { error: panicked(ErrorKind::Ambiguous), may_still_run: false }),
        Err(_) => Err(UnfinishedCall { error: timeout_error(ErrorKind::Ambiguous, call.timeout), may_still_run: true }),
    }
}

/// Waits for a call that changes nothing.
pub async fn call_reading<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    match within(timeout, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(panicked(ErrorKind::Bug)),
        Err(latest) => Err(read_timeout_error(latest.only().as_ref(), timeout)),
    }
}

/// The error of a call that panicked. Only this call fails; the panicked future is dropped, so `AssertUnwindSafe`
/// holds.
fn panicked(kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, "the provider panicked during the call")
        .solution("this is a bug of the provider: report it to its author")
}

fn timeout_message(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs())
}

/// The error of a reading call that timed out. It quotes the latest error before the timeout as the likely cause.
pub(crate) fn read_timeout_error(latest: Option<&ProviderError>, timeout: Duration) -> ProviderError {
    let error = timeout_error(ErrorKind::Transient, timeout);
    match latest {
        Some(latest) => {
            let message = format!("{}; the latest error: {}", error.message, latest.message);
            ProviderError { message, ..latest.clone() }
        }
        None => error,
    }
}

/// The error of a call that timed out.
pub(crate) fn timeout_error(kind: ErrorKind, timeout: Duration) -> ProviderError {
    ProviderError::new(kind, timeout_message(timeout))
        .solution("set longer `timeouts` of the resource, or find out what keeps the provider busy")
}
