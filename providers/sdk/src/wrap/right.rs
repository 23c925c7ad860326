//! Until when the calls of a step may begin. Once its intent is written others count on that: they take over what its
//! holder, who may be suspended, was doing, as soon as that can have no effect any more.

use crate::{Call, ErrorKind, ProviderError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A moment, by clocks of which one goes on whatever is suspended.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    running: Instant,
    wall: Timestamp,
}

impl Moment {
    /// This very moment.
    #[must_use]
    pub fn now() -> Self {
        Self { running: Instant::now(), wall: Timestamp::now() }
    }

    /// How long ago it was, at least: the one clock stands still while the machine sleeps, the other may be set back.
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

/// Makes sure that a lease is held, or says why it is not.
pub type Holds = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The right of a step to call its provider.
#[derive(Clone)]
pub struct Right {
    /// Not later than its intent was written: what others take for the beginning of its calls.
    pub since: Moment,
    /// Asked before each attempt.
    pub holds: Holds,
}

impl Right {
    /// Refuses to begin a call that others do not count on any more.
    pub(super) async fn check(&self, call: &Call) -> Result<(), ProviderError> {
        (self.holds)()
            .await
            .map_err(|why| ProviderError::new(ErrorKind::NotBegun, format!("it was not begun: {why}")))?;
        // To make sure of the lease may have taken long, too.
        self.is_in_time(call)
    }

    /// Refuses to begin a call at the end of its time, or after that.
    pub(super) fn is_in_time(&self, call: &Call) -> Result<(), ProviderError> {
        if self.since.elapsed() < patience(call) {
            return Ok(());
        }
        let message = format!("it could not begin early enough in its timeout of {} s", call.timeout.as_secs_f64());
        Err(ProviderError::new(ErrorKind::NotBegun, message)
            .solution("apply again; when nothing was suspended meanwhile, give the resource longer `timeouts`"))
    }
}

/// How long a call may wait before it begins: one that begins at the end of its time would be cut off in the middle.
pub(super) fn patience(call: &Call) -> Duration {
    call.timeout - call.timeout / 10
}

tokio::task_local! {
    static RIGHT: Right;
}

/// Works for a step whose intent is written: calls that change something begin only as long as it has a right to.
pub async fn entitled<T>(right: Right, work: impl Future<Output = T>) -> T {
    RIGHT.scope(right, work).await
}

/// The right of who makes a call; where nobody said, it begins now.
pub(super) fn right() -> Right {
    let unsaid = |_| Right { since: Moment::now(), holds: Arc::new(|| ready(Ok(())).boxed()) };
    RIGHT.try_with(Clone::clone).unwrap_or_else(unsaid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_moment_is_as_long_ago_as_either_clock_says() {
        let hour = Duration::from_secs(3_600);
        let now = Moment::now();
        assert!(now.elapsed() < hour);
        let slept = Moment { wall: now.wall - hour, ..now };
        assert!(slept.elapsed() >= hour);
        let set_back = Moment { wall: now.wall + hour, running: now.running - hour };
        assert!(set_back.elapsed() >= hour);
    }
}
