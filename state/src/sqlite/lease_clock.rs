//! Distinguishes expired leases from a jump of the clock.
//!
//! A holder renews its lease every few seconds. A process that finds a lease expired checks it again later: if it is
//! unchanged for longer than that, its holder is suspended or hangs. The process measures this time with its monotonic
//! clock.

use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any holder waits between renewals.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most watched leases at once.
const MOST: usize = 10_000;

/// The age at which an entry is dropped: its lease was released, or granted again under another ID.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// When each lease was first seen with its expiry.
#[derive(Debug, Default)]
pub(super) struct LeaseClock(Mutex<HashMap<String, (Timestamp, Instant)>>);

impl LeaseClock {
    /// True while the holder of an expired lease may still renew it.
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
    fn renewed_lease_is_watched_from_the_start() {
        let (watch, expires) = (LeaseClock::default(), Timestamp::UNIX_EPOCH);
        assert!(watch.may_be_renewed("a", expires));
        let since = |watch: &LeaseClock| watch.0.lock().unwrap().get("a").copied().unwrap().1;
        let first = since(&watch);
        assert!(watch.may_be_renewed("a", expires));
        assert_eq!(since(&watch), first);
        assert!(watch.may_be_renewed("a", expires + Duration::from_secs(1)));
        assert!(since(&watch) > first);
        // A lease without renewals counts as expired eventually.
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        watch.0.lock().unwrap().insert("b".to_owned(), (expires, long_ago));
        assert!(!watch.may_be_renewed("b", expires));
    }

    #[test]
    fn watched_leases_are_bounded() {
        let watch = LeaseClock::default();
        assert!((0..3 * MOST).all(|it| watch.may_be_renewed(&it.to_string(), Timestamp::UNIX_EPOCH)));
        assert!(watch.0.lock().unwrap().len() <= MOST);
    }
}
