//! Tells expired leases from a clock that jumped.
//!
//! A holder renews its lease every few seconds. The process that finds it expired looks again later: if the lease is unchanged
//! for longer than that, its holder is suspended or hangs. The time is measured by this process alone, so no clock moves it.

use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any holder lets pass without renewing its lease.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most leases that are watched at once.
const MOST: usize = 10_000;

/// The age at which an entry is dropped: its lease was released, or granted again under another id.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// When each lease was first seen to expire then.
#[derive(Debug, Default)]
pub(super) struct LeaseClock(Mutex<HashMap<String, (Timestamp, Instant)>>);

impl LeaseClock {
    /// True as long as the holder of an expired lease may still renew it.
    pub(super) fn may_be_renewed(&self, lease: &str, expires: Timestamp) -> bool {
        self.has_stayed_for(lease, expires) < PATIENCE
    }

    fn has_stayed_for(&self, lease: &str, expires: Timestamp) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST && !seen.contains_key(lease) {
            seen.retain(|_, (_, since)| since.elapsed() < FORGOTTEN);
            if seen.len() >= MOST {
                seen.clear();
            }
        }
        let (then, since) = seen.entry(lease.to_owned()).or_insert_with(|| (expires, Instant::now()));
        if *then != expires {
            (*then, *since) = (expires, Instant::now());
        }
        since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_is_renewed_is_watched_anew() {
        let (watch, expires) = (LeaseClock::default(), Timestamp::UNIX_EPOCH);
        assert!(watch.may_be_renewed("a", expires));
        let since = |watch: &LeaseClock| watch.0.lock().unwrap().get("a").copied().unwrap().1;
        let first = since(&watch);
        assert!(watch.may_be_renewed("a", expires));
        assert_eq!(since(&watch), first);
        assert!(watch.may_be_renewed("a", expires + Duration::from_secs(1)));
        assert!(since(&watch) > first);
        // One that stays as it is is nobody's in the end.
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        watch.0.lock().unwrap().insert("b".to_owned(), (expires, long_ago));
        assert!(!watch.may_be_renewed("b", expires));
    }

    #[test]
    fn no_more_are_watched_than_so_many() {
        let watch = LeaseClock::default();
        assert!((0..3 * MOST).all(|it| watch.may_be_renewed(&it.to_string(), Timestamp::UNIX_EPOCH)));
        assert!(watch.0.lock().unwrap().len() <= MOST);
    }
}
