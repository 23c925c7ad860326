//! Record of a run.

use super::attempts::Attempt;
use super::outputs::Output;
use super::overrides::Overrides;
use crate::executor::{Failed, Place, StepOutcome};
use crate::fingerprint::Fingerprint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its environment is being looked up or created.
    Preparing,
    /// Its steps are running.
    Running,
    /// Its steps have ended well, and its outputs are being moved into place.
    Publishing,
    /// It has succeeded.
    Succeeded,
    /// A step failed, or it could not be started.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It timed out.
    TimedOut,
    /// It was interrupted, and its processes have ended.
    Lost,
}

impl State {
    /// Description of the state, as a predicate.
    #[must_use]
    pub const fn predicate(self) -> &'static str {
        match self {
            Self::Preparing | Self::Running | Self::Publishing => "is in progress",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "was cancelled",
            Self::TimedOut => "timed out",
            Self::Lost => "was interrupted",
        }
    }

    /// Returns true for a run that has ended.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Preparing | Self::Running | Self::Publishing)
    }

    /// Word for people and programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Publishing => "publishing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timedout",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Record of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id: a UUID that sorts by time.
    pub run: String,
    /// The id of the pipeline.
    pub pipeline: String,
    /// Folder of the specs, relative to the project folder if inside.
    pub folder: String,
    /// Its state.
    pub state: State,
    /// Reasons of the run.
    pub reasons: Vec<String>,
    /// Time of its start.
    pub started_at: Timestamp,
    /// Time of its end.
    pub finished_at: Option<Timestamp>,
    /// Rows after the last step.
    pub rows: u64,
    /// Statistics that the steps report.
    pub stats: Map<String, Value>,
    /// Steps by name, with their outcomes.
    pub steps: Vec<(String, StepOutcome)>,
    /// Failure.
    pub failure: Option<Failed>,
    /// Principal that cancelled it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    /// Image with its digest whose programs run it; nothing for programs of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Values in place of those of the spec.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
    /// Inputs of the result.
    pub fingerprint: Fingerprint,
    /// Folders of its data packages.
    pub outputs: Vec<Output>,
    /// SQLite files that it may write into; after a success, only those that exist.
    #[serde(default)]
    pub databases: Vec<PathBuf>,
    /// Name of the database of terrace that its steps write into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Its steps have started, so that their targets may have changed.
    #[serde(default = "default_has_begun")]
    pub has_begun: bool,
    /// Data package for dependent pipelines.
    pub datapackage: Option<PathBuf>,
    /// Call that requested it, so that it is found after a crash.
    pub mark: Option<String>,
    /// The release of dpp that ran it.
    pub release: String,
    /// Failed attempts before the last one.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// Id of the folder of records in which it started, to recognise runs of the original in a copied project.
    #[serde(default)]
    pub home: Option<String>,
    /// The place at which it runs; nothing in old records.
    #[serde(default)]
    pub place: Option<Place>,
    /// The Job of a schedule's CronJob that is the run; nothing for runs that terrace started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_job: Option<String>,
}

/// Old records without the field count as started: an extra run does no harm.
const fn default_has_begun() -> bool {
    true
}

/// Key of dpp's internal statistics.
const HIDDEN: &str = ".dpp";
/// Key of the run's data package in them: see `stat_utils.py`.
const PACKAGE: &str = "out-datapackage-url";

impl Record {
    /// The record of a run of a pipeline that begins now.
    #[must_use]
    pub fn new(run: &str, (folder, pipeline): (&str, &str), reasons: Vec<String>, inputs: Fingerprint) -> Self {
        Self {
            run: run.to_owned(),
            pipeline: pipeline.to_owned(),
            folder: folder.to_owned(),
            state: State::Preparing,
            reasons,
            started_at: Timestamp::now(),
            finished_at: None,
            rows: 0,
            stats: Map::new(),
            steps: Vec::new(),
            failure: None,
            cancelled_by: None,
            image: None,
            overrides: Overrides::default(),
            fingerprint: inputs,
            outputs: Vec::new(),
            databases: Vec::new(),
            database: None,
            has_begun: false,
            datapackage: None,
            mark: None,
            release: String::new(),
            attempts: Vec::new(),
            home: None,
            place: None,
            scheduled_job: None,
        }
    }

    /// Statistics for people, by name.
    #[must_use]
    pub fn public_stats(&self) -> BTreeMap<String, Value> {
        self.stats
            .iter()
            .filter(|(name, _)| *name != HIDDEN)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Version of the data, which changes with it: the hash of its data package, or else the id of the run.
    #[must_use]
    pub fn dataset(&self) -> String {
        let hash = self.stats.get("hash").and_then(Value::as_str);
        hash.unwrap_or(&self.run).to_owned()
    }

    /// Message for a run that may still be in progress, although its process has given up; nothing for others.
    pub(super) fn unknown_end(&self) -> Option<Vec<String>> {
        let failure = self.failure.as_ref().filter(|_| self.state == State::Running)?;
        let hint = format!("hint: `terrace pipelines cancel {}` tries again", self.run);
        Some([failure.message.clone()].into_iter().chain(failure.log.iter().cloned()).chain([hint]).collect())
    }

    /// Replaces all paths.
    pub(super) fn with_paths(mut self, other: impl Fn(&Path) -> PathBuf) -> Self {
        for output in &mut self.outputs {
            (output.partial, output.place) = (other(&output.partial), other(&output.place));
        }
        self.datapackage = self.datapackage.map(|path| other(&path));
        self.databases.iter_mut().for_each(|path| *path = other(path));
        self
    }

    /// Path of the data package in the statistics.
    pub(super) fn package(stats: &Map<String, Value>) -> Option<&str> {
        stats.get(HIDDEN)?.get(PACKAGE)?.as_str()
    }
}
