//! `terrace operations logs`: prints the events of an operation in order, and follows it.

use super::{find, no_worker, result, unknown, word};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::{harmless, harmless_line};
use crate::signals::Signals;
use crate::wiring::store;
use jiff::Timestamp;
use std::collections::HashMap;
use std::time::Duration;
use terrace_engine::store::{LogLine, OperationRow, OperationStatus, ServerStore, StepResult, StepRow};
use terrace_state::Access;
use uuid::Uuid;

/// Interval of reads while an operation runs.
const PERIOD: Duration = Duration::from_millis(500);

/// Prints the events of an operation: its steps from the journal, and log lines of providers. With `--follow`, until it
/// ends.
///
/// # Errors
/// When the state cannot be read, or the operation does not exist.
pub(super) async fn run(
    context: &Context<'_>,
    operation: &str,
    is_followed: bool,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let id = find(store.as_ref(), operation).await?;
    let mut printed = Printed::default();
    loop {
        let (row, lines) = read(store.as_ref(), id).await?.ok_or_else(|| unknown(operation))?;
        context.ui.print(&printed.add(&lines))?;
        let continues = matches!(row.status, OperationStatus::Queued | OperationStatus::Running);
        if !is_followed || !continues || context.ui.is_stdout_closed() {
            return Ok(Exit::Done);
        }
        if row.is_abandoned {
            return Err(no_worker(&row));
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = signals.cancel.cancelled() => return Ok(Exit::Interrupted),
        }
    }
}

/// An operation and its events so far, in order.
async fn read(store: &dyn ServerStore, id: Uuid) -> Result<Option<(OperationRow, Vec<LogLine>)>, Failure> {
    let Some((operation, steps)) = store.operation(id).await? else { return Ok(None) };
    let mut lines = timeline(&operation, &steps);
    // Reads the log after the operation: the log of an ended operation is complete.
    lines.extend(store.logs(id, 0).await?);
    // Events of a transaction have the same time: ends come before starts.
    lines.sort_by_key(|line| (line.at, line.message.ends_with(STARTED)));
    Ok(Some((operation, lines)))
}

/// Lines printed so far, and how often.
#[derive(Default)]
struct Printed(HashMap<String, usize>);

impl Printed {
    /// Returns the lines that were not printed yet.
    fn add(&mut self, lines: &[LogLine]) -> String {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut new = String::new();
        for line in lines.iter().map(log_line) {
            let number = seen.entry(line.clone()).or_default();
            *number += 1;
            if *number > self.0.get(&line).copied().unwrap_or_default() {
                new.push_str(&line);
            }
        }
        self.0 = seen;
        new
    }
}

/// End of the line for the start of a step.
const STARTED: &str = " started";

/// The events of the journal.
fn timeline(operation: &OperationRow, steps: &[StepRow]) -> Vec<LogLine> {
    let line = |at: Timestamp, level: &str, message: String| LogLine {
        at,
        level: level.to_owned(),
        phase: operation.kind.to_string(),
        message,
    };
    let started = line(operation.started_at, "INFO", harmless_line(&format!("started by {}", operation.actor)));
    let mut lines = vec![started];
    for step in steps {
        let what = format!("{}:{} {}", step.stack, step.address, word(step.action));
        match step.ended_at {
            // A step without a call opens and closes at once.
            Some(ended) if ended == step.started_at => {
                lines.push(line(ended, level(step), format!("{what} {}", result(step))))
            }
            ended => {
                lines.push(line(step.started_at, "INFO", format!("{what}{STARTED}")));
                lines.extend(ended.map(|at| line(at, level(step), format!("{what} {}", result(step)))));
            }
        }
    }
    let summary = if operation.summary.is_empty() { String::new() } else { format!(": {}", operation.summary) };
    lines.extend(operation.ended_at.map(|at| line(at, "INFO", format!("{}{summary}", operation.status_word()))));
    lines
}

const fn level(step: &StepRow) -> &'static str {
    match step.result {
        Some(StepResult::Failed(_)) => "ERROR",
        Some(StepResult::Recovered(_)) => "WARNING",
        Some(StepResult::Done) | None => "INFO",
    }
}

fn log_line(line: &LogLine) -> String {
    format!("{:.6} {:7} {}: {}\n", line.at, line.level, line.phase, harmless(&line.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(second: i64, message: &str) -> LogLine {
        let at = Timestamp::from_second(second).unwrap();
        LogLine { at, level: "INFO".to_owned(), phase: "apply".to_owned(), message: message.to_owned() }
    }

    #[test]
    fn repeated_line_is_printed_as_often_as_logged() {
        let mut printed = Printed::default();
        assert_eq!(printed.add(&[log(1, "a"), log(1, "a")]).lines().count(), 2);
        assert_eq!(printed.add(&[log(1, "a"), log(1, "a"), log(1, "a"), log(2, "b")]).lines().count(), 2);
        assert_eq!(printed.add(&[log(1, "a"), log(1, "a"), log(1, "a"), log(2, "b")]), "");
    }
}
