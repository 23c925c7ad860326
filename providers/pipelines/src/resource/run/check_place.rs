//! Checks the place of runs in a plan.

use std::time::{Duration, Instant};
use terrace_pipelines::executor::Executor;
use terrace_provider::Finding;
use tokio::sync::Mutex;

/// Time for which an answer holds: a plan asks for each of its runs.
const LIFETIME: Duration = Duration::from_secs(5);

/// Findings about the place of the runs of an instance.
#[derive(Debug, Default)]
pub(super) struct PlaceCheck(Mutex<Option<(Instant, Vec<Finding>)>>);

impl PlaceCheck {
    /// The findings, at most some seconds old.
    pub(super) async fn findings(&self, executor: &dyn Executor) -> Vec<Finding> {
        let mut last = self.0.lock().await;
        if let Some((_, findings)) = last.as_ref().filter(|(at, _)| at.elapsed() < LIFETIME) {
            return findings.clone();
        }
        let findings = executor.findings().await;
        *last = Some((Instant::now(), findings.clone()));
        findings
    }
}
