//! `pipelines_run`: the last good result of a pipeline. It is made by running the pipeline, and made again when what it
//! depends on is another thing; the plan says what that is.

mod planning;
mod target;
mod telling;

pub(super) use telling::Telling;

use super::attributes::{IDENTITY, Name, blocking, io_error, named};
use super::folder::{Folder, Folders};
use crate::database::Databases;
use crate::environment::EnvironmentError;
use crate::run::single::NotRun;
use crate::run::{Asked, Record, Runner, State};
use crate::spec::model::Pipeline;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, ErrorKind, Found, Object, Observed, Planned, PlannedChange,
    Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Timeouts, Value,
};
use tokio_util::sync::CancellationToken;

/// The type's name.
pub const NAME: &str = "pipelines_run";
/// A pipeline may take long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// What a result is told from another one by.
const RESULT: [&str; 6] = ["specHash", "codeHash", "dataHash", "dependencies", "dataset", "release"];
/// So many lines of an error are shown; the log has all.
const SHOWN: usize = 12;

/// Why an update changes the results of a run.
const RUNS: &str = "an update runs the pipeline again";

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc).computed().volatile(RUNS);
    let int = |name, doc| Attribute::new(name, AttributeType::Int, doc).computed().volatile(RUNS);
    let texts = AttributeType::map(AttributeType::String);
    let mut attributes = named();
    attributes.extend([
        Attribute::new("triggers", texts.clone(), "Anything: a change runs the pipeline again."),
        Attribute::new("dependencies", texts, "What the pipelines before it made, by id: their `dataset`.")
            .or_computed()
            .volatile("those pipelines run again by themselves"),
        Attribute::new("useCache", AttributeType::Bool, "Results that steps keep are taken where they are still good.")
            .default_value(true),
        Attribute::new(
            "database",
            AttributeType::String,
            "The `name` of a `pipelines_database` that it writes into (`DPP_DB_ENGINE`): it is started where it is stopped, and made anew where it has expired.",
        ),
        Attribute::new(
            "engineUrl",
            AttributeType::String,
            "The address of another database that it writes into (`DPP_DB_ENGINE`).",
        )
        .write_only(),
        Attribute::new(
            "deleteOutputs",
            AttributeType::Bool,
            "Removing it removes the data packages that it wrote, too.",
        )
        .default_value(false),
        text("specHash", "A digest of what the spec said."),
        text("codeHash", "A digest of its processors, of what they import, and of their environment."),
        text("dataHash", "A digest of the files that it read."),
        text("runId", "The id of the run, for `terrace logs`."),
        text("dataset", "Another word whenever it made other data: the hash of its data package, else the run's id."),
        int("rows", "Rows that came out of the last step."),
        Attribute::new("stats", AttributeType::Any, "What its steps counted and told.")
            .computed()
            .volatile(RUNS),
        text("datapackage", "The path of the data package that it left."),
        text("startedAt", "When it began."),
        text("finishedAt", "When it ended."),
        text("release", "The release of datapackage-pipelines that ran it."),
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
    databases: Databases,
    clusters: target::Clusters,
}

/// How a call names what it makes.
pub(super) fn mark(operation: &str, step: &str) -> String {
    format!("{operation}/{step}")
}

impl Runs {
    pub(crate) fn new(runner: Runner, folders: Arc<Folders>, databases: Databases) -> Self {
        Self { runner, folders, databases, clusters: target::Clusters::default() }
    }

    /// The last good result, where what it wrote is still there.
    fn good(&self, name: &Name) -> Result<Option<Record>, ProviderError> {
        let record = self.record(name)?;
        let lost = record.as_ref().map_or(Ok(None), |record| self.runner.store.lost(record));
        let lost = lost.map_err(|error| io_error("what the run wrote cannot be looked at", &error))?;
        Ok(record.filter(|_| lost.is_none()))
    }

    /// The last good result, also where what it wrote is gone.
    fn record(&self, name: &Name) -> Result<Option<Record>, ProviderError> {
        let record = self.runner.store.succeeded(&self.runner.recorded_folder(&name.folder), &name.name);
        record.map_err(|error| io_error("the record of a run cannot be read", &error))
    }

    /// Refuses a run of what depends on a pipeline whose last run did not end well, or was cut off while what it wrote was put
    /// in its place: what that was to make may be there in part. What reads files without saying so is refused only for the
    /// latter: until files are moved, those of the run before are whole.
    fn check_before(&self, name: &Name, pipeline: &Pipeline) -> Result<(), ProviderError> {
        let (store, folder) = (&self.runner.store, self.runner.recorded_folder(&name.folder));
        let unreadable = |error| io_error("the record of a run cannot be read", &error);
        for before in pipeline.all_before() {
            let is_said = pipeline.pipelines_before().any(|said| said == before);
            let unwell = if is_said { store.unwell(&folder, before).map_err(unreadable)? } else { None };
            let how = match unwell {
                Some(how) => Some(format!("whose {how}")),
                None => store.half_in_place(&folder, before).map_err(unreadable)?.map(|how| format!("of which {how}")),
            };
            if let Some(how) = how {
                let message = match is_said {
                    true => format!("`{}` depends on `{before}`, {how}", name.name),
                    false => format!("`{}` reads what `{before}` writes, {how}", name.name),
                };
                return Err(ProviderError::new(ErrorKind::Failed, message)
                    .solution(format!("apply `{before}`, too, or run it before: `terrace run {before}`")));
            }
        }
        Ok(())
    }

    async fn run(&self, call: &Call, planned: &Attributes) -> Result<Observed, ProviderError> {
        let name = Name::known(planned)?;
        let project = self.runner.project.clone();
        let (folder, name) = blocking(move || Ok((Folder::read(&project, &name)?, name))).await?;
        let pipeline = folder.pipeline(&name)?;
        self.check_before(&name, pipeline)?;
        let uses_database = self.runner.uses_database(&folder.specs.root, pipeline);
        let target = (planned, uses_database);
        let runner = target::run_into(&self.runner, &self.databases, target, &call.cancel).await?;
        let asked = Asked {
            uses_cache: !matches!(planned.get("useCache"), Some(Value::Bool(false))),
            timeout: Some(call.timeout),
            patience: call.timeout,
            mark: Some(mark(&call.operation, &call.step)),
            planned: planning::fixed(planned),
            ..Asked::default()
        };
        let telling = Telling::new(call.progress.as_ref(), &pipeline.id);
        let ended = runner.run(&folder.specs, pipeline, asked, &telling, &call.cancel).await;
        let record = ended.map_err(|why| not_run(&name, &why))?;
        if record.state == State::Succeeded {
            return Ok(observed(&name, &record, planned));
        }
        Err(failed(&name, &record))
    }
}

/// The result as attributes; what was configured comes back as it was.
fn observed(name: &Name, record: &Record, configured: &Attributes) -> Observed {
    let mut attributes = name.identity();
    attributes.insert("id".to_owned(), name.id().into());
    attributes
        .extend([("useCache", true), ("deleteOutputs", false)].map(|(name, flag)| (name.to_owned(), flag.into())));
    for kept in ["triggers", "useCache", "database", "deleteOutputs"] {
        attributes.extend(configured.get(kept).map(|value| (kept.to_owned(), value.clone())));
    }
    let dependencies = record.fingerprint.dependencies.iter();
    let dependencies = dependencies.map(|(id, made)| (id.clone(), made.as_str().into())).collect();
    let stats = serde_json::Value::Object(record.public_stats().into_iter().collect());
    let path = |path: &std::path::PathBuf| path.display().to_string().into();
    let given: [(&str, Value); 12] = [
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
    let given = given.into_iter().filter(|(_, value)| !value.is_null());
    attributes.extend(given.map(|(name, value)| (name.to_owned(), value)));
    Observed { identity: name.identity(), attributes, private: Private::default() }
}

/// What is told of a run that did not succeed.
fn failed(name: &Name, record: &Record) -> ProviderError {
    let failure = record.failure.as_ref();
    let what = failure.map(|failure| failure.what.as_str()).unwrap_or_default();
    let step = failure.and_then(|failure| failure.step);
    let step = step.and_then(|step| Some((step + 1, &record.steps.get(step)?.0)));
    let message = match step {
        Some((number, step)) => format!("`{}` failed at step {number} (`{step}`): {what}", name.name),
        None => format!("`{}` {}: {what}", name.name, record.state.in_words()),
    };
    let error = ProviderError::new(ErrorKind::Failed, message)
        .solution(format!("`terrace logs {}` shows all that its steps said", record.run));
    let said = failure.map(|failure| failure.said.as_slice()).unwrap_or_default();
    let shown = said.get(said.len().saturating_sub(SHOWN)..).unwrap_or_default();
    shown.iter().cloned().fold(error, ProviderError::problem)
}

/// What is told of a pipeline that was not run.
fn not_run(name: &Name, why: &NotRun) -> ProviderError {
    match why {
        NotRun::Taken { run } => {
            let by = run.as_ref().map(|run| format!(", run {run}")).unwrap_or_default();
            ProviderError::new(ErrorKind::Transient, format!("`{}` is being run{by}", name.name))
                .solution("wait for it, or `terrace cancel` it")
        }
        NotRun::Cancelled => {
            ProviderError::new(ErrorKind::Cancelled, format!("`{}` was stopped before it began", name.name))
        }
        NotRun::Changed(how) => {
            let message = format!("`{}` changed since it was planned", name.name);
            let error = ProviderError::new(ErrorKind::Failed, message).solution("plan again");
            how.iter().cloned().fold(error, ProviderError::problem)
        }
        NotRun::Environment(error) => environment_error(error),
        NotRun::Elsewhere { what } => ProviderError::new(ErrorKind::Failed, what.join("; ")),
        NotRun::Io(error) => io_error("the run cannot be recorded", error),
    }
}

/// What is told of an environment that cannot be made.
pub(super) fn environment_error(error: &EnvironmentError) -> ProviderError {
    let kind = match error {
        EnvironmentError::Cancelled => ErrorKind::Cancelled,
        _ => ErrorKind::Failed,
    };
    let told = ProviderError::new(kind, error.to_string());
    let said = if let EnvironmentError::Failed { said, .. } = error { said.clone() } else { Vec::new() };
    let told = said.into_iter().fold(told, ProviderError::problem);
    error.hint().into_iter().fold(told, ProviderError::solution)
}

#[async_trait]
impl Session for Runs {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let name = Name::known(&prior.identity)?;
        let Some(record) = self.good(&name)? else { return Ok(None) };
        let now = observed(&name, &record, &prior.attributes);
        // Whoever ran it again, and made the same of the same, changed nothing.
        let is_same = |name: &&str| now.attributes.get(*name) == prior.attributes.get(*name);
        Ok(Some(match RESULT.iter().all(is_same) {
            true => Observed { attributes: prior.attributes.clone(), ..now },
            false => now,
        }))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let runner = target::plan_into(&self.runner, &self.databases, &self.clusters, change.config)?;
        planning::plan(&runner, &self.folders, ty, change).await
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = Name::known(&planned.attributes)?;
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
        // What only says how the next run goes needs none.
        if planned.attributes.get("runId").is_some_and(|run| !run.has_unknown()) {
            let name = Name::known(&prior.identity)?;
            if let Some(record) = self.good(&name)? {
                return Ok(observed(&name, &record, &planned.attributes));
            }
        }
        self.run(call, &planned.attributes).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = Name::known(&prior.identity)?;
        let folder = self.runner.recorded_folder(&name.folder);
        // Nobody runs it meanwhile: that would write again what is removed here.
        let turn = self.runner.store.turn(&folder, &name.name, Duration::ZERO, &CancellationToken::new()).await;
        let turn = turn.map_err(|error| not_run(&name, &error.into()))?;
        if let Some(left) = turn.left() {
            let settled = self.runner.settle(&left).await.and_then(|_| turn.hold(None));
            settled.map_err(|error| io_error("what became of a run cannot be recorded", &error))?;
        }
        let is_deleted = matches!(prior.attributes.get("deleteOutputs"), Some(Value::Bool(true)));
        if let Some(record) = self.record(&name)?.filter(|_| is_deleted) {
            let removed = self.runner.remove_outputs(&record);
            removed.map_err(|error| io_error("what the run wrote cannot be removed", &error))?;
        }
        let forgotten = self.runner.store.forget(&folder, &name.name);
        forgotten.map_err(|error| io_error("the records of the runs cannot be removed", &error))
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let name = Name::known(&attempt.identity)?;
        let ours = attempt.lost_call.as_ref().map(|lost| mark(&lost.operation, &lost.step));
        let last = self.runner.store.last(&self.runner.recorded_folder(&name.folder), &name.name);
        let last = last.map_err(|error| io_error("the record of a run cannot be read", &error))?;
        if let (Some(ours), Some(last)) = (&ours, &last)
            && last.mark.as_ref() == Some(ours)
        {
            if !last.state.is_over() && self.runner.store.is_held(last).unwrap_or(true) {
                return Ok(Found::Pending(format!("run {} goes on", last.run)));
            }
            // A plan may ask: what was cut off is settled by the next run, and not here. Whoever held the run is gone.
            return Ok(match last.state {
                State::Succeeded => Found::Ours(observed(&name, last, &attempt.planned)),
                _ => Found::CameToNothing,
            });
        }
        Ok(match self.good(&name)? {
            Some(record) if attempt.prior.is_some() => Found::Ours(observed(&name, &record, &attempt.planned)),
            Some(record) => Found::Strangers(observed(&name, &record, &attempt.planned)),
            None => Found::Absent,
        })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let name = Name::of_id(id)?;
        Ok(self.good(&name)?.map(|record| observed(&name, &record, &Attributes::default())))
    }
}
