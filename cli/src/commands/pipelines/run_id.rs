//! Runs by a word of a user: an id, its beginning, or a pipeline. Runs of the queue, of this machine and of a cluster are found in the
//! same way.

use super::project::{ids_hint, is_run, named, not_started, pipelines_here, queue_of, record_of};
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use terrace_pipelines::queue::{Entry, Phase, Queue};
use terrace_pipelines::run::{Record, Runner};
use terrace_pipelines::spec::selection;
use terrace_provider::names::{closest, listed};

/// A run with an id.
pub(super) enum Found {
    /// A run of the queue.
    Queued(Box<Entry>),
    /// The record of another run.
    Recorded(Box<Record>),
}

/// The run with this id, or the only one whose id starts with this word.
///
/// # Errors
/// When the ids of several runs start with the word, or records cannot be read.
pub(super) async fn find(runner: &Runner, word: &str) -> Result<Option<Found>, Failure> {
    if !is_run(word) {
        return Ok(None);
    }
    let unreadable = |error: std::io::Error| Failure::new(format!("the records of runs cannot be read: {error}"));
    let recorded = runner.store.ids().map_err(unreadable)?.into_iter().filter(|id| id.starts_with(word));
    let mut ids: BTreeMap<String, String> = recorded.map(|id| (id.clone(), id)).collect();
    let queue = queue_of(runner).await?;
    if let Some(queue) = &queue {
        let wanted = word.to_owned();
        // A run of the queue has a record for each attempt.
        ids.extend(queue.call(move |queue| queue.ids_starting_with(&wanted)).await?);
    }
    let Some(id) = only(word, &ids)? else { return Ok(None) };
    if let Some(queue) = queue {
        let wanted = id.clone();
        if let Some(entry) = queue.call(move |queue| queue.entry(&wanted)).await? {
            // The full id of an earlier attempt means its own record.
            let is_earlier = id != word && entry.record.as_deref() != Some(word);
            let earlier = if is_earlier { runner.store.exact_run(word).map_err(unreadable)? } else { None };
            return Ok(Some(match earlier {
                Some(record) => Found::Recorded(Box::new(record)),
                None => Found::Queued(Box::new(entry)),
            }));
        }
    }
    Ok(runner.store.exact_run(&id).map_err(unreadable)?.map(|record| Found::Recorded(Box::new(record))))
}

/// Unfinished runs of the queue of the pipeline that a word names, oldest first.
pub(super) async fn unfinished(runner: &Runner, queue: &Queue, word: &str) -> Result<Vec<Entry>, Failure> {
    let mut found = of_pipeline(runner, queue, word).await?;
    found.retain(|entry| entry.phase != Phase::Ended);
    Ok(found)
}

/// As [`unfinished`], with runs that could not start.
async fn of_pipeline(runner: &Runner, queue: &Queue, word: &str) -> Result<Vec<Entry>, Failure> {
    let (folder, pipeline) = named(runner, word)?;
    let name = pipeline.strip_prefix("./").unwrap_or(&pipeline);
    let path = if folder == "." { name.to_owned() } else { format!("{folder}/{name}") };
    // Each folder above a spec has its own id for the pipeline.
    let mut names = vec![(".".to_owned(), format!("./{path}"))];
    names.extend(path.match_indices('/').filter_map(|(at, _)| {
        let (above, name) = path.split_at_checked(at)?;
        Some((above.to_owned(), format!(".{name}")))
    }));
    let found = queue.call(move |queue| {
        let found: Result<Vec<_>, _> =
            names.iter().map(|(folder, pipeline)| queue.of_pipeline(folder, pipeline)).collect();
        Ok(found?.concat())
    });
    let mut found = found.await?;
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

/// The record of the run with this id, or of the newest run of the pipeline with this id.
///
/// # Errors
/// When no run matches, or it has not started.
pub(super) async fn find_record(runner: &Runner, word: &str) -> Result<Record, Failure> {
    match find_started(runner, word).await? {
        Found::Recorded(record) => Ok(*record),
        Found::Queued(entry) => Err(not_started(&entry)),
    }
}

/// The record of the run with this id, or of the newest run of the pipeline with this id; its entry in the queue if it has not
/// started. Accepts the ids of queue entries too.
///
/// # Errors
/// When no run matches.
pub(super) async fn find_started(runner: &Runner, word: &str) -> Result<Found, Failure> {
    if let Some(found) = find_known(runner, word).await? {
        return Ok(found);
    }
    let (_, pipeline) = named(runner, word)?;
    Err(match pipelines_here().as_deref() {
        Some(ids) if ids.iter().any(|id| selection::selects(word, id)) => {
            Failure::new(format!("`{word}` has no runs here"))
                .hint(format!("run it with `terrace pipelines run {word}`"))
        }
        ids => {
            let what = format!("this folder has no run `{word}`, and no pipeline `{word}` with runs");
            let meant = ids.and_then(|ids| closest(&pipeline, ids.iter().map(String::as_str)));
            Failure::new(what).hint(match meant {
                Some(id) => format!("did you mean `{id}`?"),
                None => ids_hint("terrace pipelines runs"),
            })
        }
    })
}

/// As [`find_started`]; nothing when no run matches.
///
/// # Errors
/// When the ids of several runs start with the word, or records cannot be read.
pub(super) async fn find_known(runner: &Runner, word: &str) -> Result<Option<Found>, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(format!("the records of runs cannot be read: {error}"));
    let started = |entry: Box<Entry>| {
        let record = record_of(runner, &entry).map_err(unreadable)?;
        Ok::<_, Failure>(record.map_or(Found::Queued(entry), |record| Found::Recorded(Box::new(record))))
    };
    match find(runner, word).await? {
        Some(Found::Queued(entry)) => return started(entry).map(Some),
        Some(recorded) => return Ok(Some(recorded)),
        None => {}
    }
    let (folder, pipeline) = named(runner, word)?;
    let last = runner.store.last(&folder, &pipeline).map_err(unreadable)?;
    let queued = match queue_of(runner).await? {
        Some(queue) => of_pipeline(runner, &queue, word).await?.pop(),
        None => None,
    };
    // A run that waits or could not start is the newest one, unless an earlier one is in progress. Ids sort by time.
    let resolved = runner.store.last_resolved(&folder, &pipeline).map_err(unreadable)?;
    let is_over = resolved.is_none_or(|last| last.state.is_over());
    if let Some(entry) = queued.filter(|entry| is_over && last.as_ref().is_none_or(|last| last.run < entry.id)) {
        return started(Box::new(entry)).map(Some);
    }
    Ok(last.map(|last| Found::Recorded(Box::new(last))))
}

/// The run with exactly this id, or else the only run of all ids that start with it.
fn only(word: &str, ids: &BTreeMap<String, String>) -> Result<Option<String>, Failure> {
    let runs: BTreeSet<&String> = match ids.get(word) {
        Some(run) => BTreeSet::from([run]),
        None => ids.values().collect(),
    };
    let runs: Vec<&String> = runs.into_iter().collect();
    match runs.as_slice() {
        [] => Ok(None),
        [run] => Ok(Some((*run).clone())),
        _ => Err(ambiguous(word, &runs)),
    }
}

/// The failure for a word with which the ids of several runs start.
pub(super) fn ambiguous<T: AsRef<str>>(word: &str, ids: &[T]) -> Failure {
    Failure::new(format!("the ids of several runs begin with `{word}`"))
        .hint(format!("write more of the id: {}", listed(ids)))
}
