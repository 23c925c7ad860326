//! `terrace pipelines pods`: lists the workers and databases of data pipelines, and their runs.

use super::cluster_databases::{self, DatabasePod};
use super::databases::all_databases_of;
use super::failing_workers;
use super::project::{
    ProjectOfRuns, cluster_executor, kind_of_cluster, project_of_runs, queue_of, supervisor, workers_hint,
};
use crate::args::{Format, PodsFormat};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use terrace_pipelines::database::ProjectDatabases;
use terrace_pipelines::database::kubernetes::pod_name;
use terrace_pipelines::executor::{ClusterPod, ClusterPodState};
use terrace_pipelines::queue::{self, Queue};
use terrace_pipelines::run::Runner;
use terrace_server::pipelines::Pod;

/// Role of the pods of databases.
const DATABASE: &str = "db";
/// The message when the databases of the cluster cannot be listed.
const UNKNOWN_EXPIRY: &str = "the times at which databases of the cluster expire are not known now";

/// The workers of a project. Starts missing ones first.
///
/// # Errors
/// When the queue cannot be read.
pub(super) async fn existing(runner: &Runner) -> Result<Vec<queue::Pod>, Failure> {
    let Some(queue) = queue_of(runner).await? else { return Ok(Vec::new()) };
    supervisor(runner, &queue).check_workers().await?;
    Ok(queue.call(Queue::pods).await?)
}

/// The pods of a cluster in which pipelines of the project run, by the settings or by a spec of a folder.
///
/// # Errors
/// When the cluster does not answer.
pub(super) async fn in_cluster(runner: &Runner, folder: &Path) -> Result<Vec<ClusterPod>, Failure> {
    let (runner, folder) = (runner.clone(), folder.to_owned());
    let executor = tokio::task::spawn_blocking(move || cluster_executor(&runner, &folder)).await;
    let executor = executor.map_err(|error| Failure::new(format!("the specs of pipelines: {error}")))??;
    match executor.as_ref().and_then(|executor| executor.pods()) {
        Some(pods) => pods.list().await.map_err(Failure::new),
        None => Ok(Vec::new()),
    }
}

/// Lists pods.
///
/// # Errors
/// When the queue cannot be read.
pub(super) async fn run(context: &Context<'_>, format: PodsFormat) -> Result<Exit, Failure> {
    let ProjectOfRuns { instance, runner, has_wrong_settings } = project_of_runs(context)?;
    let pods = existing(&runner).await?;
    let mut is_complete = !has_wrong_settings;
    let mut warn = |what: &str, failure: Failure| {
        is_complete = false;
        context.ui.print_message(&format!("warning: {what}: {}", failure.message.unwrap_or_default()));
    };
    let queue = queue_of(&runner).await?;
    let failing = match &queue {
        Some(queue) => failing_workers::reasons(queue).await?,
        None => Vec::new(),
    };
    let databases = match &queue {
        Some(queue) => cluster_databases::existing(context, (&instance, &runner), queue, &pods).await,
        None => Ok(Vec::new()),
    };
    let databases = databases.unwrap_or_else(|failure| {
        warn("databases of the cluster are not listed", failure);
        Vec::new()
    });
    let cluster = in_cluster(&runner, Path::new(".")).await.unwrap_or_else(|failure| {
        warn("pods of the cluster are not listed", failure);
        Vec::new()
    });
    let expiry = match cluster.iter().any(is_database) {
        true => match all_databases_of(context, &instance).await {
            Ok(databases) => expiry(&databases).await,
            Err(failure) => {
                warn(UNKNOWN_EXPIRY, failure);
                Expiry::new()
            }
        },
        false => Expiry::new(),
    };
    failing.iter().for_each(|reason| context.ui.print_message(&format!("warning: {reason}")));
    let nothing = match is_complete && failing.is_empty() {
        true => format!("no pods: {}", workers_hint(kind_of_cluster(&runner))),
        false => "no pods are known now".to_owned(),
    };
    print(context, format, &all(databases, &pods, cluster, &expiry), &nothing)
}

/// Times at which databases expire, by the name of their pod in Kubernetes.
pub(super) type Expiry = BTreeMap<String, Timestamp>;

/// Returns true for the pod of a database.
pub(super) fn is_database(pod: &ClusterPod) -> bool {
    pod.role == DATABASE
}

/// The times at which databases of the cluster expire. Pods are listed without them, too: a failure is logged.
pub(super) async fn expiry(databases: &ProjectDatabases) -> Expiry {
    let Some(cluster) = &databases.cluster else { return Expiry::new() };
    let records = cluster.list().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "{UNKNOWN_EXPIRY}");
        Vec::new()
    });
    records.into_iter().filter_map(|record| Some((pod_name(&record.name), record.deadline?.expires_at))).collect()
}

/// All pods: databases, workers, and further pods of a cluster. A database is listed once, under its own name.
pub(super) fn all(
    databases: Vec<DatabasePod>,
    workers: &[queue::Pod],
    mut cluster: Vec<ClusterPod>,
    expiry: &Expiry,
) -> Vec<Pod> {
    let mut pods = Vec::new();
    for database in databases {
        let name = pod_name(&database.record.name);
        let found = cluster.iter().position(|pod| pod.name == name);
        pods.push(of_database(database, found.map(|number| cluster.remove(number))));
    }
    pods.extend(workers.iter().map(of_worker));
    pods.extend(cluster.into_iter().map(|pod| of_cluster(pod, expiry)));
    pods
}

/// Prints pods, in JSON without a terminal.
///
/// # Errors
/// When they cannot be printed.
pub(super) fn print(context: &Context<'_>, format: PodsFormat, pods: &[Pod], nothing: &str) -> Result<Exit, Failure> {
    let is_json = format.is_json() || (format.format != Some(Format::Human) && !context.ui.is_stdout_terminal());
    if is_json {
        let json = serde_json::to_value(pods).map_err(|error| Failure::new(format!("the pods: {error}")))?;
        context.ui.print_json(&json)?;
    } else {
        context.ui.print_table(&table(pods), nothing)?;
    }
    Ok(Exit::Done)
}

fn of_worker(pod: &queue::Pod) -> Pod {
    let (run, pipeline) = pod.run.clone().zip(pod.pipeline.clone()).unzip();
    Pod {
        name: pod.name.clone(),
        status: pod.status.word().to_owned(),
        role: "worker".to_owned(),
        pool: Some(pod.pool.clone()),
        namespace: None,
        run,
        pipeline,
        expires_at: pod.expires_at,
        age: pod.age.as_secs(),
        node: None,
    }
}

fn of_cluster(pod: ClusterPod, expiry: &Expiry) -> Pod {
    let status = match (pod.state, &pod.run) {
        (ClusterPodState::Pending, _) => "pending",
        (ClusterPodState::Running, Some(_)) => "assigned",
        (ClusterPodState::Running, None) => "available",
        (ClusterPodState::Ended, _) => "expired",
    };
    let expires_at = expiry.get(&pod.name).copied().filter(|_| is_database(&pod));
    let (run, pipeline) = pod.run.unzip();
    Pod {
        name: pod.name,
        status: status.to_owned(),
        role: pod.role,
        pool: None,
        namespace: Some(pod.namespace),
        run,
        pipeline,
        expires_at,
        age: Duration::try_from(Timestamp::now().duration_since(pod.created_at)).unwrap_or_default().as_secs(),
        node: pod.node,
    }
}

/// A database, with its pod in Kubernetes.
fn of_database(database: DatabasePod, pod: Option<ClusterPod>) -> Pod {
    let age = database.age().as_secs();
    let (run, pipeline) = database.run.unzip();
    let (namespace, node) = pod.map_or((None, None), |pod| (Some(pod.namespace), pod.node));
    Pod {
        name: database.record.name,
        status: database.status.to_owned(),
        role: DATABASE.to_owned(),
        pool: Some(database.kind),
        namespace,
        run,
        pipeline,
        expires_at: database.record.deadline.map(|deadline| deadline.expires_at),
        age,
        node,
    }
}

/// The pods as a table for people, with columns as wide as their content.
fn table(pods: &[Pod]) -> String {
    if pods.is_empty() {
        return String::new();
    }
    let mut rows = vec![["NAME", "STATUS", "ROLE", "POOL", "AGE", "EXPIRES", "RUN"].map(str::to_owned)];
    rows.extend(pods.iter().map(|pod| {
        let run = pod.run.as_deref().zip(pod.pipeline.as_deref());
        let run = run.map_or_else(|| "-".to_owned(), |(run, pipeline)| format!("{run} {pipeline}"));
        let expires = pod.expires_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
        let pool = pod.pool.as_deref().unwrap_or("-");
        let [name, status, role, pool] = [pod.name.as_str(), &pod.status, &pod.role, pool].map(str::to_owned);
        [name, status, role, pool, age(pod.age), expires, run]
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 7]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        harmless(cells.join("  ").trim_end()) + "\n"
    };
    rows.iter().map(line).collect()
}

/// An age in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        seconds if seconds < 60 => format!("{seconds}s"),
        seconds if seconds < 3600 => format!("{}m", seconds / 60),
        seconds if seconds < 86400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_content() {
        let pod = |name: &str, status: &str, role: &str, run: Option<(&str, &str)>, age| Pod {
            name: name.to_owned(),
            status: status.to_owned(),
            role: role.to_owned(),
            pool: (role == "db").then(|| "local".to_owned()),
            namespace: None,
            run: run.map(|run| run.0.to_owned()),
            pipeline: run.map(|run| run.1.to_owned()),
            expires_at: None,
            age,
            node: None,
        };
        let pods = [
            pod("db-1", "available", "db", None, 90000),
            pod("w-1", "assigned", "worker", Some(("0197", "./a")), 7200),
            pod("w-22", "available", "worker", None, 59),
        ];
        let expected = "\
NAME  STATUS     ROLE    POOL   AGE  EXPIRES  RUN
db-1  available  db      local  1d   -        -
w-1   assigned   worker  -      2h   -        0197 ./a
w-22  available  worker  -      59s  -        -
";
        assert_eq!(table(&pods), expected);
        assert_eq!(table(&[]), "");
    }
}
