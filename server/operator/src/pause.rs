//! Pauses between calls that the server refuses.

use crate::record::pause_after;
use crate::server::StartError;
use jiff::Timestamp;
use std::time::Duration;

/// The longest pause after failures whose end the operator does not see: without workers, or without an answer of the server.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(15);

/// Why calls pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server asks for this pause.
    Requested(Duration),
    /// It may end at any time: the pause stays short.
    Outage,
    /// The server refuses the call until a setting changes: the pause grows.
    Refusal,
}

impl Cause {
    /// The cause of a pause after a failed start; `None` if starts go on.
    pub(crate) fn of(error: &StartError) -> Option<Self> {
        match error {
            StartError::Invalid(_) => None,
            StartError::Refused { after: Some(after), .. } | StartError::Unknown { after: Some(after), .. } => {
                Some(Self::Requested(*after))
            }
            StartError::Refused { reason: "NoWorkers", .. } | StartError::Unknown { .. } => Some(Self::Outage),
            StartError::Refused { .. } => Some(Self::Refusal),
        }
    }
}

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

    /// After a call that failed.
    pub(crate) fn refused(&mut self, cause: Cause, now: Timestamp) {
        // Calls that were under way together count once.
        if !self.is_on(now) {
            self.failures = self.failures.saturating_add(1);
        }
        let pause = match cause {
            Cause::Requested(pause) => pause,
            Cause::Outage => pause_after(self.failures).min(LONGEST_OUTAGE_PAUSE),
            Cause::Refusal => pause_after(self.failures),
        };
        let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        self.until = Some(self.until.map_or(until, |before| before.max(until)));
    }

    /// After an accepted call.
    pub(crate) fn accepted(&mut self) {
        *self = Self::default();
    }
}
