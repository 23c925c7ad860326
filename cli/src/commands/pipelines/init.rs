//! `terrace pipelines init KIND`: creates a cluster for data pipelines and switches to it. Without a kind it continues
//! an interrupted start, or reports the status of the active cluster. [`kubernetes`] prepares clusters of other machines.

mod kubernetes;
mod operator;
mod operator_rights;
mod options;
mod vendors;

pub(super) use kubernetes::progress;

use super::dppctl_yaml::FILE;
use super::kinds::{KINDS, Words, name, of_name, vendor};
use super::project::{instance_here, open, queue_of, runner_here, supervisor};
use super::transcript::{NOT_PRIVATE, in_words};
use super::{cluster_databases, deploy, failing_workers, fallback};
use crate::args::{ClusterArguments, ClusterKind};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::program_name::{self, with_own_commands};
use crate::signals::Signals;
use std::path::Path;
use std::time::Duration;
use terrace_pipelines::database::Status;
use terrace_pipelines::executor::kubernetes::install::Progress;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::queue::{Pod, PodStatus, Pool, PoolSpec, Queue, QueueError};
use terrace_pipelines::run::Runner;
use tokio::time::Instant;

/// Lifetime of pods of a public cluster.
const PUBLIC: Duration = Duration::from_secs(60 * 60);
/// Default number of workers, of a cluster without and with a time limit.
const WORKERS: u32 = 2;
const PUBLIC_WORKERS: u32 = 1;
/// Default number of databases of a cluster on this machine.
pub(super) const DATABASES: u32 = 1;
/// Statuses of databases that no pipeline can write into.
const EXPIRED: &str = Status::Expired.word();
const STOPPED: &str = Status::Stopped.word();
/// Interval and limit of the wait for starting workers.
const POLL: Duration = Duration::from_millis(100);
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Creates a cluster, continues its start, or reports its status.
///
/// # Errors
/// When a prerequisite is missing, or the workers do not start.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &ClusterArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let runner = runner_here(context)?;
    let required = fallback::requirement(context, &runner)?;
    let described = required.as_ref().and_then(|file| file.cluster);
    let deployments = required.as_ref().map(|file| file.deployments.as_slice()).unwrap_or_default();
    let existing = queue_of(&runner).await?;
    let active = match &existing {
        Some(queue) => queue.call(Queue::active_cluster).await?,
        None => None,
    };
    let started = started(arguments.kind, described, active.as_ref())?;
    let prepared = kubernetes::progress(&runner)?;
    let resumed = prepared
        .as_ref()
        .filter(|prepared| active.as_ref().is_none_or(|active| active.kind == prepared.kind || !prepared.is_ready))
        .and_then(|prepared| of_name(&prepared.kind));
    let has_options = options::is_any(arguments);
    let is_change = started.is_some() || has_options;
    let known = || {
        let active = active.as_ref().and_then(|active| of_name(&active.kind));
        active.or(runner.executor.environments().map(|_| ClusterKind::Kubernetes))
    };
    let kind = started.or(resumed).or_else(|| has_options.then(known).flatten());
    options::check(kind, arguments)?;
    let (cluster, arguments) = match kind {
        None => (active.clone(), arguments.clone()),
        Some(kind) => {
            let (cluster, arguments) =
                requested(context, (kind, is_change), arguments, existing.as_ref(), prepared.as_ref()).await?;
            (Some(cluster), arguments)
        }
    };
    let folders = [Path::new("."), runner.project.as_path()];
    let Some(cluster) = cluster else {
        // A status report creates nothing.
        fallback::check(required.as_ref(), &folders)?;
        let hint = match runner.executor.environments() {
            Some(_) => "`terrace pipelines init kubernetes` prepares the namespace of the settings",
            None => "`terrace pipelines init local` creates a cluster",
        };
        return Err(Failure::new("this project has no cluster").hint(hint));
    };
    if started.is_none() && active.as_ref().is_some_and(fallback::is_fallback) {
        fallback::check(required.as_ref(), &folders)?;
    }
    let is_unprepared = prepared.as_ref().is_some_and(|it| it.kind == cluster.kind && !it.is_ready);
    let is_begun = is_unprepared || !cluster.is_ready;
    if !is_change && is_begun {
        context.ui.print_note(&format!("Waiting for {} cluster initialization", cluster.kind));
    }
    let prepared = match kind.filter(|kind| vendor(*kind).is_some()) {
        Some(kind) => {
            let request = kubernetes::Request { kind, is_change, cluster: &cluster };
            let prepared = kubernetes::prepare(context, &request, &arguments, required.as_ref(), signals);
            match prepared.await? {
                Some(prepared) => Some(prepared),
                None => return Ok(Exit::Done),
            }
        }
        None => {
            if is_change {
                kubernetes::forget(&runner)?;
            }
            None
        }
    };
    let queue = open(&runner).await?;
    let is_complete = prepared.as_ref().is_none_or(kubernetes::Prepared::is_complete);
    if !is_change && cluster.is_ready && is_complete {
        let exit = report(context, &runner, &queue, &cluster, signals).await?;
        deploy::announce(context, deployments);
        return Ok(exit);
    }
    let is_public = cluster.ttl.is_some();
    let is_switch = active.as_ref().is_none_or(|active| active.kind != cluster.kind);
    if is_public && is_switch {
        context.ui.print_note(&format!("Switching to the public dppctl cluster\n{NOT_PRIVATE}"));
        context.ui.print_note(&format!(
            "its pods are processes of this machine, and stop after {}",
            in_words(cluster.ttl.unwrap_or_default())
        ));
    } else if is_switch && is_change {
        let note = "Initializing Cluster, re-run terrace pipelines init to track initialization progress";
        context.ui.print_note(&with_own_commands(note));
    }
    signals.begin_changes();
    let begun = cluster.clone();
    queue.call(move |queue| queue.begin_cluster(&begun)).await?;
    let turn = prepared.as_ref().map(kubernetes::Prepared::turn).transpose()?.flatten();
    prepared.map_or(Ok(()), kubernetes::Prepared::complete)?;
    context.ui.print_note(&announcement(&cluster));
    let creation = turn.as_ref().map(|(_, creation)| creation.as_str());
    cluster_databases::ensure_all(context, &cluster, creation, &signals.cancel).await?;
    drop(turn);
    end_former_workers(&queue, &cluster).await?;
    ensure_pool(&runner, &queue, &cluster, &settings(context)?).await?;
    let pods = wait_until_started(&runner, &queue, &cluster, signals).await?;
    for pod in &pods {
        context.ui.print(&format!("Worker pod: {}\n", pod.name))?;
    }
    let kind = cluster.kind.clone();
    queue.call(move |queue| queue.mark_ready(&kind)).await?;
    context.ui.print_note(&format!("{} initialization completed successfully", program_name::program()));
    deploy::announce(context, deployments);
    Ok(Exit::Done)
}

/// The cluster of a kind as the call and former calls request it, and the arguments with the numbers of a former call that
/// did not reach them.
///
/// # Errors
/// When the settings or the queue cannot be read.
async fn requested(
    context: &Context<'_>,
    (kind, is_change): (ClusterKind, bool),
    arguments: &ClusterArguments,
    queue: Option<&Queue>,
    prepared: Option<&Progress>,
) -> Result<(Cluster, ClusterArguments), Failure> {
    let databases = match vendor(kind) {
        Some(_) => kubernetes::default_databases(&instance_here(context)?),
        None => DATABASES,
    };
    let known = name(kind);
    let before = match queue {
        Some(queue) => queue.call(move |queue| queue.cluster(&known)).await?,
        None => None,
    };
    // Settings were missing in a former call.
    let pending = prepared
        .filter(|prepared| prepared.kind == name(kind) && !prepared.is_ready)
        .filter(|_| arguments.kind.is_none() || before.is_none());
    let arguments = ClusterArguments {
        workers: arguments.workers.or(pending.and_then(|pending| pending.workers)),
        databases: arguments.databases.or(pending.and_then(|pending| pending.databases)),
        ..arguments.clone()
    };
    let has_numbers = arguments.workers.is_some() || arguments.databases.is_some();
    let cluster = match before {
        Some(before) if !is_change && !has_numbers => before,
        before => wanted(kind, &arguments, before.as_ref(), databases),
    };
    Ok((cluster, arguments))
}

/// The kind that the call starts: its own, or that of `.dppctl.yaml` unless that cluster is active.
///
/// # Errors
/// When the call names another kind than the file.
fn started(
    requested: Option<ClusterKind>,
    described: Option<ClusterKind>,
    active: Option<&Cluster>,
) -> Result<Option<ClusterKind>, Failure> {
    let Some(described) = described else { return Ok(requested) };
    let is_any = |kind| matches!(kind, ClusterKind::Helm | ClusterKind::Kubernetes);
    match requested {
        Some(kind) if kind == described || (is_any(kind) && is_any(described)) => Ok(requested),
        Some(kind) => {
            Err(Failure::new(format!("`{FILE}` requires the cluster `{}`, not `{}`", name(described), name(kind)))
                .hint(format!("leave the kind out, or change `clusterProvider` in `{FILE}`")))
        }
        None if active.is_some_and(|active| active.kind == name(described)) => Ok(None),
        None => Ok(Some(described)),
    }
}

/// The announcement of a cluster's pods before they start.
fn announcement(cluster: &Cluster) -> String {
    let life = if cluster.ttl.is_some() { "ephemeral" } else { "persistent" };
    let pods = |number: u32, what: &str| format!("{number} {life} {what} {}", if number == 1 { "pod" } else { "pods" });
    match (cluster.databases, cluster.workers) {
        (_, 0) => "Ending all worker pods after their present runs".to_owned(),
        (0, workers) => format!("Cluster is ready, starting {}", pods(workers, "worker")),
        (databases, workers) => {
            format!("Cluster is ready, starting {} and {}", pods(databases, "DB"), pods(workers, "worker"))
        }
    }
}

/// The settings of workers.
pub(super) fn settings(context: &Context<'_>) -> Result<String, Failure> {
    Ok(terrace_provider_pipelines::settings::to_stored(&super::project::instance_here(context)?))
}

/// The requested cluster: present values unless arguments change them. Only a call with a kind starts workers again that a
/// former call ended.
pub(super) fn wanted(
    kind: ClusterKind,
    requested: &ClusterArguments,
    before: Option<&Cluster>,
    default_databases: u32,
) -> Cluster {
    let ttl = (kind == ClusterKind::Public).then_some(PUBLIC);
    let previous_workers = before.map(|before| before.workers);
    let default_workers = if ttl.is_some() { PUBLIC_WORKERS } else { WORKERS };
    Cluster {
        kind: name(kind),
        workers: requested
            .workers
            .map(u32::from)
            .or(previous_workers.filter(|workers| *workers > 0 || requested.kind.is_none()))
            .unwrap_or(default_workers),
        databases: requested
            .databases
            .map_or_else(|| before.map_or(default_databases, |before| before.databases), u32::from),
        ttl,
        is_ready: false,
    }
}

/// Creates the pool of a cluster, or resizes it. Creates an expired one again.
pub(super) async fn ensure_pool(
    runner: &Runner,
    queue: &Queue,
    cluster: &Cluster,
    settings: &str,
) -> Result<(), Failure> {
    let (it, text) = (cluster.clone(), settings.to_owned());
    let added = queue.call(move |queue| {
        let wanted = PoolSpec { name: &it.kind, size: it.workers, ttl: it.ttl, settings: &text, mark: None };
        match queue.add_pool(&wanted) {
            Err(QueueError::Exists { .. }) => queue.change_pool(&wanted),
            added => added,
        }
    });
    added.await?;
    Ok(supervisor(runner, queue).check_workers().await?)
}

/// Closes the pools of the project's other clusters: their workers end after their present runs, waiting runs end, and a later
/// switch to such a cluster creates its pool again. An interrupted switch is completed.
async fn end_former_workers(queue: &Queue, cluster: &Cluster) -> Result<(), Failure> {
    let kind = cluster.kind.clone();
    let ended = queue.call(move |queue| {
        for former in KINDS.iter().map(|(kind, _)| name(*kind)).filter(|former| *former != kind) {
            // A pool of a descriptor may have the name of a kind.
            let is_of_cluster = |pool: Pool| pool.mark.is_none() && !pool.is_expired;
            if queue.cluster(&former)?.is_some() && queue.pool(&former)?.is_some_and(is_of_cluster) {
                queue.close_pool(&former)?;
            }
        }
        Ok(())
    });
    Ok(ended.await?)
}

/// Waits for the workers of a cluster.
async fn wait_until_started(
    runner: &Runner,
    queue: &Queue,
    cluster: &Cluster,
    signals: &Signals,
) -> Result<Vec<Pod>, Failure> {
    let (supervisor, begun) = (supervisor(runner, queue), Instant::now());
    loop {
        supervisor.check_workers().await?;
        let pods = queue.call(Queue::pods).await?;
        let started: Vec<Pod> = pods
            .into_iter()
            .filter(|pod| pod.pool == cluster.kind)
            .filter(|pod| matches!(pod.status, PodStatus::Available | PodStatus::Assigned))
            .collect();
        let is_complete = match cluster.workers {
            0 => started.is_empty(),
            workers => u32::try_from(started.len()).is_ok_and(|count| count >= workers),
        };
        if is_complete {
            return Ok(started);
        }
        if let Some(reason) = failing_workers::reason(queue, Some(&cluster.kind)).await? {
            return Err(Failure::new(reason).hint("remove the cause, then continue with `terrace pipelines init`"));
        }
        if signals.cancel.is_cancelled() {
            return Err(Failure { exit: Exit::Interrupted, ..Failure::new("stopped while workers were starting") }
                .hint("continue with `terrace pipelines init`"));
        }
        if begun.elapsed() > START_TIMEOUT && cluster.workers > 0 {
            let log = terrace_pipelines::worker::launch::log_path(queue.folder(), &cluster.kind);
            return Err(Failure::new(format!("of {} workers only {} started", cluster.workers, started.len()))
                .hint(format!("read their log `{}`; continue with `terrace pipelines init`", log.display())));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Reports the status of an existing cluster.
async fn report(
    context: &Context<'_>,
    runner: &Runner,
    queue: &Queue,
    cluster: &Cluster,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let kind = cluster.kind.clone();
    let pool = queue.call(move |queue| queue.pool(&kind)).await?;
    let words = of_name(&cluster.kind).map(Words::of);
    let title = words.map_or_else(|| cluster.kind.clone(), |words| words.using);
    if cluster.workers == 0 && !cluster.is_here() {
        context.ui.print_note(&format!("{title} is ready, without workers: runs make their Jobs themselves"));
        return print_databases(context, runner, queue, cluster, &[]).await;
    }
    let Some(pool) = pool.filter(|pool| !pool.is_expired && !pool.is_closing) else {
        let why = if cluster.ttl.is_some() { "have expired" } else { "were destroyed" };
        return Err(Failure::new(format!("the pods of {title} {why}"))
            .hint(format!("start new ones with `terrace pipelines init {}`", cluster.kind)));
    };
    let settings = settings(context)?;
    if pool.settings != settings || pool.is_failing() {
        // New workers replace those with former settings.
        ensure_pool(runner, queue, cluster, &settings).await?;
    }
    if pool.is_failing() {
        wait_until_started(runner, queue, cluster, signals).await?;
    }
    supervisor(runner, queue).check_workers().await?;
    let (waiting, _) = queue.call(Queue::counts).await?;
    let until = pool.expires_at.map(|at| format!(", until {:.0}", at)).unwrap_or_default();
    context.ui.print_note(&format!("{title} is ready{until}; queued runs: {waiting}"));
    let pods = queue.call(Queue::pods).await?;
    print_databases(context, runner, queue, cluster, &pods).await?;
    for pod in pods.iter().filter(|pod| pod.pool == cluster.kind) {
        context.ui.print(&format!("Worker pod: {} {}\n", pod.name, pod.status.word()))?;
    }
    Ok(Exit::Done)
}

/// Prints the databases of the active cluster with their statuses, and the commands that bring back missing ones.
async fn print_databases(
    context: &Context<'_>,
    runner: &Runner,
    queue: &Queue,
    cluster: &Cluster,
    workers: &[Pod],
) -> Result<Exit, Failure> {
    let pods = cluster_databases::existing(context, (&instance_here(context)?, runner), queue, workers).await?;
    for pod in &pods {
        context.ui.print(&format!("DB pod: {} {}\n", pod.record.name, pod.status))?;
    }
    let again = format!("`terrace pipelines init --databases {}`", cluster.databases);
    for name in cluster.database_names() {
        let note = match pods.iter().find(|pod| pod.record.name == name).map(|pod| pod.status) {
            None => format!("the database `{name}` is gone: create it again with {again}"),
            Some(EXPIRED) => format!("the database `{name}` has expired: create it again with {again}"),
            Some(STOPPED) => {
                format!("the database `{name}` is stopped: start it with `terrace pipelines databases start {name}`")
            }
            Some(_) => continue,
        };
        context.ui.print_note(&with_own_commands(note));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn described_kind_is_the_default_and_the_only_one() {
        let kind = |requested: Option<ClusterKind>, described: Option<ClusterKind>, active: Option<ClusterKind>| {
            let active = active.map(|kind| wanted(kind, &ClusterArguments::default(), None, DATABASES));
            started(requested, described, active.as_ref()).ok()
        };
        let (local, public) = (Some(ClusterKind::Local), Some(ClusterKind::Public));
        assert_eq!(kind(None, None, local), Some(None));
        assert_eq!(kind(public, None, local), Some(public));
        assert_eq!(kind(None, local, None), Some(local));
        assert_eq!(kind(None, local, public), Some(local));
        // The active cluster is reported.
        assert_eq!(kind(None, local, local), Some(None));
        assert_eq!(kind(public, local, None), None);
        assert_eq!(kind(Some(ClusterKind::Helm), Some(ClusterKind::Kubernetes), None), Some(Some(ClusterKind::Helm)));
    }
}
