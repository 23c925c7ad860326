//! Logs an outage once when it starts and once when it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Whether an outage is in progress.
#[derive(Debug, Default)]
pub(crate) struct Outage(AtomicBool);

impl Outage {
    /// Notes a failure; true if it is the first of the outage.
    pub(crate) fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Notes a success; true if it ends an outage.
    pub(crate) fn ends(&self) -> bool {
        // All workers call this often: the load avoids most writes.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// Limits how often an event is logged, and counts the events in between.
#[derive(Debug)]
pub(crate) struct LogThrottle {
    every: Duration,
    last: Mutex<(Option<Instant>, u64)>,
}

impl LogThrottle {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }

    /// Counts an event. Returns the events since the last line of the log when the next line is due.
    pub(crate) fn count(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.1 += 1;
        if last.0.is_some_and(|at| at.elapsed() < self.every) {
            return None;
        }
        last.0 = Some(Instant::now());
        Some(std::mem::take(&mut last.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn flood_is_logged_at_intervals_with_its_count() {
        let seldom = LogThrottle::new(Duration::from_secs(10));
        assert_eq!([seldom.count(), seldom.count(), seldom.count()], [Some(1), None, None]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!([seldom.count(), seldom.count()], [Some(3), None]);
    }

    #[test]
    fn outage_begins_and_ends_once() {
        let outage = Outage::default();
        assert!(!outage.ends());
        for _ in 0..2 {
            assert_eq!([outage.begins(), outage.begins(), outage.ends(), outage.ends()], [true, false, true, false]);
        }
    }
}
