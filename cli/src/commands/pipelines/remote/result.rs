//! Results of runs of a server, in the same words as those of runs here.

use super::super::format::{PipelineError, ResultRow, result_line, stats_line};
use crate::failure::Exit;
use serde_json::{Value, json};
use terrace_server::pipelines::Run;

/// True if the pipeline has a valid result.
fn is_good(run: &Run) -> bool {
    matches!(run.state.as_str(), "succeeded" | "clean")
}

/// True if the results were up to date, so that nothing ran.
fn is_clean(run: &Run) -> bool {
    run.state == "clean"
}

/// True if its steps were started.
fn has_run(run: &Run) -> bool {
    !matches!(run.state.as_str(), "clean" | "held" | "not_run") && run.not_run_reason.is_none()
}

fn word(run: &Run) -> &'static str {
    match run.state.as_str() {
        "succeeded" | "clean" => "SUCCESS",
        "cancelled" => "CANCELLED",
        "not_run" => "NOT RUN",
        _ => "FAILURE",
    }
}

/// The line of a result; `None` if nothing had to run.
pub(super) fn line(run: &Run) -> Option<String> {
    (!is_clean(run)).then(|| result_line(&run.pipeline_id, word(run), run.rows))
}

/// The rows of results that were not up to date.
pub(super) fn rows(runs: &[Run]) -> Vec<ResultRow<'_>> {
    runs.iter().filter(|run| !is_clean(run)).map(row).collect()
}

fn row(run: &Run) -> ResultRow<'_> {
    let errors = run.errors.iter().map(|error| PipelineError {
        processor: error.processor.clone(),
        exit_code: error.exit_code,
        log: error.log.clone(),
    });
    let stats = match run.state.as_str() {
        "succeeded" => stats_line(run.stats.clone().into_iter().collect(), run.rows),
        _ => String::new(),
    };
    ResultRow { pipeline: &run.pipeline_id, word: word(run), stats, errors: errors.collect(), is_good: is_good(run) }
}

/// A result as JSON.
pub(super) fn to_json(run: &Run) -> Value {
    let mut result = json!({
        "pipeline_id": run.pipeline_id,
        "success": is_good(run),
        "state": run.state,
        "errors": run.errors,
    });
    if let (true, Some(result)) = (has_run(run), result.as_object_mut()) {
        result.insert("run_id".to_owned(), json!(run.run_id));
        result.insert("reasons".to_owned(), json!(run.reasons));
        result.insert("rows".to_owned(), json!(run.rows));
        result.insert("stats".to_owned(), json!(run.stats));
        result.insert("steps".to_owned(), json!(run.steps));
        result.insert("started_at".to_owned(), json!(run.started_at));
        result.insert("finished_at".to_owned(), json!(run.finished_at));
        result.insert("attempts".to_owned(), json!(run.attempts));
    }
    result
}

/// The exit code, by priority: a stop by the user, an invalid spec, runs that could not start, failures.
pub(super) fn exit(runs: &[Run], is_wrong: bool, is_cancelled: bool) -> Exit {
    let has = |state: &str| runs.iter().any(|run| run.state == state);
    let has_reason = |reason: &str| runs.iter().any(|run| run.not_run_reason.as_deref() == Some(reason));
    match () {
        () if is_cancelled || has("cancelled") => Exit::Interrupted,
        () if is_wrong || has_reason("impossible") => Exit::Error,
        () if has_reason("taken") => Exit::Refused,
        () if runs.iter().any(|run| !is_good(run)) => Exit::PartlyApplied,
        () => Exit::Done,
    }
}
