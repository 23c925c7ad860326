//! `pipelines_run`: the last good result of a pipeline. Applying it runs the pipeline. It runs again when an input
//! changes; the plan names the input.

mod check_place;
mod planning;
mod progress;
mod target;

pub(super) use target::write_into as plan_target;

pub(super) use progress::RunReporter;

use super::attributes::{IDENTITY, Name, blocking, io_error, named};
use super::folder::{Folder, Folders};
use crate::cluster_settings::{invalid, options_in};
use async_trait::async_trait;
use check_place::PlaceCheck;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::database::ProjectDatabases;
use terrace_pipelines::environment::EnvironmentError;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutorKind};
use terrace_pipelines::run::NotRun;
use terrace_pipelines::run::{Record, RunRequest, Runner, State};
use terrace_pipelines::spec::model::Pipeline;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DryRun, ErrorKind, Found, Object, Observed, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Timeouts, Value,
};
use tokio_util::sync::CancellationToken;

/// The type's name.
pub const NAME: &str = "pipelines_run";
/// Timeout of a run: pipelines may take long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Attributes that distinguish one result from another.
const RESULT: [&str; 6] = ["specHash", "codeHash", "dataHash", "dependencies", "dataset", "release"];
/// Number of lines of an error that are shown; the log has all.
const SHOWN: usize = 12;

/// Reason for the planner: an update changes the results.
const RUNS: &str = "an update runs the pipeline again";

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc).computed().volatile(RUNS);
    let int = |name, doc| Attribute::new(name, AttributeType::Int, doc).computed().volatile(RUNS);
    let texts = AttributeType::map(AttributeType::String);
    let option = |option: ExecutionOption, doc| {
        let reason = "a run takes it from the spec and the settings";
        Attribute::new(option.name(), AttributeType::String, doc).or_computed().volatile(reason)
    };
    let mut attributes = named();
    attributes.extend([
        Attribute::new("triggers", texts.clone(), "Any values: a change runs the pipeline again."),
        Attribute::new("dependencies", texts, "Results of the pipelines that it depends on: `dataset` by id.")
            .or_computed()
            .volatile("those pipelines run again by themselves"),
        Attribute::new("useCache", AttributeType::Bool, "Reuse results that steps cached, while they are valid.")
            .default_value(true),
        Attribute::new(
            "database",
            AttributeType::String,
            "`name` of the `pipelines_database` that it writes into (`DPP_DB_ENGINE`). A run starts a stopped database, and recreates an expired one.",
        ),
        Attribute::new(
            "engineUrl",
            AttributeType::String,
            "Address of another database that it writes into (`DPP_DB_ENGINE`).",
        )
        .write_only(),
        option(ExecutionOption::Executor, "Executor; without it, that of the spec, else that of the settings."),
        option(ExecutionOption::Image, "Image of its pods with the digest; without it, that of the spec, else that of the settings."),
        option(ExecutionOption::Cpu, "CPU of its pods; without it, that of the spec, else that of the settings."),
        option(ExecutionOption::Memory, "Memory of its pods; without it, that of the spec, else that of the settings.")
            .example("512Mi"),
        option(ExecutionOption::Disk, "Disk of its pods; without it, that of the spec, else that of the settings.")
            .example("10Gi"),
        option(ExecutionOption::Claim, "Claim for its results; without it, that of the spec, else that of the settings."),
        Attribute::new(
            "deleteOutputs",
            AttributeType::Bool,
            "Remove its data packages together with the resource.",
        )
        .default_value(false),
        text("specHash", "Digest of the spec."),
        text("codeHash", "Digest of its processors, their imports, and their environment."),
        text("dataHash", "Digest of the files that it reads."),
        text("runId", "Id of the run, for `terrace pipelines logs`."),
        text("dataset", "Version of the data, which changes with it: the hash of its data package, or else the id of the run."),
        int("rows", "Number of rows after the last step."),
        Attribute::new("stats", AttributeType::Any, "Statistics that its steps report.")
            .computed()
            .volatile(RUNS),
        text("datapackage", "Path of its data package."),
        text("startedAt", "Start of the run."),
        text("finishedAt", "End of the run."),
        text("release", "Release of datapackage-pipelines that ran it."),
    ]);
    let timeouts = Timeouts { create: LONGEST, update: LONGEST, ..Timeouts::default() };
    ResourceType {
        settle: Duration::ZERO,
        timeouts,
        ..ResourceType::new(NAME, "The last good result of a pipeline.", &IDENTITY, Object(attributes))
    }
}

/// The runs of a project.
pub(crate) struct Runs {
    runner: Runner,
    folders: Arc<Folders>,
    databases: ProjectDatabases,
    clusters: target::Clusters,
    place: PlaceCheck,
}

/// Identifies the call that creates an object.
#[must_use]
pub fn mark(operation: &str, step: &str) -> String {
    format!("{operation}/{step}")
}

impl Runs {
    pub(crate) fn new(runner: Runner, folders: Arc<Folders>, databases: ProjectDatabases) -> Self {
        Self { runner, folders, databases, clusters: target::Clusters::default(), place: PlaceCheck::default() }
    }

    /// Returns true if the pipeline of a configuration writes tables. The plan reports a pipeline that does not exist.
    async fn uses_database(&self, config: &Attributes) -> bool {
        let Some(name) = Name::of(config) else { return false };
        let (runner, folders) = (self.runner.clone(), self.folders.clone());
        let found = blocking(move || {
            let folder = folders.get(&runner.project, &name)?;
            let pipeline = folder.pipeline(&name)?;
            Ok(runner.uses_database(&folder.specs.root, pipeline))
        });
        found.await.unwrap_or_default()
    }

    /// Last good result whose outputs still exist.
    fn good(&self, name: &Name) -> Result<Option<Record>, ProviderError> {
        let record = self.record(name)?;
        let lost = record.as_ref().map_or(Ok(None), |record| self.runner.store.lost_output(record));
        let lost = lost.map_err(|error| io_error("the outputs of the run cannot be checked", &error))?;
        Ok(record.filter(|_| lost.is_none()))
    }

    /// Last good result, even if its outputs are gone.
    fn record(&self, name: &Name) -> Result<Option<Record>, ProviderError> {
        let record = self.runner.store.succeeded(&self.runner.recorded_folder(&name.folder), &name.name);
        record.map_err(|error| io_error("the record of a run cannot be read", &error))
    }

    /// Refuses a run if the last run of a dependency failed, or was interrupted while it moved outputs into place:
    /// outputs may be incomplete. An implicit dependency, through files, is refused only in the second case: until
    /// outputs are moved, those of the run before are complete.
    fn check_dependencies(&self, name: &Name, pipeline: &Pipeline) -> Result<(), ProviderError> {
        let (store, folder) = (&self.runner.store, self.runner.recorded_folder(&name.folder));
        let unreadable = |error| io_error("the record of a run cannot be read", &error);
        for before in pipeline.all_before() {
            let is_declared = pipeline.pipelines_before().any(|declared| declared == before);
            let failure = if is_declared { store.last_failure(&folder, before).map_err(unreadable)? } else { None };
            let how = match failure {
                Some(how) => Some(format!("whose {how}")),
                None => {
                    store.partial_publish(&folder, before).map_err(unreadable)?.map(|how| format!("of which {how}"))
                }
            };
            if let Some(how) = how {
                let message = match is_declared {
                    true => format!("`{}` depends on `{before}`, {how}", name.name),
                    false => format!("`{}` reads what `{before}` writes, {how}", name.name),
                };
                return Err(ProviderError::new(ErrorKind::Failed, message)
                    .solution(format!("apply `{before}` too, or run it first: `terrace pipelines run {before}`")));
            }
        }
        Ok(())
    }

    async fn run(&self, call: &Call, planned: &Attributes) -> Result<Observed, ProviderError> {
        let name = Name::from_known(planned)?;
        let project = self.runner.project.clone();
        let (folder, name) = blocking(move || Ok((Folder::read(&project, &name)?, name))).await?;
        let mut pipeline = folder.pipeline(&name)?.clone();
        let options = options_in(planned);
        options.check().map_err(invalid)?;
        pipeline.execution = options.or(&pipeline.execution);
        let pipeline = &pipeline;
        self.check_dependencies(&name, pipeline)?;
        let uses_database = self.runner.uses_database(&folder.specs.root, pipeline);
        let target = (planned, uses_database);
        let runner = target::run_into(&self.runner, &self.databases, target, &call.cancel).await?;
        let request = RunRequest {
            uses_cache: !matches!(planned.get("useCache"), Some(Value::Bool(false))),
            timeout: Some(call.timeout),
            lock_timeout: call.timeout,
            mark: Some(mark(&call.operation, &call.step)),
            planned: planning::fixed(planned),
            ..RunRequest::default()
        };
        let reporter = RunReporter::new(call.progress.as_ref(), &pipeline.id);
        let ended = runner.run(&folder.specs, pipeline, request, &reporter, &call.cancel).await;
        let record = ended.map_err(|why| not_run(&name, &why))?;
        if record.state == State::Succeeded {
            return Ok(observed(&name, &record, planned));
        }
        Err(failed(&name, &record))
    }
}

/// Result as attributes; configured attributes keep their values.
fn observed(name: &Name, record: &Record, configured: &Attributes) -> Observed {
    let mut attributes = name.identity();
    attributes.insert("id".to_owned(), name.id().into());
    attributes
        .extend([("useCache", true), ("deleteOutputs", false)].map(|(name, flag)| (name.to_owned(), flag.into())));
    let options = ExecutionOption::ALL.map(ExecutionOption::name);
    for attribute in ["triggers", "useCache", "database", "deleteOutputs"].into_iter().chain(options) {
        attributes.extend(configured.get(attribute).map(|value| (attribute.to_owned(), value.clone())));
    }
    let dependencies = record.fingerprint.dependencies.iter();
    let dependencies = dependencies.map(|(id, result)| (id.clone(), result.as_str().into())).collect();
    let stats = serde_json::Value::Object(record.public_stats().into_iter().collect());
    let path = |path: &std::path::PathBuf| path.display().to_string().into();
    let values: [(&str, Value); 12] = [
        ("dependencies", Value::Map(dependencies)),
        ("specHash", record.fingerprint.spec.as_str().into()),
        ("codeHash", record.fingerprint.code.as_str().into()),
        ("dataHash", record.fingerprint.data.as_str().into()),
        ("runId", record.run.as_str().into()),
        ("dataset", record.dataset().into()),
        ("rows", Value::Int(i64::try_from(record.rows).unwrap_or(i64::MAX))),
        ("stats", stats.into()),
        ("datapackage", record.datapackage.as_ref().map_or(Value::Null, path)),
        ("startedAt", record.started_at.to_string().into()),
        ("finishedAt", record.finished_at.map_or(Value::Null, |at| at.to_string().into())),
        ("release", record.release.as_str().into()),
    ];
    let values = values.into_iter().filter(|(_, value)| !value.is_null());
    attributes.extend(values.map(|(name, value)| (name.to_owned(), value)));
    Observed { identity: name.identity(), attributes, private: Private::default() }
}

/// Error of a run that did not succeed.
fn failed(name: &Name, record: &Record) -> ProviderError {
    let failure = record.failure.as_ref();
    let cause = failure.map(|failure| failure.message.as_str()).unwrap_or_default();
    let step = failure.and_then(|failure| failure.step);
    let step = step.and_then(|step| Some((step + 1, &record.steps.get(step)?.0)));
    let message = match step {
        Some((number, step)) => format!("`{}` failed at step {number} (`{step}`): {cause}", name.name),
        None => format!("`{}` {}: {cause}", name.name, record.state.predicate()),
    };
    let error = ProviderError::new(ErrorKind::Failed, message)
        .solution(format!("see all messages of its steps with `terrace pipelines logs {}`", record.run));
    let messages = failure.map(|failure| failure.log.as_slice()).unwrap_or_default();
    let shown = messages.get(messages.len().saturating_sub(SHOWN)..).unwrap_or_default();
    shown.iter().cloned().fold(error, ProviderError::problem)
}

/// Error of a pipeline that did not run.
fn not_run(name: &Name, why: &NotRun) -> ProviderError {
    match why {
        NotRun::InProgress { run } => {
            let by = run.as_ref().map(|run| format!(", run {run}")).unwrap_or_default();
            ProviderError::new(ErrorKind::Transient, format!("`{}` is being run{by}", name.name))
                .solution("wait for it, or stop it with `terrace pipelines cancel`")
        }
        NotRun::Cancelled => {
            ProviderError::new(ErrorKind::Cancelled, format!("`{}` was cancelled before it started", name.name))
        }
        NotRun::Changed(how) => {
            let message = format!("`{}` changed since the plan", name.name);
            let error = ProviderError::new(ErrorKind::Failed, message).solution("plan again");
            how.iter().cloned().fold(error, ProviderError::problem)
        }
        NotRun::Environment(error) => environment_error(error),
        NotRun::WorkerFailed { message } | NotRun::UnknownEnd { message } => {
            ProviderError::new(ErrorKind::Failed, message.join("; "))
        }
        NotRun::Io(error) => io_error("the run cannot be recorded", error),
    }
}

/// Error of an environment that cannot be created.
pub(super) fn environment_error(error: &EnvironmentError) -> ProviderError {
    let kind = match error {
        EnvironmentError::Cancelled => ErrorKind::Cancelled,
        _ => ErrorKind::Failed,
    };
    let mapped = ProviderError::new(kind, error.to_string());
    let output = if let EnvironmentError::Failed { output, .. } = error { output.clone() } else { Vec::new() };
    let mapped = output.into_iter().fold(mapped, ProviderError::problem);
    error.hint().into_iter().fold(mapped, ProviderError::solution)
}

#[async_trait]
impl Session for Runs {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let name = Name::from_known(&prior.identity)?;
        let Some(record) = self.good(&name)? else { return Ok(None) };
        let now = observed(&name, &record, &prior.attributes);
        // A later run with the same result does not change the resource.
        let is_same = |name: &&str| now.attributes.get(*name) == prior.attributes.get(*name);
        Ok(Some(match RESULT.iter().all(is_same) {
            true => Observed { attributes: prior.attributes.clone(), ..now },
            false => now,
        }))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let uses_database = async || self.uses_database(change.config).await;
        let runner =
            target::plan_into(&self.runner, &self.databases, &self.clusters, change.config, uses_database).await?;
        planning::plan(&runner, &self.folders, ty, change).await
    }

    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        // This machine needs no check, and a change of options runs nothing.
        let is_run = planned.get("runId").is_none_or(Value::has_unknown);
        let options = options_in(planned);
        let is_elsewhere = match options.executor() {
            Some(kind) => kind == ExecutorKind::Kubernetes,
            None => self.runner.executor.environments().is_some(),
        };
        // An error of the settings is one of the plan.
        let cluster = self.runner.cluster.as_ref().ok()?;
        let options = options.or(&self.runner.execution);
        (is_run && is_elsewhere).then(|| -> DryRun<'a> { Box::pin(self.place.findings(&**cluster, options)) })
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = Name::from_known(&planned.attributes)?;
        if let Some(record) = self.good(&name)? {
            let kind = ErrorKind::AlreadyExists { import_id: Some(name.id()) };
            let message = format!("`{}` has been run already: run {}", name.name, record.run);
            return Err(ProviderError::new(kind, message));
        }
        self.run(call, &planned.attributes).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        // A change of options for the next run needs no run.
        if planned.attributes.get("runId").is_some_and(|run| !run.has_unknown()) {
            let name = Name::from_known(&prior.identity)?;
            if let Some(record) = self.good(&name)? {
                return Ok(observed(&name, &record, &planned.attributes));
            }
        }
        self.run(call, &planned.attributes).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = Name::from_known(&prior.identity)?;
        let folder = self.runner.recorded_folder(&name.folder);
        // The lock excludes a concurrent run, which would write the outputs again.
        let pipeline_lock =
            self.runner.store.lock_pipeline(&folder, &name.name, Duration::ZERO, &CancellationToken::new()).await;
        let pipeline_lock = pipeline_lock.map_err(|error| not_run(&name, &error.into()))?;
        if let Some(unfinished) = pipeline_lock.unfinished_run() {
            let settled = self.runner.settle(&unfinished).await.and_then(|_| pipeline_lock.set_current_run(None));
            settled.map_err(|error| io_error("the outcome of a run cannot be recorded", &error))?;
        }
        let is_deleted = matches!(prior.attributes.get("deleteOutputs"), Some(Value::Bool(true)));
        if let Some(record) = self.record(&name)?.filter(|_| is_deleted) {
            let removed = self.runner.remove_outputs(&record);
            removed.map_err(|error| io_error("the outputs of the run cannot be removed", &error))?;
        }
        let forgotten = self.runner.store.forget(&folder, &name.name);
        forgotten.map_err(|error| io_error("the records of the runs cannot be removed", &error))
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let name = Name::from_known(&attempt.identity)?;
        let own_mark = attempt.lost_call.as_ref().map(|lost| mark(&lost.operation, &lost.step));
        let last = self.runner.store.last(&self.runner.recorded_folder(&name.folder), &name.name);
        let last = last.map_err(|error| io_error("the record of a run cannot be read", &error))?;
        if let (Some(own_mark), Some(last)) = (&own_mark, &last)
            && last.mark.as_ref() == Some(own_mark)
        {
            if !last.state.is_over() && self.runner.store.is_held(last).unwrap_or(true) {
                return Ok(Found::Pending(format!("run {} is in progress", last.run)));
            }
            // `find` may run during a plan, so the next run settles an interrupted one. The process of this run has
            // ended.
            return Ok(match last.state {
                State::Succeeded => Found::Own(observed(&name, last, &attempt.planned)),
                _ => Found::NoEffect,
            });
        }
        Ok(match self.good(&name)? {
            Some(record) if attempt.prior.is_some() => Found::Own(observed(&name, &record, &attempt.planned)),
            Some(record) => Found::Foreign(observed(&name, &record, &attempt.planned)),
            None => Found::Absent,
        })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let name = Name::from_id(id)?;
        Ok(self.good(&name)?.map(|record| observed(&name, &record, &Attributes::default())))
    }
}
