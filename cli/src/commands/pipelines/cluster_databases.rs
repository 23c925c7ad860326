//! The databases of a cluster: `terrace pipelines init` creates them, and lists of pods show them.

use super::databases::{ClusterDatabase, all_databases_of, failure};
use crate::context::Context;
use crate::failure::Failure;
use secrecy::ExposeSecret;
use std::path::Path;
use std::time::Duration;
use terrace_pipelines::database::{ProjectDatabases, Record, Status};
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::queue::{Pod, Queue};
use terrace_pipelines::run::Runner;
use terrace_pipelines::spec;
use terrace_provider::Settings;
use tokio_util::sync::CancellationToken;

/// A database of a cluster.
pub(super) struct DatabasePod {
    pub(super) record: Record,
    pub(super) kind: String,
    pub(super) status: &'static str,
    /// The first run that writes into it, and its pipeline.
    pub(super) run: Option<(String, String)>,
}

impl DatabasePod {
    /// Time since its creation.
    pub(super) fn age(&self) -> Duration {
        Duration::try_from(jiff::Timestamp::now().duration_since(self.record.made_at)).unwrap_or_default()
    }
}

/// Creates missing databases of a cluster, and stops surplus ones. `creation` names creations in Kubernetes that a repeat
/// continues.
///
/// # Errors
/// When a database does not start.
pub(super) async fn ensure_all(
    context: &Context<'_>,
    cluster: &Cluster,
    creation: Option<&str>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let databases = all_databases_of(context, &super::project::instance_here(context)?).await?;
    for name in cluster.database_names() {
        let database = ClusterDatabase::start(context.ui, &databases, cluster, &name, creation, cancel).await?;
        context.ui.print(&format!("DB pod: {name}\n"))?;
        // The password is printed only once.
        database
            .address_lines
            .iter()
            .filter(|_| database.is_new)
            .for_each(|line| context.ui.print_note(line.expose_secret()));
    }
    if !cluster.is_here() {
        for record in databases.of_cluster(cluster).await.map_err(failure)?.1 {
            context.ui.print_note(&format!("{} stays: other projects of the namespace may use it", record.name));
        }
    }
    for name in databases.stop_surplus(cluster).await.map_err(failure)? {
        context.ui.print_note(&format!("{name} is stopped: the cluster no longer uses it, and its data stays"));
    }
    Ok(())
}

/// The databases of the active cluster, with their runs.
///
/// # Errors
/// When the queue or a record cannot be read.
pub(super) async fn existing(
    context: &Context<'_>,
    (instance, runner): (&Settings, &Runner),
    queue: &Queue,
    pods: &[Pod],
) -> Result<Vec<DatabasePod>, Failure> {
    let Some(cluster) = queue.call(Queue::active_cluster).await? else { return Ok(Vec::new()) };
    // Wrong settings must not lead to the databases of another place.
    if let Err(message) = &runner.cluster
        && !cluster.is_here()
        && cluster.databases > 0
    {
        return Err(Failure::new(message.clone()));
    }
    let databases = all_databases_of(context, instance).await?;
    let (records, _) = databases.of_cluster(&cluster).await.map_err(failure)?;
    Ok(with_runs(runner, &databases, &cluster, records, pods))
}

/// The databases of a cluster with their runs. Reads specs.
pub(super) fn with_runs(
    runner: &Runner,
    databases: &ProjectDatabases,
    cluster: &Cluster,
    records: Vec<Record>,
    pods: &[Pod],
) -> Vec<DatabasePod> {
    records.into_iter().map(|record| pod(runner, databases, cluster, record, pods)).collect()
}

/// True if the pipeline of a worker uses a database, or its spec cannot be read.
fn uses_database(runner: &Runner, pod: &Pod) -> bool {
    let (Some(root), Some(id)) = (&pod.root, &pod.pipeline) else { return false };
    spec::read(Path::new(root))
        .map_or(true, |specs| specs.pipeline(id).is_none_or(|pipeline| runner.uses_database(&specs.root, pipeline)))
}

fn pod(runner: &Runner, databases: &ProjectDatabases, cluster: &Cluster, record: Record, pods: &[Pod]) -> DatabasePod {
    let writes = |pod: &&Pod| {
        let folder = pod.root.as_ref().map(|root| runner.folder_name(root.as_ref()));
        pod.pool == cluster.kind
            && folder.and_then(|folder| cluster.database_of(&folder)).as_ref() == Some(&record.name)
            && uses_database(runner, pod)
    };
    let mut runs = pods.iter().filter(writes).filter_map(|pod| Some((pod.run.clone()?, pod.pipeline.clone()?)));
    let run = runs.next();
    let is_ready = record.cluster.as_ref().is_none_or(|cluster| cluster.is_ready);
    let status = match databases.status(&record) {
        Status::Creating => "pending",
        Status::Running if !is_ready => "pending",
        Status::Running if run.is_some() => "assigned",
        Status::Running => "available",
        other => other.word(),
    };
    DatabasePod { kind: cluster.kind.clone(), run, status, record }
}
