//! `terrace pipelines deploy`: deploys new commits by `continuousDeployment` of `.dppctl.yaml`.
//!
//! Descriptors are applied and pipelines run by processes of their own (`terrace apply` and `terrace pipelines run` in a copy
//! of the operations repository), so that they have the configuration of that repository, and no more.

mod applied;
mod list;
mod served;
mod usage;

pub(in crate::commands) use served::DeploymentServer;

use super::dppctl_yaml::{Described, DppctlYaml, FILE, Status};
use crate::args::DeployArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::program_name::with_own_commands;
use crate::report::{harmless, harmless_line};
use crate::signals::Signals;
use crate::ui::counted;
use crate::variables::token;
use crate::wiring::guard_program;
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_engine::plan::Note;
use terrace_engine::store::ServerStore;
use terrace_forge::{Check, Run, Vendor, Verdict};
use terrace_pipelines::deployment::deployer::{ApplyRequest, Deployer, Platform, RunEnd, RunRequest};
use terrace_pipelines::deployment::git::{Credential, Git};
use terrace_pipelines::deployment::operations::CONFIGURATION;
use terrace_pipelines::deployment::program::{self, Call, Problem, ProblemKind};
use terrace_pipelines::deployment::store::{Deployments, Outcome, Record, Stage};
use terrace_pipelines::deployment::{Deployment, Trigger};
use terrace_pipelines::paths::RECORDS;
use terrace_provider::Severity;
use terrace_server::usage_log::append_actions;
use tokio_util::sync::CancellationToken;

/// Time between two polls.
const PERIOD: Duration = Duration::from_secs(60);
/// Least time between two polls, so that a typing error does not flood a forge with calls.
const LEAST_PERIOD: Duration = Duration::from_secs(1);
/// Time limit of a run without `timeout`.
const LONGEST_RUN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Time for an apply to record its running steps after a signal.
const GRACE: Duration = Duration::from_secs(5);
/// Time for a run to stop by itself after its own time limit.
const STOP_TIME: Duration = Duration::from_secs(10 * 60);
/// Names that results have in place of a step.
const NO_STEPS: [&str; 4] = ["init", "environment", "worker", "Already Running"];
/// Length of a short digest of a commit.
const SHORT: usize = 12;

/// Deploys, or lists deployments.
///
/// # Errors
/// When `.dppctl.yaml` is missing or invalid, or another process deploys.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &DeployArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let settings = context.settings(Some(Path::new(".")))?;
    let project = settings.project_folder.clone();
    let Some((path, file)) = DppctlYaml::find(context, &[Path::new("."), &project])? else {
        return Err(Failure::new(format!("there is no `{FILE}` here"))
            .hint(format!("describe the deployments in `{FILE}`, or change the folder with `--chdir DIR`")));
    };
    if file.deployments.is_empty() {
        return Err(Failure::new(format!("`{}` deploys nothing", path.display()))
            .hint("add `continuousDeployment` with `appRepoPath`, `opsRepoPath` and `actions`"));
    }
    if arguments.watch && arguments.format.is_json() {
        return Err(
            Failure::new("`--watch` prints lines, and no JSON").hint("leave `--json` out, or read `--list --json`")
        );
    }
    let store = Deployments::new(&project.join(RECORDS));
    if arguments.list {
        return list::print(context, arguments.format, &store, &file.deployments);
    }
    signals.begin_changes();
    let failed = |error: std::io::Error| Failure::new(format!("the records of deployments: {error}"));
    let Some(_turn) = store.acquire_turn().map_err(failed)? else {
        return Err(Failure::refused("another process deploys this project").hint("wait for its end, or stop it"));
    };
    if let Some(commit) = &arguments.retry {
        repeat(&store, &file.deployments, commit)?;
    }
    let git = Git::new(credentials(context, &file.deployments), signals.cancel.clone());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize();
    let terrace = Terrace {
        context,
        folder: folder.map_err(|error| Failure::new(format!("the working directory: {error}")))?,
        described: &file.deployments,
        git: git.clone(),
        cancel: signals.cancel.clone(),
        met: Mutex::default(),
        usage_log: None,
    };
    let builders = std::env::var_os("PATH");
    let deployer = Deployer::new(git, store, &terrace, builders, signals.cancel.clone());
    loop {
        terrace.begin_round();
        let (mut ended, mut is_complete, mut is_stopped) = (Vec::new(), true, false);
        for described in &file.deployments {
            match deployer.poll(&described.deployment).await {
                Ok((records, is_all)) => {
                    for record in &records {
                        if !arguments.format.is_json() {
                            context.ui.print(&list::line(record))?;
                        }
                    }
                    ended.extend(records);
                    is_complete &= is_all;
                }
                Err(_) => is_stopped = true,
            }
        }
        if arguments.watch {
            let pause = arguments.every.unwrap_or(PERIOD).max(LEAST_PERIOD);
            tokio::select! {
                () = tokio::time::sleep(pause) => continue,
                () = signals.cancel.cancelled() => return Ok(Exit::Interrupted),
            }
        }
        if arguments.format.is_json() {
            context.ui.print_json(&list::to_json(context.ui, &ended))?;
        } else if ended.is_empty() && is_complete {
            context.ui.print_note("no new commits");
        }
        return Ok(match () {
            () if is_stopped || signals.cancel.is_cancelled() => Exit::Interrupted,
            () if !is_complete => Exit::Error,
            () if ended.iter().any(|record| record.outcome == Some(Outcome::Failed)) => Exit::PartlyApplied,
            () => Exit::Done,
        });
    }
}

/// Prints what `terrace pipelines deploy` would deploy, for a user who prepares the cluster of the folder.
pub(super) fn announce(context: &Context<'_>, described: &[Described]) {
    for Described { deployment, status } in described {
        for action in &deployment.actions {
            let pipelines = action.work.pipeline.as_ref().map(|words| format!("'{words}' pipelines"));
            let work: Vec<&str> =
                [action.work.descriptor.as_deref(), pipelines.as_deref()].into_iter().flatten().collect();
            let commits = match &action.trigger {
                Trigger::Branch(branch) => format!("commits to {branch} branch"),
                Trigger::Tags => "published tags".to_owned(),
            };
            context.ui.print_note(&harmless_line(&format!(
                "continuous deployment of {} on {commits} of {} to {} environment of ops repo {}",
                work.join(" and "),
                deployment.app,
                action.environment,
                deployment.operations
            )));
        }
        if let Some(status) = status
            && token_of(context, status.vendor).is_none()
        {
            let (variable, vendor) = (variable(status.vendor), status.vendor.name());
            context.ui.print_note(&format!("it needs the token of a machine user of {vendor} in {variable}"));
        }
    }
    if !described.is_empty() {
        context.ui.print_note(&with_own_commands("start it with `terrace pipelines deploy --watch`".to_owned()));
    }
}

/// Prepares a failed deployment for another try.
fn repeat(store: &Deployments, described: &[Described], word: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("the records of deployments: {error}"));
    let mut count = 0_usize;
    for Described { deployment, .. } in described {
        for action in &deployment.actions {
            let key = deployment.key(action);
            for mut record in store.of_action(&key).map_err(failed)? {
                if word.len() >= 4 && record.commit.starts_with(word) && record.repeat() {
                    store.put(&key, &record).map_err(failed)?;
                    count = count.saturating_add(1);
                }
            }
        }
    }
    match count {
        0 => Err(Failure::new(format!("no deployment of a commit `{word}` failed"))
            .hint("`terrace pipelines deploy --list` lists the deployments")),
        _ => Ok(()),
    }
}

/// The token of a forge.
fn token_of(context: &Context<'_>, vendor: Vendor) -> Option<SecretString> {
    token(context.variables.get(variable(vendor))?)
}

const fn variable(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::GitHub => "GITHUB_TOKEN",
        Vendor::GitLab => "GITLAB_TOKEN",
    }
}

/// Sign-in to the hosts of the repositories whose forge is known. A token reaches no other host.
fn credentials(context: &Context<'_>, described: &[Described]) -> Vec<Credential> {
    let mut hosts = vec![("github.com".to_owned(), Vendor::GitHub), ("gitlab.com".to_owned(), Vendor::GitLab)];
    for status in described.iter().filter_map(|described| described.status.as_ref()) {
        let host = status.url.strip_prefix("https://").and_then(|rest| rest.split('/').next());
        hosts.extend(host.map(|host| (host.to_owned(), status.vendor)));
    }
    let known = hosts.into_iter().filter_map(|(host, vendor)| {
        let user = match vendor {
            Vendor::GitHub => "x-access-token",
            Vendor::GitLab => "oauth2",
        };
        Some(Credential { host, user, token: token_of(context, vendor)? })
    });
    known.collect()
}

/// Problems of the last round of polls, and of this one. A problem is printed when it appears, and not in each round.
#[derive(Default)]
struct Met {
    before: BTreeSet<String>,
    now: BTreeSet<String>,
}

impl Met {
    fn begin_round(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn is_new(&mut self, failure: &Failure) -> bool {
        let text = format!("{failure:?}");
        let is_known = self.before.contains(&text);
        self.now.insert(text) && !is_known
    }
}

/// The settings of this process for deployments.
struct Terrace<'a> {
    context: &'a Context<'a>,
    /// The folder of `.dppctl.yaml`, as an absolute path.
    folder: PathBuf,
    described: &'a [Described],
    git: Git,
    cancel: CancellationToken,
    /// Problems that were printed.
    met: Mutex<Met>,
    /// The usage log of the server, whose log gets the messages; nothing for a command.
    usage_log: Option<Arc<dyn ServerStore>>,
}

impl Terrace<'_> {
    const fn is_served(&self) -> bool {
        self.usage_log.is_some()
    }

    fn begin_round(&self) {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).begin_round();
    }

    fn note(&self, text: &str) {
        match self.is_served() {
            true => tracing::info!("{}", harmless_line(text)),
            false => self.context.ui.print_note(&harmless(text)),
        }
    }

    fn warn(&self, text: &str) {
        match self.is_served() {
            true => tracing::warn!("{}", harmless_line(text)),
            false => self.context.ui.print_message(&format!("warning: {}", harmless(text))),
        }
    }

    fn status(&self, deployment: &Deployment) -> Option<&Status> {
        self.described.iter().find(|described| described.deployment == *deployment)?.status.as_ref()
    }

    /// A command in a folder with the environment.
    fn command(environment: &str, folder: &Path) -> Result<Command, Problem> {
        let program: Option<PathBuf> = guard_program().map(|guard| guard.program);
        let program = program.ok_or_else(|| Problem::later("the path of this program is unknown"))?;
        let mut command = Command::new(program);
        command.args(["--color=never", "--input=false", "--env", environment]);
        command.arg("--chdir").arg(folder).arg("--config").arg(folder.join(CONFIGURATION));
        Ok(command)
    }

    /// The command that runs a pipeline.
    fn run_command(&self, request: &RunRequest<'_>) -> Result<Command, Problem> {
        let mut command = Self::command(request.environment, request.folder)?;
        command.args(["pipelines", "run", "--json", "--no-queue", "--mark", request.mark]);
        command.arg("--cluster-of").arg(&self.folder);
        if let Some(timeout) = request.deployment.timeout {
            command.arg("--timeout").arg(format!("{}s", timeout.as_secs().max(1)));
        }
        if let Some(retries) = request.deployment.retries {
            command.arg("--retries").arg(retries.to_string());
        }
        command.args(["--", request.pipeline]);
        Ok(command)
    }
}

/// The pipeline of a result of `terrace pipelines run --json` whose failure comes first; without a failure, the only pipeline. A
/// pipeline that waits in vain for a failed one is held.
fn decisive(result: &Value) -> Option<&Value> {
    let results = result.get("results")?.as_array()?;
    let is_failed = |result: &&Value| result.get("success") != Some(&Value::Bool(true));
    let is_held = |result: &&Value| result.get("state").and_then(Value::as_str) == Some("held");
    let failed = results.iter().filter(is_failed).find(|it| !is_held(it)).or_else(|| results.iter().find(is_failed));
    failed.or(match results.as_slice() {
        [only] => Some(only),
        _ => None,
    })
}

/// The first error of a result of `terrace pipelines run --json`.
fn error_of(result: &Value, log: &[u8]) -> String {
    let error = decisive(result).and_then(|result| result.pointer("/errors/0"));
    let lines = error.and_then(|error| error.get("log")?.as_array()).into_iter().flatten();
    let lines: Vec<&str> = lines.filter_map(Value::as_str).filter(|line| !line.trim().is_empty()).collect();
    let step = error.and_then(|error| error.get("processor")?.as_str()).unwrap_or_default();
    match (lines.first(), lines.last()) {
        // Python writes the message after the places. Without a step, hints follow the message.
        (Some(first), _) if NO_STEPS.contains(&step) => return (*first).to_owned(),
        (_, Some(last)) => return format!("step `{step}` failed: {last}"),
        _ => {}
    }
    let diagnostics = result.get("diagnostics").and_then(Value::as_array).into_iter().flatten();
    let is_error = |it: &&Value| it.get("severity").and_then(Value::as_str) == Some("error");
    let message = diagnostics.filter(is_error).find_map(|it| it.get("message")?.as_str());
    message.map_or_else(|| last_line(&String::from_utf8_lossy(log)).to_owned(), str::to_owned)
}

/// True if no step ran because the machine, a worker or the package index failed.
fn is_infrastructure(result: &Value) -> bool {
    let step = decisive(result).and_then(|result| result.pointer("/errors/0/processor")?.as_str());
    step.is_some_and(|step| matches!(step, "worker" | "environment"))
}

fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("without a message")
}

#[async_trait]
impl Platform for Terrace<'_> {
    async fn apply(&self, request: ApplyRequest<'_>) -> Result<(), Problem> {
        let mut command = Self::command(request.environment, request.folder)?;
        command.args(["apply", "--auto-approve", "--json", "--cluster-of"]).arg(&self.folder);
        command.args(["--", request.descriptor]);
        let kept: Vec<&str> = self.context.variables.names().filter(|name| applied::is_kept(name)).collect();
        let call = Call { limit: LONGEST_RUN, kept: &kept, grace: GRACE, ..Call::default() };
        let ended = program::run_as(command, call, &self.cancel).await?;
        applied::result(&request, &ended, |text| self.git.redacted(text))
    }

    async fn run(&self, request: RunRequest<'_>) -> Result<RunEnd, Problem> {
        let limit = request.deployment.timeout.map_or(LONGEST_RUN, |timeout| timeout.saturating_add(STOP_TIME));
        let ended = program::run(self.run_command(&request)?, b"", limit, &self.cancel).await?;
        let result: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        let text = |name: &str| decisive(&result).and_then(|result| result.get(name)?.as_str()).map(str::to_owned);
        let run = text("run_id");
        let pipeline = text("pipeline_id").unwrap_or_else(|| request.pipeline.to_owned());
        let error = || self.git.redacted(&error_of(&result, &ended.stderr));
        match ended.status.code() {
            Some(0) => Ok(RunEnd { run, error: None }),
            Some(code) if code == i32::from(Exit::PartlyApplied.code()) => {
                Ok(RunEnd { run, error: Some(format!("{pipeline}: {}", error())) })
            }
            Some(code) if code == i32::from(Exit::Refused.code()) => {
                Err(Problem::later(format!("{pipeline} cannot run now: {}", error())))
            }
            Some(code) if code == i32::from(Exit::Interrupted.code()) => match run {
                // A person cancelled it: the next poll would find the same run.
                Some(run) if !self.cancel.is_cancelled() => {
                    Ok(RunEnd { run: Some(run), error: Some(format!("the run of {pipeline} was cancelled")) })
                }
                _ => Err(Problem::later(format!("the run of {pipeline} was stopped"))),
            },
            _ if is_infrastructure(&result) => Err(Problem::later(format!("{pipeline} cannot run now: {}", error()))),
            _ => Err(Problem::later(format!("{pipeline} cannot run: {}", error()))
                .with_kind(ProblemKind::Limited)
                .hint(format!("correct it in {}", request.deployment.operations))),
        }
    }

    async fn report(&self, deployment: &Deployment, record: &Record) -> bool {
        if let Some(log) = &self.usage_log
            && let Err(error) = append_actions(log.as_ref(), vec![usage::entry(record)]).await
        {
            self.warn(&format!("{}: the usage log cannot be written now: {error}", short(&record.commit)));
            return false;
        }
        let Some(status) = self.status(deployment) else { return true };
        let Some(token) = token_of(self.context, status.vendor) else {
            self.note(&format!(
                "{} does not get the result: {} is not set",
                status.vendor.name(),
                variable(status.vendor)
            ));
            return true;
        };
        let forge = match terrace_forge::connect(status.vendor, &status.url, &status.repository, &token) {
            Ok(forge) => forge,
            Err(why) => {
                self.warn(&format!("`status` of `{FILE}`: {why}"));
                return true;
            }
        };
        match forge.set_check(&check(record)).await {
            Ok(()) => true,
            Err(error) => {
                self.warn(&error.message);
                error.hints.iter().for_each(|hint| self.note(&format!("hint: {hint}")));
                // A missing permission does not appear by itself.
                error.is_denied()
            }
        }
    }

    fn begins(&self, record: &Record) {
        let commit = short(&record.commit);
        self.note(&match record.stage {
            Stage::Build => format!("{commit}: building its image"),
            Stage::Commit => {
                format!("{commit}: {} is in the registry, updating `{}`", text(&record.image), record.environment)
            }
            Stage::Apply => {
                format!("{commit}: applying {} in `{}`", text(&record.work.descriptor), record.environment)
            }
            Stage::Run => {
                let pipelines = record.work.pipelines().unwrap_or("it");
                format!("{commit}: running {pipelines} in `{}`", record.environment)
            }
            Stage::Ended => return,
        });
    }

    fn skips_tags(&self, deployment: &Deployment, count: usize) {
        self.note(&format!("{}: {} existed before and will not be deployed", deployment.app, counted(count, "tag")));
    }

    fn meets(&self, deployment: &Deployment, record: Option<&Record>, problem: &Problem) {
        let subject = record.map_or_else(|| deployment.app.to_string(), |record| short(&record.commit).to_owned());
        let mut failure = Failure::new(harmless(&self.git.redacted(&format!("{subject}: {}", problem.message))));
        failure = problem.hints.iter().cloned().fold(failure, Failure::hint);
        if !self.met.lock().unwrap_or_else(PoisonError::into_inner).is_new(&failure) {
            return;
        }
        if self.is_served() {
            self.warn(&failure.message.unwrap_or_default());
            return failure.hints.iter().for_each(|hint| self.note(&format!("hint: {hint}")));
        }
        self.context.ui.fail(&failure);
        self.context.ui.remember(Note {
            severity: Severity::Error,
            code: "deployment".to_owned(),
            message: failure.message.unwrap_or_default(),
            place: None,
            hint: (!failure.hints.is_empty()).then(|| failure.hints.join("\n")),
            address: None,
        });
    }
}

/// The result as a check of the commit.
fn check(record: &Record) -> Check {
    let is_good = record.outcome == Some(Outcome::Deployed);
    let title = match (&record.error, &record.run) {
        (Some(error), _) => error.lines().next().unwrap_or_default().trim_end_matches(':').to_owned(),
        (None, Some(run)) => format!("deployed: run {run} succeeded"),
        (None, None) => "deployed".to_owned(),
    };
    let line = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("- {name}: `{}`\n", value.replace('`', "'"))).unwrap_or_default()
    };
    Check {
        run: Run::default(),
        commit: record.commit.clone(),
        name: format!("terrace: {} in {}", record.work, record.environment),
        verdict: if is_good { Verdict::Success } else { Verdict::Failure },
        summary: [
            line("image", &record.image),
            line("commit of the operations repository", &record.operations_commit),
            line("run", &record.run),
            line("error", &record.error.is_some().then(|| title.clone())),
        ]
        .concat(),
        title,
    }
}

fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("it")
}
