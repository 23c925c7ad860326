//! Retries of runs: failures of the infrastructure may be temporary (network, memory, starts of processes), while a
//! failed step would fail again.

use crate::environment::EnvironmentError;
use crate::executor::End;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Maximum pause.
const LONGEST: Duration = Duration::from_secs(60);

/// Retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Maximum number of retries.
    pub max: u32,
    /// Failures to retry.
    pub on: RetryOn,
    /// Pause before the first retry; it doubles for each further one, up to a minute.
    pub pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 2, on: RetryOn::Infrastructure, pause: Duration::from_secs(2) }
    }
}

/// Failures to retry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RetryOn {
    /// Failures of the infrastructure.
    #[default]
    Infrastructure,
    /// Failures of steps too.
    All,
}

impl RetryOn {
    /// Words in settings.
    pub const WORDS: [(&'static str, Self); 2] = [("infrastructure", Self::Infrastructure), ("all", Self::All)];

    fn covers(self, end: End) -> bool {
        match end {
            End::Broken => true,
            End::Failed => self == Self::All,
            End::Succeeded | End::Cancelled | End::TimedOut | End::Unknown => false,
        }
    }
}

/// A failed attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Start of the attempt.
    pub started_at: Timestamp,
    /// End of the attempt.
    pub finished_at: Timestamp,
    /// Message of the failure.
    #[serde(rename = "what")]
    pub message: String,
}

impl Retries {
    /// Pause after so many failed attempts, the last with this end; nothing if no retry follows.
    pub(super) fn after(&self, failed: usize, end: End) -> Option<Duration> {
        if self.on.covers(end) { self.pause_after(failed) } else { None }
    }

    /// Pause after so many failed attempts to create an environment.
    pub(super) fn after_environment(&self, failed: usize, error: &EnvironmentError) -> Option<Duration> {
        if error.is_transient() { self.pause_after(failed) } else { None }
    }

    fn pause_after(&self, failed: usize) -> Option<Duration> {
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1).min(16));
        (failed <= self.max).then(|| self.pause.saturating_mul(factor).min(LONGEST))
    }
}

/// Message for a failed attempt before a retry.
pub(super) fn retry_message(message: &str, failed: usize, max: u32, pause: Duration) -> String {
    let all = u64::from(max).saturating_add(1);
    format!("attempt {failed} of {all} failed: {message}; the next attempt starts in {} s", pause.as_secs_f64())
}

/// Waits until a time; without a time, for ever.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits; returns false if `stop` is cancelled.
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
        let retries = Retries { max: 7, ..Retries::default() };
        let pauses: Vec<_> = (1..=8).map(|failed| retries.pause_after(failed).map(|it| it.as_secs())).collect();
        assert_eq!(pauses, [Some(2), Some(4), Some(8), Some(16), Some(32), Some(60), Some(60), None]);
        assert_eq!(Retries { max: u32::MAX, ..retries }.pause_after(usize::MAX), Some(LONGEST));
        assert_eq!(Retries { max: 0, ..retries }.pause_after(1), None);
    }

    #[test]
    fn failed_step_is_retried_only_with_all() {
        assert!(RetryOn::Infrastructure.covers(End::Broken) && RetryOn::All.covers(End::Broken));
        assert!(!RetryOn::Infrastructure.covers(End::Failed) && RetryOn::All.covers(End::Failed));
        assert!(!RetryOn::All.covers(End::TimedOut) && !RetryOn::All.covers(End::Cancelled));
    }
}
