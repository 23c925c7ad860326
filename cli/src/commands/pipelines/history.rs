//! `terrace runs list`: what was run, the newest first.

use super::runner_here;
use crate::args::RunsCommand;
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use serde_json::{Value, json};
use std::path::Path;
use terrace_provider_pipelines::run::{Record, Runner};

/// Lists runs.
///
/// # Errors
/// When records cannot be read, or nothing is known of the pipeline that is asked for.
pub(in crate::commands) fn runs(context: &Context<'_>, command: RunsCommand) -> Result<Exit, Failure> {
    let RunsCommand::List(arguments) = command;
    let runner = runner_here(context)?;
    let most = usize::from(arguments.limit);
    let runs = found(&runner, arguments.pipeline.as_deref(), most)?;
    if arguments.format.is_json() {
        let runs: Vec<Value> = runs.iter().map(shown).collect();
        context.ui.print_json(&json!({ "format_version": "1.0", "runs": runs }))?;
        return Ok(Exit::Done);
    }
    let lines: String = runs.iter().map(line).collect();
    let nothing = match arguments.pipeline {
        Some(pipeline) => format!("`{pipeline}` was never run here"),
        None => "nothing was run here".to_owned(),
    };
    context.ui.print_list(&lines, &nothing)?;
    Ok(Exit::Done)
}

/// The newest runs, of one pipeline where one is asked for.
fn found(runner: &Runner, pipeline: Option<&str>, most: usize) -> Result<Vec<Record>, Failure> {
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
        // One that is being written or removed by others is not there yet, or any more.
        let Some(record) = runner.store.run(id).map_err(unreadable)? else { continue };
        let is_meant = pipeline.is_none_or(|name| {
            record.folder == folder && (record.pipeline == name || record.pipeline.strip_prefix("./") == Some(name))
        });
        if is_meant {
            found.push(record);
        }
    }
    Ok(found)
}

/// One run on a line: when, what, how it went, how long it took, what came of it, and its id for `terrace logs`.
fn line(record: &Record) -> String {
    let took = record.finished_at.map(|end| end.duration_since(record.started_at).as_secs_f64());
    let took = took.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
    let folder = if record.folder == "." { String::new() } else { format!(" in {}", record.folder) };
    let why = record.failure.as_ref().map(|failure| format!("  {}", failure.what)).unwrap_or_default();
    let text = format!(
        "{:.0}  {}  {:<9}  {took:>8}  {:>9} rows  {}{folder}{why}",
        record.started_at,
        record.run,
        record.state.word(),
        record.rows,
        record.pipeline
    );
    harmless(&text).replace('\n', " ") + "\n"
}

fn shown(record: &Record) -> Value {
    json!({
        "run_id": record.run,
        "pipeline_id": record.pipeline,
        "folder": record.folder,
        "state": record.state.word(),
        "reasons": record.reasons,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "rows": record.rows,
        "stats": record.public_stats(),
        "attempts": record.attempts,
        "error": record.failure.as_ref().map(|failure| &failure.what),
    })
}
