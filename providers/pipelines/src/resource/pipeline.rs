//! `pipelines_pipeline`: a pipeline of a spec, recorded in the project together with its environment.

use super::attributes::{IDENTITY, Name, blocking, io_error, named, texts};
use super::folder::{Folder, Folders};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions};
use terrace_pipelines::run::Runner;
use terrace_pipelines::spec::Specs;
use terrace_pipelines::spec::model::Pipeline;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, ErrorKind, Found, Object, Observed, Planned, PlannedChange,
    Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};

/// The type's name.
pub const NAME: &str = "pipelines_pipeline";

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let computed = |name, ty, doc| Attribute::new(name, ty, doc).computed().volatile("it follows from the spec");
    let text = |name, doc| computed(name, AttributeType::String, doc);
    let list = |name, doc| computed(name, AttributeType::list(AttributeType::String), doc);
    let mut attributes = named();
    attributes.extend([
        text("title", "Title, for people."),
        list("steps", "Names of the steps, in order."),
        list("dependencies", "Pipelines and data packages that it depends on."),
        text("schedule", "Schedule, as a crontab."),
        text("specHash", "Digest of the spec."),
        text("release", "Release of datapackage-pipelines that runs it."),
        text("environment", "Name of its Python environment."),
    ]);
    attributes.extend(ExecutionOption::ALL.map(|option| {
        text(
            option.name(),
            match option {
                ExecutionOption::Executor => "Executor in its spec.",
                ExecutionOption::Image => "Image of its pods in its spec, with the digest.",
                ExecutionOption::Cpu => "CPU of its pods in its spec.",
                ExecutionOption::Memory => "Memory of its pods in its spec.",
                ExecutionOption::Disk => "Disk of its pods in its spec.",
                ExecutionOption::Claim => "Claim for its results in its spec.",
            },
        )
    }));
    ResourceType {
        settle: Duration::ZERO,
        ..ResourceType::new(NAME, "A pipeline of a spec, with its Python environment.", &IDENTITY, Object(attributes))
    }
}

/// Record of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineRecord {
    folder: String,
    name: String,
    title: Option<String>,
    steps: Vec<String>,
    dependencies: Vec<String>,
    schedule: Option<String>,
    spec_hash: String,
    release: String,
    environment: String,
    #[serde(default, skip_serializing_if = "ExecutionOptions::is_empty")]
    execution: ExecutionOptions,
    /// Call that wrote the record.
    mark: String,
}

impl PipelineRecord {
    fn of(runner: &Runner, name: &Name, specs: &Specs, pipeline: &Pipeline) -> Result<Self, ProviderError> {
        let fingerprint = runner
            .fingerprint(specs, pipeline)
            .map_err(|error| io_error("the inputs of the pipeline cannot be read", &error))?;
        let recipe = runner.recipe(&specs.root, pipeline);
        Ok(Self {
            folder: name.folder.clone(),
            name: name.name.clone(),
            title: pipeline.title.clone(),
            steps: pipeline.steps.iter().map(|step| step.name.clone()).collect(),
            dependencies: pipeline.all_before().map(str::to_owned).collect(),
            schedule: pipeline.schedule.as_ref().map(|schedule| schedule.crontab.clone()),
            spec_hash: fingerprint.spec,
            release: recipe.api.release().to_owned(),
            environment: recipe.key(),
            execution: pipeline.execution.clone(),
            mark: String::new(),
        })
    }

    /// Attributes that the provider computes.
    fn computed(&self) -> Attributes {
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let option =
            |option: ExecutionOption| (option.name(), self.execution.get(option).map_or(Value::Null, Value::from));
        let values = [
            ("title", text(&self.title)),
            ("steps", texts(&self.steps)),
            ("dependencies", texts(&self.dependencies)),
            ("schedule", text(&self.schedule)),
            ("specHash", self.spec_hash.as_str().into()),
            ("release", self.release.as_str().into()),
            ("environment", self.environment.as_str().into()),
        ];
        let values = values.into_iter().chain(ExecutionOption::ALL.map(option)).filter(|(_, value)| !value.is_null());
        values.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn observed(&self) -> Observed {
        let name = Name { folder: self.folder.clone(), name: self.name.clone() };
        let mut attributes = name.identity();
        attributes.insert("id".to_owned(), name.id().into());
        attributes.extend(self.computed());
        Observed { identity: name.identity(), attributes, private: Private::default() }
    }
}

/// The pipelines of a project.
pub(crate) struct Pipelines {
    runner: Runner,
    folders: Arc<Folders>,
}

impl Pipelines {
    pub(crate) fn new(runner: Runner, folders: Arc<Folders>) -> Self {
        Self { runner, folders }
    }

    fn record(&self, name: &Name) -> Result<Option<PipelineRecord>, ProviderError> {
        self.runner
            .store
            .pipeline_record(&name.folder, &name.name)
            .map_err(|error| io_error("the record of the pipeline cannot be read", &error))
    }

    /// Pipeline as its spec describes it.
    async fn describe(&self, name: Name) -> Result<PipelineRecord, ProviderError> {
        let (runner, folders) = (self.runner.clone(), self.folders.clone());
        blocking(move || {
            let folder = folders.get(&runner.project, &name)?;
            PipelineRecord::of(&runner, &name, &folder.specs, folder.pipeline(&name)?)
        })
        .await
    }

    /// Records a pipeline after its environment is ready.
    async fn write_record(&self, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = Name::from_known(&planned.attributes)?;
        let runner = self.runner.clone();
        let (folder, name) = blocking(move || Ok((Folder::read(&runner.project, &name)?, name))).await?;
        let pipeline = folder.pipeline(&name)?;
        let mut record = PipelineRecord::of(&self.runner, &name, &folder.specs, pipeline)?;
        let computed = record.computed();
        let has_changed = |attribute: &&str| {
            let value = planned.attributes.get(*attribute).filter(|value| !value.has_unknown() && !value.is_null());
            value.is_some_and(|value| computed.get(*attribute).is_none_or(|now| !now.is_same_as(value)))
        };
        if let Some(other) = ["specHash", "release", "environment"].iter().find(|attribute| has_changed(attribute)) {
            return Err(ProviderError::new(
                ErrorKind::Failed,
                format!("`{}` changed since the plan: `{other}`", name.name),
            )
            .solution("plan again"));
        }
        // Another machine has its own environments.
        if !self.runner.runs_elsewhere(pipeline) {
            let recipe = self.runner.recipe(&folder.specs.root, pipeline);
            let reporter = super::run::RunReporter::new(call.progress.as_ref(), &pipeline.id);
            let observer = EnvironmentReporter { reporter: &reporter };
            let created = self.runner.environments.ensure(&recipe, &observer, &call.cancel).await;
            created.map_err(|error| super::run::environment_error(&error))?;
        }
        record.mark = super::run::mark(&call.operation, &call.step);
        self.runner
            .store
            .write_pipeline_record(&record.folder, &record.name, &record)
            .map_err(|error| io_error("the record of the pipeline cannot be written", &error))?;
        Ok(record.observed())
    }
}

struct EnvironmentReporter<'a> {
    reporter: &'a super::run::RunReporter<'a>,
}

impl terrace_pipelines::environment::EnvironmentObserver for EnvironmentReporter<'_> {
    fn progress(&self, done: usize, of: usize, what: &str) {
        self.reporter.environment(done, of, what);
    }
}

#[async_trait]
impl Session for Pipelines {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        Ok(self.record(&Name::from_known(&prior.identity)?)?.map(|record| record.observed()))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let Some(name) = Name::of(change.config) else { return Ok(from_schema(ty, change)) };
        let id = name.id();
        let record = self.describe(name).await?;
        let mut config = change.config.clone();
        config.extend(record.computed());
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        planned.planned.insert("id".to_owned(), id.into());
        // Attributes that the spec no longer has are removed.
        for attribute in ["title", "schedule"].into_iter().chain(ExecutionOption::ALL.map(ExecutionOption::name)) {
            if !config.contains_key(attribute) {
                planned.planned.shift_remove(attribute);
            }
        }
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = Name::from_known(&planned.attributes)?;
        if self.record(&name)?.is_some() {
            let kind = ErrorKind::AlreadyExists { import_id: Some(name.id()) };
            return Err(ProviderError::new(kind, format!("the pipeline `{}` is recorded already", name.name)));
        }
        self.write_record(call, planned).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        _prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.write_record(call, planned).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = Name::from_known(&prior.identity)?;
        self.runner
            .store
            .remove_pipeline_record(&name.folder, &name.name)
            .map_err(|error| io_error("the record of the pipeline cannot be removed", &error))
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let Some(record) = self.record(&Name::from_known(&attempt.identity)?)? else { return Ok(Found::Absent) };
        Ok(match &attempt.lost_call {
            Some(_) if attempt.prior.is_some() => Found::Own(record.observed()),
            Some(lost) if record.mark == super::run::mark(&lost.operation, &lost.step) => Found::Own(record.observed()),
            _ => Found::Foreign(record.observed()),
        })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        Ok(self.record(&Name::from_id(id)?)?.map(|record| record.observed()))
    }
}
