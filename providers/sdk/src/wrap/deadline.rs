//! How long calls that change nothing are waited for, and what they failed with until then; and whether anybody waits for
//! more than what is under way.

use crate::ProviderError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

/// The errors of the latest attempts of what is waited for, by the address of the object; without one for what is about
/// no object that is recorded.
#[derive(Debug, Default)]
pub struct Latest(HashMap<String, ProviderError>);

impl Latest {
    /// The temporary error for which an object was asked for again, if there was one.
    #[must_use]
    pub fn of(&self, address: &str) -> Option<&ProviderError> {
        self.0.get(address)
    }

    /// That of a call that is about one object.
    #[must_use]
    pub fn only(self) -> Option<ProviderError> {
        self.0.into_values().next()
    }
}

tokio::task_local! {
    static LATEST: Arc<Mutex<Latest>>;
    static STOP: CancellationToken;
}

/// Works until it is done, whatever is stopped: calls that only look do not wait for their turn any more from then on.
/// There is nothing left but to find out what happened.
pub async fn stoppable<T>(stop: CancellationToken, work: impl Future<Output = T>) -> T {
    STOP.scope(stop, work).await
}

/// What stops the work that makes a call; nothing does where nobody said.
pub(super) fn stop() -> CancellationToken {
    STOP.try_with(Clone::clone).unwrap_or_default()
}

/// How long what is late is still listened to.
const LISTENS: Duration = Duration::from_millis(500);

/// Waits for work at most that long, and hears what has an answer by then: a process that stood still finds its timers over
/// before it hears of the answers that came meanwhile.
///
/// # Errors
/// When there is no answer in time.
pub async fn in_time<W: Future + Unpin>(timeout: Duration, mut work: W) -> Result<W::Output, Elapsed> {
    match tokio::time::timeout(timeout, &mut work).await {
        Err(_) => tokio::time::timeout(LISTENS, work).await,
        answer => answer,
    }
}

/// Waits for calls of a guarded session at most that long.
///
/// # Errors
/// When there is no answer in time: with the temporary errors for which something was tried again.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, Latest> {
    let latest = Arc::<Mutex<Latest>>::default();
    let work = LATEST.scope(Arc::clone(&latest), work);
    tokio::pin!(work);
    in_time(timeout, work)
        .await
        .map_err(|_| std::mem::take(&mut *latest.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Remembers for who waits how an attempt ended: a temporary error is why there is another one.
pub(super) fn remember<T>(address: &str, result: &Result<T, ProviderError>) {
    let error = result.as_ref().err().filter(|error| error.kind.is_temporary());
    // Nobody waits so for calls that change something.
    let _ = LATEST.try_with(|latest| {
        let Latest(latest) = &mut *latest.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => drop(latest.insert(address.to_owned(), error.clone())),
            None => drop(latest.remove(address)),
        }
    });
}
