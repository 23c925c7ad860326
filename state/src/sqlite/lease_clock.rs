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
const RENEWAL_GRACE: Duration = Duration::from_secs(20);

/// The most watched leases at once.
const MOST: usize = 10_000;

/// The age at which an entry is dropped: its lease was released, or granted again under another ID.
const DROP_AFTER: Duration = Duration::from_secs(600);

/// When each lease was first seen with its expiry.
#[derive(Debug, Default)]
pub(super) struct LeaseClock(Mutex<HashMap<String, (Timestamp, Instant)>>);

impl LeaseClock {
    /// True while the holder of an expired lease may still renew it.
    pub(super) fn may_be_renewed(&self, lease: &str, expires: Timestamp) -> bool {
        self.unchanged_for(lease, expires) < RENEWAL_GRACE
    }

    fn unchanged_for(&self, lease: &str, expires: Timestamp) -> Duration {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST && !entries.contains_key(lease) {
            entries.retain(|_, (_, since)| since.elapsed() < DROP_AFTER);
            if entries.len() >= MOST {
                entries.clear();
            }
        }
        let (then, since) = entries.entry(lease.to_owned()).or_insert_with(|| (expires, Instant::now()));
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
        let (clock, expires) = (LeaseClock::default(), Timestamp::UNIX_EPOCH);
        assert!(clock.may_be_renewed("a", expires));
        let since = |clock: &LeaseClock| clock.0.lock().unwrap().get("a").copied().unwrap().1;
        let first = since(&clock);
        assert!(clock.may_be_renewed("a", expires));
        assert_eq!(since(&clock), first);
        assert!(clock.may_be_renewed("a", expires + Duration::from_secs(1)));
        assert!(since(&clock) > first);
        // A lease without renewals counts as expired eventually.
        let long_ago = Instant::now().checked_sub(RENEWAL_GRACE).unwrap();
        clock.0.lock().unwrap().insert("b".to_owned(), (expires, long_ago));
        assert!(!clock.may_be_renewed("b", expires));
    }

    #[test]
    fn watched_leases_are_bounded() {
        let clock = LeaseClock::default();
        assert!((0..3 * MOST).all(|it| clock.may_be_renewed(&it.to_string(), Timestamp::UNIX_EPOCH)));
        assert!(clock.0.lock().unwrap().len() <= MOST);
    }
}
