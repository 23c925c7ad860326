//! Where pipelines run. An [`Executor`] is given a [`Job`], which says everything, and tells what came of it; it knows
//! nothing of specs, environments or records, so that the same job can run elsewhere than on this machine.
//!
//! [`local`] runs jobs as processes of this machine.

pub mod local;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One run of a pipeline, ready to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The id of the run: every process of it carries it.
    pub run: String,
    /// Where steps run.
    pub folder: PathBuf,
    /// All variables of their environment.
    pub environment: BTreeMap<String, String>,
    /// The steps: each reads what the one before it writes.
    pub steps: Vec<Program>,
    /// Where the pipelines before this one left their data packages, by id: the first line that the first step reads.
    pub dependencies: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How long processes have to end by themselves after they were asked to.
    pub grace: Duration,
}

/// The program of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// How the step is called.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In one word.
    pub end: End,
    /// What the steps counted and told: the last line of the stream. Empty unless it succeeded.
    pub stats: Map<String, Value>,
    /// Rows that came out of the last step.
    pub rows: u64,
    /// Each step.
    pub steps: Vec<StepOutcome>,
    /// What went wrong.
    pub failure: Option<Failed>,
}

/// How a run ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// All steps did.
    Succeeded,
    /// A step did not.
    Failed,
    /// What it ran on failed: no process could be started, or there was no memory left.
    Broken,
    /// Somebody wanted it to stop.
    Cancelled,
    /// It took too long.
    TimedOut,
}

/// How a step ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// Rows that came out of it.
    pub rows: u64,
    /// Bytes that came out of it.
    pub bytes: u64,
    /// Its exit code; nothing where a signal ended it, or it was never started.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The step, counted from 0; nothing where it is none of them.
    pub step: Option<usize>,
    /// What went wrong.
    pub what: String,
    /// What the step said of it, as far as it is about the error.
    pub said: Vec<String>,
}

/// Is told how a run goes. What it does has to be quick.
pub trait Watch: Send + Sync {
    /// A step writes a line for people.
    fn line(&self, step: usize, line: &str);
    /// So much came out of a step so far.
    fn progress(&self, step: usize, rows: u64, bytes: u64);
    /// A step ended.
    fn ended(&self, step: usize, outcome: &StepOutcome);
}

/// Runs jobs.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs a job to its end. Nothing of it is left when this returns, and nothing of it outlives this process for longer
    /// than the job's grace.
    async fn execute(&self, job: &Job, watch: &dyn Watch, cancel: &CancellationToken) -> Outcome;

    /// Ends whatever a run left whose executor is gone; answers how many processes that were.
    ///
    /// # Errors
    /// When it cannot be told what is left.
    async fn end_left(&self, run: &str, grace: Duration) -> io::Result<usize>;
}

/// How a program that failed ended, in words.
#[must_use]
pub fn in_words(outcome: &StepOutcome) -> String {
    match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(9)) => "it was killed (signal 9)".to_owned(),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it was not started".to_owned(),
    }
}

/// What is told of a run that took longer than it may.
#[must_use]
pub(crate) fn too_long(allowed: Duration) -> String {
    format!("it took longer than the {} s that it may", allowed.saturating_add(Duration::from_millis(500)).as_secs())
}
