//! `terrace pipelines run --queue`: lets workers run pipelines, and follows them. The workers continue if the follower is killed.

use super::databases::{ClusterDatabase, all_databases_of};
use super::dppctl_yaml::DppctlYaml;
use super::init::{DATABASES, ensure_pool, progress, settings, wanted};
use super::kinds::{Words, of_name};
use super::project::{actor_here, kind_of_cluster, open, queue_of, supervisor, workers_hint};
use super::screen::Screen;
use super::syncing::{self, Outcome, Syncing};
use super::transcript::{Line, Slot, Transcript};
use super::waits::waits;
use super::{failing_workers, fallback};
use crate::args::{ClusterArguments, ClusterKind, PipelineArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::database::texts;

use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::queue::{self, Ending, Entry, NotRunReason, Phase, PodStatus, Pool, Queue, QueueRequest};
use terrace_pipelines::run::NotRun;
use terrace_pipelines::run::batch::{BatchEnd, Options, PipelineOutcome};
use terrace_pipelines::run::log::Reader;
use terrace_pipelines::run::{Record, RunObserver, Runner, State};
use terrace_pipelines::spec::model::Pipeline;
use terrace_pipelines::spec::{Specs, order};
use terrace_provider::Settings;
use terrace_provider_pipelines::settings::{changed_names, default_database, in_words, to_stored};
use tokio::time::Instant;

/// Interval of reads of the queue.
const POLL: Duration = Duration::from_millis(100);
/// Interval of the checks of workers.
const PERIOD: Duration = Duration::from_secs(1);

/// The workers for a run.
pub(super) struct Target {
    queue: Queue,
    cluster: Option<Cluster>,
    pool: Option<String>,
    /// True if workers write into the database of the settings, not into that of the cluster.
    has_own_database: bool,
}

impl Target {
    /// True if the workers are those of a public cluster.
    pub(super) fn is_public(&self) -> bool {
        let kind = self.cluster.as_ref().and_then(|cluster| of_name(&cluster.kind));
        kind.is_some_and(|kind| Words::of(kind).is_public)
    }
}

/// The pipelines to run, with their options.
pub(super) struct Work<'a> {
    pub(super) runner: Runner,
    pub(super) specs: &'a Specs,
    /// By position in [`Specs::pipelines`].
    pub(super) chosen: &'a [usize],
    pub(super) options: Options,
    pub(super) target: Target,
    /// True if other specs have errors.
    pub(super) is_wrong: bool,
    /// Destination of the results.
    pub(super) syncing: Option<Syncing>,
}

/// The workers for a run; `None` to run pipelines in this process.
///
/// # Errors
/// When the user requires workers and none run.
pub(super) async fn target(
    context: &Context<'_>,
    instance: &Settings,
    runner: &Runner,
    arguments: &PipelineArguments,
) -> Result<Option<Target>, Failure> {
    let requires_workers = arguments.queue || arguments.detach || arguments.pool.is_some();
    let database = &arguments.database;
    let chooses_database = database.database.is_some() || database.new_database.is_some();
    if chooses_database && requires_workers {
        return Err(Failure::new(
            "workers write only into the `database` of the provider's settings, or into that of their cluster",
        )
        .hint("to write into another database, run the pipelines here: leave `--queue`, `--pool` and `--detach` out"));
    }
    if let Some(folder) = &arguments.cluster_of {
        let required = DppctlYaml::find(context, &[folder.as_path()])?.map(|(_, file)| file);
        fallback::check_run(required.as_ref(), instance, runner, None)?;
    }
    if arguments.no_queue {
        return Ok(None);
    }
    let required = fallback::requirement(context, runner)?;
    if chooses_database {
        fallback::check_run(required.as_ref(), instance, runner, None)?;
        return Ok(None);
    }
    let none = || {
        let kind = required.as_ref().and_then(|file| file.cluster).unwrap_or_else(|| kind_of_cluster(runner));
        Failure::new("the queue has no workers").hint(workers_hint(kind))
    };
    let may_fall_back = || fallback::check(required.as_ref(), &[Path::new("."), runner.project.as_path()]);
    let existing = queue_of(runner).await?;
    let active = match &existing {
        Some(queue) if arguments.pool.is_none() => queue.call(Queue::active_cluster).await?,
        _ => None,
    };
    fallback::check_run(required.as_ref(), instance, runner, active.as_ref())?;
    // Jobs of a cluster need no workers here, and no other cluster replaces it.
    let needs_no_workers = (required.is_some() || arguments.else_public)
        && runner.executor.environments().is_some()
        && active.as_ref().is_none_or(|active| active.workers == 0 || fallback::is_fallback(active));
    if needs_no_workers && arguments.pool.is_none() && !arguments.detach {
        return Ok(None);
    }
    let queue = match existing {
        Some(queue) => queue,
        None if arguments.else_public => {
            may_fall_back()?;
            check_begun(runner)?;
            open(runner).await?
        }
        None if requires_workers => return Err(none()),
        None => return Ok(None),
    };
    if let Some(pool) = arguments.pool.clone() {
        queue.call(move |queue| queue.check_pool(&pool)).await?;
    }
    let mut cluster = queue.call(Queue::active_cluster).await?;
    if arguments.else_public && cluster.as_ref().is_none_or(fallback::is_fallback) {
        may_fall_back()?;
    }
    if cluster.is_none() && arguments.else_public {
        check_begun(runner)?;
        let public = wanted(ClusterKind::Public, &ClusterArguments::default(), None, DATABASES);
        let begun = public.clone();
        queue.call(move |queue| queue.begin_cluster(&begun)).await?;
        ensure_pool(runner, &queue, &public, &settings(context)?).await?;
        cluster = Some(public);
    }
    let cluster = cluster.filter(|cluster| arguments.pool.as_ref().is_none_or(|pool| *pool == cluster.kind));
    if let Some(cluster) = cluster.as_ref().filter(|cluster| cluster.workers == 0) {
        // Waiting for stopped workers would not end.
        if !requires_workers {
            return Ok(None);
        }
        return Err(Failure::new(format!("the cluster `{}` has no workers", cluster.kind)).hint(format!(
            "start some with `terrace pipelines init {}`, or run the pipelines here with `--no-queue`",
            cluster.kind
        )));
    }
    let pool = arguments.pool.clone().or_else(|| cluster.as_ref().map(|cluster| cluster.kind.clone()));
    if pool.is_none() {
        if !requires_workers {
            return Ok(None);
        }
        let pools = queue.call(Queue::pools).await?;
        if pools.iter().all(|pool| pool.is_closing || pool.is_expired) {
            return Err(none());
        }
    }
    let pool = match suitable_pool(&queue, instance, pool).await? {
        Pools::Suitable(pool) => pool,
        Pools::Outdated(pool, names) => {
            let message = format!("the workers of the pool `{pool}` have other settings: {}", in_words(&names));
            let hint = "give them the present settings: repeat `terrace pipelines init`, or `terrace apply` in the \
                        environment (`--env`) of a `pipelines_worker_pool`";
            if requires_workers {
                return Err(Failure::new(message).hint(hint));
            }
            let cluster = cluster.as_ref().and_then(|cluster| of_name(&cluster.kind));
            let is_public = cluster.is_some_and(|kind| Words::of(kind).is_public);
            let results = if is_public { ", which publishes no results" } else { "" };
            context.ui.print_note(&format!("{message}; the pipelines run without them{results}. To use them, {hint}"));
            return Ok(None);
        }
    };
    Ok(Some(Target { queue, cluster, pool, has_own_database: default_database(instance).is_some() }))
}

/// Refuses the public cluster until the start of another cluster is complete.
fn check_begun(runner: &Runner) -> Result<(), Failure> {
    let Some(begun) = progress(runner)? else { return Ok(()) };
    Err(Failure::new(format!("the start of the cluster `{}` is not complete", begun.kind))
        .hint("continue with `terrace pipelines init`, or choose another cluster with `terrace pipelines init KIND`"))
}

/// The pools that can take a run.
enum Pools {
    /// This pool, or all pools.
    Suitable(Option<String>),
    /// None: the workers of this pool have other settings than the project, with the names of these settings.
    Outdated(String, BTreeSet<String>),
}

/// The pools whose workers have the settings of the project; `name` is the only pool that matters.
async fn suitable_pool(queue: &Queue, instance: &Settings, name: Option<String>) -> Result<Pools, Failure> {
    let present = to_stored(instance);
    let pools = queue.call(Queue::pools).await?;
    let is_open = |pool: &Pool| !pool.is_closing && !pool.is_expired;
    let used = pools.iter().filter(|pool| is_open(pool) && name.as_ref().is_none_or(|name| pool.name == *name));
    let (mut suitable, mut outdated) = (None, None);
    for pool in used {
        let names = changed_names(&pool.settings, &present)?;
        match names.is_empty() {
            true => suitable = suitable.or_else(|| Some(pool.name.clone())),
            false => outdated = outdated.or_else(|| Some((pool.name.clone(), names))),
        }
    }
    Ok(match (outdated, suitable) {
        (None, _) => Pools::Suitable(name),
        (Some(_), Some(suitable)) => Pools::Suitable(Some(suitable)),
        (Some((pool, names)), None) => Pools::Outdated(pool, names),
    })
}

/// Queues pipelines, and follows them unless `--detach` is set.
///
/// # Errors
/// When the queue cannot be used.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &PipelineArguments,
    signals: &Signals,
    work: Work<'_>,
) -> Result<Exit, Failure> {
    let Work { runner, specs, chosen, options, target, is_wrong, syncing } = work;
    let Target { queue, cluster, pool, has_own_database } = target;
    // Reads the name first: a later cancellation must not depend on a file that may change meanwhile.
    let actor = Arc::new(actor_here(context)?);
    let mut transcript = Transcript::default();
    if let Some(cluster) = &cluster
        && let Some(kind) = of_name(&cluster.kind)
    {
        transcript.push(Line::Using(kind));
        transcript.print(context.ui, Slot::Using);
        renew(context, &runner, &queue, kind, cluster).await?;
    }
    signals.begin_runs();
    let supervisor = supervisor(&runner, &queue);
    supervisor.check_workers().await?;
    let (_, since) = queue.call(|queue| queue.changed(&BTreeSet::new(), i64::MAX)).await?;
    let has_database = !has_own_database
        && cluster.as_ref().is_some_and(|it| it.databases > 0)
        && use_database(&runner, specs, chosen);
    let requests = queue_requests(&runner, specs, chosen, &options, pool.as_ref());
    // A run of a pipeline waits for an earlier one first, which has its own line.
    if !has_free_worker(&queue, pool.as_deref()).await? && !have_earlier_runs(&queue, requests.clone()).await? {
        transcript.push(Line::Waiting { with_databases: has_database });
        transcript.print(context.ui, Slot::Waiting);
    }
    let mut database = match cluster
        .as_ref()
        .filter(|_| has_database)
        .map(|cluster| (cluster, cluster.database_of(&runner.folder_name(&specs.root))))
    {
        Some((cluster, Some(name))) => {
            let databases = all_databases_of(context, &super::project::instance_here(context)?).await?;
            let database =
                ClusterDatabase::start(context.ui, &databases, cluster, &name, None, &signals.cancel).await?;
            Some((name, database.address_lines))
        }
        _ => None,
    };
    let pipelines: Vec<String> = requests.iter().map(|request| request.pipeline.clone()).collect();
    let ids = queue.call(move |queue| queue.enqueue(&requests)).await?;
    let screen = Screen::new(context.ui, context.global.verbose > 0, arguments.format.is_json());
    let mut followed = FollowedRuns {
        runner: &runner,
        queue: &queue,
        screen: &screen,
        left: ids.iter().cloned().collect(),
        done: Vec::new(),
        reading: BTreeMap::new(),
        running: BTreeMap::new(),
        waits: BTreeMap::new(),
        pool,
        has_reported_workers: false,
    };
    followed.report_waits().await?;
    if arguments.detach {
        return print_queued(context, &pipelines, &ids, arguments.format.is_json(), is_wrong);
    }
    let (mut since, mut checked_at, mut is_cancelled) = (since, Instant::now(), false);
    while !followed.left.is_empty() {
        let left = followed.left.clone();
        let (entries, newest) = queue.call(move |queue| queue.changed(&left, since)).await?;
        since = newest;
        for entry in entries {
            if let (Phase::Assigned | Phase::Ended, Some(worker)) = (entry.phase, &entry.worker) {
                transcript.push(Line::AssignedWorker(worker.clone()));
                if let Some((name, lines)) = &mut database {
                    transcript.push(Line::AssignedDatabase(name.clone()));
                    lines.drain(..).for_each(|line| transcript.push(Line::OfDatabase(line)));
                }
                screen.with_hidden_bars(|| transcript.print(context.ui, Slot::Database));
            }
            followed.update(entry)?;
        }
        followed.read()?;
        if checked_at.elapsed() > PERIOD {
            supervisor.check_workers().await?;
            followed.end_forgotten().await?;
            followed.report_waits().await?;
            followed.report_failing_workers().await?;
            followed.show_rows();
            checked_at = Instant::now();
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = signals.cancel.cancelled(), if !is_cancelled => {
                is_cancelled = true;
                for id in followed.left.clone() {
                    let actor = Arc::clone(&actor);
                    queue.call(move |queue| queue.cancel(&id, Some(&actor))).await?;
                }
            }
        }
    }
    let done = followed.done;
    let outcome = Outcome { runner: &runner, specs, done: &done, screen: &screen };
    let is_json = arguments.format.is_json();
    let concluded =
        syncing::conclude(context, is_json, outcome, syncing.as_ref(), &mut transcript, &signals.cancel).await;
    if transcript.has_workers() {
        transcript.push(Line::Unassigned);
    }
    if let Some(ttl) = cluster.as_ref().filter(|_| has_database).and_then(|cluster| cluster.ttl) {
        transcript.push(Line::Keeping(texts::keep_alive_line(ttl, true)));
    }
    transcript.print(context.ui, Slot::Keeping);
    let runs = exit(&done, is_wrong, signals.cancel.is_cancelled());
    Ok(syncing::exit(runs, concluded?.as_ref()))
}

/// Starts the pods of a cluster with a time limit again.
async fn renew(
    context: &Context<'_>,
    runner: &Runner,
    queue: &Queue,
    kind: ClusterKind,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let name = cluster.kind.clone();
    let pool = queue.call(move |queue| queue.pool(&name)).await?;
    if cluster.ttl.is_some() && pool.is_none_or(|pool| pool.is_expired || pool.is_closing) {
        ensure_pool(
            runner,
            queue,
            &wanted(kind, &ClusterArguments::default(), Some(cluster), DATABASES),
            &settings(context)?,
        )
        .await?;
    }
    Ok(())
}

async fn has_free_worker(queue: &Queue, pool: Option<&str>) -> Result<bool, Failure> {
    let pods = queue.call(Queue::pods).await?;
    let mut pods = pods.iter().filter(|pod| pool.is_none_or(|pool| pool == pod.pool));
    Ok(pods.any(|pod| pod.status == PodStatus::Available))
}

/// True if each pipeline has an earlier run in the queue.
async fn have_earlier_runs(queue: &Queue, requests: Vec<QueueRequest>) -> Result<bool, Failure> {
    let found = queue.call(move |queue| {
        let earlier = |request: &QueueRequest| queue.of_pipeline(&request.folder, &request.pipeline);
        requests.iter().map(earlier).collect::<Result<Vec<_>, _>>()
    });
    Ok(found.await?.iter().all(|earlier| earlier.iter().any(|entry| entry.phase != Phase::Ended)))
}

/// The entries for the queue, in order of dependencies.
fn queue_requests(
    runner: &Runner,
    specs: &Specs,
    chosen: &[usize],
    options: &Options,
    pool: Option<&String>,
) -> Vec<QueueRequest> {
    let folder = runner.folder_name(&specs.root);
    let pipelines: Vec<&Pipeline> =
        order::sorted(specs, chosen).iter().filter_map(|position| specs.pipelines.get(*position)).collect();
    let position = |id: &str| pipelines.iter().position(|pipeline| pipeline.id == id);
    let request = |pipeline: &&Pipeline| QueueRequest {
        pool: pool.cloned(),
        root: specs.root.clone(),
        folder: folder.clone(),
        pipeline: pipeline.id.clone(),
        options: queue::Options {
            only_dirty: options.only_dirty,
            is_forced: options.is_forced,
            uses_cache: options.uses_cache,
            timeout: options.timeout,
            lock_timeout: options.lock_timeout,
            retries: options.retries,
            params: options.overrides.params.clone(),
            execution: options.overrides.execution.clone(),
        },
        after: pipeline.all_before().filter_map(position).collect(),
    };
    pipelines.iter().map(request).collect()
}

/// Prints the ids of the queued runs.
pub(super) fn print_queued(
    context: &Context<'_>,
    pipelines: &[String],
    ids: &[String],
    is_json: bool,
    is_wrong: bool,
) -> Result<Exit, Failure> {
    if is_json {
        let queued: Vec<_> =
            pipelines.iter().zip(ids).map(|(id, run)| json!({"pipeline_id": id, "run_id": run})).collect();
        context.ui.print_json(&json!({ "format_version": "1.0", "queued": queued }))?;
    } else {
        let lines: String = pipelines.iter().zip(ids).map(|(pipeline, run)| format!("{pipeline} {run}\n")).collect();
        context.ui.print(&harmless(&lines))?;
    }
    Ok(if is_wrong { Exit::Error } else { Exit::Done })
}

/// The state of followed runs.
struct FollowedRuns<'a> {
    runner: &'a Runner,
    queue: &'a Queue,
    screen: &'a Screen,
    /// Runs that have not ended.
    left: BTreeSet<String>,
    done: Vec<PipelineOutcome>,
    /// Logs of running runs, and their pipelines.
    reading: BTreeMap<String, (String, Reader)>,
    /// Running runs: their pipelines, and the ids of their records.
    running: BTreeMap<String, (String, String)>,
    /// The runs of others that runs wait for, as far as they are printed.
    waits: BTreeMap<String, String>,
    /// The only pool that takes the runs.
    pool: Option<String>,
    /// The reason why workers do not start is printed.
    has_reported_workers: bool,
}

impl FollowedRuns<'_> {
    /// Prints once why no worker starts for the runs: they wait until the cause is removed.
    async fn report_failing_workers(&mut self) -> Result<(), Failure> {
        if self.has_reported_workers || self.running.len() >= self.left.len() {
            return Ok(());
        }
        if let Some(reason) = failing_workers::reason(self.queue, self.pool.as_deref()).await? {
            self.screen.workers_fail(&reason);
            self.has_reported_workers = true;
        }
        Ok(())
    }

    /// Prints the runs of others that runs wait for.
    async fn report_waits(&mut self) -> Result<(), Failure> {
        for wait in waits(self.runner, self.queue, self.left.clone()).await? {
            let (Some(reason), Some((before, _))) = (wait.in_words(), wait.before) else { continue };
            let is_new = self.waits.get(&wait.entry.id) != Some(&before);
            if is_new && !self.left.contains(&before) {
                self.screen.waits_for(&wait.entry.pipeline, &reason);
                self.waits.insert(wait.entry.id, before);
            }
        }
        Ok(())
    }

    /// Records the phase of a run.
    fn update(&mut self, entry: Entry) -> Result<(), Failure> {
        match (entry.phase, entry.ending, entry.record) {
            (Phase::Assigned, _, Some(record)) => {
                self.screen.started(&entry.pipeline, &record);
                self.running.insert(entry.id.clone(), (entry.pipeline.clone(), record.clone()));
                let reader = Reader::new(&self.runner.store.run_folder(&record));
                self.reading.insert(entry.id, (entry.pipeline, reader));
            }
            (Phase::Ended, Some(ending), record) => {
                let read = self.running.get(&entry.id).map(|(_, record)| record);
                // It may have begun and ended since the last look, or have taken the result of another run.
                if let Ending::Ran(record) = &ending
                    && read != Some(&record.run)
                {
                    self.screen.started(&entry.pipeline, &record.run);
                    let reader = Reader::new(&self.runner.store.run_folder(&record.run));
                    self.reading.insert(entry.id.clone(), (entry.pipeline.clone(), reader));
                }
                self.read()?;
                self.reading.remove(&entry.id);
                self.running.remove(&entry.id);
                self.left.remove(&entry.id);
                let end = match end(ending) {
                    // Its worker could not end it.
                    BatchEnd::NotRun(NotRun::WorkerFailed { message })
                        if self.record(record.as_deref())?.is_some_and(|record| !record.state.is_over()) =>
                    {
                        BatchEnd::NotRun(NotRun::UnknownEnd { message })
                    }
                    end => end,
                };
                self.end(PipelineOutcome { pipeline: entry.pipeline, end });
            }
            // Its worker died: it waits again.
            (Phase::Queued, ..) => {
                self.running.remove(&entry.id);
            }
            _ => {}
        }
        Ok(())
    }

    /// The record with this id.
    fn record(&self, id: Option<&str>) -> Result<Option<Record>, Failure> {
        let record = id.map_or(Ok(None), |id| self.runner.store.exact_run(id));
        record.map_err(|error| Failure::new(format!("the records of runs cannot be read: {error}")))
    }

    /// Shows the rows of running runs.
    fn show_rows(&self) {
        for (pipeline, record) in self.running.values() {
            // The next look may succeed.
            if let Ok(Some(record)) = self.runner.store.exact_run(record) {
                self.screen.progress(pipeline, 0, 1, record.rows, 0);
            }
        }
    }

    /// Prints new warnings, and new log lines of steps if they are wanted.
    fn read(&mut self) -> Result<(), Failure> {
        for (pipeline, reader) in self.reading.values_mut() {
            let lines = reader.lines().map_err(|error| Failure::new(format!("the log of {pipeline}: {error}")))?;
            for line in lines {
                self.screen.log_line(pipeline, &line);
            }
        }
        Ok(())
    }

    /// Ends runs that the queue has dropped, after a long suspension of this process. Their records may be removed, too.
    async fn end_forgotten(&mut self) -> Result<(), Failure> {
        let Some(id) = self.left.first().cloned() else { return Ok(()) };
        let word = id.clone();
        if self.queue.call(move |queue| queue.entry(&word)).await?.is_none() {
            self.left.remove(&id);
            self.reading.remove(&id);
            let last = self.running.remove(&id).map(|(_, record)| record);
            let message = vec![format!("run {id} ended so long ago that its end is unknown")];
            let done = match self.record(Some(last.as_ref().unwrap_or(&id)))? {
                Some(record) if record.state.is_over() => {
                    PipelineOutcome { pipeline: record.pipeline.clone(), end: BatchEnd::Ran(Box::new(record)) }
                }
                Some(record) => {
                    let end = BatchEnd::NotRun(NotRun::UnknownEnd { message });
                    PipelineOutcome { pipeline: record.pipeline, end }
                }
                None => PipelineOutcome { pipeline: id, end: BatchEnd::NotRun(NotRun::WorkerFailed { message }) },
            };
            self.end(done);
        }
        Ok(())
    }

    fn end(&mut self, done: PipelineOutcome) {
        self.screen.ended(&done);
        self.done.push(done);
    }
}

/// The end of a queued run, converted to that of a local one.
pub(super) fn end(ending: Ending) -> BatchEnd {
    match ending {
        Ending::Ran(record) => BatchEnd::Ran(record),
        Ending::Clean => BatchEnd::Clean,
        Ending::Held { by, why } => BatchEnd::Held { by, why },
        Ending::NotRun { why: NotRunReason::Cancelled, .. } => BatchEnd::NotRun(NotRun::Cancelled),
        Ending::NotRun { why: NotRunReason::Taken, .. } => BatchEnd::NotRun(NotRun::InProgress { run: None }),
        Ending::NotRun { why: NotRunReason::Impossible, what, .. } => {
            BatchEnd::NotRun(NotRun::WorkerFailed { message: what })
        }
    }
}

/// True if one of these pipelines uses a database. `chosen` holds positions in [`Specs::pipelines`].
pub(super) fn use_database(runner: &Runner, specs: &Specs, chosen: &[usize]) -> bool {
    let mut chosen = chosen.iter().filter_map(|position| specs.pipelines.get(*position));
    chosen.any(|pipeline| runner.uses_database(&specs.root, pipeline))
}

/// The exit code, by priority: an invalid spec, a stop by the user, runs that could not start, failures.
pub(super) fn exit(done: &[PipelineOutcome], is_wrong: bool, is_cancelled: bool) -> Exit {
    let has = |what: fn(&BatchEnd) -> bool| done.iter().any(|done| what(&done.end));
    let is_stopped = |end: &BatchEnd| match end {
        BatchEnd::Ran(record) => record.state == State::Cancelled,
        BatchEnd::NotRun(why) => matches!(why, NotRun::Cancelled),
        _ => false,
    };
    if is_cancelled || has(is_stopped) {
        Exit::Interrupted
    } else if is_wrong
        || has(|end| {
            matches!(
                end,
                BatchEnd::NotRun(
                    NotRun::Environment(_) | NotRun::Io(_) | NotRun::WorkerFailed { .. } | NotRun::UnknownEnd { .. }
                )
            )
        })
    {
        Exit::Error
    } else if has(|end| matches!(end, BatchEnd::NotRun(NotRun::InProgress { .. }))) {
        Exit::Refused
    } else if has(|end| !end.is_good()) {
        Exit::PartlyApplied
    } else {
        Exit::Done
    }
}
