//! Time limit and cancellation of a call.

use crate::Call;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The default time limit of a read.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Upper limit: a clock cannot count further than some centuries.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The time limit of a call with all its requests, pauses and waits.
#[derive(Debug, Clone)]
pub struct Within {
    pub(super) deadline: Instant,
    /// Cancelled when the caller stops: nothing new begins, but a sent write is awaited.
    pub(super) cancel: CancellationToken,
}

impl Within {
    /// The default time limit of a read.
    #[must_use]
    pub fn reading() -> Self {
        Self::time(READ_TIMEOUT)
    }

    /// A time limit from now on.
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self { deadline: Instant::now() + time.min(MAX_TIMEOUT), cancel: CancellationToken::new() }
    }

    /// The time limit of a change. The last tenth is reserved for the caller: an interrupted call could not report its
    /// results.
    #[must_use]
    pub fn of_call(call: &Call) -> Self {
        let time = (call.timeout - call.timeout / 10).min(MAX_TIMEOUT);
        Self { deadline: Instant::now() + time, cancel: call.cancel.clone() }
    }

    /// The same time limit without cancellation, for work that must not be left half done.
    #[must_use]
    pub fn without_cancellation(&self) -> Self {
        Self { deadline: self.deadline, cancel: CancellationToken::new() }
    }

    /// The remaining time.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
