//! `terrace pipelines logs`: prints the logs of a run's steps, and follows them.

use super::project::{not_started, open, project_of_runs, record_started_runs, supervisor};
use super::run_id::{Found, find, find_started};
use super::waits::waits;
use crate::args::LogsArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_pipelines::queue::{Entry, Phase};
pub(super) use terrace_pipelines::run::log::Line as LogLine;
use terrace_pipelines::run::log::Reader;
use terrace_pipelines::run::{Record, Runner};
use tokio_util::sync::CancellationToken;

/// Interval of reads while a run is followed.
const PERIOD: Duration = Duration::from_millis(200);
/// Time for the present lines of a run in a cluster that no process here follows.
const PRESENT: Duration = Duration::from_secs(2);

/// Prints a log; with `--follow` until the run ends.
///
/// # Errors
/// When the run does not exist, or its log cannot be read.
pub(super) async fn run(context: &Context<'_>, arguments: &LogsArguments, signals: &Signals) -> Result<Exit, Failure> {
    let runner = project_of_runs(context)?.runner;
    record_started_runs(context, &runner).await;
    let record = match find_started(&runner, &arguments.run).await? {
        Found::Recorded(record) => *record,
        Found::Queued(entry) if arguments.follow => match start_of(context, &runner, *entry, signals).await? {
            Some(record) => record,
            None => return Ok(Exit::Interrupted),
        },
        Found::Queued(entry) => return Err(not_started(&entry)),
    };
    if let Some(Found::Queued(entry)) = find(&runner, &arguments.run).await?
        && let Some(taken) = entry.taken_run()
    {
        context.ui.print_note(&format!("run {} took the result of run {taken}, whose log follows", entry.id));
    }
    if let Some(step) = &arguments.step
        && !record.steps.iter().enumerate().any(|(position, (name, _))| is_step(step, position + 1, name))
    {
        return Err(no_step(&record.run, step, record.steps.iter().map(|(name, _)| name.as_str())));
    }
    let unreadable =
        |error: std::io::Error| Failure::new(format!("the log of run {} cannot be read: {error}", record.run));
    let leave = CancellationToken::new();
    if !arguments.follow {
        if runner.is_in_cluster(&record)
            && let Err(error) = runner.follow_cluster_run(&record, Some(PRESENT), &leave).await
        {
            context.ui.print_message(&format!("warning: the last lines of run {} may be missing: {error}", record.run));
        }
        return print(context, arguments, &runner, &record, signals).await;
    }
    let printing = async {
        let printed = print(context, arguments, &runner, &record, signals).await;
        leave.cancel();
        Ok::<_, Failure>(printed)
    };
    // Goes on after the last line until the end is recorded and the Job is deleted.
    let following = async {
        while !leave.is_cancelled() {
            let now = runner.store.exact_run(&record.run).map_err(unreadable)?;
            // The process that runs it may be killed at any time.
            if let Some(now) = now.filter(|now| runner.is_in_cluster(now)) {
                runner.follow_cluster_run(&now, None, &leave).await.map_err(unreadable)?;
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = leave.cancelled() => {}
            }
        }
        Ok::<_, Failure>(())
    };
    let (printed, ()) = tokio::try_join!(printing, following)?;
    printed
}

/// Waits for the start of a run of the queue; nothing if the user leaves.
///
/// # Errors
/// When it ends without a start, or the queue cannot be read.
async fn start_of(
    context: &Context<'_>,
    runner: &Runner,
    mut entry: Entry,
    signals: &Signals,
) -> Result<Option<Record>, Failure> {
    let queue = open(runner).await?;
    let supervisor = supervisor(runner, &queue);
    let mut printed = None;
    loop {
        if let Found::Recorded(record) = find_started(runner, &entry.id).await? {
            return Ok(Some(*record));
        }
        if entry.phase == Phase::Ended {
            return Err(not_started(&entry));
        }
        supervisor.check_workers().await?;
        for wait in waits(runner, &queue, BTreeSet::from([entry.id.clone()])).await? {
            let reason = wait.in_words();
            if let Some(reason) = reason.clone().filter(|_| reason != printed) {
                context.ui.print_note(&format!("run {} of {} waits for {reason}", entry.id, entry.pipeline));
            }
            printed = reason;
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = signals.cancel.cancelled() => return Ok(None),
        }
        let id = entry.id.clone();
        entry = queue.call(move |queue| queue.entry(&id)).await?.ok_or_else(|| not_started(&entry))?;
    }
}

/// Prints the log of a run.
async fn print(
    context: &Context<'_>,
    arguments: &LogsArguments,
    runner: &Runner,
    record: &Record,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::new(format!("the log of run {} cannot be read: {error}", record.run));
    let mut reader = Reader::new(&runner.store.run_folder(&record.run));
    let unfinished = || {
        let now = runner.store.exact_run(&record.run).map_err(unreadable);
        now.map(|now| now.filter(|now| !now.state.is_over()))
    };
    loop {
        // Reads the record before the log, so that the last lines are not missed.
        let continues = unfinished()?.is_some();
        let lines = reader.lines().map_err(unreadable)?;
        let wanted =
            lines.iter().filter(|line| arguments.step.as_ref().is_none_or(|step| is_step(step, line.step, &line.name)));
        let text: String = wanted.map(|line| print_line(line, arguments.format.is_json())).collect();
        context.ui.print(&text)?;
        if !arguments.follow || !continues || context.ui.is_stdout_closed() {
            return Ok(Exit::Done);
        }
        // The run may have ended, or started in a cluster, since the last read.
        if lines.is_empty()
            && !runner.store.is_held(record).map_err(unreadable)?
            && unfinished()?.is_some_and(|now| !runner.is_in_cluster(&now))
        {
            return Err(Failure::new(format!("the process of run {} is gone", record.run))
                .hint("run the pipeline again: this ends the rest of the old run"));
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = signals.cancel.cancelled() => return Ok(Exit::Interrupted),
        }
    }
}

/// The failure for a step that a run does not have.
pub(super) fn no_step<'s>(run: &str, step: &str, steps: impl Iterator<Item = &'s str>) -> Failure {
    let steps: Vec<String> = steps.enumerate().map(|(position, name)| format!("{} (`{name}`)", position + 1)).collect();
    Failure::new(format!("run {run} has no step `{step}`"))
        .hint(format!("choose one of its steps: {}", steps.join(", ")))
}

pub(super) fn is_step(wanted: &str, number: usize, name: &str) -> bool {
    wanted == name || wanted.parse() == Ok(number)
}

/// A line of a log.
pub(super) fn print_line(line: &LogLine, is_json: bool) -> String {
    if is_json {
        return serde_json::to_string(line).unwrap_or_default() + "\n";
    }
    let name = if line.name.is_empty() { "terrace" } else { &line.name };
    format!("{:.3} {name}: {}\n", line.at, harmless(&line.line))
}
