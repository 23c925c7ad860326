//! How long calls that change nothing are waited for, and what they failed with until then.

use crate::ProviderError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
}

/// Waits for calls of a guarded session at most that long.
///
/// # Errors
/// When there is no answer in time: with the temporary errors for which something was tried again.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, Latest> {
    let latest = Arc::<Mutex<Latest>>::default();
    let answer = tokio::time::timeout(timeout, LATEST.scope(Arc::clone(&latest), work)).await;
    answer.map_err(|_| std::mem::take(&mut *latest.lock().unwrap_or_else(PoisonError::into_inner)))
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
