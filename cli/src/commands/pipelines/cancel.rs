//! `terrace pipelines cancel`: stops a run in any process.

use super::project::{actor_here, project_of_runs, queue_of, record_started_runs, supervisor};
use super::run_id::{self, Found, find_known, find_record};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::queue::{Ending, Phase};
use terrace_pipelines::run::store::LockError;
use terrace_pipelines::run::{Record, Runner, State};
use tokio_util::sync::CancellationToken;

/// Interval of reads of the run's record.
const PERIOD: Duration = Duration::from_millis(100);
/// Remedy for a run that did not end in time: its end is recorded by any process.
const WILL_STOP: &str = "the run will stop: `terrace pipelines runs` shows its end";

/// Stops a run and waits until all of its processes have ended.
///
/// # Errors
/// When the run does not exist, has ended, or does not end in time.
pub(super) async fn run(context: &Context<'_>, arguments: &crate::args::CancelArguments) -> Result<Exit, Failure> {
    let runner = project_of_runs(context)?.runner;
    let before = find_record(&runner, &arguments.run).await.ok();
    // The id of a run that a cluster started may begin with the word, too.
    record_started_runs(context, &runner).await;
    let was_queued = cancel_queued(context, &runner, &arguments.run).await?;
    let record = match was_queued {
        false => find_record(&runner, &arguments.run).await?,
        // Beside the queue, another process may run the pipeline.
        true => match find_known(&runner, &arguments.run).await? {
            Some(Found::Recorded(record)) if !record.state.is_over() => *record,
            _ => return Ok(Exit::Done),
        },
    };
    // A former call that did not wait long enough requested the end, which this one has recorded.
    let has_ended_now = before.is_some_and(|before| before.run == record.run && !before.state.is_over());
    // An id may lead to a record with another id.
    let is_pipeline = run_id::find(&runner, &arguments.run).await?.is_none();
    let mut unfinished = match is_pipeline {
        true => runner
            .unfinished_runs_of(&record.folder, &record.pipeline)
            .map_err(|error| Failure::new(format!("the records of {} cannot be read: {error}", record.pipeline)))?,
        false => Vec::new(),
    };
    if has_ended_now && record.state == State::Cancelled {
        print_end(context, &record)?;
        if unfinished.is_empty() {
            return Ok(Exit::Done);
        }
    } else if record.state.is_over() && unfinished.is_empty() {
        return Err(Failure::new(format!(
            "run {} of {} has ended: it {}",
            record.run,
            record.pipeline,
            record.state.predicate()
        ))
        .hint("`terrace pipelines runs` lists the runs"));
    }
    if unfinished.is_empty() {
        unfinished.push(record);
    }
    let actor = actor_here(context)?;
    for record in &unfinished {
        let stopped = stop(&runner, record, &actor, context.global.lock_timeout()).await;
        match stopped.map_err(|error| Failure::new(format!("run {} cannot be stopped: {error}", record.run)))? {
            Some(ended) => print_end(context, &ended)?,
            None => {
                let message = format!("run {} of {} is still running", record.run, record.pipeline);
                return Err(Failure::refused(message).hint(WILL_STOP));
            }
        }
    }
    Ok(Exit::Done)
}

/// Stops a run of any process for a principal, and settles it if its process is gone. Returns its record at the end, or `None` if it
/// does not end in time.
///
/// # Errors
/// When a record cannot be read or written.
pub(super) async fn stop(runner: &Runner, record: &Record, by: &str, timeout: Duration) -> io::Result<Option<Record>> {
    runner.store.request_stop(&record.run, Some(by))?;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < timeout {
        let cancel = CancellationToken::new();
        match runner.store.lock_pipeline(&record.folder, &record.pipeline, Duration::ZERO, &cancel).await {
            // The runner ended or crashed. Its unfinished run may be a later one.
            Ok(lock) => {
                if let Some(unfinished) = lock.unfinished_run() {
                    let current = runner.store.exact_run(&unfinished)?;
                    // Another run of a CronJob goes on.
                    let goes_on =
                        |it: &Record| it.run != record.run && it.scheduled_job.is_some() && !it.state.is_over();
                    if !current.as_ref().is_some_and(goes_on) {
                        runner.settle(&unfinished).await?;
                        lock.set_current_run(None)?;
                    }
                }
                let settled = runner.settle(&record.run).await?;
                let removed = || io::Error::new(io::ErrorKind::NotFound, "its record was removed");
                return settled.map(Some).ok_or_else(removed);
            }
            Err(LockError::Io(error)) => return Err(error),
            Err(LockError::InProgress { .. } | LockError::Cancelled) => {}
        }
        if let Some(ended) = runner.store.run(&record.run)?.filter(|record| record.state.is_over()) {
            return Ok(Some(ended));
        }
        tokio::time::sleep(PERIOD).await;
    }
    Ok(None)
}

/// Cancels the queue's entries of a run or a pipeline, and waits until they end. Returns false without any.
async fn cancel_queued(context: &Context<'_>, runner: &Runner, word: &str) -> Result<bool, Failure> {
    let Some(queue) = queue_of(runner).await? else { return Ok(false) };
    let found = match run_id::find(runner, word).await? {
        Some(Found::Queued(entry)) if entry.phase != Phase::Ended => vec![*entry],
        Some(_) => Vec::new(),
        None => run_id::unfinished(runner, &queue, word).await?,
    };
    let actor = Arc::new(actor_here(context)?);
    for entry in &found {
        let (id, actor) = (entry.id.clone(), Arc::clone(&actor));
        queue.call(move |queue| queue.cancel(&id, Some(&actor))).await?;
    }
    let (supervisor, begun) = (supervisor(runner, &queue), tokio::time::Instant::now());
    for entry in &found {
        loop {
            let id = entry.id.clone();
            let now = queue.call(move |queue| queue.entry(&id)).await?;
            let Some(now) = now.filter(|now| now.ending.is_none()) else { break };
            if begun.elapsed() > context.global.lock_timeout() {
                return Err(
                    Failure::refused(format!("run {} of {} is still running", now.id, now.pipeline)).hint(WILL_STOP)
                );
            }
            supervisor.check_workers().await?;
            tokio::time::sleep(PERIOD).await;
        }
        let id = entry.id.clone();
        let ending = queue.call(move |queue| queue.entry(&id)).await?.and_then(|now| now.ending);
        let word = if let Some(Ending::Ran(record)) = &ending { record.state.word() } else { "cancelled" };
        context.ui.print(&harmless(&format!("{}: {}, run {}\n", entry.pipeline, word.to_uppercase(), entry.id)))?;
    }
    Ok(!found.is_empty())
}

fn print_end(context: &Context<'_>, record: &Record) -> Result<(), Failure> {
    let word = record.state.word().to_uppercase();
    context.ui.print(&harmless(&format!("{}: {word}, run {}\n", record.pipeline, record.run)))
}
