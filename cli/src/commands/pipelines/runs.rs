//! `terrace pipelines runs`: lists runs, the newest first.

use super::format::reason_not_started;
use super::project::{pipelines_here, record_started_runs, runner_here};
use crate::args::RunsArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use terrace_pipelines::queue::{Ending, Entry, Queue};
use terrace_pipelines::run::{Record, Runner, State};
use terrace_pipelines::spec::selection;
use terrace_provider::names::closest;

/// Lists runs.
///
/// # Errors
/// When records cannot be read, or the pipeline is unknown.
pub(super) async fn run(context: &Context<'_>, arguments: &RunsArguments) -> Result<Exit, Failure> {
    let runner = runner_here(context)?;
    record_started_runs(context, &runner).await;
    let most = usize::from(arguments.limit);
    let runs = found(context, &runner, arguments.pipeline.as_deref(), most)?;
    if let Some(word) = arguments.pipeline.as_deref().filter(|_| runs.is_empty()) {
        check_known(word)?;
    }
    if arguments.format.is_json() {
        let runs: Vec<Value> = runs.iter().map(Run::to_json).collect();
        context.ui.print_json(&json!({ "format_version": "1.0", "runs": runs }))?;
        return Ok(Exit::Done);
    }
    let lines: String = runs.iter().map(Run::line).collect();
    let nothing = match &arguments.pipeline {
        Some(pipeline) => format!("`{pipeline}` has no runs here"),
        None => "there are no runs here".to_owned(),
    };
    context.ui.print_list(&lines, &nothing)?;
    Ok(Exit::Done)
}

/// An entry of the list.
enum Run {
    /// A run that started.
    Started(Box<Record>),
    /// A run that was cancelled in the queue.
    Cancelled(Box<Entry>),
}

/// The newest runs, of all pipelines or a single one.
fn found(context: &Context<'_>, runner: &Runner, pipeline: Option<&str>, most: usize) -> Result<Vec<Run>, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(format!("the records of runs cannot be read: {error}"));
    let root =
        Path::new(".").canonicalize().map_err(|error| Failure::new(format!("the working directory: {error}")))?;
    let folder = runner.folder_name(&root);
    // Ids sort by time.
    let ids = runner.store.ids().map_err(unreadable)?;
    let mut found = Vec::new();
    for id in ids.iter().rev() {
        if found.len() >= most {
            break;
        }
        // Skips a run whose record another process is writing or removing.
        let Some(record) = runner.store.run(id).map_err(unreadable)? else { continue };
        let is_meant = pipeline.is_none_or(|name| runner.store.is_run_of(&record, &folder, name));
        if is_meant {
            let state = state(runner, &record).map_err(unreadable)?;
            found.push(Run::Started(Box::new(Record { state, ..record })));
        }
    }
    // A run that started before it was cancelled is listed by its record.
    let has_no_record = |it: &Entry| it.record.iter().chain([&it.id]).all(|id| ids.binary_search(id).is_err());
    let is_requested = |it: &Entry| {
        pipeline.is_none_or(|name| runner.store.is_same_pipeline((&it.folder, &it.pipeline), (&folder, name)))
    };
    let is_meant = |it: &Entry| is_requested(it) && has_no_record(it);
    let queue = Queue::open_read_only(runner.store.folder());
    let cancelled =
        queue.and_then(|queue| queue.map_or(Ok(Vec::new()), |queue| queue.cancelled_before_start(most, is_meant)));
    match cancelled {
        Ok(entries) => found.extend(entries.into_iter().map(|entry| Run::Cancelled(Box::new(entry)))),
        // Runs that started are listed without the queue too.
        Err(error) => {
            context.ui.print_message(&format!("warning: {error}; runs cancelled in the queue are not listed"))
        }
    }
    found.sort_by(|one, other| other.id().cmp(one.id()));
    found.truncate(most);
    Ok(found)
}

/// The state of a run. The record of a crashed run says "running" until the pipeline runs or stops again. No process here
/// belongs to a run that a cluster started.
fn state(runner: &Runner, record: &Record) -> io::Result<State> {
    let is_as_recorded = record.state.is_over() || record.scheduled_job.is_some();
    Ok(if is_as_recorded || runner.store.is_held(record)? { record.state } else { State::Lost })
}

/// Refuses an unknown pipeline.
fn check_known(word: &str) -> Result<(), Failure> {
    let Some(ids) = pipelines_here().filter(|ids| !ids.iter().any(|id| selection::selects(word, id))) else {
        return Ok(());
    };
    let failure = Failure::new(format!("there is no pipeline `{word}`, and no run of one with that name here"));
    Err(match closest(word, ids.iter().map(String::as_str)) {
        Some(id) => failure.hint(format!("did you mean `{id}`?")),
        None => failure,
    })
}

impl Run {
    fn id(&self) -> &str {
        match self {
            Self::Started(record) => &record.run,
            Self::Cancelled(entry) => &entry.id,
        }
    }

    /// A run on one line: time, id for `terrace pipelines logs`, state, duration, rows, pipeline and error.
    fn line(&self) -> String {
        match self {
            Self::Started(record) => line(record),
            Self::Cancelled(entry) => queued_line(entry),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Started(record) => run_to_json(record),
            Self::Cancelled(entry) => queued_to_json(entry),
        }
    }
}

fn line(record: &Record) -> String {
    let duration = record.finished_at.map(|end| end.duration_since(record.started_at).as_secs_f64());
    let duration = duration.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
    let folder = within(&record.folder);
    let why = record.failure.as_ref().map(|failure| format!("  {}", failure.message)).unwrap_or_default();
    let text = format!(
        "{:.0}  {}  {:<9}  {duration:>8}  {:>9} {:<4}  {}{folder}{why}",
        record.started_at,
        record.run,
        record.state.word(),
        record.rows,
        if record.rows == 1 { "row" } else { "rows" },
        record.pipeline
    );
    harmless(&text).replace('\n', " ") + "\n"
}

fn run_to_json(record: &Record) -> Value {
    json!({
        "run_id": record.run,
        "pipeline_id": record.pipeline,
        "folder": record.folder,
        "state": record.state.word(),
        "reasons": record.reasons,
        "queued_at": null,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "rows": record.rows,
        "stats": record.public_stats(),
        "attempts": record.attempts,
        "cancelled_by": null,
        "error": record.failure.as_ref().map(|failure| &failure.message),
    })
}

/// The folder of a pipeline outside the project's folder, as a suffix.
fn within(folder: &str) -> String {
    if folder == "." { String::new() } else { format!(" in {folder}") }
}

/// The line of a run that never started: time in the queue, and the principal that cancelled it.
fn queued_line(entry: &Entry) -> String {
    let text = format!(
        "{:.0}  {}  {:<9}  {:>8}  {:>9} rows  {}{}  it {}",
        entry.queued_at,
        entry.id,
        State::Cancelled.word(),
        "-",
        0,
        entry.pipeline,
        within(&entry.folder),
        reason_not_started(entry)
    );
    harmless(&text).replace('\n', " ") + "\n"
}

fn queued_to_json(entry: &Entry) -> Value {
    let by = if let Some(Ending::NotRun { by, .. }) = &entry.ending { by.as_deref() } else { None };
    json!({
        "run_id": entry.id,
        "pipeline_id": entry.pipeline,
        "folder": entry.folder,
        "state": State::Cancelled.word(),
        "reasons": [],
        "queued_at": entry.queued_at,
        "started_at": null,
        "finished_at": entry.ended_at,
        "rows": 0,
        "stats": {},
        "attempts": [],
        "cancelled_by": by,
        "error": format!("it {}", reason_not_started(entry)),
    })
}
