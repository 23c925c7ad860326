//! What is tried again: what a run stands on may fail for a while (the network, the memory, a process that cannot be
//! started), and a step that fails fails again.

use crate::environment::EnvironmentError;
use crate::executor::{End, Outcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(60);

/// What is tried again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// So often at most, after the first time.
    pub most: u32,
    /// What.
    pub on: RetryOn,
    /// How long to wait before the first of them; twice as long before each after it, up to a minute.
    pub pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { most: 2, on: RetryOn::Infrastructure, pause: Duration::from_secs(2) }
    }
}

/// Which failures are tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RetryOn {
    /// Those of what a run stands on.
    #[default]
    Infrastructure,
    /// Those of steps, too.
    All,
}

impl RetryOn {
    /// The words for it.
    pub const WORDS: [(&'static str, Self); 2] = [("infrastructure", Self::Infrastructure), ("all", Self::All)];

    fn covers(self, end: End) -> bool {
        match end {
            End::Broken => true,
            End::Failed => self == Self::All,
            End::Succeeded | End::Cancelled | End::TimedOut => false,
        }
    }
}

/// A time that a run was tried, and failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// When it failed.
    pub finished_at: Timestamp,
    /// What went wrong.
    pub what: String,
}

impl Retries {
    /// How long to wait after so many attempts failed, the last one like this; nothing where that was the last one.
    pub(super) fn after(&self, failed: usize, outcome: &Outcome) -> Option<Duration> {
        if self.on.covers(outcome.end) { self.pause_after(failed) } else { None }
    }

    /// The same, of an environment.
    pub(super) fn after_environment(&self, failed: usize, error: &EnvironmentError) -> Option<Duration> {
        if error.is_passing() { self.pause_after(failed) } else { None }
    }

    fn pause_after(&self, failed: usize) -> Option<Duration> {
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1).min(16));
        (failed <= self.most).then(|| self.pause.saturating_mul(factor).min(LONGEST))
    }
}

/// What is told of an attempt that failed, where another follows.
pub(super) fn in_words(what: &str, failed: usize, most: u32, pause: Duration) -> String {
    let all = u64::from(most).saturating_add(1);
    format!("attempt {failed} of {all} failed: {what}; the next one begins in {} s", pause.as_secs_f64())
}

/// Waits until then; where nothing is said, without end.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits so long; false where somebody wants to stop.
pub(super) async fn wait(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => true,
        () = stop.cancelled() => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute_and_end() {
        let retries = Retries { most: 7, ..Retries::default() };
        let pauses: Vec<_> = (1..=8).map(|failed| retries.pause_after(failed).map(|it| it.as_secs())).collect();
        assert_eq!(pauses, [Some(2), Some(4), Some(8), Some(16), Some(32), Some(60), Some(60), None]);
        assert_eq!(Retries { most: u32::MAX, ..retries }.pause_after(usize::MAX), Some(LONGEST));
        assert_eq!(Retries { most: 0, ..retries }.pause_after(1), None);
    }

    #[test]
    fn a_step_that_fails_is_tried_again_only_where_somebody_wants_it() {
        assert!(RetryOn::Infrastructure.covers(End::Broken) && RetryOn::All.covers(End::Broken));
        assert!(!RetryOn::Infrastructure.covers(End::Failed) && RetryOn::All.covers(End::Failed));
        assert!(!RetryOn::All.covers(End::TimedOut) && !RetryOn::All.covers(End::Cancelled));
    }
}
