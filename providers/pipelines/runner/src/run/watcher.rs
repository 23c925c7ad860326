//! Forwards events of a run to its log, its hooks and its observer.

use super::hooks::Hooks;
use super::live_rows::LiveRows;
use super::log::{Reader, Writer};
use super::observer::RunObserver;
use crate::environment;
use crate::executor::{JobObserver, StepOutcome};
use jiff::Timestamp;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    /// Folder of the run.
    pub(super) run_folder: &'a Path,
    pub(super) rows: LiveRows,
    /// Number of lines that an interrupted process has logged already.
    pub(super) logged: AtomicUsize,
}

impl Watcher<'_> {
    /// Returns true for a line that the log has already.
    fn is_logged(&self) -> bool {
        self.logged.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// Number of lines of steps in the log of a run after the last line with this text, which belongs to no step.
fn count_lines_after(run_folder: &Path, text: &str) -> Option<usize> {
    let lines = Reader::new(run_folder).lines().ok()?;
    let start = lines.iter().rposition(|line| line.step == 0 && line.line == text)?;
    Some(lines.iter().skip(start).filter(|line| line.step > 0).count())
}

impl JobObserver for Watcher<'_> {
    fn line(&self, step: usize, at: Timestamp, line: &str) {
        if self.is_logged() {
            return;
        }
        let name = self.names.get(step).map_or("", String::as_str);
        let line = self.log.write(at, step.saturating_add(self.first + 1), name, line);
        self.hooks.line(name, &line);
        self.observer.line(self.pipeline, step.saturating_add(self.first), name, &line);
    }

    fn progress(&self, step: usize, rows: u64, bytes: u64) {
        self.rows.note(step.saturating_add(self.first), rows);
        self.observer.progress(self.pipeline, step.saturating_add(self.first), self.of, rows, bytes);
    }

    fn ended(&self, step: usize, outcome: &StepOutcome) {
        if outcome.exit_code != Some(0) && !self.is_logged() {
            let name = self.names.get(step).map_or("", String::as_str);
            let message = crate::executor::describe_end(outcome);
            self.log.write(Timestamp::now(), step.saturating_add(self.first + 1), name, &message);
        }
    }

    fn preparing(&self, done: usize, of: usize, message: &str) {
        self.observer.preparing(self.pipeline, done, of, message);
    }

    fn runs_at(&self, place: &str) {
        let logged = count_lines_after(self.run_folder, place);
        self.logged.store(logged.unwrap_or(0), Ordering::SeqCst);
        if logged.is_none() {
            self.rows.restart();
            self.note(place);
        }
    }

    fn note(&self, line: &str) {
        self.log.write(Timestamp::now(), 0, "", line);
    }

    fn warned(&self, line: &str) {
        self.log.warn(line);
        self.observer.warned(self.pipeline, line);
    }
}

#[cfg(test)]
mod tests {
    use super::super::hooks::HookTimeouts;
    use super::super::live_rows::rows_so_far;
    use super::super::log::Masks;
    use super::super::observer::NoObserver;
    use super::*;

    #[test]
    fn log_has_each_line_once_and_rows_do_not_decrease_if_a_place_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-12-01T06:00:00Z".parse().unwrap();
        let names = ["load".to_owned()];
        let hooks = Hooks::new(&[], "./x", HookTimeouts::default());
        let watcher = |log| Watcher {
            pipeline: "./x",
            of: 1,
            first: 0,
            names: &names,
            log,
            hooks: &hooks,
            observer: &NoObserver,
            run_folder: folder.path(),
            rows: LiveRows::continued(folder.path(), 1),
            logged: AtomicUsize::new(0),
        };
        let log = Writer::create(folder.path(), Masks::default()).unwrap();
        let interrupted = watcher(&log);
        interrupted.runs_at("pod a");
        ["one", "two"].iter().for_each(|line| interrupted.line(0, at, line));
        interrupted.progress(0, 500, 9);
        let log = Writer::append(folder.path(), Masks::default()).unwrap();
        let next = watcher(&log);
        next.runs_at("pod a");
        ["one", "two", "three"].iter().for_each(|line| next.line(0, at, line));
        next.progress(0, 1, 9);
        assert_eq!(rows_so_far(folder.path()), 500);
        next.ended(0, &StepOutcome { exit_code: Some(1), ..StepOutcome::default() });
        next.runs_at("pod b");
        assert_eq!(rows_so_far(folder.path()), 0, "its steps begin again");
        next.line(0, at, "one");
        let lines = Reader::new(folder.path()).lines().unwrap();
        assert!(lines.iter().filter(|line| line.line == "one").all(|line| line.at == at), "{lines:?}");
        let lines: Vec<String> = lines.into_iter().map(|line| line.line).collect();
        assert_eq!(lines, ["pod a", "one", "two", "three", "it ended with exit code 1", "pod b", "one"]);
    }
}
