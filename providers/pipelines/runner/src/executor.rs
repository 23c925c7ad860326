//! Interface of the places where pipelines run. An [`Executor`] receives a [`Job`], which has all that it needs, and
//! returns its outcome. It knows no specs and no records, so the same job can run on another machine.
//!
//! [`local`] runs jobs as processes of this machine. [`kubernetes`] runs each as a Job of a cluster; [`pod`] is the
//! part of it that runs in the cluster.

mod archive;
mod claim;
mod events;
pub mod kubernetes;
pub mod local;
mod place;
pub mod pod;
mod pods;
mod throttle;
mod timed;

use crate::check_result::CheckResult;
use crate::environment::Recipe;
use crate::execution_options::{ExecutionOption, ExecutionOptions};
use crate::run::outputs::Output;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use terrace_provider::Finding;
use tokio_util::sync::CancellationToken;

pub use claim::Claim;
pub(crate) use claim::MOUNT;
pub use place::{ClusterPlace, Place};
pub use pods::{Attached, ClusterPod, ClusterPodState, ClusterPods};
pub(crate) use timed::HISTORY;
pub use timed::{StartedRun, TimedJob, TimedRuns, TimedState};

/// One run of a pipeline, ready to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Id of the run: every process of the run has it in its environment.
    pub run: String,
    /// Working folder of the steps.
    pub folder: PathBuf,
    /// All variables of their environment.
    pub environment: BTreeMap<String, String>,
    /// Steps: each reads the output of the step before it.
    pub steps: Vec<Program>,
    /// Data packages of the dependencies, by id: the first line that the first step reads.
    pub dependencies: BTreeMap<String, String>,
    /// Maximum time of the run.
    pub timeout: Option<Duration>,
    /// Time that processes have to end by themselves after a request to stop.
    pub grace: Duration,
    /// What another machine needs to run it.
    pub elsewhere: Elsewhere,
}

/// Parts of a job that only other machines need: this one has the files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The id of the pipeline.
    pub pipeline: String,
    /// Id of the folder of records: other projects leave its runs alone.
    #[serde(default)]
    pub home: Option<String>,
    /// Time at which the run times out, by the clock of its place.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
    /// Number of failed attempts before this one.
    pub attempt: usize,
    /// Packages that the steps need.
    pub recipe: Option<Recipe>,
    /// Options of the pod.
    #[serde(default)]
    pub options: ExecutionOptions,
    /// Claim that keeps the data packages.
    #[serde(default)]
    pub claim: Option<Claim>,
    /// Folders that the steps may read and write, at the same paths as here; none contains another.
    pub folders: Vec<PathBuf>,
    /// Files and folders to copy from here.
    pub inputs: Vec<PathBuf>,
    /// Folders of results, which are not copied from here.
    pub results: Vec<PathBuf>,
    /// SQLite files into which a step may write.
    pub databases: Vec<PathBuf>,
    /// Texts to mask in logs.
    pub secrets: Vec<String>,
    /// Its place starts the job at the times of a schedule. Each start is another run, and no files are copied back.
    #[serde(default)]
    pub is_timed: bool,
    /// It belongs to no run: its pod waits for a shell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_shell: bool,
}

/// A run whose process died, and that may go on elsewhere.
#[derive(Debug, Clone)]
pub struct Interrupted {
    /// Id of the run.
    pub run: String,
    /// Number of failed attempts before the last one.
    pub attempt: usize,
    /// Name of its object at its place; nothing for the name that follows from the run.
    pub object: Option<String>,
    /// Number of steps.
    pub steps: usize,
    /// The folders of [`Elsewhere::folders`].
    pub folders: Vec<PathBuf>,
    /// Time that processes have to end by themselves after a request to stop.
    pub grace: Duration,
    /// Time to wait for its end; nothing for any time.
    pub limit: Option<Duration>,
}

/// The program of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Name of the step.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Kind of the outcome.
    pub end: End,
    /// Statistics that the steps report: the last line of the stream. Empty unless the run succeeded.
    pub stats: Map<String, Value>,
    /// Rows after the last step.
    pub rows: u64,
    /// Outcome of each step.
    pub steps: Vec<StepOutcome>,
    /// Reason of a failure.
    pub failure: Option<Failed>,
    /// Data packages that are in their places on a claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_place: Vec<Output>,
}

/// Kind of a run's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// All steps succeeded.
    Succeeded,
    /// A step failed.
    Failed,
    /// The infrastructure failed: no process could be started, or no memory was left.
    Broken,
    /// The run was cancelled.
    Cancelled,
    /// The run timed out.
    TimedOut,
    /// It may still run: its place does not answer, or refuses to end it.
    Unknown,
}

/// Outcome of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// Rows of its output.
    pub rows: u64,
    /// Bytes of its output.
    pub bytes: u64,
    /// Its exit code; nothing if a signal ended it, or it was never started.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Processor time in milliseconds, if the system reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// The peak of its memory in bytes, if the system reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak: Option<u64>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The step, counted from 0; nothing if the failure belongs to no step.
    pub step: Option<usize>,
    /// Message.
    #[serde(rename = "what")]
    pub message: String,
    /// Lines of the step's log from its first error on.
    #[serde(rename = "said")]
    pub log: Vec<String>,
    /// The option to correct; nothing for another cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<ExecutionOption>,
}

impl Failed {
    /// A failure that belongs to no step.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { step: None, message: message.into(), log: Vec::new(), option: None }
    }
}

/// Message for a run whose Job is gone.
pub(crate) const DELETED_JOB: &str = "its Job was deleted in the cluster";
/// Message for a run whose Job is gone after its end, which is unknown.
pub(crate) const UNREAD_END: &str = "the cluster removed its Job after its end, before the report of the end was read";

/// Observer of a run. Its methods must be quick.
pub trait JobObserver: Send + Sync {
    /// A step printed a line of its log at this time, by the clock of its machine.
    fn line(&self, step: usize, at: Timestamp, line: &str);
    /// Output of a step so far, at most once a second, and once at its end; also if the log of a run is read again. The last report
    /// may stand for long: show each.
    fn progress(&self, step: usize, rows: u64, bytes: u64);
    /// A step ended.
    fn ended(&self, step: usize, outcome: &StepOutcome);
    /// The environment of the steps is being created: `done` of `of` packages are installed.
    fn preparing(&self, _done: usize, _of: usize, _message: &str) {}
    /// The run starts, or is found again, at this place. Lines that follow are those of this place from its start on,
    /// even if an interrupted process reported some of them before.
    fn runs_at(&self, _place: &str) {}
    /// Information about the place of the run.
    fn note(&self, _line: &str) {}
    /// Information that the user should see at once.
    fn warned(&self, line: &str) {
        self.note(line);
    }
}

/// Runs jobs.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs a job to its end. No process of it remains when this returns, unless the outcome is [`End::Unknown`]. If this
    /// process dies, the rest ends within the job's grace, or goes on elsewhere.
    async fn execute(&self, job: &Job, observer: &dyn JobObserver, cancel: &CancellationToken) -> Outcome;

    /// Ends the processes that a run left after its executor died; returns their number.
    ///
    /// # Errors
    /// When the processes cannot be listed.
    async fn end_leftover_processes(&self, run: &str, grace: Duration) -> io::Result<usize>;

    /// Folder of environments on the machines of the runs; nothing for this machine.
    fn environments(&self) -> Option<&Path> {
        None
    }

    /// Checks that runs with these options can be started.
    ///
    /// # Errors
    /// Messages for people, the first of which is the cause.
    async fn check(&self, _options: &ExecutionOptions) -> Result<(), Vec<String>> {
        Ok(())
    }

    /// Problems of the place of runs with these options for a plan, which another identity may apply later.
    async fn findings(&self, _options: &ExecutionOptions) -> Vec<Finding> {
        Vec::new()
    }

    /// Checks the place of runs elsewhere for `terrace doctor`; nothing for this machine.
    async fn diagnose(&self) -> Option<Vec<CheckResult>> {
        None
    }

    /// The part that starts runs by itself, at the times of a schedule; nothing for this machine.
    fn timed(&self) -> Option<&dyn TimedRuns> {
        None
    }

    /// The pods of its runs; nothing for this machine.
    fn pods(&self) -> Option<&dyn ClusterPods> {
        None
    }

    /// The place of runs, for their records. Without one, a later process looks for a run where its own runs are.
    ///
    /// # Errors
    /// When the settings do not lead to a place.
    async fn place(&self) -> Result<Option<Place>, String> {
        Ok(None)
    }

    /// Follows a run that goes on after its process died, to its end. Returns nothing if it does not go on.
    ///
    /// # Errors
    /// When that is unknown, or the run has not ended in [`Interrupted::limit`].
    async fn resume(
        &self,
        _run: &Interrupted,
        _observer: &dyn JobObserver,
        _cancel: &CancellationToken,
    ) -> io::Result<Option<Outcome>> {
        Ok(None)
    }

    /// Returns true if a run goes on after its process died. [`Executor::resume`] follows it, and reads the report of an ended run.
    ///
    /// # Errors
    /// When that is unknown.
    async fn goes_on(&self, _run: &str, _attempt: usize, _object: Option<&str>) -> io::Result<bool> {
        Ok(false)
    }

    /// Releases a run whose end is recorded here.
    async fn release(&self, _run: &str, _attempt: usize) {}

    /// Removes remains of ended runs of this folder of records, for example after a crash.
    async fn remove_ended(&self, _home: &str, _has_ended: &(dyn for<'r> Fn(&'r str) -> bool + Send + Sync)) {}
}

/// Describes the end of a program that failed.
#[must_use]
pub fn describe_end(outcome: &StepOutcome) -> String {
    match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(9)) => "it was killed (signal 9)".to_owned(),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it was not started".to_owned(),
    }
}

/// Message for a run that timed out.
#[must_use]
pub(crate) fn timeout_message(allowed: Duration) -> String {
    format!("it took longer than its limit of {} s", allowed.saturating_add(Duration::from_millis(500)).as_secs())
}
