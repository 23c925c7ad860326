//! Until when a call is waited for, and who may end it before.

use crate::Call;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a question is waited for where nothing else is said.
const READS: Duration = Duration::from_secs(60);
/// No call takes longer; a clock cannot count further than some centuries.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The time of a call: all its requests, their pauses and what they wait for.
#[derive(Debug, Clone)]
pub struct Within {
    pub(super) deadline: Instant,
    /// Nobody waits any more: what did not begin does not begin. A write that was sent is waited for all the same.
    pub(super) cancel: CancellationToken,
}

impl Within {
    /// The usual time of a call that only looks.
    #[must_use]
    pub fn reading() -> Self {
        Self::time(READS)
    }

    /// So long from now on.
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self { deadline: Instant::now() + time.min(LONGEST), cancel: CancellationToken::new() }
    }

    /// The time of a call that changes something. The last tenth belongs to who waits: a call that is cut off in the middle
    /// has not said what it knows.
    #[must_use]
    pub fn of_call(call: &Call) -> Self {
        let time = (call.timeout - call.timeout / 10).min(LONGEST);
        Self { deadline: Instant::now() + time, cancel: call.cancel.clone() }
    }

    /// The same time, which nobody ends before: for what must not be left half done.
    #[must_use]
    pub fn to_the_end(&self) -> Self {
        Self { deadline: self.deadline, cancel: CancellationToken::new() }
    }

    /// How much of it is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
