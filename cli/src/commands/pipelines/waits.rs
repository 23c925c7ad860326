//! Reasons for which runs of the queue wait.

use crate::failure::Failure;
use std::collections::BTreeSet;
use terrace_pipelines::queue::{Entry, Phase, Queue, QueueError};
use terrace_pipelines::run::Runner;

/// A run of the queue that has not ended.
pub(super) struct Wait {
    /// The run.
    pub(super) entry: Entry,
    /// The run whose end it waits for, and that run's pipeline; nothing if it waits for a worker only, or has started.
    pub(super) before: Option<(String, String)>,
}

impl Wait {
    /// The reason, as a noun phrase; nothing if the run has a worker, and waits for no run.
    pub(super) fn in_words(&self) -> Option<String> {
        match &self.before {
            Some((run, pipeline)) if *pipeline == self.entry.pipeline => Some(format!("the end of run {run}")),
            Some((run, pipeline)) => Some(format!("the end of run {run} of {pipeline}")),
            None => (self.entry.phase == Phase::Queued).then(|| "a worker".to_owned()),
        }
    }
}

/// The waits of those of the runs that have not ended.
///
/// # Errors
/// When the queue or a record cannot be read.
pub(super) async fn waits(runner: &Runner, queue: &Queue, ids: BTreeSet<String>) -> Result<Vec<Wait>, Failure> {
    let found = queue.call(move |queue| {
        let wait = |id: &String| Ok::<_, QueueError>(queue.entry(id)?.zip(Some(queue.awaited(id)?)));
        ids.iter().map(wait).collect::<Result<Vec<_>, _>>()
    });
    let mut waits = Vec::new();
    for (entry, before) in found.await?.into_iter().flatten().filter(|(entry, _)| entry.phase != Phase::Ended) {
        let before = match before {
            Some(before) => Some((before.id, before.pipeline)),
            None => run_beside(runner, &entry)?,
        };
        waits.push(Wait { entry, before });
    }
    Ok(waits)
}

/// The run that another process runs beside the queue, and that a worker waits for.
fn run_beside(runner: &Runner, entry: &Entry) -> Result<Option<(String, String)>, Failure> {
    if entry.phase != Phase::Assigned {
        return Ok(None);
    }
    let last = runner.store.last_resolved(&entry.folder, &entry.pipeline);
    let last = last.map_err(|error| Failure::new(format!("the records of runs cannot be read: {error}")))?;
    let other = last.filter(|last| !last.state.is_over() && entry.record.as_ref() != Some(&last.run));
    Ok(other.map(|other| (other.run, entry.pipeline.clone())))
}
