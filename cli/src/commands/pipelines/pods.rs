//! `terrace pipelines pods`: lists the workers and databases of data pipelines, and their runs.

use super::cluster_databases::{self, DatabasePod};
use super::project::{cluster_executor, queue_of, runner_here, supervisor};
use crate::args::{Format, PodsFormat};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;
use terrace_pipelines::database::kubernetes::pod_name;
use terrace_pipelines::executor::{ClusterPod, ClusterPodState};
use terrace_pipelines::queue::{Pod, Queue};
use terrace_pipelines::run::Runner;

/// The message without pods.
const NONE: &str = "there are no pods: start workers with `terrace pipelines init local` or a `pipelines_worker_pool`";

/// The pods of a project. Starts missing workers first.
///
/// # Errors
/// When the queue cannot be read.
pub(super) async fn existing(runner: &Runner) -> Result<Vec<Pod>, Failure> {
    let Some(queue) = queue_of(runner).await? else { return Ok(Vec::new()) };
    supervisor(runner, &queue).check_workers().await?;
    Ok(queue.call(Queue::pods).await?)
}

/// The pods of a cluster in which pipelines of the project run.
///
/// # Errors
/// When the cluster does not answer.
pub(super) async fn in_cluster(runner: &Runner) -> Result<Vec<ClusterPod>, Failure> {
    let executor = cluster_executor(runner)?;
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
    let runner = runner_here(context)?;
    let pods = existing(&runner).await?;
    let databases = match queue_of(&runner).await? {
        Some(queue) => match cluster_databases::existing(context, &runner, &queue, &pods).await {
            Ok(databases) => databases,
            Err(failure) => {
                let message = failure.message.unwrap_or_default();
                context.ui.print_message(&format!("warning: databases of the cluster are not listed: {message}"));
                Vec::new()
            }
        },
        None => Vec::new(),
    };
    let cluster = match in_cluster(&runner).await {
        Ok(pods) => pods,
        Err(failure) => {
            let message = failure.message.unwrap_or_default();
            context.ui.print_message(&format!("warning: pods of the cluster are not listed: {message}"));
            Vec::new()
        }
    };
    // A database is listed once, under its own name.
    let listed: Vec<String> = databases.iter().map(|database| pod_name(&database.record.name)).collect();
    let cluster = cluster.iter().filter(|pod| !listed.contains(&pod.name));
    let rows = databases.iter().map(Row::of_database).chain(pods.iter().map(Row::of_worker));
    let rows: Vec<Row> = rows.chain(cluster.map(Row::of_cluster)).collect();
    print(context, format, &rows, NONE)
}

/// Prints pods, in JSON without a terminal.
///
/// # Errors
/// When they cannot be printed.
pub(super) fn print(
    context: &Context<'_>,
    format: PodsFormat,
    rows: &[Row<'_>],
    nothing: &str,
) -> Result<Exit, Failure> {
    let is_json = format.is_json() || (format.format != Some(Format::Human) && !context.ui.is_stdout_terminal());
    if is_json {
        context.ui.print_json(&rows.iter().map(pod_to_json).collect())?;
    } else {
        context.ui.print_list(&table(rows), nothing)?;
    }
    Ok(Exit::Done)
}

/// A pod of any role.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) status: &'a str,
    pub(super) role: &'a str,
    /// Its pool of workers; nothing for a pod that a cluster made.
    pub(super) pool: Option<&'a str>,
    /// Its namespace in a cluster.
    pub(super) namespace: Option<&'a str>,
    pub(super) run: Option<(&'a str, &'a str)>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) age: Duration,
}

impl<'a> Row<'a> {
    fn of_worker(pod: &'a Pod) -> Self {
        Self {
            name: &pod.name,
            status: pod.status.word(),
            role: "worker",
            pool: Some(&pod.pool),
            namespace: None,
            run: pod.run.as_deref().zip(pod.pipeline.as_deref()),
            expires_at: pod.expires_at,
            age: pod.age,
        }
    }

    fn of_cluster(pod: &'a ClusterPod) -> Self {
        Self {
            name: &pod.name,
            status: match (pod.state, &pod.run) {
                (ClusterPodState::Pending, _) => "pending",
                (ClusterPodState::Running, Some(_)) => "assigned",
                (ClusterPodState::Running, None) => "available",
                (ClusterPodState::Ended, _) => "expired",
            },
            role: &pod.role,
            pool: None,
            namespace: Some(&pod.namespace),
            run: pod.run.as_ref().map(|(run, pipeline)| (run.as_str(), pipeline.as_str())),
            expires_at: None,
            age: Duration::try_from(Timestamp::now().duration_since(pod.created_at)).unwrap_or_default(),
        }
    }

    fn of_database(pod: &'a DatabasePod) -> Self {
        Self {
            name: &pod.record.name,
            status: pod.status,
            role: "db",
            pool: Some(&pod.kind),
            namespace: None,
            run: pod.run.as_ref().map(|(run, pipeline)| (run.as_str(), pipeline.as_str())),
            expires_at: pod.record.deadline.as_ref().map(|deadline| deadline.expires_at),
            age: pod.age(),
        }
    }
}

/// A pod as JSON.
fn pod_to_json(pod: &Row<'_>) -> Value {
    json!({
        "name": pod.name,
        "status": pod.status,
        "role": pod.role,
        "pool": pod.pool,
        "namespace": pod.namespace,
        "run": pod.run.map(|run| run.0),
        "pipeline": pod.run.map(|run| run.1),
        "expires_at": pod.expires_at,
        "age": pod.age.as_secs(),
    })
}

/// The pods as a table for people, with columns as wide as their content.
fn table(pods: &[Row<'_>]) -> String {
    if pods.is_empty() {
        return String::new();
    }
    let mut rows = vec![["NAME", "STATUS", "ROLE", "POOL", "AGE", "EXPIRES", "RUN"].map(str::to_owned)];
    rows.extend(pods.iter().map(|pod| {
        let run = pod.run.map_or_else(|| "-".to_owned(), |(run, pipeline)| format!("{run} {pipeline}"));
        let expires = pod.expires_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
        let pool = pod.pool.unwrap_or("-");
        let [name, status, role, pool] = [pod.name, pod.status, pod.role, pool].map(str::to_owned);
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
fn age(age: Duration) -> String {
    match age.as_secs() {
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
        let pod = |name, status, role, run, seconds| Row {
            name,
            status,
            role,
            pool: (role == "db").then_some("local"),
            namespace: None,
            run,
            expires_at: None,
            age: Duration::from_secs(seconds),
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
