//! Data pipelines of the server's project: its pipelines, runs, logs, workers and databases.
//!
//! The server does not know how pipelines run: the program that starts it implements [`Pipelines`].

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_engine::address::StackId;
use terrace_engine::store::Usage;
use terrace_provider::Attributes;
use utoipa::ToSchema;
use uuid::Uuid;

/// The name that replaces the stack of these calls in limits and in the audit log. Pipelines belong to no data product:
/// a limit on domains excludes them; a limit on stacks does too, unless it names this word.
pub const NO_STACK: &str = "pipelines";

/// A pipeline of a spec.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pipeline {
    /// The id, such as `./noise`.
    pub pipeline_id: String,
    /// The file of its spec, relative to the project.
    pub file: Option<String>,
    /// The title of the spec.
    pub title: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<PipelineStep>,
    /// The pipelines and data packages that it depends on.
    pub dependencies: Vec<PipelineDependency>,
    /// The crontab of its schedule.
    pub schedule: Option<String>,
    /// The variables whose values a run may replace, with their usual values.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// False if its spec has errors.
    pub runnable: bool,
    /// False if its spec is wrong. A missing processor or dependency alone leaves a valid spec that cannot be run.
    pub valid: bool,
    /// The errors and warnings of its spec.
    pub problems: Vec<PipelineProblem>,
}

/// A step of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipelineStep {
    /// Its name.
    pub name: String,
    /// `processor`, `flow` or `code`.
    pub kind: String,
    /// The runner of the step.
    pub runner: Option<String>,
}

/// A dependency: a pipeline or a data package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PipelineDependency {
    /// The id of a pipeline.
    Pipeline(String),
    /// The path or address of a data package.
    DataPackage(String),
}

/// An error or a warning of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipelineProblem {
    /// `error` or `warning`.
    pub severity: String,
    /// The kind of problem.
    pub code: String,
    /// The message.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// The file, relative to the project.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The column, counted from 1.
    pub column: Option<usize>,
    /// The step, counted from 1.
    pub step: Option<usize>,
    /// Place, message and remedy on one line.
    pub text: String,
}

/// A requested run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// The id of the pipeline. Its dependencies must have been run before.
    pub pipeline_id: String,
    /// The worker pool; the active cluster if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Run only if an input changed since the last run.
    #[serde(default)]
    pub dirty: bool,
    /// Run even if dependencies have not been run.
    #[serde(default)]
    pub force: bool,
    /// Reuse results that steps cached; true if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_cache: Option<bool>,
    /// The time limit of the run, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub timeout_seconds: Option<u64>,
    /// Retries after failures of the infrastructure; the setting of the pool if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub retries: Option<u32>,
    /// Values of `params` in the spec of the pipeline, by name; records show them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The image of its pods with the digest, for a pipeline that runs in a cluster; that of the spec if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The CPU of its pods, such as `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// The memory of its pods, such as `1Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The disk of its pods, such as `10Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// The ids of runs that must end first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub after: Vec<String>,
}

/// How much a caller or an organisation may run and keep; an absent limit allows all. Days are those of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineLimits {
    /// Runs that wait or run at once.
    pub concurrent_runs: Option<u64>,
    /// Seconds that workers spend on its runs in a day.
    pub run_seconds_per_day: Option<u64>,
    /// Rows of the results of its runs in a day.
    pub rows_per_day: Option<u64>,
    /// Bytes of the last results of the pipelines that it ran.
    pub stored_bytes: Option<u64>,
    /// Hours of the lifetimes of databases that it creates in a day, and by which it extends databases.
    pub database_hours_per_day: Option<u64>,
}

impl PipelineLimits {
    /// These limits, and the other ones where these are absent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            concurrent_runs: self.concurrent_runs.or(other.concurrent_runs),
            run_seconds_per_day: self.run_seconds_per_day.or(other.run_seconds_per_day),
            rows_per_day: self.rows_per_day.or(other.rows_per_day),
            stored_bytes: self.stored_bytes.or(other.stored_bytes),
            database_hours_per_day: self.database_hours_per_day.or(other.database_hours_per_day),
        }
    }

    /// The larger limit of both, for callers with several roles. An absent limit is the largest.
    #[must_use]
    pub fn larger(self, other: Self) -> Self {
        let larger = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one.max(other));
        Self {
            concurrent_runs: larger(self.concurrent_runs, other.concurrent_runs),
            run_seconds_per_day: larger(self.run_seconds_per_day, other.run_seconds_per_day),
            rows_per_day: larger(self.rows_per_day, other.rows_per_day),
            stored_bytes: larger(self.stored_bytes, other.stored_bytes),
            database_hours_per_day: larger(self.database_hours_per_day, other.database_hours_per_day),
        }
    }
}

/// The caller of a change, with its limits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelinesCaller {
    /// Its name; `None` if the server requires no tokens.
    pub name: Option<String>,
    /// Its limits.
    pub limits: PipelineLimits,
    /// Its organisation.
    pub organisation: Option<String>,
    /// The limits of its organisation.
    pub organisation_limits: PipelineLimits,
    /// The idempotency key together with its owner.
    #[serde(skip)]
    pub key: Option<String>,
}

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// The id: a UUID that sorts by time.
    pub run_id: String,
    /// The id of its pipeline.
    pub pipeline_id: String,
    /// The folder of the specs, relative to the project.
    pub folder: String,
    /// `queued`, `assigned` (to a worker), `preparing`, `running`, `publishing`; or, at its end, `succeeded`, `failed`,
    /// `cancelled`, `timedout`, `lost`, `clean` (nothing to do), `held` (by a dependency) or `not_run`.
    pub state: String,
    /// Why it runs.
    pub reasons: Vec<String>,
    /// The values of parameters that it replaces.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The caller of the server that requested it.
    pub requested_by: Option<String>,
    /// The worker that runs it, or ran it last.
    pub worker: Option<String>,
    /// The database of the project that its steps write into, by its name.
    pub database: Option<String>,
    /// When it was requested; absent for a run without the queue.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub queued_at: Option<Timestamp>,
    /// When its last attempt started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// The rows after the last step.
    pub rows: u64,
    /// The statistics that the steps report. Empty in lists if they have more than 16 KiB.
    #[schema(value_type = Object)]
    pub stats: Map<String, Json>,
    /// The caller or user that cancelled it, if known.
    pub cancelled_by: Option<String>,
    /// Why it failed, or why it did not start.
    pub error: Option<String>,
    /// Why it did not start: `cancelled`, `taken` (another run of the pipeline did not end in time) or `impossible`.
    pub not_run_reason: Option<String>,
    /// Its errors with their logs, if it ended without a good result. Empty in lists.
    pub errors: Vec<RunError>,
    /// The steps of its last attempt.
    pub steps: Vec<RunStep>,
    /// The failed attempts before the last one.
    pub attempts: Vec<RunAttempt>,
    /// True once it has ended.
    #[serde(skip)]
    pub is_over: bool,
}

/// An error of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunError {
    /// The processor of the step that failed, or the part of terrace that could not run the pipeline.
    pub processor: String,
    /// The exit code of the step.
    pub exit_code: Option<i32>,
    /// The log from the first error on.
    pub log: Vec<String>,
}

/// A step of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunStep {
    /// Its name.
    pub name: String,
    /// The rows of its output.
    pub rows: u64,
    /// The bytes of its output.
    pub bytes: u64,
    /// Its exit code; absent if a signal ended it, or it has not ended.
    pub exit_code: Option<i32>,
}

/// A failed attempt of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunAttempt {
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub finished_at: Timestamp,
    /// Why it failed.
    pub what: String,
}

/// The filter of a list of runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Runs of this pipeline.
    pub pipeline: Option<String>,
    /// Runs in this state.
    pub state: Option<String>,
    /// Runs that are older than this one.
    pub before: Option<String>,
    /// The most runs.
    pub limit: usize,
}

/// A part of a list of runs, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<Run>,
    /// The id of the last run that was read; `None` if no older run exists.
    pub next: Option<String>,
}

/// A line of a run's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunLine {
    /// When the step printed it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The step, counted from 1; 0 for a message about the whole run.
    pub step: usize,
    /// The name of the step.
    pub name: String,
    /// The text; secrets are masked.
    pub line: String,
    /// True if the user should see it at once; absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_warning: bool,
}

/// A part of a run's log.
#[derive(Debug, Clone)]
pub struct RunLog {
    /// The run, as it was before the lines were read.
    pub run: Run,
    /// The lines, each with the position after it.
    pub lines: Vec<(String, RunLine)>,
    /// The position after the last line that was read.
    pub end: String,
    /// True if the run has ended and the log has no further lines.
    pub is_complete: bool,
}

/// A worker, a database, or another pod of a cluster, in the words of the document of dppctl.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pod {
    /// The name.
    pub name: String,
    /// `pending`, `available`, `assigned` or `expired`; a database may be `stopped` or `changed`.
    pub status: String,
    /// `worker`, `db`, `site` or `sync`.
    pub role: String,
    /// The worker pool, or the kind of the cluster; absent for a pod that a cluster made.
    pub pool: Option<String>,
    /// The namespace in Kubernetes.
    pub namespace: Option<String>,
    /// The run that uses it.
    pub run: Option<String>,
    /// The pipeline of this run.
    pub pipeline: Option<String>,
    /// When it expires; absent if it stays.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Seconds since its start.
    pub age: u64,
    /// The node in Kubernetes; absent until it is scheduled.
    pub node: Option<String>,
}

/// A database of pipelines, without its password.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Database {
    /// The name.
    pub name: String,
    /// `postgres` or `sqlite`.
    pub engine: String,
    /// The release of PostgreSQL.
    pub version: Option<String>,
    /// `creating`, `starting`, `running`, `stopped` or `expired`.
    pub status: String,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
    /// When it expires; absent if it stays.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The time until then.
    pub seconds_left: Option<u64>,
}

/// The identity of an event that the usage log does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnloggedEvent {
    /// The end of a requested run, by the id of the run.
    RunEnd(String),
    /// The end of a run that the CronJob of a schedule started, by the id of the run.
    ScheduledRunEnd(String),
    /// The expiry of a database, by the id of the database. Its name may have a successor.
    Expiry(String),
}

/// The use of pipelines by an event that no call reports.
#[derive(Debug, Clone)]
pub struct UnloggedUse {
    /// The event.
    pub event: UnloggedEvent,
    /// The caller that requested the run.
    pub caller: Option<String>,
    /// True if the pipeline has a valid result.
    pub is_good: bool,
    /// The facts.
    pub usage: Usage,
}

/// An object of a stack that a plan creates or updates.
#[derive(Debug, Clone, Copy)]
pub struct PlannedObject<'p> {
    /// Its resource type.
    pub ty: &'p str,
    /// Its attributes before an update; `None` for a new object.
    pub before: Option<&'p Attributes>,
    /// Its planned attributes.
    pub after: &'p Attributes,
}

/// An object of a stack that a step created or updated.
#[derive(Debug, Clone, Copy)]
pub struct UsedObject<'u> {
    /// Its resource type.
    pub ty: &'u str,
    /// The step creates it.
    pub is_new: bool,
    /// Its attributes, if they are known.
    pub attributes: Option<&'u Attributes>,
    /// The operation and the number of the step, to find the run of a failed one.
    pub step: Option<(Uuid, u32)>,
}

/// Why a call about pipelines cannot be answered. The texts are for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelinesError {
    /// The object does not exist.
    #[error("{0}")]
    Missing(String),
    /// The call is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The object's state, or the project's, does not allow the call.
    #[error("{0}")]
    Conflict(String),
    /// Another call used the idempotency key.
    #[error("another call was made with that idempotency key")]
    KeyTaken,
    /// A limit of the caller refuses the call.
    #[error("{}", .0.message)]
    OverLimit(Box<OverLimit>),
    /// The call may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// An internal error. Callers do not see its text.
    #[error("{0}")]
    Failed(String),
}

/// A limit that refuses a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OverLimit {
    /// The key of the limit: `concurrentRuns`, `runSecondsPerDay`, `rowsPerDay`, `storedBytes` or
    /// `databaseHoursPerDay`.
    pub limit: String,
    /// The organisation whose limit it is; absent for the caller's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Its value.
    pub allowed: u64,
    /// The use, in the unit of the limit.
    pub used: u64,
    /// When the use counts from zero again; absent for limits without a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resets_at: Option<Timestamp>,
    /// The refusal in words.
    #[serde(skip)]
    pub message: String,
}

impl OverLimit {
    /// Notes the refusal for the usage log.
    pub(crate) fn note_in(&self, usage: &mut Usage) {
        usage.limit = Some(self.limit.clone());
        usage.quota_limit = Some(self.allowed);
        usage.quota_remaining = Some(self.allowed.saturating_sub(self.used));
        usage.error = Some(self.message.clone());
    }
}

/// The pipelines of a project.
#[async_trait]
pub trait Pipelines: Send + Sync {
    /// The pipelines of the project's specs, in the order of their ids.
    async fn pipelines(&self) -> Result<Vec<Pipeline>, PipelinesError>;

    /// Queues a run, and returns its id. A repeated call with a key returns the id of the first one.
    async fn start(&self, run: &NewRun, by: &PipelinesCaller) -> Result<String, PipelinesError>;

    /// The runs that match, newest first. A page may end before its limit, and still have a next one.
    async fn runs(&self, filter: &RunFilter) -> Result<RunPage, PipelinesError>;

    /// A run by its full id.
    async fn run(&self, id: &str) -> Result<Option<Run>, PipelinesError>;

    /// Requests the end of a run. Returns false if it has ended.
    async fn cancel(&self, id: &str, by: &str) -> Result<bool, PipelinesError>;

    /// At most `limit` lines of a run's log after a position; `None` if the run does not exist.
    async fn log(&self, id: &str, after: Option<&str>, limit: usize) -> Result<Option<RunLog>, PipelinesError>;

    /// The databases of the active cluster, the workers, and the other pods of the cluster in which pipelines run. If
    /// Kubernetes does not answer, the list has the workers alone.
    async fn pods(&self) -> Result<Vec<Pod>, PipelinesError>;

    /// The databases, in the order of their names.
    async fn databases(&self) -> Result<Vec<Database>, PipelinesError>;

    /// A database by its name.
    async fn database(&self, name: &str) -> Result<Database, PipelinesError>;

    /// Extends the lifetime of a database by a span such as `1h`.
    async fn extend_database(&self, name: &str, span: &str, by: &PipelinesCaller) -> Result<Database, PipelinesError>;

    /// Stops the server of a database; its data and its deadline stay.
    async fn stop_database(&self, name: &str) -> Result<Database, PipelinesError>;

    /// Counts the lifetimes of the databases that an operation creates or extends for a caller, once for each operation.
    /// Refuses all of them if a limit refuses one.
    async fn count_lifetimes(
        &self,
        operation: Uuid,
        objects: &[PlannedObject<'_>],
        by: &PipelinesCaller,
    ) -> Result<(), PipelinesError>;

    /// The use of pipelines by an object that a stack created or updated. `None` for other objects.
    fn use_of_object(&self, object: &UsedObject<'_>) -> Option<Usage>;

    /// Ended requested runs, ended runs of CronJobs and expired databases, as long as [`mark_logged`](Self::mark_logged) has
    /// not noted them.
    async fn unlogged(&self) -> Result<Vec<UnloggedUse>, PipelinesError>;

    /// Notes that the usage log has an event.
    async fn mark_logged(&self, event: &UnloggedEvent) -> Result<(), PipelinesError>;
}

/// The pipelines of a server.
#[derive(Clone)]
pub struct ServedPipelines {
    /// The access to them.
    pub pipelines: Arc<dyn Pipelines>,
    /// The environment whose settings they use.
    pub environment: String,
}

impl ServedPipelines {
    /// The name that replaces the stack of these calls.
    pub(crate) fn stack(&self) -> StackId {
        StackId::new(NO_STACK, self.environment.as_str())
    }
}
