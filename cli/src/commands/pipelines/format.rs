//! Formats finished runs: as lines of dpp, which scripts match, and as JSON.

use super::setting_place::place_of_setting;
use crate::context::Context;
use crate::report::{harmless, remembered};
use crate::ui::Ui;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use terrace_engine::source::Place;
use terrace_pipelines::executor::describe_end;
use terrace_pipelines::queue::{Ending, Entry, NotRunReason};
use terrace_pipelines::run::NotRun;
use terrace_pipelines::run::batch::{BatchEnd, HoldReason, PipelineOutcome};
use terrace_pipelines::run::python::repr_of_map;
use terrace_pipelines::run::{Record, State};
use terrace_pipelines::spec::{Problem, Severity, Specs};

/// The name of the row count in dpp's format. dpp itself does not count rows.
const ROWS: &str = "num rows";

/// The result of a pipeline, on a line of standard output. `None` if nothing had to run.
pub(super) fn line(done: &PipelineOutcome) -> Option<String> {
    let rows = match &done.end {
        BatchEnd::Clean => return None,
        BatchEnd::Ran(record) => record.rows,
        _ => 0,
    };
    Some(result_line(&done.pipeline, word(done), rows))
}

/// The line of a result.
pub(super) fn result_line(pipeline: &str, word: &str, rows: u64) -> String {
    harmless(&format!("{pipeline}: {word}, processed {rows} rows")).replace('\n', " ") + "\n"
}

/// A pipeline that ran or could not run, for the results on standard error.
pub(super) struct ResultRow<'a> {
    pub(super) pipeline: &'a str,
    /// `SUCCESS`, `FAILURE`, `CANCELLED` or `NOT RUN`.
    pub(super) word: &'a str,
    /// The statistics in Python's syntax.
    pub(super) stats: String,
    pub(super) errors: Vec<PipelineError>,
    pub(super) is_good: bool,
}

/// Prints the results of pipelines that were not up to date.
pub(super) fn print_rows(ui: &Ui, rows: &[ResultRow<'_>]) {
    if rows.is_empty() {
        ui.print_note("nothing to run: the results of the pipelines are up to date");
        return;
    }
    ui.print_note("INFO    :RESULTS:");
    for ResultRow { pipeline, word, stats, errors, is_good } in rows {
        let line = format!("INFO    :{word}: {pipeline} {stats}").replace('\n', " ");
        let text = match errors.is_empty() {
            true => line,
            false => format!("{line}\n{}", errors.iter().map(boxed).collect::<Vec<_>>().join("\n")),
        };
        if *is_good { ui.print_note(&harmless(&text)) } else { ui.print_message(&harmless(&text)) }
    }
}

/// Prints the results of all pipelines on standard error.
pub(super) fn results(context: &Context<'_>, specs: &Specs, done: &[PipelineOutcome]) {
    let ui = context.ui;
    let ran: Vec<&PipelineOutcome> = done.iter().filter(|done| !matches!(done.end, BatchEnd::Clean)).collect();
    let mut rows = Vec::with_capacity(ran.len());
    for done in &ran {
        let (stats, errors) = (stats(done), errors(done));
        rows.push(ResultRow { pipeline: &done.pipeline, word: word(done), stats, errors, is_good: done.end.is_good() });
    }
    print_rows(ui, &rows);
    for (done, failed) in ran.iter().filter_map(|done| Some((done, failed_at(specs, done)?))) {
        let line = match wrong_setting(context, specs, done) {
            Some(place) => format!("{place}: {}{}", failed.context(), failed.message),
            None => failed.in_one_line(specs).to_string(),
        };
        ui.print_message(&harmless(&format!("error: {line}").replace('\n', " ")));
    }
}

/// The place of the setting that made a run fail; nothing for another cause, or an option of the spec or of the run itself.
fn wrong_setting(context: &Context<'_>, specs: &Specs, done: &PipelineOutcome) -> Option<Place> {
    let BatchEnd::Ran(record) = &done.end else { return None };
    let option = record.failure.as_ref()?.option?;
    let is_of_spec = specs.pipeline(&record.pipeline)?.execution.get(option).is_some();
    if is_of_spec || record.overrides.execution.get(option).is_some() {
        None
    } else {
        place_of_setting(context, option.name())
    }
}

/// The failed step or the wrong option with its place, as one line, like the errors of a spec.
fn failed_at(specs: &Specs, done: &PipelineOutcome) -> Option<Problem> {
    let BatchEnd::Ran(record) = &done.end else { return None };
    let is_failed = matches!(record.state, State::Failed | State::TimedOut);
    let failure = record.failure.as_ref().filter(|_| is_failed)?;
    let pipeline = specs.pipeline(&record.pipeline)?;
    let step = failure.step.and_then(|step| Some((step, &record.steps.get(step)?.0)));
    // The worker may have read another version of the spec.
    let current_step = step.and_then(|(step, name)| pipeline.steps.get(step).filter(|step| step.name == *name));
    let option_of_spec = failure.option.filter(|option| record.overrides.execution.get(*option).is_none());
    let wrong_option = option_of_spec.and_then(|option| pipeline.execution_places.get(&option));
    Some(Problem {
        severity: Severity::Error,
        code: "run_failed",
        message: failure.message.clone(),
        file: pipeline.file,
        at: wrong_option.or(current_step.map(|step| &step.at)).unwrap_or(&pipeline.at).clone(),
        pipeline: Some(record.pipeline.clone()),
        step: step.map(|(step, name)| (step + 1, name.clone())),
        hint: None,
    })
}

const fn word(done: &PipelineOutcome) -> &'static str {
    match &done.end {
        BatchEnd::Clean => "SUCCESS",
        BatchEnd::Ran(record) => match record.state {
            State::Succeeded => "SUCCESS",
            State::Cancelled => "CANCELLED",
            _ => "FAILURE",
        },
        BatchEnd::NotRun(NotRun::Cancelled) => "CANCELLED",
        BatchEnd::Held { .. } | BatchEnd::NotRun(NotRun::UnknownEnd { .. }) => "FAILURE",
        BatchEnd::NotRun(_) => "NOT RUN",
    }
}

/// The statistics in Python's syntax, with the number of rows.
fn stats(done: &PipelineOutcome) -> String {
    let BatchEnd::Ran(record) = &done.end else { return String::new() };
    if record.state != State::Succeeded {
        return String::new();
    }
    stats_line(record.public_stats(), record.rows)
}

/// The statistics of a successful run in Python's syntax, with the number of rows.
pub(super) fn stats_line(mut stats: BTreeMap<String, Value>, rows: u64) -> String {
    stats.entry(ROWS.to_owned()).or_insert_with(|| rows.into());
    repr_of_map(&stats)
}

/// The error of a pipeline: processor, exit code and log.
pub(super) struct PipelineError {
    pub(super) processor: String,
    pub(super) exit_code: Option<i32>,
    pub(super) log: Vec<String>,
}

fn boxed(error: &PipelineError) -> String {
    let mut text = format!("ERROR log from processor {}:\n+--------", error.processor);
    for line in &error.log {
        let _ = write!(text, "\n| {line}");
    }
    text + "\n+--------"
}

/// The errors of a pipeline, with their logs.
pub(super) fn errors(done: &PipelineOutcome) -> Vec<PipelineError> {
    let one = |processor: &str, line: String| {
        vec![PipelineError { processor: processor.to_owned(), exit_code: None, log: vec![line] }]
    };
    match &done.end {
        BatchEnd::Clean => Vec::new(),
        BatchEnd::Ran(record) => failed(record).into_iter().collect(),
        BatchEnd::Held { by, why: HoldReason::Dirty } => {
            one("init", format!("Dirty dependency: Cannot run until dependency is executed: {by}"))
        }
        BatchEnd::Held { by, why: HoldReason::Unsuccessful } => one(
            "init",
            format!("Dependency unsuccessful: Cannot run until dependency \"{by}\" is successfully executed"),
        ),
        BatchEnd::NotRun(NotRun::InProgress { run }) => {
            let run = run.as_ref().map(|run| format!("run {run} is still running; ")).unwrap_or_default();
            one(
                "Already Running",
                format!(
                    "{run}wait longer with `--lock-timeout`, or stop the run with `terrace pipelines cancel {}`",
                    done.pipeline
                ),
            )
        }
        BatchEnd::NotRun(NotRun::Cancelled) => one("init", "stopped before it started".to_owned()),
        BatchEnd::NotRun(NotRun::Changed(how)) => one("init", how.join("; ")),
        BatchEnd::NotRun(NotRun::WorkerFailed { message: what } | NotRun::UnknownEnd { message: what }) => {
            vec![PipelineError { processor: "worker".to_owned(), exit_code: None, log: what.clone() }]
        }
        BatchEnd::NotRun(NotRun::Io(error)) => one("init", format!("the run cannot be recorded: {error}")),
        BatchEnd::NotRun(NotRun::Environment(error)) => {
            let mut log = vec![error.to_string()];
            if let terrace_pipelines::environment::EnvironmentError::Failed { output, .. } = error {
                log.extend(output.iter().cloned());
            }
            log.extend(error.hint());
            vec![PipelineError { processor: "environment".to_owned(), exit_code: None, log }]
        }
    }
}

fn failed(record: &Record) -> Option<PipelineError> {
    let failure = record.failure.as_ref()?;
    let step = failure.step.and_then(|step| record.steps.get(step));
    let (processor, exit_code) = match step {
        Some((name, outcome)) => (name.clone(), outcome.exit_code),
        None => (record.state.word().to_owned(), None),
    };
    let mut log = failure.log.clone();
    if log.is_empty() || step.is_some_and(|(_, outcome)| failure.message != describe_end(outcome)) {
        log.push(failure.message.clone());
    }
    Some(PipelineError { processor, exit_code, log })
}

/// The results of pipelines as JSON, with the addresses of synced results.
pub(super) fn json(ui: &Ui, done: &[PipelineOutcome], addresses: &BTreeMap<String, Vec<String>>) -> Value {
    let with_addresses = |done: &PipelineOutcome| {
        let mut result = result(done);
        if let (Some(result), Some(urls)) = (result.as_object_mut(), addresses.get(&done.pipeline)) {
            result.insert("urls".to_owned(), json!(urls));
        }
        result
    };
    document(ui, &done.iter().map(with_addresses).collect::<Vec<_>>())
}

/// The document of results.
pub(super) fn document(ui: &Ui, results: &[Value]) -> Value {
    json!({ "format_version": "1.0", "results": results, "diagnostics": remembered(ui) })
}

fn result(done: &PipelineOutcome) -> Value {
    let errors: Vec<Value> = errors(done)
        .iter()
        .map(|error| json!({ "processor": error.processor, "exit_code": error.exit_code, "log": error.log }))
        .collect();
    let state = match &done.end {
        BatchEnd::Clean => "clean",
        BatchEnd::Ran(record) => record.state.word(),
        BatchEnd::Held { .. } => "held",
        BatchEnd::NotRun(NotRun::Cancelled) => State::Cancelled.word(),
        BatchEnd::NotRun(NotRun::UnknownEnd { .. }) => State::Running.word(),
        BatchEnd::NotRun(_) => "not_run",
    };
    let mut result = json!({
        "pipeline_id": done.pipeline,
        "success": done.end.is_good(),
        "state": state,
        "errors": errors,
    });
    if let (BatchEnd::Ran(record), Some(result)) = (&done.end, result.as_object_mut()) {
        let steps: Vec<Value> = record
            .steps
            .iter()
            .map(|(name, outcome)| {
                json!({ "name": name, "rows": outcome.rows, "bytes": outcome.bytes, "exit_code": outcome.exit_code })
            })
            .collect();
        result.insert("run_id".to_owned(), json!(record.run));
        result.insert("reasons".to_owned(), json!(record.reasons));
        result.insert("params".to_owned(), json!(record.overrides.params));
        result.insert("rows".to_owned(), json!(record.rows));
        result.insert("stats".to_owned(), json!(record.public_stats()));
        result.insert("steps".to_owned(), json!(steps));
        result.insert("started_at".to_owned(), json!(record.started_at));
        result.insert("finished_at".to_owned(), json!(record.finished_at));
        result.insert("attempts".to_owned(), json!(record.attempts));
    }
    result
}

/// The description of a run that ended without a start, after its name.
pub(super) fn reason_not_started(entry: &Entry) -> String {
    let at = entry.ended_at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
    let why = match &entry.ending {
        Some(Ending::NotRun { why: NotRunReason::Cancelled, by, .. }) => {
            format!("it was cancelled{at}{}", by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default())
        }
        Some(Ending::NotRun { what, .. }) => what.join("; "),
        Some(Ending::Held { by, .. }) => format!("its dependency `{by}` prevented the start"),
        Some(Ending::Clean) => "the results of the pipeline were up to date".to_owned(),
        Some(Ending::Ran(_)) | None => "it ended".to_owned(),
    };
    format!("never started: {why}")
}
