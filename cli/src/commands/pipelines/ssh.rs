//! `terrace pipelines ssh POD [COMMAND]`: opens a shell in the folder and environment of a worker's steps.

use super::databases::{databases_of, failure};
use super::pods;
use super::project::{instance_here, queue_of};
use crate::args::SshArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use terrace_pipelines::database::Databases;
use terrace_pipelines::environment::{EnvironmentError, EnvironmentObserver};
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::queue::{Pod, PodStatus};
use terrace_pipelines::run::Runner;
use terrace_pipelines::spec;
use terrace_provider::names::{closest, listed};
use terrace_provider_pipelines::settings::runner;
use tokio_util::sync::CancellationToken;

/// Starts a bash whose startup file is [`STARTUP`].
const START_BASH: &str = r#"exec "$0" --rcfile <(printf '%s\nPATH=%q PS1=%q\n' "$1" "$2" "$3") -i"#;

/// Sources the user's startup file first. It may put other programs before those of the environment, as version
/// managers of Python do; the following assignments override this.
const STARTUP: &str = "if [ -f ~/.bashrc ]; then . ~/.bashrc; fi";

/// Replaces this process by a shell.
///
/// # Errors
/// When the pod does not exist or has expired, no pipeline has an environment for it, its database does not start, or
/// there is no shell.
pub(super) async fn run(context: &Context<'_>, arguments: &SshArguments) -> Result<Exit, Failure> {
    let instance = instance_here(context)?;
    let runner = runner(&instance)?;
    let pods = pods::existing(&runner).await?;
    let databases = databases_of(context, &instance).await;
    let pod = find(&pods, &arguments.pod, databases.names().contains(&arguments.pod))?;
    let (folder, variables) = step_environment(context, &runner, &databases, pod).await?;
    let shell = context.variables.get("SHELL").unwrap_or("/bin/sh");
    let prompt = format!("{}:\\w$ ", pod.name);
    let mut command = Command::new(shell);
    command.env_clear().envs(&variables).env("PS1", &prompt).current_dir(&folder);
    if !arguments.command.is_empty() {
        // Joins the words to one line for the shell, as ssh does.
        command.arg("-c").arg(arguments.command.join(" "));
    } else if std::io::stdin().is_terminal() && Path::new(shell).file_name().is_some_and(|name| name == "bash") {
        let path = variables.get("PATH").map_or("", String::as_str);
        command.args(["-c", START_BASH, shell, STARTUP, path, &prompt]);
    }
    let error = command.exec();
    Err(Failure::new(format!("the shell `{shell}` cannot be started in `{}`: {error}", folder.display()))
        .hint("set the variable SHELL to the path of a shell"))
}

fn find<'a>(pods: &'a [Pod], name: &str, is_database: bool) -> Result<&'a Pod, Failure> {
    let Some(pod) = pods.iter().find(|pod| pod.name == name) else {
        if is_database {
            return Err(Failure::new(format!("`{name}` is a database, and has no shell"))
                .hint(format!("`terrace pipelines databases show {name} --reveal` prints its address")));
        }
        let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
        // All names have the same beginning: compares only the rest, where a typing error changes few letters.
        let rest = |name: &str| name.rsplit('-').next().unwrap_or_default().to_owned();
        let rests: Vec<String> = names.iter().map(|name| rest(name)).collect();
        let best = closest(&rest(name), rests.iter().map(String::as_str));
        let hint = match best.and_then(|best| names.iter().find(|name| name.ends_with(best))) {
            Some(best) => format!("did you mean `{best}`?"),
            None if names.is_empty() => "`terrace pipelines init local` starts workers".to_owned(),
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
    databases: &Databases,
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
    let runner = match cluster(runner, pod).await? {
        Some(cluster) => databases.runner_for_cluster(runner, &cluster, &folder, &cancel).await.map_err(failure)?,
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
