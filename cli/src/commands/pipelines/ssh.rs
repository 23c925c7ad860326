//! `terrace pipelines ssh POD [COMMAND]`: opens a shell in the folder and environment of a worker's steps.

use super::databases::{all_databases_of, failure};
use super::pods;
use super::project::{cluster_executor, instance_and_runner, kind_of_cluster, queue_of, workers_hint};
use super::shell::{become_shell, connect};
use super::shell_pod;
use crate::args::SshArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use terrace_pipelines::database::ProjectDatabases;
use terrace_pipelines::environment::{EnvironmentError, EnvironmentObserver};
use terrace_pipelines::executor::{ClusterPod, ClusterPodState};
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::queue::{Pod, PodStatus};
use terrace_pipelines::run::Runner;
use terrace_pipelines::spec;
use terrace_provider::names::{closest, listed};
use tokio_util::sync::CancellationToken;

/// Replaces this process by a shell, or connects it with one in a pod of a cluster.
///
/// # Errors
/// When a setting cannot work, the pod does not exist, has expired or cannot start, no pipeline has an environment for it, its database does
/// not start, or the shell is missing.
pub(super) async fn run(context: &Context<'_>, arguments: &SshArguments, signals: &Signals) -> Result<Exit, Failure> {
    // A wrong setting must not lead to a shell, or a database, of another place.
    let (instance, runner) = instance_and_runner(context)?;
    let pods = pods::existing(&runner).await?;
    let here = pods.iter().find(|pod| pod.name == arguments.pod);
    let cluster = match here {
        Some(pod) => cluster(&runner, pod).await?,
        None => None,
    };
    let is_worker_of_kubernetes =
        cluster.as_ref().is_some_and(|cluster| !cluster.is_here()) && here.is_some_and(|pod| !runs_here(&runner, pod));
    let in_cluster = match here {
        Some(_) if !is_worker_of_kubernetes => Vec::new(),
        _ => pods::in_cluster(&runner, Path::new(".")).await?,
    };
    // The steps of such a worker are in the pod of its run.
    let run = here.filter(|_| is_worker_of_kubernetes).and_then(|worker| worker.record.as_deref());
    let is_wanted = |pod: &&ClusterPod| match run {
        Some(run) => pod.run.as_ref().is_some_and(|(of, _)| of == run) && pod.state != ClusterPodState::Ended,
        None => pod.name == arguments.pod,
    };
    if let Some(pod) = in_cluster.iter().find(is_wanted) {
        return open(&runner, pod, arguments).await;
    }
    if let Some(run) = run {
        return Err(Failure::new(format!("`{}` has the run {run}, of which no pod is there now", arguments.pod))
            .hint("`terrace pipelines pods` lists its pod from its start to its end"));
    }
    let databases = all_databases_of(context, &instance).await?;
    let is_expired = here.is_some_and(|pod| pod.status == PodStatus::Expired);
    if is_worker_of_kubernetes
        && !is_expired
        && let Some(cluster) = &cluster
    {
        return shell_pod::open(context, signals, (&runner, &databases, cluster), arguments).await;
    }
    let is_database = matches!(databases.get(&arguments.pod).await, Ok(Some(_)));
    let pod = find(&runner, (&pods, &in_cluster), &arguments.pod, is_database)?;
    let (folder, variables) = step_environment(context, &runner, (&databases, cluster.as_ref()), pod).await?;
    let shell = context.variables.get("SHELL").unwrap_or("/bin/sh");
    let prompt = format!("{}:\\w$ ", pod.name);
    Err(become_shell(shell, (&folder, &variables), &prompt, &arguments.command))
}

/// True if the steps of a worker's run are processes of this machine.
fn runs_here(runner: &Runner, pod: &Pod) -> bool {
    let (Some(root), Some(id)) = (&pod.root, &pod.pipeline) else { return false };
    let specs = spec::read(Path::new(root));
    specs.is_ok_and(|specs| specs.pipeline(id).is_some_and(|pipeline| !runner.runs_elsewhere(pipeline)))
}

/// Opens a shell in a pod of a cluster.
async fn open(runner: &Runner, pod: &ClusterPod, arguments: &SshArguments) -> Result<Exit, Failure> {
    match (pod.state, &pod.run) {
        (ClusterPodState::Running, Some(_)) => {}
        (ClusterPodState::Running, None) => {
            return Err(Failure::new(format!("the pod `{}` runs no pipeline, and has no shell", pod.name)));
        }
        (ClusterPodState::Pending, _) => {
            return Err(Failure::new(format!("the pod `{}` has not started", pod.name))
                .hint(format!("`kubectl describe pod {} --namespace {}` shows the reason", pod.name, pod.namespace)));
        }
        (ClusterPodState::Ended, _) => {
            let ended = Failure::new(format!("the pod `{}` has ended", pod.name));
            let has_log = pod.role == "worker";
            return Err(if has_log {
                ended.hint("`terrace pipelines logs RUN` prints the log of its run")
            } else {
                ended
            });
        }
    }
    let words = &arguments.command;
    let has_terminal = words.is_empty() && std::io::stdin().is_terminal();
    let executor = cluster_executor(runner, Path::new("."))?;
    let Some(pods) = executor.as_ref().and_then(|executor| executor.pods()) else {
        return Err(Failure::new("no cluster has pods of this project"));
    };
    let shell = pods.shell(&pod.name, &arguments.pod, words, has_terminal).await.map_err(Failure::new)?;
    connect(shell, has_terminal).await
}

fn find<'a>(
    runner: &Runner,
    (pods, in_cluster): (&'a [Pod], &[ClusterPod]),
    name: &str,
    is_database: bool,
) -> Result<&'a Pod, Failure> {
    let Some(pod) = pods.iter().find(|pod| pod.name == name) else {
        if is_database {
            return Err(Failure::new(format!("`{name}` is a database, and has no shell"))
                .hint(format!("`terrace pipelines databases show {name} --reveal` prints its address")));
        }
        let names = pods.iter().map(|pod| pod.name.as_str());
        let has_shell = |pod: &&ClusterPod| pod.state == ClusterPodState::Running && pod.run.is_some();
        let names: Vec<&str> = names.chain(in_cluster.iter().filter(has_shell).map(|pod| pod.name.as_str())).collect();
        // All names have the same beginning: compares only the rest, where a typing error changes few letters.
        let rest = |name: &str| name.rsplit('-').next().unwrap_or_default().to_owned();
        let rests: Vec<String> = names.iter().map(|name| rest(name)).collect();
        let best = closest(&rest(name), rests.iter().map(String::as_str));
        let hint = match best.and_then(|best| names.iter().find(|name| name.ends_with(best))) {
            Some(best) => format!("did you mean `{best}`?"),
            None if names.is_empty() => workers_hint(kind_of_cluster(runner)),
            None => format!("choose one of: {}", listed(&names)),
        };
        return Err(Failure::new(format!("there is no pod `{name}`")).hint(hint));
    };
    if pod.status == PodStatus::Expired {
        return Err(
            Failure::new(format!("the pod `{name}` has expired")).hint("`terrace pipelines pods` lists the other pods")
        );
    }
    Ok(pod)
}

/// The environment of a worker's run; of an idle worker, that of the first pipeline here.
async fn step_environment(
    context: &Context<'_>,
    runner: &Runner,
    (databases, cluster): (&ProjectDatabases, Option<&Cluster>),
    pod: &Pod,
) -> Result<(PathBuf, std::collections::BTreeMap<String, String>), Failure> {
    let root = pod.root.as_ref().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let specs = spec::read(&root)
        .map_err(|error| Failure::new(format!("the folder `{}` cannot be read: {error}", root.display())))?;
    let broken = specs.broken();
    let mut sound = specs.pipelines.iter().filter(|pipeline| !broken.contains(&pipeline.id.as_str()));
    let pipeline = match &pod.pipeline {
        Some(id) => specs.pipeline(id),
        None => sound.next(),
    };
    let pipeline = pipeline.ok_or_else(|| {
        Failure::new(format!("`{}` has no pipeline with an environment for the shell", root.display()))
            .hint("run it in a folder with a `pipeline-spec.yaml`, or pass `--chdir DIR`")
    })?;
    let cancel = CancellationToken::new();
    let folder = runner.folder_name(&specs.root);
    // Workers of a cluster write into its database, even if another cluster is active.
    let runner = match cluster {
        Some(cluster) => databases.runner_for_cluster(runner, cluster, &folder, &cancel).await.map_err(failure)?,
        None => runner.clone(),
    };
    let recipe = runner.recipe(&specs.root, pipeline);
    let observer = PackageReporter { context };
    let environment = runner.environments.ensure(&recipe, &observer, &cancel).await.map_err(|error| {
        let error = error.without_secrets(&runner.variables, &recipe);
        let output = if let EnvironmentError::Failed { output, .. } = &error { output.as_slice() } else { &[] };
        let what = output.iter().fold(error.to_string(), |text, line| format!("{text}\n  {line}"));
        error.hint().into_iter().fold(Failure::new(harmless(&what)), Failure::hint)
    })?;
    let (folder, variables) = runner.step_environment(&specs.root, pipeline, &environment);
    // `dpp` finds specs from the folder that they were found from.
    let folder = if pod.pipeline.is_some() { folder } else { specs.root.clone() };
    Ok((existing(&folder, &specs.root), variables))
}

/// The cluster of a worker: its pool has the same name.
async fn cluster(runner: &Runner, pod: &Pod) -> Result<Option<Cluster>, Failure> {
    let Some(queue) = queue_of(runner).await? else { return Ok(None) };
    let pool = pod.pool.clone();
    Ok(queue.call(move |queue| queue.cluster(&pool)).await?)
}

fn existing(folder: &Path, root: &Path) -> PathBuf {
    if folder.is_dir() { folder.to_owned() } else { root.to_owned() }
}

struct PackageReporter<'a> {
    context: &'a Context<'a>,
}

impl EnvironmentObserver for PackageReporter<'_> {
    fn progress(&self, done: usize, of: usize, what: &str) {
        if done == 0 || done == of {
            self.context.ui.print_note(&format!("PREPARING, {done} of {of} packages, {what}"));
        }
    }
}
