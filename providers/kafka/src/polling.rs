//! Waiting for brokers: what the controller has decided is seen by each broker a moment later.

use std::future::Future;
use std::time::Duration;
use terrace_provider::{Call, ProviderError};
use tokio::time::{Instant, sleep};

/// The first pause, and the longest.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);

/// When a call has to stop waiting so that it can still say what it knows.
pub(crate) fn deadline(call: &Call) -> Instant {
    let now = Instant::now();
    now.checked_add(call.timeout - call.timeout / 10).unwrap_or(now)
}

/// Asks until there is an answer; nothing where there is none by then, or the user stops.
///
/// # Errors
/// When a question fails.
pub(crate) async fn until<T, F, Fut>(call: &Call, deadline: Instant, ask: F) -> Result<Option<T>, ProviderError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>, ProviderError>>,
{
    let mut pause = FIRST;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(Some(answer));
        }
        if Instant::now() + pause >= deadline {
            return Ok(None);
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = call.cancel.cancelled() => return Ok(None),
        }
        pause = (pause * 2).min(LONGEST);
    }
}
