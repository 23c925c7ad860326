//! `terrace pipelines init KIND`: creates a cluster for data pipelines and switches to it. Without a kind it continues
//! an interrupted start, or reports the status of the active cluster. [`kubernetes`] prepares clusters of other machines.

mod kubernetes;
mod operator;
mod vendors;

pub(super) use kubernetes::progress;

use super::dppctl_yaml::FILE;
use super::kinds::{Words, name, of_name, vendor};
use super::project::{instance_here, open, queue_of, runner_here, supervisor};
use super::transcript::{NOT_PRIVATE, in_words};
use super::{cluster_databases, fallback};
use crate::args::{ClusterArguments, ClusterKind};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::program_name::{self, with_own_commands};
use crate::signals::Signals;
use std::path::Path;
use std::time::Duration;
use terrace_pipelines::executor::kubernetes::install::Progress;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::queue::{Pod, PodStatus, PoolSpec, Queue, QueueError};
use terrace_pipelines::run::Runner;
use tokio::time::Instant;

/// Lifetime of pods of a public cluster.
const PUBLIC: Duration = Duration::from_secs(60 * 60);
/// Default number of workers, of a cluster without and with a time limit.
const WORKERS: u32 = 2;
const PUBLIC_WORKERS: u32 = 1;
/// Default number of databases of a cluster on this machine.
pub(super) const DATABASES: u32 = 1;
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
    let existing = queue_of(&runner).await?;
    let active = match &existing {
        Some(queue) => queue.call(Queue::active_cluster).await?,
        None => None,
    };
    let arguments = &with_described(arguments, described, active.as_ref())?;
    let prepared = kubernetes::progress(&runner)?;
    let resumed = prepared
        .as_ref()
        .filter(|prepared| active.as_ref().is_none_or(|active| active.kind == prepared.kind || !prepared.is_ready))
        .and_then(|prepared| of_name(&prepared.kind));
    let kind = arguments.kind.or(resumed);
    let cluster = match kind {
        None => active.clone(),
        Some(kind) => Some(requested(context, kind, arguments, existing.as_ref(), prepared.as_ref()).await?),
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
    if arguments.kind.is_none() && active.as_ref().is_some_and(fallback::is_fallback) {
        fallback::check(required.as_ref(), &folders)?;
    }
    let prepared = match kind.filter(|kind| vendor(*kind).is_some()) {
        Some(kind) => {
            let prepared = kubernetes::prepare(context, kind, arguments, required.as_ref(), signals);
            match prepared.await? {
                Some(prepared) => Some(prepared),
                None => return Ok(Exit::Done),
            }
        }
        None => {
            if arguments.kind.is_some() {
                kubernetes::forget(&runner)?;
            }
            None
        }
    };
    let queue = open(&runner).await?;
    if arguments.kind.is_none() && cluster.is_ready {
        return report(context, &runner, &queue, &cluster).await;
    }
    let is_public = cluster.ttl.is_some();
    let is_switch = active.as_ref().is_none_or(|active| active.kind != cluster.kind);
    if is_public && is_switch {
        context.ui.print_note(&format!("Switching to the public dppctl cluster\n{NOT_PRIVATE}"));
        context.ui.print_note(&format!(
            "its pods are processes of this machine, and stop after {}",
            in_words(cluster.ttl.unwrap_or_default())
        ));
    } else if is_switch {
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
    ensure_pool(&runner, &queue, &cluster, &settings(context)?).await?;
    let pods = wait_until_started(&runner, &queue, &cluster, signals).await?;
    for pod in &pods {
        context.ui.print(&format!("Worker pod: {}\n", pod.name))?;
    }
    let kind = cluster.kind.clone();
    queue.call(move |queue| queue.mark_ready(&kind)).await?;
    context.ui.print_note(&format!("{} initialization completed successfully", program_name::program()));
    Ok(Exit::Done)
}

/// The cluster of a kind, as arguments and former calls request it.
///
/// # Errors
/// When databases lack a setting, or the queue cannot be read.
async fn requested(
    context: &Context<'_>,
    kind: ClusterKind,
    arguments: &ClusterArguments,
    queue: Option<&Queue>,
    prepared: Option<&Progress>,
) -> Result<Cluster, Failure> {
    let databases = match vendor(kind) {
        Some(_) => kubernetes::default_databases(&instance_here(context)?, arguments.databases)?,
        None => DATABASES,
    };
    let known = name(kind);
    let before = match queue {
        Some(queue) => queue.call(move |queue| queue.cluster(&known)).await?,
        None => None,
    };
    Ok(match (before, prepared.filter(|prepared| prepared.kind == name(kind))) {
        (Some(before), _) if arguments.kind.is_none() => before,
        // Settings were missing in a former call.
        (None, Some(prepared)) => {
            let chosen = ClusterArguments {
                workers: arguments.workers.or(prepared.workers),
                databases: arguments.databases.or(prepared.databases),
                ..arguments.clone()
            };
            wanted(kind, &chosen, None, databases)
        }
        (before, _) => wanted(kind, arguments, before.as_ref(), databases),
    })
}

/// The arguments with the kind that `.dppctl.yaml` names, unless that cluster is active.
///
/// # Errors
/// When the arguments name another kind.
fn with_described(
    arguments: &ClusterArguments,
    described: Option<ClusterKind>,
    active: Option<&Cluster>,
) -> Result<ClusterArguments, Failure> {
    let Some(described) = described else { return Ok(arguments.clone()) };
    let is_any = |kind| matches!(kind, ClusterKind::Helm | ClusterKind::Kubernetes);
    match arguments.kind {
        Some(kind) if kind == described || (is_any(kind) && is_any(described)) => Ok(arguments.clone()),
        Some(kind) => {
            Err(Failure::new(format!("`{FILE}` requires the cluster `{}`, not `{}`", name(described), name(kind)))
                .hint(format!("leave the kind out, or change `clusterProvider` in `{FILE}`")))
        }
        None if active.is_some_and(|active| active.kind == name(described)) => Ok(arguments.clone()),
        None => Ok(ClusterArguments { kind: Some(described), ..arguments.clone() }),
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

/// The requested cluster: present values unless arguments change them.
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
            .or(previous_workers.filter(|workers| *workers > 0))
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
async fn report(context: &Context<'_>, runner: &Runner, queue: &Queue, cluster: &Cluster) -> Result<Exit, Failure> {
    let kind = cluster.kind.clone();
    let pool = queue.call(move |queue| queue.pool(&kind)).await?;
    let words = of_name(&cluster.kind).map(Words::of);
    let title = words.map_or_else(|| cluster.kind.clone(), |words| words.using);
    if cluster.workers == 0 && !cluster.is_here() {
        context.ui.print_note(&format!("{title} is ready, without workers: runs make their Jobs themselves"));
        return print_databases(context, runner, queue, &[]).await;
    }
    let Some(pool) = pool.filter(|pool| !pool.is_expired && !pool.is_closing) else {
        let why = if cluster.ttl.is_some() { "have expired" } else { "were destroyed" };
        return Err(Failure::new(format!("the pods of {title} {why}"))
            .hint(format!("start new ones with `terrace pipelines init {}`", cluster.kind)));
    };
    let settings = settings(context)?;
    if pool.settings != settings {
        // Workers with former settings leave.
        ensure_pool(runner, queue, cluster, &settings).await?;
    }
    supervisor(runner, queue).check_workers().await?;
    let (waiting, _) = queue.call(Queue::counts).await?;
    let until = pool.expires_at.map(|at| format!(", until {:.0}", at)).unwrap_or_default();
    context.ui.print_note(&format!("{title} is ready{until}; queued runs: {waiting}"));
    let pods = queue.call(Queue::pods).await?;
    print_databases(context, runner, queue, &pods).await?;
    for pod in pods.iter().filter(|pod| pod.pool == cluster.kind) {
        context.ui.print(&format!("Worker pod: {} {}\n", pod.name, pod.status.word()))?;
    }
    Ok(Exit::Done)
}

/// Prints the databases of the active cluster with their statuses.
async fn print_databases(
    context: &Context<'_>,
    runner: &Runner,
    queue: &Queue,
    workers: &[Pod],
) -> Result<Exit, Failure> {
    for pod in cluster_databases::existing(context, runner, queue, workers).await? {
        context.ui.print(&format!("DB pod: {} {}\n", pod.record.name, pod.status))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn described_kind_is_the_default_and_the_only_one() {
        let kind = |requested: Option<ClusterKind>, described: Option<ClusterKind>, active: Option<ClusterKind>| {
            let arguments = ClusterArguments { kind: requested, ..ClusterArguments::default() };
            let active = active.map(|kind| wanted(kind, &ClusterArguments::default(), None, DATABASES));
            with_described(&arguments, described, active.as_ref()).map(|arguments| arguments.kind).ok()
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
