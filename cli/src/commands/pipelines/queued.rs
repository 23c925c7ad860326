//! `terrace run --queue`: lets workers run pipelines, and follows them. The workers continue if the follower is killed.

use super::cluster::{ensure_pool, settings, wanted};
use super::fallback;
use super::kinds::{Words, of_name};
use super::running::{exit, use_database};
use super::screen::Screen;
use super::syncing::{self, Outcome, Syncing};
use super::transcript::{Line, Slot, Transcript};
use super::{actor_here, keeper, open, queue_of};
use crate::args::{ClusterArguments, ClusterKind, PipelineArguments};
use crate::commands::Context;
use crate::commands::databases::{OfCluster, databases_of};
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::Settings;
use terrace_provider_pipelines::database::words;
use terrace_provider_pipelines::queue::cluster::Cluster;
use terrace_provider_pipelines::queue::{self, Ask, Ending, Entry, Phase, PodStatus, Queue, WhyNot};
use terrace_provider_pipelines::run::batch::{BatchEnd, Done, Options};
use terrace_provider_pipelines::run::log::Reader;
use terrace_provider_pipelines::run::single::NotRun;
use terrace_provider_pipelines::run::{Runner, Watching};
use terrace_provider_pipelines::settings::default_database;
use terrace_provider_pipelines::spec::model::Pipeline;
use terrace_provider_pipelines::spec::{Specs, order};
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
    let is_asked = arguments.queue || arguments.detach || arguments.pool.is_some();
    let database = &arguments.database;
    let has_database =
        database.database.is_some() || database.new_database.is_some() || default_database(instance).is_some();
    if has_database && is_asked {
        return Err(Failure::new("workers write only into the database of their start").hint(
            "to write into another database, run the pipelines here: leave `--queue`, `--pool` and `--detach` out",
        ));
    }
    if arguments.no_queue || has_database {
        return Ok(None);
    }
    let none = || {
        Failure::new("there are no workers for the queue")
            .hint("start workers with `terrace init local` or a `pipelines_worker_pool`")
    };
    let may_fall_back = || fallback::check(&[Path::new("."), runner.project.as_path()]);
    let queue = match queue_of(runner).await? {
        Some(queue) => queue,
        None if arguments.else_public => {
            may_fall_back()?;
            open(runner).await?
        }
        None if is_asked => return Err(none()),
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
        let public = wanted(ClusterKind::Public, &ClusterArguments::default(), None);
        let begun = public.clone();
        queue.call(move |queue| queue.begin_cluster(&begun)).await?;
        ensure_pool(runner, &queue, &public, &settings(context)?).await?;
        cluster = Some(public);
    }
    let cluster = cluster.filter(|cluster| arguments.pool.as_ref().is_none_or(|pool| *pool == cluster.kind));
    if let Some(cluster) = cluster.as_ref().filter(|cluster| cluster.workers == 0) {
        // Waiting for stopped workers would not end.
        if !is_asked {
            return Ok(None);
        }
        return Err(Failure::new(format!("the cluster `{}` has no workers", cluster.kind)).hint(format!(
            "start some with `terrace init {}`, or run the pipelines here with `--no-queue`",
            cluster.kind
        )));
    }
    let pool = arguments.pool.clone().or_else(|| cluster.as_ref().map(|cluster| cluster.kind.clone()));
    if pool.is_none() {
        if !is_asked {
            return Ok(None);
        }
        let pools = queue.call(Queue::pools).await?;
        if pools.iter().all(|pool| pool.is_closing || pool.is_expired) {
            return Err(none());
        }
    }
    Ok(Some(Target { queue, cluster, pool }))
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
    let Target { queue, cluster, pool } = target;
    // Reads the name first: a later cancellation must not depend on a file that may change meanwhile.
    let actor = Arc::new(actor_here(context)?);
    let mut transcript = Transcript::default();
    if let Some(cluster) = &cluster
        && let Some(kind) = of_name(&cluster.kind)
    {
        transcript.say(Line::Using(kind));
        transcript.tell(context.ui, Slot::Using);
        renew(context, &runner, &queue, kind, cluster).await?;
    }
    signals.begin_changes();
    let keeper = keeper(&runner, &queue);
    keeper.keep().await?;
    let (_, since) = queue.call(|queue| queue.changed(&BTreeSet::new(), i64::MAX)).await?;
    let has_database = cluster.as_ref().is_some_and(|it| it.databases > 0) && use_database(&runner, specs, chosen);
    if !has_free_worker(&queue, pool.as_deref()).await? {
        transcript.say(Line::Waiting { with_databases: has_database });
        transcript.tell(context.ui, Slot::Waiting);
    }
    let mut database = match cluster
        .as_ref()
        .filter(|_| has_database)
        .map(|cluster| (cluster, cluster.database_of(&runner.folder_name(&specs.root))))
    {
        Some((cluster, Some(name))) => {
            let databases = databases_of(context, &super::instance_here(context)?).await;
            let ready = OfCluster::ready(&databases, cluster, &name, &signals.cancel).await?;
            Some((name, ready.told))
        }
        _ => None,
    };
    let asks = asks(&runner, specs, chosen, &options, pool.as_ref());
    let pipelines: Vec<String> = asks.iter().map(|ask| ask.pipeline.clone()).collect();
    let ids = queue.call(move |queue| queue.enqueue(&asks)).await?;
    if arguments.detach {
        return detached(context, &pipelines, &ids, arguments.format.is_json(), is_wrong);
    }
    let screen = Screen::new(context.ui, context.global.verbose > 0, arguments.format.is_json());
    let mut following = Following {
        runner: &runner,
        queue: &queue,
        screen: &screen,
        is_verbose: context.global.verbose > 0,
        left: ids.iter().cloned().collect(),
        done: Vec::new(),
        reading: BTreeMap::new(),
    };
    let (mut since, mut kept, mut is_called_off) = (since, Instant::now(), false);
    while !following.left.is_empty() {
        let left = following.left.clone();
        let (entries, newest) = queue.call(move |queue| queue.changed(&left, since)).await?;
        since = newest;
        for entry in entries {
            if let (Phase::Assigned | Phase::Ended, Some(worker)) = (entry.phase, &entry.worker) {
                transcript.say(Line::AssignedWorker(worker.clone()));
                if let Some((name, told)) = &mut database {
                    transcript.say(Line::AssignedDatabase(name.clone()));
                    told.drain(..).for_each(|line| transcript.say(Line::OfDatabase(line)));
                }
                screen.beside(|| transcript.tell(context.ui, Slot::Database));
            }
            following.take(entry)?;
        }
        following.read()?;
        if kept.elapsed() > PERIOD {
            keeper.keep().await?;
            following.look_for_forgotten().await?;
            kept = Instant::now();
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = signals.cancel.cancelled(), if !is_called_off => {
                is_called_off = true;
                for id in following.left.clone() {
                    let actor = Arc::clone(&actor);
                    queue.call(move |queue| queue.cancel(&id, Some(&actor))).await?;
                }
            }
        }
    }
    let done = following.done;
    let outcome = Outcome { runner: &runner, specs, done: &done, screen: &screen };
    let is_json = arguments.format.is_json();
    let told = syncing::conclude(context, is_json, outcome, syncing.as_ref(), &mut transcript, &signals.cancel).await;
    if transcript.has_workers() {
        transcript.say(Line::Unassigned);
    }
    if let Some(kept) = cluster.as_ref().filter(|_| has_database).and_then(|cluster| cluster.ttl) {
        transcript.say(Line::Keeping(words::ending(kept, true)));
    }
    transcript.tell(context.ui, Slot::Keeping);
    let runs = exit(&done, is_wrong, signals.cancel.is_cancelled());
    Ok(syncing::exit(runs, told?.as_ref()))
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
        ensure_pool(runner, queue, &wanted(kind, &ClusterArguments::default(), Some(cluster)), &settings(context)?)
            .await?;
    }
    Ok(())
}

async fn has_free_worker(queue: &Queue, pool: Option<&str>) -> Result<bool, Failure> {
    let pods = queue.call(Queue::pods).await?;
    let mut pods = pods.iter().filter(|pod| pool.is_none_or(|pool| pool == pod.pool));
    Ok(pods.any(|pod| pod.status == PodStatus::Available))
}

/// The entries for the queue, in order of dependencies.
fn asks(runner: &Runner, specs: &Specs, chosen: &[usize], options: &Options, pool: Option<&String>) -> Vec<Ask> {
    let folder = runner.folder_name(&specs.root);
    let pipelines: Vec<&Pipeline> =
        order::sorted(specs, chosen).iter().filter_map(|position| specs.pipelines.get(*position)).collect();
    let position = |id: &str| pipelines.iter().position(|pipeline| pipeline.id == id);
    let ask = |pipeline: &&Pipeline| Ask {
        pool: pool.cloned(),
        root: specs.root.clone(),
        folder: folder.clone(),
        pipeline: pipeline.id.clone(),
        options: queue::Options {
            only_dirty: options.only_dirty,
            is_forced: options.is_forced,
            uses_cache: options.uses_cache,
            timeout: options.timeout,
            patience: options.patience,
            retries: options.retries,
        },
        after: pipeline.all_before().filter_map(position).collect(),
    };
    pipelines.iter().map(ask).collect()
}

/// Prints the ids of the queued runs.
fn detached(
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
struct Following<'a> {
    runner: &'a Runner,
    queue: &'a Queue,
    screen: &'a Screen,
    is_verbose: bool,
    /// Runs that have not ended.
    left: BTreeSet<String>,
    done: Vec<Done>,
    /// Logs of running runs, and their pipelines.
    reading: BTreeMap<String, (String, Reader)>,
}

impl Following<'_> {
    /// Records the phase of a run.
    fn take(&mut self, entry: Entry) -> Result<(), Failure> {
        match (entry.phase, entry.ending, entry.record) {
            (Phase::Assigned, _, Some(record)) => {
                self.screen.started(&entry.pipeline, &record);
                if self.is_verbose {
                    let reader = Reader::new(&self.runner.store.run_folder(&record));
                    self.reading.insert(entry.id, (entry.pipeline, reader));
                }
            }
            (Phase::Ended, Some(ending), _) => {
                self.read()?;
                self.reading.remove(&entry.id);
                self.left.remove(&entry.id);
                self.end(Done { pipeline: entry.pipeline, end: end(ending) });
            }
            _ => {}
        }
        Ok(())
    }

    /// Prints new log lines of steps.
    fn read(&mut self) -> Result<(), Failure> {
        for (pipeline, reader) in self.reading.values_mut() {
            let lines = reader.lines().map_err(|error| Failure::new(format!("the log of {pipeline}: {error}")))?;
            for line in lines {
                self.screen.line(pipeline, line.step.saturating_sub(1), &line.name, &line.line);
            }
        }
        Ok(())
    }

    /// Ends runs that the queue has dropped: after a long suspension of this process their end is unknown.
    async fn look_for_forgotten(&mut self) -> Result<(), Failure> {
        let Some(id) = self.left.first().cloned() else { return Ok(()) };
        let word = id.clone();
        if self.queue.call(move |queue| queue.entry(&word)).await?.is_none() {
            self.left.remove(&id);
            let what = vec![format!("run {id} ended so long ago that its end is unknown")];
            self.end(Done { pipeline: id, end: BatchEnd::NotRun(NotRun::Elsewhere { what }) });
        }
        Ok(())
    }

    fn end(&mut self, done: Done) {
        self.screen.ended(&done);
        self.done.push(done);
    }
}

/// The description of a run that ended without a start, after its name.
pub(super) fn never_began(entry: &Entry) -> String {
    let at = entry.ended_at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
    let why = match &entry.ending {
        Some(Ending::NotRun { why: WhyNot::Cancelled, by, .. }) => {
            format!("it was cancelled{at}{}", by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default())
        }
        Some(Ending::NotRun { what, .. }) => what.join("; "),
        Some(Ending::Held { by, .. }) => format!("its dependency `{by}` prevented the start"),
        Some(Ending::Clean) => "the results of the pipeline were up to date".to_owned(),
        Some(Ending::Ran(_)) | None => "it ended".to_owned(),
    };
    format!("never started: {why}")
}

/// The end of a queued run, converted to that of a local one.
fn end(ending: Ending) -> BatchEnd {
    match ending {
        Ending::Ran(record) => BatchEnd::Ran(record),
        Ending::Clean => BatchEnd::Clean,
        Ending::Held { by, why } => BatchEnd::Held { by, why },
        Ending::NotRun { why: WhyNot::Cancelled, .. } => BatchEnd::NotRun(NotRun::Cancelled),
        Ending::NotRun { why: WhyNot::Taken, .. } => BatchEnd::NotRun(NotRun::Taken { run: None }),
        Ending::NotRun { why: WhyNot::Impossible, what, .. } => BatchEnd::NotRun(NotRun::Elsewhere { what }),
    }
}
