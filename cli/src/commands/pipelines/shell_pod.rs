//! A pod for the shell of a worker in a cluster that runs no pipeline: it has the files, the packages and the variables of a run.

use super::databases::failure;
use super::shell::connect;
use crate::args::SshArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use jiff::Timestamp;
use std::io::IsTerminal;
use std::path::Path;
use terrace_pipelines::database::ProjectDatabases;
use terrace_pipelines::executor::{ClusterPodState, ClusterPods, End, JobObserver, Outcome, StepOutcome};
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::run::Runner;
use terrace_pipelines::spec;
use terrace_pipelines::spec::model::Pipeline;
use tokio_util::sync::CancellationToken;

/// Starts a pod with a pipeline of this folder that runs in the cluster, connects a shell in it, and removes it. Prefers a pipeline that
/// uses a database.
///
/// # Errors
/// When no pipeline of this folder runs in the cluster, the pod cannot start, or the connection ends first.
pub(super) async fn open(
    context: &Context<'_>,
    signals: &Signals,
    (runner, databases, cluster): (&Runner, &ProjectDatabases, &Cluster),
    arguments: &SshArguments,
) -> Result<Exit, Failure> {
    let specs = spec::read(Path::new("."))
        .map_err(|error| Failure::new(format!("the specs of this folder cannot be read: {error}")))?;
    let broken = specs.broken();
    let sound = specs.pipelines.iter().filter(|pipeline| !broken.contains(&pipeline.id.as_str()));
    let there: Vec<&Pipeline> = sound.filter(|pipeline| runner.runs_elsewhere(pipeline)).collect();
    // Its packages have the driver of the database.
    let pipeline = there.iter().find(|pipeline| runner.uses_database(&specs.root, pipeline)).or(there.first());
    let pipeline = pipeline.ok_or_else(|| {
        Failure::new("no valid pipeline of this folder runs in the cluster")
            .hint("write `executor: kubernetes` into a spec or the settings, or pass `--chdir DIR`")
    })?;
    let folder = runner.folder_name(&specs.root);
    let runner = databases.runner_for_cluster(runner, cluster, &folder, &signals.cancel).await.map_err(failure)?;
    let pod = runner.shell_pod(&specs, pipeline).map_err(|message| in_lines(&[message]))?;
    pod.executor.check(&runner.execution_of(pipeline)).await.map_err(|lines| in_lines(&lines))?;
    let Some(pods) = pod.executor.pods() else { return Err(Failure::new("no cluster has pods of this project")) };
    context
        .ui
        .print_message("starting a pod for the shell: it has the files of this folder; changes end with the shell");
    signals.begin_shell();
    let end = signals.cancel.child_token();
    let observer = Start { context, id: &pod.job.run, is_ready: CancellationToken::new() };
    let living = pod.executor.execute(&pod.job, &observer, &end);
    tokio::pin!(living);
    let shell = async {
        observer.is_ready.cancelled().await;
        connect_with(pods, &pod.job.run, arguments).await
    };
    let result = tokio::select! {
        outcome = &mut living => return Err(not_started(&outcome, signals)),
        result = shell => result,
    };
    end.cancel();
    let outcome = living.await;
    if let (End::Unknown, Some(failure)) = (outcome.end, outcome.failure) {
        context.ui.print_message(&format!("warning: the pod of the shell: {}", failure.message));
    }
    // A signal that removed the pod ended the shell with it.
    if signals.cancel.is_cancelled() { Err(Failure::reported(Exit::Interrupted)) } else { result }
}

/// Connects a shell in the pod of this Job.
async fn connect_with(pods: &dyn ClusterPods, job: &str, arguments: &SshArguments) -> Result<Exit, Failure> {
    let words = &arguments.command;
    let has_terminal = words.is_empty() && std::io::stdin().is_terminal();
    let is_wanted = |run: &Option<(String, String)>| run.as_ref().is_some_and(|(of, _)| of == job);
    let found = pods.list().await.map_err(Failure::new)?;
    let found = found.into_iter().find(|pod| pod.state == ClusterPodState::Running && is_wanted(&pod.run));
    let pod = found.ok_or_else(|| Failure::new("the pod of the shell has ended"))?;
    let shell = pods.shell(&pod.name, &arguments.pod, words, has_terminal).await.map_err(Failure::new)?;
    connect(shell, has_terminal).await
}

/// The failure of a pod that ended before its shell.
fn not_started(outcome: &Outcome, signals: &Signals) -> Failure {
    if outcome.end == End::Cancelled && signals.cancel.is_cancelled() {
        return Failure::reported(Exit::Interrupted);
    }
    let Some(failed) = &outcome.failure else { return Failure::new("the pod of the shell has ended") };
    let lines = [format!("the pod of the shell: {}", failed.message)];
    in_lines(&lines.into_iter().chain(failed.log.iter().cloned()).collect::<Vec<_>>())
}

/// A failure from lines, with those that begin with `hint: ` as hints.
fn in_lines(lines: &[String]) -> Failure {
    let lines = lines.iter().flat_map(|text| text.lines());
    let (hints, message): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("hint: "));
    let hints = hints.into_iter().filter_map(|hint| hint.strip_prefix("hint: "));
    hints.fold(Failure::new(harmless(&message.join("\n"))), |failure, hint| failure.hint(harmless(hint)))
}

/// The start of a pod, for its caller.
struct Start<'a> {
    context: &'a Context<'a>,
    /// The line that the ready pod prints.
    id: &'a str,
    is_ready: CancellationToken,
}

impl JobObserver for Start<'_> {
    fn line(&self, _step: usize, _at: Timestamp, line: &str) {
        if line.trim() == self.id {
            self.is_ready.cancel();
        }
    }

    fn progress(&self, _step: usize, _rows: u64, _bytes: u64) {}

    fn ended(&self, _step: usize, _outcome: &StepOutcome) {}

    fn preparing(&self, done: usize, of: usize, message: &str) {
        if done == 0 || done == of {
            self.context.ui.print_note(&format!("PREPARING, {done} of {of} packages, {message}"));
        }
    }

    fn warned(&self, line: &str) {
        self.context.ui.print_message(&format!("warning: {line}"));
    }
}
