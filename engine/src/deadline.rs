//! How long provider calls are waited for, and what becomes of those that break off.

use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use terrace_provider::wrap::{in_time, within};
use terrace_provider::{Call, ErrorKind, ProviderError};

/// How long a call that outlives its time is waited for, where its effects end with it: what such calls wait for
/// themselves (a lock, a program that was told to end) is over by then.
pub(crate) const GRACE: Duration = Duration::from_secs(15);

/// A call that changes something ended without its result, or did not end at all.
pub(crate) struct Broken {
    /// What is told of it.
    pub(crate) error: ProviderError,
    /// Nobody waits for it any more, and it may go on: what can be seen now is not yet what comes of it.
    pub(crate) may_still_run: bool,
}

/// Waits for a call that changes something: one that does not answer may have happened, or may happen yet. Letting go
/// of it does not stop it where it runs on a thread of its own; so where nothing but its end tells that it can have no
/// effect any more, that is waited for a while longer.
pub(crate) async fn changing<T>(
    call: &Call,
    settle: Duration,
    work: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, Broken> {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::pin!(work);
    let mut answer = in_time(call.timeout, work.as_mut()).await;
    if answer.is_err() && settle.is_zero() {
        call.progress.message(&format!("{}; it is waited for until it ends", late(call.timeout)));
        answer = tokio::time::timeout(GRACE, work).await;
    }
    match answer {
        Ok(Ok(answer)) => answer.map_err(|error| Broken { error, may_still_run: false }),
        Ok(Err(_)) => Err(Broken { error: panicked(ErrorKind::Ambiguous), may_still_run: false }),
        Err(_) => Err(Broken { error: no_answer(ErrorKind::Ambiguous, call.timeout), may_still_run: true }),
    }
}

/// Waits for a call that changes nothing.
pub(crate) async fn reading<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    match within(timeout, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(panicked(ErrorKind::Bug)),
        Err(latest) => Err(late_after(latest.only().as_ref(), timeout)),
    }
}

/// A provider that panics takes its own call down, not those of others: what is asserted to be safe is dropped.
fn panicked(kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, "the provider broke off in the middle of the call")
        .solution("this is a fault of the provider: report it to its author")
}

fn late(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs())
}

/// The error of a call that changes nothing and did not answer: what kept failing until then says why.
pub(crate) fn late_after(latest: Option<&ProviderError>, timeout: Duration) -> ProviderError {
    let late = no_answer(ErrorKind::Transient, timeout);
    match latest {
        Some(latest) => {
            let message = format!("{}; the latest error: {}", late.message, latest.message);
            ProviderError { message, ..latest.clone() }
        }
        None => late,
    }
}

/// The error of a call that did not answer.
pub(crate) fn no_answer(kind: ErrorKind, timeout: Duration) -> ProviderError {
    ProviderError::new(kind, late(timeout))
        .solution("give the resource a longer `timeouts`, or look at what keeps the provider busy")
}
