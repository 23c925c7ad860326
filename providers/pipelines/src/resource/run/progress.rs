//! Reports a run's progress, for people.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use terrace_pipelines::run::RunObserver;
use terrace_provider::Progress;

/// Minimum time between two reports of an environment. [`RunObserver::progress`] has its own limit.
const PERIOD: Duration = Duration::from_secs(1);

/// Forwards a run's progress to the call.
pub(in crate::resource) struct RunReporter<'a> {
    progress: &'a dyn Progress,
    pipeline: &'a str,
    /// Of the environment.
    last_report: Mutex<Option<Instant>>,
}

impl<'a> RunReporter<'a> {
    pub(in crate::resource) const fn new(progress: &'a dyn Progress, pipeline: &'a str) -> Self {
        Self { progress, pipeline, last_report: Mutex::new(None) }
    }

    /// Reports the progress of the environment.
    pub(in crate::resource) fn environment(&self, done: usize, of: usize, what: &str) {
        if self.is_time() {
            self.progress.message(&format!("Python environment: {done} of {of} packages, {what}"));
        }
    }

    fn is_time(&self) -> bool {
        let mut last_report = self.last_report.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last_report.is_none_or(|at| at.elapsed() >= PERIOD);
        if is_time {
            *last_report = Some(Instant::now());
        }
        is_time
    }
}

impl RunObserver for RunReporter<'_> {
    fn preparing(&self, _pipeline: &str, done: usize, of: usize, what: &str) {
        self.environment(done, of, what);
    }

    fn started(&self, _pipeline: &str, run: &str) {
        self.progress.message(&format!("run {run} of {}", self.pipeline));
    }

    fn line(&self, _pipeline: &str, _step: usize, _name: &str, _line: &str) {}

    fn warned(&self, _pipeline: &str, what: &str) {
        self.progress.message(what);
    }

    fn waits(&self, _pipeline: &str, run: Option<&str>, _most: Duration) {
        let run = run.map_or_else(|| "another run of it".to_owned(), |run| format!("run {run}"));
        self.progress.message(&format!("waiting for {run} to end"));
    }

    fn progress(&self, _pipeline: &str, step: usize, of: usize, rows: u64, _bytes: u64) {
        // Only rows of the last step count.
        if step + 1 == of && rows > 0 {
            self.progress.message(&format!("processed {rows} rows"));
        }
    }
}
