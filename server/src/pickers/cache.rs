//! The lists of pickers, kept for a while. Concurrent callers of a list share a call of the provider.

use super::answers::Item;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

/// The most lists that are kept: callers choose parameters.
const MOST: usize = 100;
/// The most objects of all kept lists together, to bound the memory.
const MOST_ITEMS: usize = 200_000;
/// How long a failure is reused, so that waiting callers do not repeat the call one after the other.
const FAILURE: Duration = Duration::from_secs(5);
/// The most concurrent calls of providers for the lists of an environment: operations use the same providers.
const MOST_READS: usize = 4;
/// How long a caller waits for one of these calls.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A list, or why it cannot be read.
pub(super) type Listed = Result<Arc<[Item]>, ListError>;

/// Why a list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListError {
    /// A parameter is wrong, or names no existing object.
    Input(String),
    /// The provider cannot answer. Only the log has the reason.
    Provider(String),
    /// Other lists of the environment are being read for too long.
    Busy,
}

/// The lists by picker and parameters.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Mutex<BTreeMap<String, Slot>>,
    /// The permits to read, by environment.
    reads: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// A list; locked while the list is read.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// A list and the time of its call.
#[derive(Debug)]
struct Kept {
    at: Instant,
    listed: Listed,
}

impl Cache {
    /// The list of a key, at most as old as `age`; a failure is at most 5 s old. `read` calls a provider of the
    /// environment. The call continues without its caller, and the next caller gets its list.
    pub(super) async fn get<F>(self: &Arc<Self>, key: String, environment: &str, age: Duration, read: F) -> Listed
    where
        F: Future<Output = Listed> + Send + 'static,
    {
        let mut kept = self.slot(key).lock_owned().await;
        if let Some(Kept { at, listed }) = &*kept {
            let age = if listed.is_ok() { age } else { age.min(FAILURE) };
            if at.elapsed() < age {
                return listed.clone();
            }
        }
        let Ok(Ok(permit)) = timeout(READ_TIMEOUT, self.reads_of(environment).acquire_owned()).await else {
            return Err(ListError::Busy);
        };
        let cache = Arc::clone(self);
        let reading = async move {
            let listed = read.await;
            drop(permit);
            *kept = Some(Kept { at: Instant::now(), listed: listed.clone() });
            drop(kept);
            cache.drop_oldest();
            listed
        };
        let read = tokio::spawn(reading.in_current_span()).await;
        read.unwrap_or_else(|error| Err(ListError::Provider(format!("the call was interrupted: {error}"))))
    }

    fn slot(&self, key: String) -> Slot {
        Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }

    fn reads_of(&self, environment: &str) -> Arc<Semaphore> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(reads.entry(environment.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(MOST_READS))))
    }

    /// Drops the oldest lists beyond the limits. A list that is being read stays: its callers wait for it.
    fn drop_oldest(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept: Vec<(Option<Instant>, usize, String)> = Vec::new();
        for (key, slot) in slots.iter() {
            let Ok(slot) = slot.try_lock() else { continue };
            let of = |kept: &Kept| (Some(kept.at), kept.listed.as_ref().map_or(0, |items| items.len()));
            let (at, items) = slot.as_ref().map_or((None, 0), of);
            kept.push((at, items, key.clone()));
        }
        kept.sort_by_key(|(at, ..)| Reverse(*at));
        let mut total = 0;
        for (position, (at, items, key)) in kept.into_iter().enumerate() {
            // A slot without a list belongs to an abandoned call.
            if at.is_none() || position >= MOST || total + items > MOST_ITEMS {
                slots.remove(&key);
            } else {
                total += items;
            }
        }
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

    /// A list with this number of objects.
    fn long(items: usize) -> Listed {
        let one = Item { id: "x".to_owned(), value: "x".to_owned(), more: Default::default() };
        Ok(vec![one; items].into())
    }

    /// A cache and the number of calls of the provider.
    #[derive(Default)]
    struct Counted {
        cache: Arc<Cache>,
        calls: Arc<AtomicUsize>,
    }

    impl Counted {
        async fn get_within(&self, key: &str, age: Duration, answer: Listed) -> Listed {
            let calls = Arc::clone(&self.calls);
            let read = async move {
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer
            };
            self.cache.get(key.to_owned(), "test", age, read).await
        }

        async fn get(&self, key: &str, answer: Listed) -> Listed {
            self.get_within(key, MINUTE, answer).await
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::Relaxed)
        }

        fn keys(&self) -> Vec<String> {
            self.cache.slots.lock().unwrap().keys().cloned().collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_call() {
        let counted = Counted::default();
        let answers = futures_util::future::join_all((0..20).map(|_| counted.get("a", list("x")))).await;
        assert!(answers.iter().all(|answer| *answer == list("x")));
        assert_eq!(counted.calls(), 1);
        let _ = counted.get("b", list("y")).await;
        assert_eq!(counted.calls(), 2, "another key");
    }

    #[tokio::test(start_paused = true)]
    async fn list_is_read_again_after_its_time() {
        let counted = Counted::default();
        let _ = counted.get("a", list("x")).await;
        tokio::time::advance(MINUTE - Duration::from_secs(1)).await;
        assert_eq!(counted.get("a", list("y")).await, list("x"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(counted.get("a", list("y")).await, list("y"));
        assert_eq!(counted.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn caller_may_need_a_younger_list() {
        let counted = Counted::default();
        let _ = counted.get("a", list("x")).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(counted.get_within("a", Duration::from_secs(5), list("y")).await, list("y"));
        assert_eq!(counted.get("a", list("z")).await, list("y"), "the younger list replaces the older one");
    }

    #[tokio::test(start_paused = true)]
    async fn failure_is_kept_for_a_short_time() {
        let counted = Counted::default();
        let failure = || Err(ListError::Provider("down".to_owned()));
        assert_eq!(counted.get("a", failure()).await, failure());
        assert_eq!(counted.get("a", list("x")).await, failure());
        tokio::time::advance(FAILURE).await;
        assert_eq!(counted.get("a", list("x")).await, list("x"));
        assert_eq!(counted.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_call_serves_the_next_caller() {
        let counted = Counted::default();
        let abandoned = tokio::time::timeout(Duration::from_millis(1), counted.get("a", list("x"))).await;
        assert!(abandoned.is_err());
        assert_eq!(counted.get("a", list("y")).await, list("x"));
        assert_eq!(counted.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_of_an_environment_are_limited() {
        let counted = Counted::default();
        let hanging = || std::future::pending::<Listed>();
        for number in 0..MOST_READS {
            let read = counted.cache.get(format!("hanging {number}"), "test", MINUTE, hanging());
            assert!(tokio::time::timeout(Duration::from_millis(1), read).await.is_err());
        }
        assert_eq!(counted.get("a", list("x")).await, Err(ListError::Busy));
        assert_eq!(counted.calls(), 0);
        let other = counted.cache.get("a".to_owned(), "other", MINUTE, async { list("y") }).await;
        assert_eq!(other, list("y"), "another environment");
    }

    #[tokio::test(start_paused = true)]
    async fn objects_of_all_lists_are_limited() {
        let counted = Counted::default();
        let third = MOST_ITEMS / 3;
        for key in ["d", "c", "b"] {
            let _ = counted.get(key, long(third)).await;
        }
        let _ = counted.get("a", long(third)).await;
        assert_eq!(counted.keys(), ["a", "b", "c"], "the oldest list is dropped");
        assert_eq!(counted.get("e", long(MOST_ITEMS + 1)).await.map(|items| items.len()), Ok(MOST_ITEMS + 1));
        assert_eq!(counted.keys(), ["a", "b", "c"], "a list beyond the limit is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn number_of_lists_is_limited() {
        let counted = Counted::default();
        for number in 0..2 * MOST {
            let _ = counted.get(&number.to_string(), list("x")).await;
            assert!(counted.keys().len() <= MOST);
        }
    }
}
