//! Checks the place of runs in a plan.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use terrace_pipelines::execution_options::ExecutionOptions;
use terrace_pipelines::executor::Executor;
use terrace_provider::Finding;
use tokio::sync::Mutex;

/// Time for which an answer holds: a plan asks for each of its runs.
const LIFETIME: Duration = Duration::from_secs(5);

/// Findings about the place of the runs of an instance, by the options of runs.
#[derive(Debug, Default)]
pub(super) struct PlaceCheck(Mutex<BTreeMap<ExecutionOptions, (Instant, Vec<Finding>)>>);

impl PlaceCheck {
    /// The findings, at most some seconds old.
    pub(super) async fn findings(&self, executor: &dyn Executor, options: ExecutionOptions) -> Vec<Finding> {
        let mut last = self.0.lock().await;
        if let Some((_, findings)) = last.get(&options).filter(|(at, _)| at.elapsed() < LIFETIME) {
            return findings.clone();
        }
        let findings = executor.findings(&options).await;
        last.insert(options, (Instant::now(), findings.clone()));
        findings
    }
}
