//! Observers of runs.

use super::outcome::PipelineOutcome;
use std::time::Duration;

/// Observer of a run.
pub trait RunObserver: Send + Sync {
    /// Its environment is being created: `done` of `of` packages are installed.
    fn preparing(&self, pipeline: &str, done: usize, of: usize, message: &str);
    /// The run starts, with this id.
    fn started(&self, pipeline: &str, run: &str);
    /// A step printed a line of its log.
    fn line(&self, pipeline: &str, step: usize, name: &str, line: &str);
    /// Output of a step, counted from 0, of `of` steps.
    fn progress(&self, pipeline: &str, step: usize, of: usize, rows: u64, bytes: u64);
    /// Its steps, and the rows after its last step in the last successful run.
    fn expects(&self, _pipeline: &str, _steps: &[String], _rows: Option<u64>) {}
    /// Warning that does not stop the run.
    fn warned(&self, _pipeline: &str, _what: &str) {}
    /// Another run of it, with this id if known, is in progress; this one waits at most so long.
    fn waits(&self, _pipeline: &str, _run: Option<&str>, _most: Duration) {}
    /// A pipeline of a batch has ended.
    fn ended(&self, _done: &PipelineOutcome) {}
}

/// Observer that ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl RunObserver for NoObserver {
    fn preparing(&self, _pipeline: &str, _done: usize, _of: usize, _what: &str) {}
    fn started(&self, _pipeline: &str, _run: &str) {}
    fn line(&self, _pipeline: &str, _step: usize, _name: &str, _line: &str) {}
    fn progress(&self, _pipeline: &str, _step: usize, _of: usize, _rows: u64, _bytes: u64) {}
}
