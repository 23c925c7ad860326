//! Time limits for the calls of a step. After the intent is recorded, other operations rely on the limit: they recover
//! the step once its calls can no longer have an effect. Its holder may only be suspended.

use crate::{Call, ErrorKind, ProviderError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A moment on two clocks, at least one of which continues during a suspend.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    running: Instant,
    wall: Timestamp,
}

impl Moment {
    /// The current moment.
    #[must_use]
    pub fn now() -> Self {
        Self { running: Instant::now(), wall: Timestamp::now() }
    }

    /// The time since then, at least. One clock stops while the machine sleeps, the other may be set back.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let by_wall = Duration::try_from(Timestamp::now().duration_since(self.wall)).unwrap_or_default();
        self.running.elapsed().max(by_wall)
    }

    #[cfg(test)]
    pub(super) fn ago(time: Duration) -> Self {
        Self { wall: Timestamp::now() - time, ..Self::now() }
    }
}

/// Checks that a lease is held, or returns the reason that it is not.
pub type LeaseCheck = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Permission of a step to call its provider.
#[derive(Clone)]
pub struct CallPermit {
    /// At or before the time of its intent, from which other operations count the time of its calls.
    pub since: Moment,
    /// Checked before each attempt.
    pub lease_check: LeaseCheck,
}

impl CallPermit {
    /// Refuses to begin a call that other operations no longer expect.
    pub(super) async fn check(&self, call: &Call) -> Result<(), ProviderError> {
        (self.lease_check)()
            .await
            .map_err(|why| ProviderError::new(ErrorKind::NotBegun, format!("it did not begin: {why}")))?;
        // The check of the lease may have taken long, too.
        self.is_in_time(call)
    }

    /// Refuses to begin a call at or after the end of its time.
    pub(super) fn is_in_time(&self, call: &Call) -> Result<(), ProviderError> {
        if self.since.elapsed() < start_limit(call) {
            return Ok(());
        }
        let message = format!("it could not begin early enough in its timeout of {} s", call.timeout.as_secs_f64());
        Err(ProviderError::new(ErrorKind::NotBegun, message)
            .solution("apply again; if nothing was suspended, set longer `timeouts` for the resource"))
    }
}

/// Time that a call may wait before it begins: a later one would be interrupted.
pub(super) fn start_limit(call: &Call) -> Duration {
    call.timeout - call.timeout / 10
}

tokio::task_local! {
    static PERMIT: CallPermit;
}

/// Runs a step whose intent is recorded: changes begin only while the step has a permit.
pub async fn with_permit<T>(permit: CallPermit, work: impl Future<Output = T>) -> T {
    PERMIT.scope(permit, work).await
}

/// The permit of the current step; without one, a permit that begins now.
pub(super) fn current_permit() -> CallPermit {
    let default = |_| CallPermit { since: Moment::now(), lease_check: Arc::new(|| ready(Ok(())).boxed()) };
    PERMIT.try_with(Clone::clone).unwrap_or_else(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn elapsed_time_is_the_longer_of_both_clocks() {
        let hour = Duration::from_secs(3_600);
        let now = Moment::now();
        assert!(now.elapsed() < hour);
        let slept = Moment { wall: now.wall - hour, ..now };
        assert!(slept.elapsed() >= hour);
        let set_back = Moment { wall: now.wall + hour, running: now.running - hour };
        assert!(set_back.elapsed() >= hour);
    }
}
