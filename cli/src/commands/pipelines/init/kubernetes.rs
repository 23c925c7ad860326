//! `terrace pipelines init` for clusters of Kubernetes: has the vendor's program create the cluster, prepares a namespace,
//! and prints the settings with which runs go there. Repeats are harmless, so an interrupted call continues.

use super::super::dppctl_yaml::DppctlYaml;
use super::super::fallback::context_of;
use super::super::kinds::name;
use super::super::project::instance_here;
use super::vendors;
use crate::args::{ClusterArguments, ClusterKind};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless_line;
use crate::signals::Signals;
use terrace_pipelines::executor::kubernetes::install::{PartState, Progress, install};
use terrace_pipelines::run::Runner;
use terrace_provider::{Settings, Value};

/// Namespace without a setting.
const NAMESPACE: &str = "pipelines";
/// Namespace of the provider without a setting. Pipelines should have one of their own.
const SHARED: &str = "default";

/// The recorded cluster.
///
/// # Errors
/// When the record cannot be read.
pub(super) fn progress(runner: &Runner) -> Result<Option<Progress>, Failure> {
    Progress::read(runner.store.folder()).map_err(unwritable)
}

fn unwritable(error: std::io::Error) -> Failure {
    Failure::new(format!("the record of the cluster: {error}"))
}

/// Forgets the recorded cluster: a cluster of this machine takes its place.
///
/// # Errors
/// When the record cannot be removed.
pub(super) fn forget(runner: &Runner) -> Result<(), Failure> {
    Progress::remove(runner.store.folder()).map_err(unwritable)
}

/// Prepares a cluster, continues, or reports its parts.
///
/// # Errors
/// When the vendor's program fails, the cluster is not reached, or rights are missing.
pub(super) async fn run(
    context: &Context<'_>,
    kind: ClusterKind,
    arguments: &ClusterArguments,
    file: Option<&DppctlYaml>,
    signals: &Signals,
) -> Result<Exit, Failure> {
    if arguments.databases.is_some_and(|databases| databases > 0) {
        return Err(Failure::new("databases run on this machine, and not in the cluster")
            .hint("leave `--databases` out; `DPP_DB_ENGINE` names a server that pods reach"));
    }
    let instance = instance_here(context)?;
    let records = terrace_provider_pipelines::settings::records(&instance);
    let default = DppctlYaml::default();
    let file = file.unwrap_or(&default);
    let before = Progress::read(&records).map_err(unwritable)?.filter(|before| before.kind == name(kind));
    let text = |name: &str| instance.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let known = before.as_ref().map(|before| before.namespace.clone());
    let mut progress = Progress {
        kind: name(kind),
        context: context_of(kind, file).or_else(|| text("context").map(str::to_owned)),
        namespace: arguments
            .namespace
            .clone()
            .or_else(|| file.gcloud.namespace.clone())
            .or(known)
            .or_else(|| text("namespace").filter(|namespace| *namespace != SHARED).map(str::to_owned))
            .unwrap_or_else(|| NAMESPACE.to_owned()),
        pods: arguments.workers.map(u32::from).or(before.as_ref().and_then(|before| before.pods)),
        is_ready: false,
    };
    let commands = vendors::commands(context, kind, &file.gcloud)?;
    signals.begin_changes();
    progress.write(&records).map_err(unwritable)?;
    if let Some(commands) = &commands {
        vendors::ensure(context, commands, signals).await?;
    }
    let settings = with_context(&instance, progress.context.as_deref());
    let installed = tokio::select! {
        installed = install(&settings, &progress.namespace, progress.pods) => installed?,
        () = signals.cancel.cancelled() => {
            return Err(Failure { exit: Exit::Interrupted, ..Failure::new("stopped while the namespace was prepared") }
                .hint("continue with `terrace pipelines init`"));
        }
    };
    for part in &installed {
        let state = match &part.state {
            PartState::Created => "created".to_owned(),
            PartState::Exists => "exists".to_owned(),
            PartState::LeftOut(why) => format!("left out: {why}"),
        };
        context.ui.print(&format!("{}: {}\n", part.name, harmless_line(&state)))?;
    }
    progress.is_ready = true;
    progress.write(&records).map_err(unwritable)?;
    let missing = missing_settings(&instance, &progress);
    if missing.is_empty() {
        context.ui.print_note(&format!("`{}` runs pipelines; `terrace doctor` checks it", progress.kind));
        return Ok(Exit::Done);
    }
    context.ui.print_note("write these settings into terrace.yaml; `deploy/pipelines-image` builds the image:");
    context.ui.print(&in_yaml(&instance.environment, &missing))?;
    Ok(Exit::Done)
}

/// The settings of the provider with another context.
fn with_context(instance: &Settings, context: Option<&str>) -> Settings {
    let mut settings = instance.clone();
    settings.values.retain(|name, _| matches!(name.as_str(), "kubeconfig" | "context" | "inCluster"));
    if let Some(context) = context {
        settings.values.insert("context".to_owned(), context.into());
    }
    settings
}

/// Settings that lead runs into the prepared namespace, as far as the instance lacks them.
fn missing_settings(instance: &Settings, progress: &Progress) -> Vec<(&'static str, String)> {
    let text = |name: &str| instance.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut wanted = vec![("executor", "kubernetes".to_owned())];
    wanted.extend(progress.context.clone().map(|context| ("context", context)));
    wanted.push(("namespace", progress.namespace.clone()));
    let is_complete = wanted.iter().all(|(name, value)| text(name) == Some(value)) && text("image").is_some();
    if is_complete {
        return Vec::new();
    }
    wanted.push(("image", text("image").unwrap_or("REGISTRY/NAME@sha256:DIGEST").to_owned()));
    wanted
}

fn in_yaml(environment: &str, settings: &[(&str, String)]) -> String {
    let lines: String = settings.iter().map(|(name, value)| format!("        {name}: {value}\n")).collect();
    format!("environments:\n  {environment}:\n    providers:\n      pipelines:\n{lines}")
}
