//! The project of the working directory: its provider instance, its queue, and the runs that words name.

use super::format;
use super::kinds::name;
use crate::args::ClusterKind;
use crate::context::Context;
use crate::failure::Failure;
use crate::wiring;
use std::io;
use std::path::Path;
use std::sync::Arc;
use terrace_pipelines::executor::Executor;
use terrace_pipelines::queue::{Entry, Phase, Queue, QueueError};
use terrace_pipelines::run::{Record, Runner};
use terrace_pipelines::spec;
use terrace_pipelines::worker::Supervisor;
use terrace_pipelines::worker::launch::CurrentProgram;
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::settings::{database_image, runner, runner_of_existing_runs};
use terrace_provider_pipelines::unclear_place::unclear_place;

/// The provider instance of the working directory's project.
pub(super) fn instance_here(context: &Context<'_>) -> Result<InstanceSettings, Failure> {
    let settings = context.settings(Some(Path::new(".")))?;
    let environment = settings.environment(None, context.ui)?;
    wiring::instance(&settings, &environment, "pipelines", context.ui)
}

/// The provider instance of the working directory's project, and its runner.
///
/// # Errors
/// When the settings are invalid, which is reported at their place.
pub(super) fn instance_and_runner(context: &Context<'_>) -> Result<(InstanceSettings, Runner), Failure> {
    let settings = context.settings(Some(Path::new(".")))?;
    let environment = settings.environment(None, context.ui)?;
    let instance = wiring::instance(&settings, &environment, "pipelines", context.ui)?;
    let runner = runner(&instance).map_err(|error| {
        wiring::report_wrong_setting(&settings, &environment, &instance.instance, &error, context.ui)
    })?;
    Ok((instance, runner))
}

/// The project of commands that read or stop existing runs.
pub(super) struct ProjectOfRuns {
    /// The provider instance.
    pub(super) instance: InstanceSettings,
    /// The runner, without settings that cannot work.
    pub(super) runner: Runner,
    /// True if a setting cannot work, or the place of its cluster is unclear.
    pub(super) has_wrong_settings: bool,
}

/// The working directory's project, for commands that read or stop existing runs: their records name their places, so a wrong
/// setting is only a warning.
///
/// # Errors
/// When the configuration cannot be read.
pub(super) fn project_of_runs(context: &Context<'_>) -> Result<ProjectOfRuns, Failure> {
    let settings = context.settings(Some(Path::new(".")))?;
    let environment = settings.environment(None, context.ui)?;
    let instance = wiring::tolerated_instance(&settings, &environment, "pipelines", context.ui)?;
    let unclear = unclear_place(&instance);
    let is_unclear = unclear.is_some();
    let (runner, wrong) = runner_of_existing_runs(&instance, unclear).map_err(|error| {
        wiring::report_wrong_setting(&settings, &environment, &instance.instance, &error, context.ui)
    })?;
    wiring::warn_of_wrong_settings(&settings, &environment, &instance.instance, &wrong, context.ui);
    Ok(ProjectOfRuns { instance, runner, has_wrong_settings: is_unclear || !wrong.is_empty() })
}

/// The runner of the working directory's project.
pub(super) fn runner_here(context: &Context<'_>) -> Result<Runner, Failure> {
    Ok(instance_and_runner(context)?.1)
}

/// The executor of a cluster, if pipelines of the project run there: by the settings, or by a spec of a folder.
///
/// # Errors
/// When the settings lead to no cluster.
pub(super) fn cluster_executor(runner: &Runner, folder: &Path) -> Result<Option<Arc<dyn Executor>>, Failure> {
    if runner.executor.environments().is_some() {
        return Ok(Some(Arc::clone(&runner.executor)));
    }
    let specs = spec::read(folder);
    match specs.is_ok_and(|specs| specs.pipelines.iter().any(|pipeline| runner.runs_elsewhere(pipeline))) {
        true => runner.cluster.clone().map(Some).map_err(Failure::new),
        false => Ok(None),
    }
}

/// The kind of cluster that `terrace pipelines init` creates for the pipelines of a project.
pub(super) fn kind_of_cluster(runner: &Runner) -> ClusterKind {
    if runner.executor.environments().is_some() { ClusterKind::Kubernetes } else { ClusterKind::Local }
}

/// The remedy without workers, for a kind of cluster.
pub(super) fn workers_hint(kind: ClusterKind) -> String {
    format!("start workers with `terrace pipelines init {}` or a `pipelines_worker_pool`", name(kind))
}

/// The image of databases in the cluster.
///
/// # Errors
/// When the settings have none.
pub(super) fn required_database_image(instance: &InstanceSettings) -> Result<&str, Failure> {
    database_image(instance).ok_or_else(|| {
        Failure::new("a database of the cluster needs the setting `databaseImage` of the provider `pipelines`")
            .hint("write `databaseImage: docker.io/library/postgres@sha256:DIGEST` in terrace.yaml")
    })
}

/// Copies runs that CronJobs started into the records, and warns about clusters that do not answer.
pub(super) async fn record_started_runs(context: &Context<'_>, runner: &Runner) {
    for problem in runner.record_started_runs().await {
        context.ui.print_message(&format!("warning: {problem}"));
    }
}

/// The name of the user for records.
pub(super) fn actor_here(context: &Context<'_>) -> Result<String, Failure> {
    Ok(context.settings(Some(Path::new(".")))?.actor)
}

/// The queue of the project, if it exists.
pub(super) async fn queue_of(runner: &Runner) -> Result<Option<Queue>, Failure> {
    let folder = runner.store.folder().to_owned();
    let opened = tokio::task::spawn_blocking(move || Queue::existing(&folder)).await;
    Ok(opened.map_err(|error| Failure::new(format!("the queue of runs: {error}")))??)
}

/// The queue of the project, created if necessary.
pub(super) async fn open(runner: &Runner) -> Result<Queue, Failure> {
    let folder = runner.store.folder().to_owned();
    let opened = tokio::task::spawn_blocking(move || Queue::open(&folder)).await;
    Ok(opened.map_err(|error| Failure::new(format!("the queue of runs: {error}")))??)
}

/// The supervisor of a queue's workers.
pub(super) fn supervisor(runner: &Runner, queue: &Queue) -> Supervisor {
    Supervisor::new(queue.clone(), runner.clone(), Arc::new(CurrentProgram))
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        error.hint().into_iter().fold(Self::new(error.to_string()), Self::hint)
    }
}

/// The record of a queued run: of its last attempt, or of the first one if the last did not start.
pub(super) fn record_of(runner: &Runner, entry: &Entry) -> io::Result<Option<Record>> {
    for id in entry.record.iter().chain([&entry.id]) {
        if let Some(record) = runner.store.exact_run(id)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The failure for a queued run without a record.
pub(super) fn not_started(entry: &Entry) -> Failure {
    let run = format!("run {} of {}", entry.id, entry.pipeline);
    match entry.phase {
        Phase::Ended if entry.was_not_run() => Failure::new(format!("{run} {}", format::reason_not_started(entry)))
            .hint(format!(
                "it was queued at {:.0}; run it again with `terrace pipelines run {}`",
                entry.queued_at, entry.pipeline
            )),
        Phase::Ended => Failure::new(format!("{run} has ended, and its records were removed"))
            .hint("`terrace pipelines runs` lists the remaining runs"),
        phase => Failure::new(format!("{run} has not started: it is {}", phase.word()))
            .hint("`terrace pipelines pods` shows the work of the workers"),
    }
}

/// Minimum length of an abbreviated run id.
const MIN_ID_LENGTH: usize = 8;

/// The remedy for a word that names no run; `list` is the command that lists them.
pub(super) fn ids_hint(list: &str) -> String {
    format!(
        "`{list}` lists the runs; the first characters of an id are enough, at least {MIN_ID_LENGTH} and as many as make it unique"
    )
}

/// True for a run id or its beginning. A shorter text such as `0` must not stop a run by accident.
pub(super) fn is_run(word: &str) -> bool {
    word.len() >= MIN_ID_LENGTH && word.chars().all(|character| character.is_ascii_hexdigit() || character == '-')
}

/// The ids of the pipelines of the working directory, if it can be searched.
pub(super) fn pipelines_here() -> Option<Vec<String>> {
    Some(spec::read(Path::new(".")).ok()?.pipelines.into_iter().map(|pipeline| pipeline.id).collect())
}

/// The folder and id of the pipeline that a word names.
pub(super) fn named(runner: &Runner, word: &str) -> Result<(String, String), Failure> {
    let root =
        Path::new(".").canonicalize().map_err(|error| Failure::new(format!("the working directory: {error}")))?;
    let pipeline = if word.starts_with("./") { word.to_owned() } else { format!("./{word}") };
    Ok((runner.folder_name(&root), pipeline))
}
