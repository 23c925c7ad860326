//! `terrace pipelines runs`: lists runs, the newest first.

use super::project::{pipelines_here, project_of_runs, record_started_runs};
use super::served::{of_entry, of_record};
use crate::args::RunsArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use serde_json::{Value, json};
use std::path::Path;
use terrace_pipelines::queue::{Entry, Queue};
use terrace_pipelines::run::Runner;
use terrace_pipelines::spec::selection;
use terrace_provider::names::closest;
use terrace_server::pipelines::Run;

/// Lists runs.
///
/// # Errors
/// When records cannot be read, or the pipeline is unknown.
pub(super) async fn run(context: &Context<'_>, arguments: &RunsArguments) -> Result<Exit, Failure> {
    let runner = project_of_runs(context)?.runner;
    record_started_runs(context, &runner).await;
    let most = usize::from(arguments.limit);
    let runs = found(context, &runner, arguments.pipeline.as_deref(), most)?;
    if let Some(word) = arguments.pipeline.as_deref().filter(|_| runs.is_empty()) {
        check_known(word)?;
    }
    if arguments.format.is_json() {
        let runs: Vec<Value> = runs.iter().map(to_json).collect();
        context.ui.print_json(&json!({ "format_version": "1.0", "runs": runs }))?;
        return Ok(Exit::Done);
    }
    let lines: String = runs.iter().map(line).collect();
    let nothing = match &arguments.pipeline {
        Some(pipeline) => format!("`{pipeline}` has no runs here"),
        None => "there are no runs here".to_owned(),
    };
    context.ui.print_table(&lines, &nothing)?;
    Ok(Exit::Done)
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
            found.push(of_record(runner, &record).map_err(unreadable)?);
        }
    }
    // A run that started is listed by its record.
    let has_no_record = |it: &Entry| it.record.iter().chain([&it.id]).all(|id| ids.binary_search(id).is_err());
    let is_requested = |it: &Entry| {
        pipeline.is_none_or(|name| runner.store.is_same_pipeline((&it.folder, &it.pipeline), (&folder, name)))
    };
    let is_meant = |it: &Entry| is_requested(it) && has_no_record(it);
    let queue = Queue::open_read_only(runner.store.folder());
    let without_record =
        queue.and_then(|queue| queue.map_or(Ok(Vec::new()), |queue| queue.without_a_run(most, is_meant)));
    match without_record {
        Ok(entries) => found.extend(entries.iter().map(|entry| of_entry(entry, None, None))),
        // Runs that started are listed without the queue too.
        Err(error) => context
            .ui
            .print_message(&format!("warning: {error}; runs that wait in the queue, or never started, are not listed")),
    }
    found.sort_by(|one, other| other.run_id.cmp(&one.run_id));
    found.truncate(most);
    Ok(found)
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

/// A run on one line: time, id for `terrace pipelines logs`, state, duration, rows, pipeline and error.
pub(super) fn line(run: &Run) -> String {
    let at = run.started_at.or(run.queued_at).map(|at| format!("{at:.0}")).unwrap_or_default();
    let times = run.started_at.zip(run.finished_at);
    let duration = times.map(|(start, end)| format!("{:.1} s", end.duration_since(start).as_secs_f64()));
    // The folder of a pipeline outside the project's folder.
    let folder = if run.folder == "." { String::new() } else { format!(" in {}", run.folder) };
    let why = run.error.as_ref().map(|error| format!("  {error}")).unwrap_or_default();
    let text = format!(
        "{at}  {}  {:<9}  {:>8}  {:>9} {:<4}  {}{folder}{why}",
        run.run_id,
        run.state,
        duration.as_deref().unwrap_or("-"),
        run.rows,
        if run.rows == 1 { "row" } else { "rows" },
        run.pipeline_id
    );
    harmless(&text).replace('\n', " ") + "\n"
}

/// A run in JSON.
pub(super) fn to_json(run: &Run) -> Value {
    json!({
        "run_id": run.run_id,
        "pipeline_id": run.pipeline_id,
        "folder": run.folder,
        "state": run.state,
        "reasons": run.reasons,
        "params": run.params,
        "queued_at": run.queued_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "rows": run.rows,
        "stats": run.stats,
        "attempts": run.attempts,
        "cancelled_by": run.cancelled_by,
        "error": run.error,
    })
}
