//! `terrace pipelines init` for clusters of Kubernetes: has the vendor's program create the cluster, prepares a namespace,
//! and prints the settings with which runs go there. With these settings, it installs the operator. Repeats are harmless, so
//! an interrupted call continues.

use super::super::dppctl_yaml::DppctlYaml;
use super::super::fallback::context_of;
use super::super::kinds::{Words, name};
use super::super::project::{instance_here, required_database_image, runner_here};
use super::super::syncing::PUBLIC_STORAGE;
use super::{operator, vendors};
use crate::args::{ClusterArguments, ClusterKind};
use crate::commands::operator::TOKEN;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::program_name::with_own_commands;
use crate::report::harmless_line;
use crate::signals::Signals;
use std::path::{Path, PathBuf};
use terrace_pipelines::execution_options::IMAGE_HINT;
use terrace_pipelines::executor::kubernetes::install::{Installation, PartState, Progress, Turn, install};
use terrace_pipelines::executor::kubernetes::object_name;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::run::Runner;
use terrace_pipelines::spec;
use terrace_provider::{Settings, Value};
use terrace_provider_pipelines::settings::{database_image, default_database, default_destination, image};
use uuid::Uuid;

/// Namespace without a setting.
const NAMESPACE: &str = "pipelines";
/// Namespace of the provider without a setting. Pipelines should have one of their own.
const SHARED: &str = "default";

/// Placeholders of images that the settings lack.
const IMAGE: &str = "REGISTRY/NAME@sha256:DIGEST";
const DATABASE_IMAGE: &str = "docker.io/library/postgres@sha256:DIGEST";

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
pub(super) fn default_databases(instance: &Settings) -> u32 {
    u32::from(database_image(instance).is_some())
}

/// Checks the name of a namespace before it is recorded.
fn check_namespace(namespace: &str) -> Result<(), Failure> {
    object_name::check_namespace(namespace).map_err(|(message, hint)| Failure::new(message).hint(hint))
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

/// The failure of a call whose namespace is gone, or is being deleted. `may_leave` is false for a folder that requires the cluster,
/// and if the cluster is not the project's yet.
fn gone(progress: &Progress, is_going: bool, workers: u32, may_leave: bool) -> Failure {
    let Progress { kind, namespace, .. } = progress;
    let command = format!("terrace pipelines init {kind} --namespace {namespace} --workers {workers}");
    let state = if is_going { "being deleted" } else { "gone" };
    let failure = Failure::new(format!("the namespace `{namespace}` of the cluster `{kind}` is {state}"));
    let create = if is_going { "wait until it is gone, then create it again" } else { "create it again" };
    let failure = match &progress.operator {
        None => failure.hint(format!("{create} with `{command}`")),
        // The token is gone with the namespace.
        Some(_) => failure.hint(format!(
            "{create} with `{command} --no-operator`; to install the operator again, leave `--no-operator` out and \
             pass its token in {TOKEN}"
        )),
    };
    match may_leave {
        true => failure.hint("or forget it with `terrace pipelines init local --workers 0 --databases 0`"),
        false => failure,
    }
}

/// The cluster that a call prepares.
pub(super) struct Request<'a> {
    pub(super) kind: ClusterKind,
    /// The call changes the cluster: it has a kind, or options.
    pub(super) is_change: bool,
    pub(super) cluster: &'a Cluster,
}

/// A prepared namespace.
pub(super) struct Prepared {
    progress: Progress,
    /// Folder of the records.
    records: PathBuf,
}

impl Prepared {
    /// True if an earlier call completed the namespace, and this one changes nothing.
    pub(super) const fn is_complete(&self) -> bool {
        self.progress.is_ready
    }

    /// Records that the namespace is complete: the cluster is the active one now, with the chosen numbers.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(super) fn complete(mut self) -> Result<(), Failure> {
        (self.progress.is_ready, self.progress.workers, self.progress.databases) = (true, None, None);
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
/// When the vendor's program fails, the cluster is not reached, rights are missing, the operator cannot be installed, the
/// namespace is being deleted, or a call without a kind finds it gone.
pub(super) async fn prepare(
    context: &Context<'_>,
    request: &Request<'_>,
    arguments: &ClusterArguments,
    file: Option<&DppctlYaml>,
    signals: &Signals,
) -> Result<Option<Prepared>, Failure> {
    let &Request { kind, is_change, cluster } = request;
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
    let is_required = file.cluster.is_some();
    // The options of another server are not those of the former one.
    let is_former = |before: &&Progress| match &arguments.operator {
        Some(url) => before.operator.as_ref() == Some(url),
        None => !arguments.no_operator,
    };
    let former_operator = before.filter(is_former);
    let mut progress = Progress {
        kind: name(kind),
        context: context_of(kind, file).or_else(|| text("context").map(str::to_owned)),
        namespace: arguments
            .namespace
            .clone()
            .or_else(|| file.gcloud.namespace.clone())
            .or_else(|| text("namespace").filter(|namespace| *namespace != SHARED).map(str::to_owned))
            .or_else(|| before.map(|before| before.namespace.clone()))
            .unwrap_or_else(|| NAMESPACE.to_owned()),
        has_namespace: false,
        workers: arguments.workers,
        databases: arguments.databases,
        creation: before.and_then(|before| before.creation.clone()).or_else(|| Some(Uuid::now_v7().to_string())),
        operator: arguments.operator.clone().or_else(|| former_operator?.operator.clone()),
        operator_authority: authority.or_else(|| former_operator?.operator_authority.clone()),
        is_ready: false,
    };
    check_namespace(&progress.namespace)?;
    let same = before.filter(|it| (&it.context, &it.namespace) == (&progress.context, &progress.namespace));
    let has_to_exist = arguments.kind.is_none() && same.is_some_and(|same| same.is_ready || same.has_namespace);
    let commands = vendors::commands(context, kind, &file.gcloud)?;
    signals.begin_changes();
    // A record of a namespace that may be gone stays.
    if !has_to_exist {
        progress.write(&records).map_err(unwritable)?;
    }
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
    let access = with_context(&instance, &progress);
    let needs_image = cluster.databases > 0 || may_need_database(context, &instance, progress.databases)?;
    let missing = missing_settings(&instance, &progress, needs_image);
    if missing.is_empty() && progress.operator.is_some() {
        operator::check_secret(context, &access, &progress.namespace, &records, signals).await?;
    }
    let installed = tokio::select! {
        installed = install(&access, &progress.namespace, has_to_exist) => installed?,
        () = signals.cancel.cancelled() => return Err(interrupted()),
    };
    let installed = match installed {
        Installation::Parts(parts) => parts,
        missing => {
            let may_leave = has_to_exist && !is_required;
            return Err(gone(&progress, missing == Installation::Going, cluster.workers, may_leave));
        }
    };
    progress.has_namespace = true;
    progress.is_ready = !is_change && same.is_some_and(|same| same.is_ready);
    progress.write(&records).map_err(unwritable)?;
    for part in &installed {
        let state = match &part.state {
            PartState::Created => "created".to_owned(),
            PartState::Exists => "exists".to_owned(),
            PartState::LeftOut { is_missing, why } => {
                let state = if *is_missing { "not created" } else { "not checked" };
                format!("{state}, and not needed with the rights of this identity: {why}")
            }
        };
        context.ui.print(&format!("{}: {}\n", part.name, harmless_line(&state)))?;
    }
    if !missing.is_empty() {
        let leads_elsewhere = |other: &&str| *other != progress.namespace && *other != SHARED;
        let mut note = match (arguments.namespace.as_ref(), text("namespace").filter(leads_elsewhere)) {
            (Some(_), Some(other)) => format!(
                "the settings lead to the namespace `{other}`: leave `--namespace` out, or write these settings into \
                 terrace.yaml and continue with `terrace pipelines init`"
            ),
            // An administrator prepares the namespace from an empty folder, for others.
            _ if spec::read(Path::new("."))
                .is_ok_and(|specs| specs.pipelines.is_empty() && specs.problems.is_empty()) =>
            {
                "this folder has no pipelines; in the folder of the pipelines, write these settings into terrace.yaml \
                 and run `terrace pipelines init`"
                    .to_owned()
            }
            _ => "write these settings into terrace.yaml, then continue with `terrace pipelines init`".to_owned(),
        };
        if missing.contains(&("image", IMAGE.to_owned())) {
            note += &format!("; for `image`, {IMAGE_HINT}");
        }
        if missing.contains(&("databaseImage", DATABASE_IMAGE.to_owned())) {
            note += "; `skopeo inspect docker://docker.io/library/postgres:17` shows the digest of `databaseImage`";
        }
        context.ui.print_note(&with_own_commands(format!("{note}:")));
        context.ui.print(&in_yaml(&instance.environment, &missing))?;
        return Ok(None);
    }
    if progress.databases.is_some_and(|databases| databases > 0) {
        // A call with the kind would start workers.
        required_database_image(&instance)
            .map_err(|failure| failure.hint("or go on without databases: `terrace pipelines init --databases 0`"))?;
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

/// The settings of the provider with the context of the cluster.
fn with_context(instance: &Settings, progress: &Progress) -> Settings {
    let mut settings = instance.clone();
    settings.values.retain(|name, _| matches!(name.as_str(), "kubeconfig" | "context" | "inCluster"));
    settings.sources.retain(|name, _| settings.values.contains_key(name));
    let present = instance.values.get("context").and_then(Value::as_str);
    if let Some(context) = progress.context.as_deref().filter(|context| Some(*context) != present) {
        settings.values.insert("context".to_owned(), context.into());
        settings.sources.insert("context".to_owned(), format!("the kind `{}` of the cluster", progress.kind));
    }
    settings
}

/// True if a pipeline of this folder writes into the database of its cluster, unless the user or the settings chose
/// otherwise.
fn may_need_database(context: &Context<'_>, instance: &Settings, chosen: Option<u16>) -> Result<bool, Failure> {
    if chosen.is_some() || default_database(instance).is_some() {
        return Ok(false);
    }
    let runner = runner_here(context)?;
    let uses_database =
        |specs: &spec::Specs| specs.pipelines.iter().any(|pipeline| runner.uses_database(&specs.root, pipeline));
    Ok(spec::read(Path::new(".")).is_ok_and(|specs| uses_database(&specs)))
}

/// Settings that lead runs into the prepared namespace, with the image of databases if the cluster needs one; empty if the
/// instance leads there.
fn missing_settings(instance: &Settings, progress: &Progress, needs_image: bool) -> Vec<(&'static str, String)> {
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
        wanted.push(("image", text("image").unwrap_or(IMAGE).to_owned()));
    }
    let database_image = database_image(instance).or(needs_image.then_some(DATABASE_IMAGE));
    wanted.extend(database_image.map(|image| ("databaseImage", image.to_owned())));
    wanted
}

fn in_yaml(environment: &str, settings: &[(&str, String)]) -> String {
    let lines: String = settings.iter().map(|(name, value)| format!("        {name}: {value}\n")).collect();
    format!("environments:\n  {environment}:\n    providers:\n      pipelines:\n{lines}")
}
