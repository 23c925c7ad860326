//! Polls brokers until they see a change: each broker learns of the controller's decision a moment later.

use crate::failure::as_ambiguous;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::{Call, ErrorKind, ProviderError};
use tokio::time::{Instant, sleep};

/// The first and the longest pause.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Deadline of the polling of a call; leaves time to report an error.
pub(crate) fn deadline(call: &Call) -> Instant {
    let now = Instant::now();
    now.checked_add(call.timeout - call.timeout / 10).unwrap_or(now)
}

/// Polls until there is an answer; `None` at the deadline or on cancellation.
///
/// # Errors
/// If a poll fails.
pub(crate) async fn until<T, F, Fut>(call: &Call, deadline: Instant, poll: F) -> Result<Option<T>, ProviderError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>, ProviderError>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(answer) = poll().await? {
            return Ok(Some(answer));
        }
        if Instant::now() + pause >= deadline {
            return Ok(None);
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = call.cancel.cancelled() => return Ok(None),
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Polls until a write is visible. Temporary errors are retried: brokers do not undo an accepted write.
/// `timeout_message` is the error text if the write stays invisible until the deadline.
///
/// # Errors
/// If the write stays invisible. The error is ambiguous: the write may have taken effect.
pub(crate) async fn until_visible<T, F, Fut>(call: &Call, timeout_message: &str, poll: F) -> Result<T, ProviderError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>, ProviderError>>,
{
    let latest = Mutex::new(None);
    let remember = |error| *latest.lock().unwrap_or_else(PoisonError::into_inner) = error;
    let tolerant = || async {
        match poll().await {
            Err(error) if error.kind.is_temporary() => {
                remember(Some(error));
                Ok(None)
            }
            answered => {
                remember(None);
                answered
            }
        }
    };
    let visible = until(call, deadline(call), tolerant).await.map_err(as_ambiguous)?;
    visible.ok_or_else(|| match latest.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => as_ambiguous(error).problem(timeout_message),
        None => ProviderError::new(ErrorKind::Ambiguous, timeout_message),
    })
}
