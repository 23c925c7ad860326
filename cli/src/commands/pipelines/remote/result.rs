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

/// True if it goes on in its cluster, where its worker could not end it.
fn goes_on(run: &Run) -> bool {
    matches!(run.state.as_str(), "preparing" | "running" | "publishing")
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
        result.insert("params".to_owned(), json!(run.params));
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
        () if is_wrong || has_reason("impossible") || runs.iter().any(goes_on) => Exit::Error,
        () if has_reason("taken") => Exit::Refused,
        () if runs.iter().any(|run| !is_good(run)) => Exit::PartlyApplied,
        () => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_that_goes_on_is_an_error_with_its_state() {
        let run: Run = serde_json::from_value(json!({
            "run_id": "r", "pipeline_id": "./load", "folder": ".", "state": "running", "reasons": [], "rows": 3, "stats": {},
            "errors": [], "steps": [], "attempts": [],
        }))
        .unwrap();
        assert_eq!(line(&run).unwrap(), "./load: FAILURE, processed 3 rows\n");
        assert_eq!((&to_json(&run)["state"], &to_json(&run)["run_id"]), (&json!("running"), &json!("r")));
        assert_eq!(exit(&[run], false, false), Exit::Error);
    }
}
