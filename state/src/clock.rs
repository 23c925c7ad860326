//! The store's clock, which stamps rows and ends leases.
//!
//! A small trait, so that a test can let hours pass. Nothing else in the crate reads the time.

use jiff::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// True for the system clock. A store that several machines write then uses the database's time, because the clocks
    /// of machines differ.
    fn is_system_clock(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn is_system_clock(&self) -> bool {
        true
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock at that time.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self(Mutex::new(time))
    }

    /// Moves the time forward, at most to the maximum.
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *time = later(*time, by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time after a duration, at most the maximum.
pub(crate) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The time before a duration, at least the minimum.
pub(crate) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// The duration since a time; zero if the clock was set back meanwhile.
pub(crate) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
