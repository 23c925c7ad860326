//! `terrace pipelines init` for clusters of Kubernetes: has the vendor's program create the cluster, prepares a namespace,
//! and prints the settings with which runs go there. With these settings, it installs the operator. Repeats are harmless, so
//! an interrupted call continues.

use super::super::dppctl_yaml::DppctlYaml;
use super::super::fallback::context_of;
use super::super::kinds::{Words, name};
use super::super::project::{instance_here, required_database_image};
use super::super::syncing::PUBLIC_STORAGE;
use super::{operator, vendors};
use crate::args::{ClusterArguments, ClusterKind};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::program_name::with_own_commands;
use crate::report::harmless_line;
use crate::signals::Signals;
use std::path::PathBuf;
use terrace_pipelines::executor::kubernetes::install::{PartState, Progress, Turn, install};
use terrace_pipelines::run::Runner;
use terrace_provider::{Settings, Value};
use terrace_provider_pipelines::settings::{database_image, default_destination, image};
use uuid::Uuid;

/// Namespace without a setting.
const NAMESPACE: &str = "pipelines";
/// Namespace of the provider without a setting. Pipelines should have one of their own.
const SHARED: &str = "default";

/// The recorded cluster.
///
/// # Errors
/// When the record cannot be read.
pub(in super::super) fn progress(runner: &Runner) -> Result<Option<Progress>, Failure> {
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

/// The failure of an interrupted preparation.
pub(super) fn interrupted() -> Failure {
    Failure { exit: Exit::Interrupted, ..Failure::new("stopped while the namespace was prepared") }
        .hint("continue with `terrace pipelines init`")
}

/// Number of databases of a new cluster: they need an image.
///
/// # Errors
/// When databases are requested without an image.
pub(super) fn default_databases(instance: &Settings, requested: Option<u16>) -> Result<u32, Failure> {
    if requested.is_some_and(|requested| requested > 0) {
        required_database_image(instance)?;
    }
    Ok(u32::from(database_image(instance).is_some()))
}

/// Checks the name of a namespace before it is recorded.
fn check_namespace(namespace: &str) -> Result<(), Failure> {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = namespace.len() <= 63
        && namespace.starts_with(is_end)
        && namespace.ends_with(is_end)
        && namespace.chars().all(|c| is_end(c) || c == '-');
    match is_name {
        true => Ok(()),
        false => Err(Failure::new(format!("`{namespace}` cannot be the name of a namespace"))
            .hint("use at most 63 small letters, digits and `-`, with a letter or a digit at both ends")),
    }
}

/// Refuses a cluster whose runs publish in a folder of this machine, while their results stay on a claim.
fn check_publishing(kind: ClusterKind, instance: &Settings) -> Result<(), Failure> {
    let claim = instance.values.get("claim").and_then(Value::as_str).filter(|claim| !claim.is_empty());
    let publishes_here = Words::of(kind).is_public && default_destination(instance).is_none();
    let Some(claim) = claim.filter(|_| publishes_here) else { return Ok(()) };
    let kind = name(kind);
    Err(Failure::new(format!(
        "pods cannot copy results from the claim `{claim}` to `{PUBLIC_STORAGE}`, a folder of this machine, where a cluster `{kind}` publishes them"
    ))
    .hint("write `sync: s3://BUCKET/PREFIX`, `sync: gs://BUCKET/PREFIX` or an address that accepts `PUT` for the provider `pipelines` into terrace.yaml")
    .hint("create a cluster that publishes nothing with `terrace pipelines init minikube`"))
}

/// A prepared namespace.
pub(super) struct Prepared {
    progress: Progress,
    /// Folder of the records.
    records: PathBuf,
}

impl Prepared {
    /// Records that the namespace is complete: the cluster is the active one now.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(super) fn complete(mut self) -> Result<(), Failure> {
        self.progress.is_ready = true;
        self.progress.write(&self.records).map_err(unwritable)
    }

    /// The turn of this call to create databases, with the name of its creations; nothing while another call has the turn.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub(super) fn turn(&self) -> Result<Option<(Turn, String)>, Failure> {
        let turn = Turn::acquire(&self.records).map_err(unwritable)?;
        Ok(turn.zip(self.progress.creation.clone()))
    }
}

/// Prepares the namespace of a cluster and its operator, or reports their parts. Returns nothing if runs lack settings, which are printed.
///
/// # Errors
/// When the vendor's program fails, the cluster is not reached, rights are missing, or the operator cannot be installed.
pub(super) async fn prepare(
    context: &Context<'_>,
    kind: ClusterKind,
    arguments: &ClusterArguments,
    file: Option<&DppctlYaml>,
    signals: &Signals,
) -> Result<Option<Prepared>, Failure> {
    if let Some(url) = &arguments.operator {
        operator::check(url, arguments.allow_plain_http)?;
    }
    let authority = arguments.operator_ca.as_deref().map(operator::authority).transpose()?;
    let instance = instance_here(context)?;
    check_publishing(kind, &instance)?;
    let records = terrace_provider_pipelines::settings::records(&instance);
    let default = DppctlYaml::default();
    let file = file.unwrap_or(&default);
    let before = Progress::read(&records).map_err(unwritable)?.filter(|before| before.kind == name(kind));
    let text = |name: &str| instance.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let before = before.as_ref();
    // The options of another server are not those of the former one.
    let is_former = |before: &&Progress| match &arguments.operator {
        Some(url) => before.operator.as_ref() == Some(url),
        None => !arguments.no_operator,
    };
    let former_operator = before.filter(is_former);
    let progress = Progress {
        kind: name(kind),
        context: context_of(kind, file).or_else(|| text("context").map(str::to_owned)),
        namespace: arguments
            .namespace
            .clone()
            .or_else(|| file.gcloud.namespace.clone())
            .or_else(|| before.map(|before| before.namespace.clone()))
            .or_else(|| text("namespace").filter(|namespace| *namespace != SHARED).map(str::to_owned))
            .unwrap_or_else(|| NAMESPACE.to_owned()),
        workers: arguments.workers.or(before.and_then(|before| before.workers)),
        databases: arguments.databases.or(before.and_then(|before| before.databases)),
        creation: before.and_then(|before| before.creation.clone()).or_else(|| Some(Uuid::now_v7().to_string())),
        operator: arguments.operator.clone().or_else(|| former_operator?.operator.clone()),
        operator_authority: authority.or_else(|| former_operator?.operator_authority.clone()),
        is_ready: false,
    };
    check_namespace(&progress.namespace)?;
    let commands = vendors::commands(context, kind, &file.gcloud)?;
    signals.begin_changes();
    progress.write(&records).map_err(unwritable)?;
    if let Some(commands) = &commands {
        vendors::ensure(context, commands, signals).await?;
        // The current context may be that of another cluster.
        if !commands.adds_context() && progress.context.is_none() {
            return Err(Failure::new(format!("the context of the cluster `{}` is not known", progress.kind)).hint(
                "write its `kubeconfig` and its `context` for the provider `pipelines` into terrace.yaml, then continue with \
                 `terrace pipelines init`",
            ));
        }
    }
    let access = with_context(&instance, progress.context.as_deref());
    let installed = tokio::select! {
        installed = install(&access, &progress.namespace) => installed?,
        () = signals.cancel.cancelled() => return Err(interrupted()),
    };
    for part in &installed {
        let state = match &part.state {
            PartState::Created => "created".to_owned(),
            PartState::Exists => "exists".to_owned(),
            PartState::LeftOut(why) => format!("not created, and not needed with the rights of this identity: {why}"),
        };
        context.ui.print(&format!("{}: {}\n", part.name, harmless_line(&state)))?;
    }
    let missing = missing_settings(&instance, &progress);
    if !missing.is_empty() {
        let note = match text("namespace").filter(|namespace| *namespace != progress.namespace) {
            Some(other) if other != SHARED => format!(
                "the settings lead to the namespace `{other}`: pass `--namespace {other}`, or write these settings into \
                 terrace.yaml and continue with `terrace pipelines init`:"
            ),
            _ => "write these settings into terrace.yaml, then continue with `terrace pipelines init`; \
                  `deploy/pipelines-image` builds the image:"
                .to_owned(),
        };
        context.ui.print_note(&with_own_commands(&note));
        context.ui.print(&in_yaml(&instance.environment, &missing))?;
        return Ok(None);
    }
    if let Some(url) = &progress.operator {
        let image = image(&instance).ok_or_else(|| {
            Failure::new("the operator needs the image of the project, which is not built")
                .hint("build it with `terrace pipelines image`, then continue with `terrace pipelines init`")
        })?;
        operator::install(context, &access, &progress, (url, &image), &records, signals).await?;
        context.ui.print("operator terrace-operator: installed\n")?;
    }
    Ok(Some(Prepared { progress, records }))
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
    let has_image = text("image").is_some() || text("imageRepository").is_some();
    let is_complete = wanted.iter().all(|(name, value)| text(name) == Some(value)) && has_image;
    if is_complete {
        return Vec::new();
    }
    if !has_image || text("image").is_some() {
        wanted.push(("image", text("image").unwrap_or("REGISTRY/NAME@sha256:DIGEST").to_owned()));
    }
    wanted
}

fn in_yaml(environment: &str, settings: &[(&str, String)]) -> String {
    let lines: String = settings.iter().map(|(name, value)| format!("        {name}: {value}\n")).collect();
    format!("environments:\n  {environment}:\n    providers:\n      pipelines:\n{lines}")
}
