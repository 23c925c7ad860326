//! One run of the queue, as a worker runs it.

use crate::queue::{Ending, Entry, WhyNot};
use crate::run::batch::{self, BatchEnd};
use crate::run::single::{NotRun, Unwatched};
use crate::run::{Record, Runner, State};
use crate::spec::{self, Specs};
use tokio_util::sync::CancellationToken;

/// The specs of a run, and which of their pipelines it is; how it ends where it is not run, with those before it in the queue that
/// did not end well.
pub(super) async fn chosen(entry: &Entry, failed: &[String]) -> Result<(Specs, usize), Box<Ending>> {
    if entry.is_cancelled {
        return Err(Box::new(called_off_before()));
    }
    let root = entry.root.clone();
    let unreadable = |what: String| Box::new(Ending::impossible(what));
    let specs = tokio::task::spawn_blocking(move || spec::read(&root)).await;
    let specs = specs
        .map_err(|error| unreadable(format!("the specs cannot be read: {error}")))?
        .map_err(|error| unreadable(format!("the folder `{}` cannot be read: {error}", entry.root.display())))?;
    let position = specs.pipelines.iter().position(|pipeline| pipeline.id == entry.pipeline);
    let position = position.filter(|_| !specs.broken().contains(&entry.pipeline.as_str()));
    let Some((position, pipeline)) = position.and_then(|at| Some((at, specs.pipelines.get(at)?))) else {
        let mut what = vec![format!("the pipeline `{}` is no longer there, or cannot be run", entry.pipeline)];
        let problems = specs.problems.iter().filter(|problem| problem.is_error());
        what.extend(problems.map(|problem| problem.in_one_line(&specs).to_string()));
        return Err(Box::new(Ending::not_run(WhyNot::Impossible, what)));
    };
    match batch::held_by_failed(pipeline, |before| failed.iter().any(|it| it == before)) {
        Some((by, why)) => Err(Box::new(Ending::Held { by, why })),
        None => Ok((specs, position)),
    }
}

/// Runs it; nothing where it was cut off and has to be run again.
pub(super) async fn run(
    runner: &Runner,
    entry: &Entry,
    (specs, position): &(Specs, usize),
    called_off: &CancellationToken,
    stop: &CancellationToken,
) -> Option<Ending> {
    let cancel = stop.child_token();
    let options = batch::Options {
        only_dirty: entry.options.only_dirty,
        is_forced: entry.options.is_forced,
        uses_cache: entry.options.uses_cache,
        most: 1,
        timeout: entry.options.timeout,
        patience: entry.options.patience,
        retries: entry.options.retries,
        ..batch::Options::default()
    };
    let running = batch::one(runner, specs, *position, &options, entry.record.clone(), &Unwatched, &cancel);
    tokio::pin!(running);
    let done = tokio::select! {
        done = &mut running => done,
        () = called_off.cancelled() => {
            cancel.cancel();
            running.await
        }
    };
    let is_cut_off = stop.is_cancelled() && !called_off.is_cancelled();
    match done {
        Ok(end) => ending(end, is_cut_off),
        Err(error) => Some(Ending::impossible(format!("what has to be run cannot be told: {error}"))),
    }
}

fn called_off_before() -> Ending {
    Ending::not_run(WhyNot::Cancelled, vec!["stopped before it began".to_owned()])
}

fn ending(end: BatchEnd, is_cut_off: bool) -> Option<Ending> {
    let not_run = |why, what: Vec<String>| Some(Ending::not_run(why, what));
    match end {
        BatchEnd::Ran(record) if record.state == State::Cancelled && is_cut_off => None,
        BatchEnd::Ran(record) => Some(Ending::Ran(record)),
        BatchEnd::Clean => Some(Ending::Clean),
        BatchEnd::Held { by, why } => Some(Ending::Held { by, why }),
        BatchEnd::NotRun(NotRun::Cancelled) if is_cut_off => None,
        BatchEnd::NotRun(NotRun::Cancelled) => Some(called_off_before()),
        BatchEnd::NotRun(NotRun::Taken { run }) => {
            let run = run.map(|run| format!("run {run} goes on")).unwrap_or_else(|| "it is being run".to_owned());
            not_run(WhyNot::Taken, vec![run])
        }
        BatchEnd::NotRun(NotRun::Changed(how)) => not_run(WhyNot::Impossible, how),
        BatchEnd::NotRun(NotRun::Elsewhere { what }) => not_run(WhyNot::Impossible, what),
        BatchEnd::NotRun(NotRun::Io(error)) => {
            not_run(WhyNot::Impossible, vec![format!("the run cannot be recorded: {error}")])
        }
        BatchEnd::NotRun(NotRun::Environment(error)) => {
            let mut what = vec![error.to_string()];
            if let crate::environment::EnvironmentError::Failed { said, .. } = &error {
                what.extend(said.iter().cloned());
            }
            what.extend(error.hint());
            not_run(WhyNot::Impossible, what)
        }
    }
}

/// How a run of the queue ends whose record is this one; nothing where it was cut off.
pub(super) fn found(record: Record, is_cancelled: bool) -> Option<Ending> {
    match record.state {
        State::Lost | State::Cancelled if !is_cancelled => None,
        _ => Some(Ending::Ran(Box::new(record))),
    }
}
