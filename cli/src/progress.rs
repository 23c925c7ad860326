//! Progress of an apply: bars on a terminal, lines elsewhere, JSON lines for programs.

use crate::report::harmless;
use crate::ui::Ui;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use terrace_engine::address::{Address, StackId};
use terrace_engine::event::{Event, Events};
use terrace_engine::plan::Plan;
use terrace_engine::render::steps::Steps;
use terrace_engine::render::stream::Applying;

/// Interval of movements of a running bar.
const TICK: Duration = Duration::from_millis(120);

/// Shows events as they happen.
pub(crate) struct Progress {
    ui: Ui,
    form: Form,
    steps: Steps,
}

/// Forms of progress.
enum Form {
    Bars(Box<Bars>),
    Lines,
    Json(Mutex<Applying>),
}

/// A bar for the operation and a line for each running resource.
struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl Progress {
    /// For people: bars on a terminal, else a line for each event.
    pub(crate) fn for_people(ui: &Ui, has_several_stacks: bool) -> Arc<Self> {
        Self::shown_on(ui, Steps::new(has_several_stacks))
    }

    /// Progress of a plan's steps, with its imports.
    pub(crate) fn of_plan(ui: &Ui, plan: &Plan) -> Arc<Self> {
        Self::shown_on(ui, Steps::of_plan(plan))
    }

    fn shown_on(ui: &Ui, steps: Steps) -> Arc<Self> {
        let form = if ui.is_stderr_terminal() && !ui.is_quiet {
            let bars = Bars::new(ProgressDrawTarget::stderr());
            ui.set_bars(Some(bars.all.clone()));
            Form::Bars(Box::new(bars))
        } else {
            Form::Lines
        };
        Arc::new(Self { ui: ui.clone(), form, steps })
    }

    /// For programs: one JSON object a line, on standard output.
    pub(crate) fn for_programs(ui: &Ui, has_several_stacks: bool) -> Arc<Self> {
        let form = Form::Json(Mutex::new(Applying::new(has_several_stacks)));
        Arc::new(Self { ui: ui.clone(), form, steps: Steps::new(has_several_stacks) })
    }

    /// Reports long steps to programs from time to time; people see bars.
    pub(crate) fn tick(&self, at: Timestamp) {
        if let Form::Json(applying) = &self.form {
            self.print(&locked(applying).tick(at));
        }
    }

    /// Prints the final JSON lines.
    pub(crate) fn finish(&self, report: &terrace_engine::apply::Report, is_destroy: bool, at: Timestamp) {
        match &self.form {
            Form::Bars(_) => self.clear(),
            Form::Lines => {}
            Form::Json(applying) => self.print(&locked(applying).finish(report, is_destroy, at)),
        }
    }

    /// Removes the bars before an error.
    pub(crate) fn clear(&self) {
        if let Form::Bars(bars) = &self.form {
            bars.clear();
            self.ui.set_bars(None);
        }
    }

    fn print(&self, lines: &[serde_json::Value]) {
        for line in lines {
            // The apply continues without a reader.
            let _ = self.ui.print(&format!("{line}\n"));
        }
    }

    fn print_line(&self, line: &str) {
        let line = harmless(line);
        match &self.form {
            Form::Bars(_) | Form::Lines => self.ui.print_note(&line),
            Form::Json(_) => {}
        }
    }

    fn show(&self, event: &Event) {
        if let Form::Bars(bars) = &self.form
            && self.is_drawn(bars, event)
        {
            return;
        }
        if let Some(line) = self.steps.line(event) {
            self.print_line(&line);
        }
    }

    /// Draws an event on the bars; true if no line is necessary.
    fn is_drawn(&self, bars: &Bars, event: &Event) -> bool {
        match event {
            Event::Started { steps, .. } => bars.begin(*steps),
            Event::StepStarted { stack, address, action } => {
                bars.add(stack, address, &self.steps.running_line(stack, address, *action));
            }
            // A step that waits for its rate limit has no bar yet.
            Event::StepWaiting { address, message } | Event::StepProgress { address, message } => {
                return bars.note(address, message);
            }
            Event::StepDone { stack, address, .. }
            | Event::StepFailed { stack, address, .. }
            | Event::CheckFailed { stack, address, .. } => {
                bars.remove(&name(stack, address));
                return false;
            }
            Event::WaitingForLease { .. }
            | Event::Recovering { .. }
            | Event::Recovered { .. }
            | Event::Stopping { .. } => return false,
        }
        true
    }
}

impl Events for Progress {
    fn take(&self, event: Event) {
        match &self.form {
            Form::Json(applying) => {
                let lines = locked(applying).take(&event, Timestamp::now());
                self.print(&lines);
            }
            _ => self.show(&event),
        }
    }
}

impl Bars {
    fn new(target: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(target);
        Self { all, overall: ProgressBar::hidden(), running: Mutex::new(HashMap::new()) }
    }

    fn begin(&self, steps: usize) {
        // Cuts the bar to the width of the terminal: a wrapped line would leave a part on the screen.
        let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} steps, {elapsed}");
        self.overall.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        self.overall.set_length(u64::try_from(steps).unwrap_or(u64::MAX));
        self.all.add(self.overall.clone());
        self.overall.enable_steady_tick(TICK);
    }

    fn add(&self, stack: &StackId, address: &Address, begun: &str) {
        // A separate bar would draw over the others, where it is never cleared.
        let bar = self.all.insert_before(&self.overall, ProgressBar::hidden());
        let style = ProgressStyle::with_template("  {spinner} {wide_msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let head = harmless(begun).replace('\n', " ");
        bar.set_message(head.clone());
        bar.set_prefix(head);
        bar.enable_steady_tick(TICK);
        locked(&self.running).insert(name(stack, address), bar);
    }

    /// Shows a message at a bar; false if the bar does not exist.
    fn note(&self, name: &str, message: &str) -> bool {
        let running = locked(&self.running);
        let Some(bar) = running.get(name) else { return false };
        bar.set_message(format!("{} {}", bar.prefix(), harmless(message).replace('\n', " ")));
        true
    }

    fn remove(&self, name: &str) {
        if let Some(bar) = locked(&self.running).remove(name) {
            bar.finish_and_clear();
        }
        self.overall.inc(1);
    }

    fn clear(&self) {
        locked(&self.running).drain().for_each(|(_, bar)| bar.finish_and_clear());
        // Drawing is slower than counting: draws the last count before removing the bar.
        self.overall.abandon();
        self.overall.finish_and_clear();
    }
}

/// A poisoned lock holds only display state.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(stack: &StackId, address: &Address) -> String {
    format!("{stack}:{address}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;

    /// A terminal that keeps everything written to it.
    #[derive(Debug, Clone, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            locked(&self.0).push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn last_drawn_count_is_correct() {
        let terminal = Terminal::default();
        let bars = Bars::new(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bars.begin(7);
        let (stack, address) = (StackId::new("demo", "local"), "local_value.a".parse().unwrap());
        for _ in 0..6 {
            bars.add(&stack, &address, "local_value.a: creating");
            bars.remove(&name(&stack, &address));
        }
        bars.clear();
        let drawn = locked(&terminal.0).clone();
        let last = drawn.rfind("/7 steps").and_then(|at| drawn.get(at - 1..at));
        assert_eq!(last, Some("6"), "{drawn:?}");
    }
}
