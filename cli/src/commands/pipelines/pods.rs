//! `terrace list pods`: the workers of data pipelines, and what they do.

use super::{keeper, queue_of, runner_here};
use crate::args::{Format, PodsFormat};
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use serde_json::{Value, json};
use std::time::Duration;
use terrace_provider_pipelines::queue::{Pod, Queue};
use terrace_provider_pipelines::run::Runner;

/// What is said where there are none.
const NONE: &str = "there are no pods: `terrace init local` starts workers, and so does a `pipelines_worker_pool`";

/// The pods of a project, after those that are missing were started.
///
/// # Errors
/// When the queue cannot be read.
pub(super) async fn there(runner: &Runner) -> Result<Vec<Pod>, Failure> {
    let Some(queue) = queue_of(runner).await? else { return Ok(Vec::new()) };
    keeper(runner, &queue).keep().await?;
    Ok(queue.call(Queue::pods).await?)
}

/// Lists pods.
///
/// # Errors
/// When the queue cannot be read.
pub(in crate::commands) async fn pods(context: &Context<'_>, format: PodsFormat) -> Result<Exit, Failure> {
    let runner = runner_here(context)?;
    let pods = there(&runner).await?;
    let is_json = format.is_json() || (format.format != Some(Format::Human) && !context.ui.is_result_watched());
    if is_json {
        context.ui.print_json(&pods.iter().map(as_json).collect())?;
    } else {
        context.ui.print_list(&table(&pods), NONE)?;
    }
    Ok(Exit::Done)
}

/// A pod as the document has it, and what else is known of it.
fn as_json(pod: &Pod) -> Value {
    json!({
        "name": pod.name,
        "status": pod.status.word(),
        "role": "worker",
        "pool": pod.pool,
        "run": pod.run,
        "pipeline": pod.pipeline,
        "expires_at": pod.expires_at,
        "age": pod.age.as_secs(),
    })
}

/// The same for people: columns as wide as they need to be.
fn table(pods: &[Pod]) -> String {
    if pods.is_empty() {
        return String::new();
    }
    let mut rows = vec![["NAME", "STATUS", "ROLE", "POOL", "AGE", "EXPIRES", "RUN"].map(str::to_owned)];
    rows.extend(pods.iter().map(|pod| {
        let run = match (&pod.run, &pod.pipeline) {
            (Some(run), Some(pipeline)) => format!("{run} {pipeline}"),
            _ => "-".to_owned(),
        };
        let expires = pod.expires_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
        let status = pod.status.word().to_owned();
        [pod.name.clone(), status, "worker".to_owned(), pod.pool.clone(), age(pod.age), expires, run]
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

/// How old something is, in its largest unit.
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
    use terrace_provider_pipelines::queue::PodStatus;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let pod = |name: &str, status, run: Option<&str>, seconds| Pod {
            name: name.to_owned(),
            pool: "local".to_owned(),
            status,
            run: run.map(str::to_owned),
            pipeline: run.map(|_| "./a".to_owned()),
            root: None,
            expires_at: None,
            age: Duration::from_secs(seconds),
        };
        let pods = [pod("w-1", PodStatus::Assigned, Some("0197"), 7200), pod("w-22", PodStatus::Available, None, 59)];
        let expected = "\
NAME  STATUS     ROLE    POOL   AGE  EXPIRES  RUN
w-1   assigned   worker  local  2h   -        0197 ./a
w-22  available  worker  local  59s  -        -
";
        assert_eq!(table(&pods), expected);
        assert_eq!(table(&[]), "");
    }
}
