//! Executes one queued run.

use crate::queue::{Ending, Entry, NotRunReason};
use crate::run::batch::{self, BatchEnd};
use crate::run::{NoObserver, NotRun, Overrides};
use crate::run::{Record, Runner, State};
use crate::spec::{self, Specs};
use tokio_util::sync::CancellationToken;

/// Reads the specs of a run and finds its pipeline; returns the outcome instead if the run is not to be executed.
/// `failed` names its dependencies that failed.
pub(super) async fn find_pipeline(entry: &Entry, failed: &[String]) -> Result<(Specs, usize), Box<Ending>> {
    if entry.is_cancelled {
        return Err(Box::new(cancelled_before_start()));
    }
    let root = entry.root.clone();
    let unreadable = |message: String| Box::new(Ending::impossible(message));
    let specs = tokio::task::spawn_blocking(move || spec::read(&root)).await;
    let specs = specs
        .map_err(|error| unreadable(format!("the specs cannot be read: {error}")))?
        .map_err(|error| unreadable(format!("the folder `{}` cannot be read: {error}", entry.root.display())))?;
    let position = specs.pipelines.iter().position(|pipeline| pipeline.id == entry.pipeline);
    let position = position.filter(|_| !specs.broken().contains(&entry.pipeline.as_str()));
    let Some((position, pipeline)) = position.and_then(|at| Some((at, specs.pipelines.get(at)?))) else {
        let mut message = vec![format!("the pipeline `{}` no longer exists, or cannot be run", entry.pipeline)];
        let problems = specs.problems.iter().filter(|problem| problem.is_error());
        message.extend(problems.map(|problem| problem.in_one_line(&specs).to_string()));
        return Err(Box::new(Ending::not_run(NotRunReason::Impossible, message)));
    };
    match batch::failed_dependency(pipeline, |before| failed.iter().any(|it| it == before)) {
        Some((by, why)) => Err(Box::new(Ending::Held { by, why })),
        None => Ok((specs, position)),
    }
}

/// Executes the run; returns nothing if it was interrupted and must run again.
pub(super) async fn run(
    runner: &Runner,
    entry: &Entry,
    (specs, position): &(Specs, usize),
    cancelled: &CancellationToken,
    stop: &CancellationToken,
) -> Option<Ending> {
    let cancel = stop.child_token();
    let options = batch::Options {
        only_dirty: entry.options.only_dirty,
        is_forced: entry.options.is_forced,
        uses_cache: entry.options.uses_cache,
        max_parallel: 1,
        timeout: entry.options.timeout,
        lock_timeout: entry.options.lock_timeout,
        retries: entry.options.retries,
        overrides: Overrides { params: entry.options.params.clone(), execution: entry.options.execution.clone() },
        ..batch::Options::default()
    };
    let running = batch::run_one(runner, specs, *position, &options, entry.record.clone(), &NoObserver, &cancel);
    tokio::pin!(running);
    let done = tokio::select! {
        done = &mut running => done,
        () = cancelled.cancelled() => {
            cancel.cancel();
            running.await
        }
    };
    let is_interrupted = stop.is_cancelled() && !cancelled.is_cancelled();
    match done {
        Ok(end) => ending(end, is_interrupted),
        Err(error) => Some(Ending::impossible(format!("the inputs cannot be compared: {error}"))),
    }
}

pub(super) fn cancelled_before_start() -> Ending {
    Ending::not_run(NotRunReason::Cancelled, vec!["cancelled before its start".to_owned()])
}

fn ending(end: BatchEnd, is_interrupted: bool) -> Option<Ending> {
    let not_run = |why, message: Vec<String>| Some(Ending::not_run(why, message));
    match end {
        BatchEnd::Ran(record) if record.state == State::Cancelled && is_interrupted => None,
        BatchEnd::Ran(record) => Some(Ending::Ran(record)),
        BatchEnd::Clean => Some(Ending::Clean),
        BatchEnd::Held { by, why } => Some(Ending::Held { by, why }),
        BatchEnd::NotRun(NotRun::Cancelled) if is_interrupted => None,
        BatchEnd::NotRun(NotRun::Cancelled) => Some(cancelled_before_start()),
        BatchEnd::NotRun(NotRun::InProgress { run }) => {
            let run = run
                .map(|run| format!("run {run} is in progress"))
                .unwrap_or_else(|| "another run of it is in progress".to_owned());
            not_run(NotRunReason::Taken, vec![run])
        }
        BatchEnd::NotRun(NotRun::Changed(how)) => not_run(NotRunReason::Impossible, how),
        BatchEnd::NotRun(NotRun::WorkerFailed { message } | NotRun::UnknownEnd { message }) => {
            not_run(NotRunReason::Impossible, message)
        }
        BatchEnd::NotRun(NotRun::Io(error)) => {
            not_run(NotRunReason::Impossible, vec![format!("the run cannot be recorded: {error}")])
        }
        BatchEnd::NotRun(NotRun::Environment(error)) => {
            let mut message = vec![error.to_string()];
            if let crate::environment::EnvironmentError::Failed { output, .. } = &error {
                message.extend(output.iter().cloned());
            }
            message.extend(error.hint());
            not_run(NotRunReason::Impossible, message)
        }
    }
}

/// Outcome of a queued run with this record; nothing if it was interrupted.
pub(super) fn outcome_of(record: Record, is_cancelled: bool) -> Option<Ending> {
    match record.state {
        State::Lost | State::Cancelled if !is_cancelled => None,
        _ => Some(Ending::Ran(Box::new(record))),
    }
}
