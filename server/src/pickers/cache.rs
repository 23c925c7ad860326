//! The lists of pickers, kept for a while. Concurrent callers of a list share a call of the provider.

use super::answers::Item;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most lists that are kept: callers choose parameters.
const MOST: usize = 100;
/// The most objects of a kept list, to bound the memory; a longer list is read again for each call.
const MOST_ITEMS: usize = 20_000;
/// How long a failure is reused, so that waiting callers do not repeat the call one after the other.
const FAILURE: Duration = Duration::from_secs(5);

/// A list, or why it cannot be read.
pub(super) type Listed = Result<Arc<[Item]>, ListError>;

/// Why a list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListError {
    /// A parameter is wrong, or names no existing object.
    Input(String),
    /// The provider cannot answer. Only the log has the reason.
    Provider(String),
}

/// The lists by picker and parameters.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
}

/// A list and its expiry; locked while the list is read.
type Slot = tokio::sync::Mutex<Option<(Instant, Listed)>>;

impl Cache {
    /// The list of a key. Keeps the list that `read` returns for this time.
    pub(super) async fn get<F>(&self, key: String, time: Duration, read: impl FnOnce() -> F) -> Listed
    where
        F: Future<Output = Listed>,
    {
        let slot = self.slot(key);
        let mut kept = slot.lock().await;
        if let Some((until, listed)) = &*kept
            && Instant::now() < *until
        {
            return listed.clone();
        }
        let listed = read().await;
        let time = match &listed {
            Ok(items) if items.len() > MOST_ITEMS => {
                *kept = None;
                return listed;
            }
            Ok(_) => time,
            Err(_) => time.min(FAILURE),
        };
        *kept = Some((Instant::now() + time, listed.clone()));
        listed
    }

    fn slot(&self, key: String) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(&key) {
            // A list that is being read stays: its callers wait for it.
            let now = Instant::now();
            slots.retain(|_, slot| match slot.try_lock() {
                Ok(kept) => kept.as_ref().is_some_and(|(until, _)| now < *until),
                Err(_) => true,
            });
            if slots.len() >= MOST {
                slots.retain(|_, slot| slot.try_lock().is_err());
            }
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const MINUTE: Duration = Duration::from_secs(60);

    fn list(id: &str) -> Listed {
        let (id, value) = (id.to_owned(), id.to_owned());
        Ok(vec![Item { id, value, more: Default::default() }].into())
    }

    /// Gets a list, and counts the calls of the provider.
    async fn get(cache: &Cache, key: &str, calls: &AtomicUsize, answer: Listed) -> Listed {
        cache
            .get(key.to_owned(), MINUTE, || async {
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer
            })
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_call() {
        let (cache, calls) = (Cache::default(), AtomicUsize::new(0));
        let all = (0..20).map(|_| get(&cache, "a", &calls, list("x")));
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(|answer| *answer == list("x")));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let _ = get(&cache, "b", &calls, list("y")).await;
        assert_eq!(calls.load(Ordering::Relaxed), 2, "another key");
    }

    #[tokio::test(start_paused = true)]
    async fn list_is_read_again_after_its_time() {
        let (cache, calls) = (Cache::default(), AtomicUsize::new(0));
        let _ = get(&cache, "a", &calls, list("x")).await;
        tokio::time::advance(MINUTE - Duration::from_secs(1)).await;
        assert_eq!(get(&cache, "a", &calls, list("y")).await, list("x"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(get(&cache, "a", &calls, list("y")).await, list("y"));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn failure_is_kept_for_a_short_time() {
        let (cache, calls) = (Cache::default(), AtomicUsize::new(0));
        let failure = || Err(ListError::Provider("down".to_owned()));
        assert_eq!(get(&cache, "a", &calls, failure()).await, failure());
        assert_eq!(get(&cache, "a", &calls, list("x")).await, failure());
        tokio::time::advance(FAILURE).await;
        assert_eq!(get(&cache, "a", &calls, list("x")).await, list("x"));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_call_is_repeated_by_the_next_caller() {
        let (cache, calls) = (Cache::default(), AtomicUsize::new(0));
        let abandoned = tokio::time::timeout(Duration::from_millis(1), get(&cache, "a", &calls, list("x"))).await;
        assert!(abandoned.is_err());
        assert_eq!(get(&cache, "a", &calls, list("y")).await, list("y"));
    }

    #[tokio::test(start_paused = true)]
    async fn long_list_is_not_kept() {
        let (cache, calls) = (Cache::default(), AtomicUsize::new(0));
        let Ok(one) = list("x") else { panic!() };
        let long: Listed = Ok(one.iter().cycle().take(MOST_ITEMS + 1).cloned().collect());
        for _ in 0..2 {
            assert_eq!(get(&cache, "a", &calls, long.clone()).await, long);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn number_of_lists_is_limited() {
        let (cache, calls) = (Cache::default(), AtomicUsize::new(0));
        for number in 0..2 * MOST {
            let _ = get(&cache, &number.to_string(), &calls, list("x")).await;
            assert!(cache.slots.lock().unwrap().len() <= MOST);
        }
    }
}
