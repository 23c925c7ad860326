//! Forwards events of a run to its log, its hooks and its observer.

use super::hooks::Hooks;
use super::log::Writer;
use super::observer::RunObserver;
use crate::environment;
use crate::executor::{JobObserver, StepOutcome};

/// Forwards the progress of an environment.
pub(super) struct EnvironmentProgress<'a> {
    pub(super) pipeline: &'a str,
    pub(super) observer: &'a dyn RunObserver,
}

impl environment::EnvironmentObserver for EnvironmentProgress<'_> {
    fn progress(&self, done: usize, of: usize, what: &str) {
        self.observer.preparing(self.pipeline, done, of, what);
    }
}

/// Writes the log, and forwards events.
pub(super) struct Watcher<'a> {
    pub(super) pipeline: &'a str,
    /// Number of steps.
    pub(super) of: usize,
    /// Position of the first step that runs.
    pub(super) first: usize,
    pub(super) names: &'a [String],
    pub(super) log: &'a Writer,
    pub(super) hooks: &'a Hooks,
    pub(super) observer: &'a dyn RunObserver,
}

impl JobObserver for Watcher<'_> {
    fn line(&self, step: usize, line: &str) {
        let name = self.names.get(step).map_or("", String::as_str);
        let line = self.log.write(step + self.first + 1, name, line);
        self.hooks.line(name, &line);
        self.observer.line(self.pipeline, step + self.first, name, &line);
    }

    fn progress(&self, step: usize, rows: u64, bytes: u64) {
        self.observer.progress(self.pipeline, step + self.first, self.of, rows, bytes);
    }

    fn ended(&self, step: usize, outcome: &StepOutcome) {
        if outcome.exit_code != Some(0) {
            let name = self.names.get(step).map_or("", String::as_str);
            self.log.write(step + self.first + 1, name, &crate::executor::describe_end(outcome));
        }
    }
}
