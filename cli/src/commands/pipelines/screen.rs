//! Progress of runs: on a terminal a line for each run, with rows, rate and steps, and a bar if the number of rows is
//! known. Elsewhere a line from time to time.

use super::format;
use super::logs::LogLine;
use crate::failure::Failure;
use crate::report::harmless;
use crate::ui::Ui;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use terrace_pipelines::run::RunObserver;
use terrace_pipelines::run::batch::PipelineOutcome;

/// Interval of movements of a running bar.
const TICK: Duration = Duration::from_millis(120);
/// Interval of progress lines without a terminal.
const PERIOD: Duration = Duration::from_secs(10);
/// Template without a known number of rows. The message is cut to the width of the terminal and all else is short: a
/// wrapped bar would leave its first line on the screen.
const PLAIN: &str = "{spinner} ({elapsed}) {wide_msg}";
const WITH_BAR: &str = "{spinner} [{bar:16}] {percent} % ({elapsed}) {wide_msg}";

/// Shows the progress of runs.
pub(super) struct Screen {
    ui: Ui,
    /// Prints log lines of steps.
    is_verbose: bool,
    /// Prints progress lines without a terminal.
    has_lines: bool,
    bars: Option<MultiProgress>,
    pipelines: Mutex<HashMap<String, Shown>>,
    /// Time of the last line about each environment in preparation.
    preparing: Mutex<HashMap<String, Instant>>,
    /// The reason why a result could not be printed.
    print_failure: Mutex<Option<Failure>>,
}

/// A pipeline.
struct Shown {
    bar: Option<ProgressBar>,
    run: Run,
    printed_at: Instant,
}

/// The progress of a run.
#[derive(Debug)]
struct Run {
    begun: Instant,
    /// The steps, and the rows that each wrote so far.
    steps: Vec<(String, u64)>,
    /// Rows of the last step in the last successful run.
    expected: Option<u64>,
}

impl Run {
    fn new() -> Self {
        Self { begun: Instant::now(), steps: Vec::new(), expected: None }
    }

    fn take(&mut self, step: usize, of: usize, rows: u64) {
        if self.steps.len() < of {
            self.steps.resize(of, (String::new(), 0));
        }
        if let Some(step) = self.steps.get_mut(step) {
            step.1 = rows;
        }
    }

    /// Rows that the last step wrote.
    fn rows(&self) -> u64 {
        self.steps.last().map_or(0, |(_, rows)| *rows)
    }

    /// Rows so far and expected rows; `None` if the run has more rows than the last one.
    fn share(&self) -> Option<(u64, u64)> {
        self.expected.map(|expected| (self.rows(), expected)).filter(|(rows, expected)| rows <= expected)
    }

    /// The progress in dpp's words, with the rate.
    fn in_words(&self, since: Duration) -> String {
        let rows = self.rows();
        if rows == 0 {
            return match self.steps.iter().any(|(_, rows)| *rows > 0) {
                true => "RUNNING".to_owned(),
                false => "WAITING FOR OUTPUT".to_owned(),
            };
        }
        // A process needs more than a millisecond before its first row.
        let milliseconds = since.as_millis().max(1);
        let rate = u128::from(rows).saturating_mul(1000) / milliseconds;
        format!("RUNNING, processed {rows} rows, {rate}/s")
    }

    /// Each step by number and name, with its rows. Runs at another place have the rows of their last step only.
    fn steps_in_words(&self) -> String {
        if self.steps.iter().all(|(name, _)| name.is_empty()) {
            return String::new();
        }
        let mut text = String::new();
        for (position, (name, rows)) in self.steps.iter().enumerate() {
            let before = if position == 0 { "" } else { ", " };
            let between = if name.is_empty() { "" } else { " " };
            let _ = write!(text, "{before}{}{between}{name}: {rows}", position + 1);
        }
        text
    }
}

impl Screen {
    pub(super) fn new(ui: &Ui, is_verbose: bool, is_json: bool) -> Self {
        let bars = (ui.is_stderr_terminal() && !ui.is_quiet && !is_json).then(MultiProgress::new);
        Self {
            ui: ui.clone(),
            is_verbose,
            has_lines: !is_json,
            bars,
            pipelines: Mutex::default(),
            preparing: Mutex::default(),
            print_failure: Mutex::default(),
        }
    }

    /// Removes the bars from the screen.
    ///
    /// # Errors
    /// When the result of a run could not be printed.
    pub(super) fn clear(&self) -> Result<(), Failure> {
        for (_, shown) in self.locked().drain() {
            shown.bar.inspect(ProgressBar::finish_and_clear);
        }
        self.print_failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Removes the bar of a pipeline, and prints the line of its result.
    pub(super) fn finish(&self, pipeline: &str, line: Option<String>) {
        if let Some(shown) = self.locked().remove(pipeline) {
            shown.bar.inspect(ProgressBar::finish_and_clear);
        }
        let Some(line) = line.filter(|_| self.has_lines) else { return };
        if let Err(failure) = self.with_hidden_bars(|| self.ui.print(&line)) {
            self.print_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        }
    }

    /// A poisoned lock holds only display state.
    fn locked(&self) -> MutexGuard<'_, HashMap<String, Shown>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without a terminal, prints the start and end of an environment's preparation, and lines in between from time to
    /// time.
    fn is_line_due(&self, pipeline: &str, done: usize, of: usize) -> bool {
        let mut preparing = self.preparing.lock().unwrap_or_else(PoisonError::into_inner);
        if done == of {
            preparing.remove(pipeline);
            return true;
        }
        let is_due = preparing.get(pipeline).is_none_or(|printed_at| printed_at.elapsed() >= PERIOD);
        if is_due {
            preparing.insert(pipeline.to_owned(), Instant::now());
        }
        is_due
    }

    fn print_note(&self, text: &str) {
        let text = harmless(text);
        self.with_hidden_bars(|| self.ui.print_note(&text));
    }

    /// Does something while the bars are hidden.
    pub(super) fn with_hidden_bars<T>(&self, action: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(action),
            None => action(),
        }
    }

    /// Shows a line from the log of a run elsewhere: a warning, or a line of a step if it is wanted.
    pub(super) fn log_line(&self, pipeline: &str, line: &LogLine) {
        match line.is_warning {
            true => self.warned(pipeline, &line.line),
            false => self.line(pipeline, line.step.saturating_sub(1), &line.name, &line.line),
        }
    }

    /// Prints why a run of the queue does not start.
    pub(super) fn waits_for(&self, pipeline: &str, reason: &str) {
        self.print_note(&format!("{pipeline}: waiting for {reason}"));
    }

    /// Prints why no worker takes runs of the queue.
    pub(super) fn workers_fail(&self, reason: &str) {
        self.print_note(&format!("warning: {reason}"));
    }

    /// Redraws a pipeline after a change.
    fn show(&self, pipeline: &str, change: impl FnOnce(&mut Run), words: Option<String>) {
        let mut pipelines = self.locked();
        let shown = pipelines.entry(pipeline.to_owned()).or_insert_with(|| Shown {
            bar: self.bars.as_ref().map(begun),
            run: Run::new(),
            printed_at: Instant::now(),
        });
        change(&mut shown.run);
        let text = words.unwrap_or_else(|| shown.run.in_words(shown.run.begun.elapsed()));
        let line = harmless(&format!("{pipeline}: {text}")).replace('\n', " ");
        let steps = harmless(&shown.run.steps_in_words()).replace('\n', " ");
        if let Some(bar) = &shown.bar {
            draw(bar, shown.run.share(), format!("{line} {steps}").trim_end().to_owned());
        } else if self.has_lines && shown.run.rows() > 0 && shown.printed_at.elapsed() >= PERIOD {
            shown.printed_at = Instant::now();
            let steps = if steps.is_empty() { steps } else { format!(" ({steps})") };
            self.ui.print_note(&format!("{line}{steps}"));
        }
    }
}

fn begun(bars: &MultiProgress) -> ProgressBar {
    let bar = bars.add(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
    bar.set_style(style(PLAIN));
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_spinner()).progress_chars("=> ")
}

fn draw(bar: &ProgressBar, share: Option<(u64, u64)>, line: String) {
    match share {
        Some((rows, expected)) => {
            if bar.length() != Some(expected) {
                bar.set_length(expected);
                bar.set_style(style(WITH_BAR));
            }
            bar.set_position(rows);
        }
        None if bar.length().is_some() => {
            bar.unset_length();
            bar.set_style(style(PLAIN));
        }
        None => {}
    }
    bar.set_message(line);
}

impl RunObserver for Screen {
    fn preparing(&self, pipeline: &str, done: usize, of: usize, what: &str) {
        let words = format!("PREPARING, {done} of {of} packages, {what}");
        match &self.bars {
            Some(_) => self.show(pipeline, |_| {}, Some(words)),
            None if self.is_line_due(pipeline, done, of) => self.print_note(&format!("{pipeline}: {words}")),
            None => {}
        }
    }

    fn started(&self, pipeline: &str, run: &str) {
        self.show(pipeline, |_| {}, None);
        if self.is_verbose {
            self.print_note(&format!("[{pipeline}] run {run}"));
        }
    }

    fn line(&self, pipeline: &str, _step: usize, name: &str, line: &str) {
        if self.is_verbose {
            self.print_note(&format!("[{pipeline}] >>> {name}: {line}"));
        }
    }

    fn progress(&self, pipeline: &str, step: usize, of: usize, rows: u64, _bytes: u64) {
        if rows > 0 {
            self.show(pipeline, |run| run.take(step, of, rows), None);
        }
    }

    fn expects(&self, pipeline: &str, steps: &[String], rows: Option<u64>) {
        let begins = |run: &mut Run| {
            let steps = steps.iter().map(|name| (name.clone(), 0)).collect();
            *run = Run { begun: Instant::now(), steps, expected: rows };
        };
        self.show(pipeline, begins, None);
    }

    fn warned(&self, pipeline: &str, what: &str) {
        self.print_note(&format!("warning: {pipeline}: {what}"));
    }

    fn waits(&self, pipeline: &str, run: Option<&str>, most: Duration) {
        let run = run.map_or_else(|| "another run of it".to_owned(), |run| format!("run {run}"));
        self.print_note(&format!("{pipeline}: waiting up to {} s for the end of {run}", most.as_secs()));
    }

    fn ended(&self, done: &PipelineOutcome) {
        self.finish(&done.pipeline, format::line(done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_rows_rate_and_steps() {
        let mut run = Run { expected: Some(50_000), ..Run::new() };
        run.steps = vec![("noise".to_owned(), 0), ("dump_to_path".to_owned(), 0)];
        let since = Duration::from_secs(8);
        assert_eq!(run.in_words(since), "WAITING FOR OUTPUT");
        run.take(0, 2, 26_000);
        assert_eq!((run.in_words(since).as_str(), run.share()), ("RUNNING", Some((0, 50_000))));
        run.take(1, 2, 25_000);
        assert_eq!(run.in_words(since), "RUNNING, processed 25000 rows, 3125/s");
        assert_eq!(run.steps_in_words(), "1 noise: 26000, 2 dump_to_path: 25000");
        assert_eq!(run.share(), Some((25_000, 50_000)));
        // With more rows than the last run, the total is unknown.
        run.take(1, 2, 50_001);
        assert_eq!(run.share(), None);
        assert_eq!(run.in_words(Duration::ZERO), "RUNNING, processed 50001 rows, 50001000/s");
    }
}
