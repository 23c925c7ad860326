//! `terrace run`, `runs`, `logs`, `cancel`, `schedules`, `list`, `pods` and `ssh`: data pipelines of the working directory, without
//! plan and state; and `init` of the clusters whose workers run them.

mod cancelling;
mod cluster;
mod cluster_databases;
mod fallback;
mod format;
mod history;
mod kinds;
mod listing;
mod logs;
mod pods;
mod queued;
mod running;
mod schedules;
mod screen;
mod ssh;
mod syncing;
mod transcript;
mod worker;

pub(super) use cancelling::cancel;
pub(super) use cluster::{init, is_of_cluster};
pub(super) use history::runs;
pub(crate) use kinds::KINDS;
pub(super) use listing::list;
pub(super) use logs::logs;
pub(super) use pods::pods;
pub(super) use running::run;
pub(super) use schedules::schedules;
pub(super) use ssh::ssh;
pub(super) use worker::{keep, worker};

use super::Context;
use crate::failure::Failure;
use crate::wiring;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terrace_provider::Settings as InstanceSettings;
use terrace_provider::names::{closest, listed};
use terrace_provider_pipelines::queue::{Entry, Phase, Queue, QueueError};
use terrace_provider_pipelines::run::{Record, Runner};
use terrace_provider_pipelines::settings::runner;
use terrace_provider_pipelines::spec::{self, selection};
use terrace_provider_pipelines::worker::Keeper;
use terrace_provider_pipelines::worker::launch::Itself;

/// The instance of the provider of the project that the working directory is in.
pub(super) fn instance_here(context: &Context<'_>) -> Result<InstanceSettings, Failure> {
    let settings = context.settings(Some(Path::new(".")))?;
    let environment = settings.environment(None, context.ui)?;
    wiring::instance(&settings, &environment, "pipelines", context.ui)
}

/// The runner of the project that the working directory is in.
fn runner_here(context: &Context<'_>) -> Result<Runner, Failure> {
    Ok(runner(&instance_here(context)?)?)
}

/// Who asks, for people.
fn actor_here(context: &Context<'_>) -> Result<String, Failure> {
    Ok(context.settings(Some(Path::new(".")))?.actor)
}

/// The queue of the project, where there is one.
async fn queue_of(runner: &Runner) -> Result<Option<Queue>, Failure> {
    let folder = runner.store.folder().to_owned();
    let opened = tokio::task::spawn_blocking(move || Queue::existing(&folder)).await;
    Ok(opened.map_err(|error| Failure::new(format!("the queue of runs: {error}")))??)
}

/// The same, made where there is none.
async fn open(runner: &Runner) -> Result<Queue, Failure> {
    let folder = runner.store.folder().to_owned();
    let opened = tokio::task::spawn_blocking(move || Queue::open(&folder)).await;
    Ok(opened.map_err(|error| Failure::new(format!("the queue of runs: {error}")))??)
}

/// The folder of the nearest queue, upwards from the working directory.
fn nearest_queue() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let mut folders = here.ancestors().map(|folder| folder.join(".terrace/pipelines"));
    folders.find(|folder| folder.join("queue.db").is_file())
}

/// Looks after the workers of a queue.
fn keeper(runner: &Runner, queue: &Queue) -> Keeper {
    Keeper::new(queue.clone(), runner.clone(), Arc::new(Itself))
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        error.hint().into_iter().fold(Self::new(error.to_string()), Self::hint)
    }
}

/// The run of that id, or the last one of the pipeline of that id. One that was in the queue is meant by its id there, too.
async fn find(runner: &Runner, word: &str) -> Result<Record, Failure> {
    let unreadable = |error: io::Error| Failure::new(format!("the records of runs cannot be read: {error}"));
    let queue = if is_run(word) { queue_of(runner).await? } else { None };
    if let Some(queue) = queue {
        let wanted = word.to_owned();
        if let Some(entry) = queue.call(move |queue| queue.find(&wanted)).await? {
            let record = record_of(runner, &entry).map_err(unreadable)?;
            return record.ok_or_else(|| not_begun(&entry));
        }
    }
    if is_run(word) {
        if let Some(record) = runner.store.run(word).map_err(unreadable)? {
            return Ok(record);
        }
        let ids = runner.store.ids().map_err(unreadable)?;
        let begun: Vec<&str> = ids.iter().map(String::as_str).filter(|id| id.starts_with(word)).collect();
        if !begun.is_empty() {
            let failure = Failure::new(format!("the ids of several runs begin with `{word}`"));
            return Err(failure.hint(format!("they are {}", listed(&begun))));
        }
    }
    let (folder, pipeline) = named(runner, word)?;
    let last = runner.store.last(&folder, &pipeline).map_err(unreadable)?;
    last.ok_or_else(|| match pipelines_here().as_deref() {
        Some(ids) if ids.iter().any(|id| selection::means(word, id)) => {
            Failure::new(format!("`{word}` was never run here")).hint(format!("`terrace run {word}` runs it"))
        }
        ids => {
            let what = format!("there is no run `{word}`, and no pipeline of this folder that was run is called so");
            let meant = ids.and_then(|ids| closest(&pipeline, ids.iter().map(String::as_str)));
            Failure::new(what).hint(match meant {
                Some(id) => format!("did you mean `{id}`?"),
                None => format!("`terrace runs list` lists the runs; {SHORTEST} characters of an id will do"),
            })
        }
    })
}

/// The record of a run of the queue: of its last attempt or, where that came to nothing before it began, of the first one.
fn record_of(runner: &Runner, entry: &Entry) -> io::Result<Option<Record>> {
    for id in entry.record.iter().chain([&entry.id]) {
        if let Some(record) = runner.store.run(id)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// What is told of a run of the queue that has no record.
fn not_begun(entry: &Entry) -> Failure {
    let run = format!("run {} of {}", entry.id, entry.pipeline);
    match entry.phase {
        Phase::Ended if entry.was_not_run() => Failure::new(format!("{run} {}", queued::never_began(entry))).hint(
            format!("it was asked for at {:.0}; `terrace run {}` does so again", entry.queued_at, entry.pipeline),
        ),
        Phase::Ended => Failure::new(format!("{run} has ended, and its records are gone"))
            .hint("`terrace runs list` lists those that are kept"),
        phase => Failure::new(format!("{run} has not begun: it is {}", phase.word()))
            .hint("`terrace list pods` shows what workers do"),
    }
}

/// The least of an id of a run that is taken for it.
const SHORTEST: usize = 8;

/// True for what may be an id of a run, or the beginning of one: nobody stops a run whose id happens to begin with `0`.
fn is_run(word: &str) -> bool {
    word.len() >= SHORTEST && word.chars().all(|character| character.is_ascii_hexdigit() || character == '-')
}

/// The ids of the pipelines of the working directory, where it can be searched.
fn pipelines_here() -> Option<Vec<String>> {
    Some(spec::read(Path::new(".")).ok()?.pipelines.into_iter().map(|pipeline| pipeline.id).collect())
}

/// The folder and the id of the pipeline that a word may mean.
fn named(runner: &Runner, word: &str) -> Result<(String, String), Failure> {
    let root =
        Path::new(".").canonicalize().map_err(|error| Failure::new(format!("the working directory: {error}")))?;
    let pipeline = if word.starts_with("./") { word.to_owned() } else { format!("./{word}") };
    Ok((runner.folder_name(&root), pipeline))
}
