//! Pauses between calls that the server refuses.

use crate::record::pause_after;
use jiff::Timestamp;
use std::time::Duration;

/// The pause of all calls of a kind. One call tests whether the server accepts them again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pause {
    failures: i64,
    until: Option<Timestamp>,
}

impl Pause {
    /// Whether calls wait.
    pub(crate) fn is_on(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The number of calls that may be made at once.
    pub(crate) fn most(&self, usual: usize) -> usize {
        if self.failures > 0 { 1 } else { usual }
    }

    /// After a refused call. `requested` is the pause that the server asks for; without it, the pause grows.
    pub(crate) fn refused(&mut self, requested: Option<Duration>, now: Timestamp) {
        // Calls that were under way together count once.
        if !self.is_on(now) {
            self.failures = self.failures.saturating_add(1);
        }
        let pause = requested.unwrap_or_else(|| pause_after(self.failures));
        let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        self.until = Some(self.until.map_or(until, |before| before.max(until)));
    }

    /// After an accepted call.
    pub(crate) fn accepted(&mut self) {
        *self = Self::default();
    }
}
