//! What is told of a run while it goes: now and then, for people.

use crate::run::Watching;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use terrace_provider::Progress;

/// How often it is told how far a run is.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells a call's progress.
pub(in crate::resource) struct Telling<'a> {
    progress: &'a dyn Progress,
    pipeline: &'a str,
    told: Mutex<Option<Instant>>,
}

impl<'a> Telling<'a> {
    pub(in crate::resource) const fn new(progress: &'a dyn Progress, pipeline: &'a str) -> Self {
        Self { progress, pipeline, told: Mutex::new(None) }
    }

    /// How far its environment is.
    pub(in crate::resource) fn environment(&self, done: usize, of: usize, what: &str) {
        if self.is_time() {
            self.progress.message(&format!("Python environment: {done} of {of} packages, {what}"));
        }
    }

    fn is_time(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = told.is_none_or(|at| at.elapsed() >= PERIOD);
        if is_time {
            *told = Some(Instant::now());
        }
        is_time
    }
}

impl Watching for Telling<'_> {
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
        self.progress.message(&format!("waiting for {run}, which goes on"));
    }

    fn progress(&self, _pipeline: &str, step: usize, of: usize, rows: u64, _bytes: u64) {
        // What comes out of the last step is what counts.
        if step + 1 == of && rows > 0 && self.is_time() {
            self.progress.message(&format!("processed {rows} rows"));
        }
    }
}
