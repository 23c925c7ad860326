//! Time limits for the start of a pod.

use std::time::Duration;
use tokio::time::Instant;

/// Time for which a pod may wait for its node or its image.
pub(super) const START: Duration = Duration::from_secs(600);
/// Time for which the node may try again to start a pod: its pauses double from 10 s on.
pub(super) const FAILING: Duration = Duration::from_secs(120);
/// Time without a failure after which it counts as ended. The kubelet tries again after 10 to 15 s, and may report other events
/// meanwhile: <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/kubelet/kubelet.go> (`backOffPeriod`).
const RECOVERY: Duration = Duration::from_secs(30);

/// A time limit that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// [`START`].
    Start,
    /// [`FAILING`].
    Failing,
}

/// Measures the time until a pod starts.
#[derive(Debug)]
pub(super) struct StartClock {
    since: Instant,
    failure: Option<Failure>,
}

/// A failure that the node tries to overcome.
#[derive(Debug)]
struct Failure {
    cause: String,
    since: Instant,
    last: Instant,
}

impl StartClock {
    /// A clock that starts now.
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), failure: None }
    }

    /// Starts again: a pod has started, or no pod may start yet.
    pub(super) fn restart(&mut self) {
        *self = Self::new();
    }

    /// Notes that the pod waits. Returns the limit that has passed.
    pub(super) fn waits(&mut self) -> Option<Passed> {
        self.failure = self.failure.take().filter(|failure| failure.last.elapsed() < RECOVERY);
        self.start_limit()
    }

    /// Notes that the pod cannot start for this cause. Returns the limit that has passed. Another cause has the whole time.
    pub(super) fn fails(&mut self, cause: &str) -> Option<Passed> {
        let now = Instant::now();
        let same = self.failure.take().filter(|before| before.cause == cause && before.last.elapsed() < RECOVERY);
        let since = same.map_or(now, |before| before.since);
        self.failure = Some(Failure { cause: cause.to_owned(), since, last: now });
        if since.elapsed() > FAILING { Some(Passed::Failing) } else { self.start_limit() }
    }

    fn start_limit(&self) -> Option<Passed> {
        (self.since.elapsed() > START).then_some(Passed::Start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a pod each second for a time; returns the second at which a limit passes.
    async fn look(seconds: u64, mut look: impl FnMut() -> Option<Passed>) -> Option<(u64, Passed)> {
        for second in 1..=seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            if let Some(passed) = look() {
                return Some((second, passed));
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn failure_after_a_long_wait_has_the_whole_time() {
        let mut clock = StartClock::new();
        assert_eq!(look(10, || clock.fails("FailedMount")).await, None);
        // The volume is mounted, and the pull of a large image begins.
        assert_eq!(look(200, || clock.waits()).await, None);
        assert_eq!(look(119, || clock.fails("FailedMount")).await, None, "the former failure has ended");
        assert_eq!(look(9, || clock.fails("FailedMount")).await, Some((3, Passed::Failing)));
    }

    #[tokio::test(start_paused = true)]
    async fn failure_of_another_cause_has_the_whole_time() {
        let mut clock = StartClock::new();
        assert_eq!(look(119, || clock.fails("FailedMount")).await, None);
        assert_eq!(look(121, || clock.fails("image")).await, None);
        assert_eq!(look(9, || clock.fails("image")).await, Some((1, Passed::Failing)));
    }

    #[tokio::test(start_paused = true)]
    async fn short_wait_between_two_tries_is_part_of_a_failure() {
        let mut clock = StartClock::new();
        let mut second = 0;
        let passed = look(300, || {
            second += 1;
            if second % 15 == 1 { clock.fails("FailedCreatePodSandBox") } else { clock.waits() }
        });
        assert_eq!(passed.await, Some((136, Passed::Failing)));
    }

    #[tokio::test(start_paused = true)]
    async fn start_is_limited_although_causes_alternate() {
        let mut clock = StartClock::new();
        let mut second = 0_u64;
        let passed = look(700, || {
            second += 1;
            clock.fails(if second.is_multiple_of(2) { "FailedMount" } else { "image" })
        });
        assert_eq!(passed.await, Some((601, Passed::Start)));
        clock.restart();
        assert_eq!(look(600, || clock.waits()).await, None);
        assert_eq!(look(9, || clock.waits()).await, Some((1, Passed::Start)));
    }
}
