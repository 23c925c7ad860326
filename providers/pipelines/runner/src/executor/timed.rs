//! Interface of places that start runs by themselves, at the times of a schedule, while no terrace runs.

use super::Job;
use crate::execution_options::ExecutionOptions;
use crate::schedule::{CatchUp, Overlap, Schedule};
use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use terrace_provider::{Finding, ProviderError};

/// Number of the last runs of each outcome that a place keeps.
pub(crate) const HISTORY: usize = 8;

/// A job that a place starts at the times of a schedule.
#[derive(Debug, Clone)]
pub struct TimedJob {
    /// Its schedule.
    pub schedule: Schedule,
    /// The job of each time. Its run is a placeholder, which each start replaces.
    pub job: Job,
    /// Options of its pods.
    pub options: ExecutionOptions,
    /// Digest of the inputs of its runs.
    pub inputs: String,
    /// A secret text of this project, for names that depend on secrets.
    pub salt: SecretString,
    /// Number of retries after a failure of the infrastructure.
    pub retries: u32,
    /// Failed steps are retried, too.
    pub retries_failed_steps: bool,
}

/// A schedule as its place has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedState {
    /// Crontab.
    pub cron: String,
    /// IANA name of the time zone.
    pub time_zone: String,
    /// It starts runs.
    pub enabled: bool,
    /// Policy if the previous run is in progress.
    pub overlap: Overlap,
    /// Policy for missed times.
    pub catch_up: CatchUp,
    /// Digest of the inputs of its runs.
    pub inputs: String,
    /// Id of its object, which other objects with the same name do not have.
    pub uid: String,
    /// Call that created or changed it.
    pub mark: String,
    /// Digest of all other fields, as the place stored them.
    pub stored: String,
}

/// A run that a place started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedRun {
    /// Id of the run, which follows from the object.
    pub run: String,
    /// Name of its object.
    pub object: String,
    /// Id of its object, which its temporary places have in their names.
    pub uid: String,
    /// The due time.
    pub due: Timestamp,
    /// Digest of its inputs.
    pub inputs: String,
    /// Start of the run.
    pub started_at: Timestamp,
    /// End of the run; nothing while it is in progress.
    pub ended_at: Option<Timestamp>,
}

/// A place that starts runs by itself.
#[async_trait]
pub trait TimedRuns: Send + Sync {
    /// The place in plans, in front of the name of an object: a namespace.
    fn place_name(&self) -> &str;

    /// A crontab as the place writes it.
    ///
    /// # Errors
    /// When the place cannot express it: message and hint.
    fn crontab(&self, cron: &str) -> Result<String, (String, String)>;

    /// The schedule with this name of its object; nothing if it does not exist.
    ///
    /// # Errors
    /// When the place does not answer, or refuses.
    async fn state(&self, object: &str) -> Result<Option<TimedState>, ProviderError>;

    /// Creates a schedule, or changes the one whose object has this uid. It can be repeated after an interruption.
    ///
    /// # Errors
    /// When the place does not answer, or refuses, or another caller has created or replaced the object.
    async fn put(&self, object: &str, timed: &TimedJob, uid: Option<&str>) -> Result<TimedState, ProviderError>;

    /// Problems of the place with a schedule, for a plan, which another identity may apply later.
    async fn findings(&self, object: &str, schedule: &Schedule, options: &ExecutionOptions) -> Vec<Finding>;

    /// Removes the schedule whose object has this uid, with its runs in progress, and waits until it is gone. Without a uid,
    /// waits for the end of a removal that has begun.
    ///
    /// # Errors
    /// When the place does not answer, refuses, or takes too long.
    async fn remove(&self, object: &str, uid: Option<&str>) -> Result<(), ProviderError>;

    /// The runs of a schedule that the place still knows, oldest first.
    ///
    /// # Errors
    /// When the place does not answer, or refuses.
    async fn started(&self, object: &str) -> Result<Vec<StartedRun>, ProviderError>;
}
