//! Waiting for brokers: what the controller has decided is seen by each broker a moment later.

use crate::failure::unseen;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::{Call, ErrorKind, ProviderError};
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

/// Asks until what was written is seen. Brokers that cannot be asked for a while are asked again: they do not take back
/// what they were told. `not_yet` says what is known where nobody sees it in time.
///
/// # Errors
/// When it is not seen: it is there all the same, or may be.
pub(crate) async fn until_seen<T, F, Fut>(call: &Call, not_yet: &str, ask: F) -> Result<T, ProviderError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>, ProviderError>>,
{
    let latest = Mutex::new(None);
    let remember = |error| *latest.lock().unwrap_or_else(PoisonError::into_inner) = error;
    let patient = || async {
        match ask().await {
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
    let seen = until(call, deadline(call), patient).await.map_err(unseen)?;
    seen.ok_or_else(|| match latest.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => unseen(error).problem(not_yet),
        None => ProviderError::new(ErrorKind::Ambiguous, not_yet),
    })
}
