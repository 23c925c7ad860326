//! What is known of a run.

use super::attempts::Attempt;
use super::outputs::Output;
use crate::executor::{Failed, StepOutcome};
use crate::fingerprint::Fingerprint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its environment is made or looked for.
    Preparing,
    /// Its steps run.
    Running,
    /// Its steps have ended well, and what they wrote is put in its place.
    Publishing,
    /// It is done.
    Succeeded,
    /// A step failed, or it could not be started.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// Whoever ran it is gone: nothing of it is left.
    Lost,
}

impl State {
    /// What became of a run, after its id.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Preparing | Self::Running | Self::Publishing => "goes on",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "was cancelled",
            Self::TimedOut => "took too long",
            Self::Lost => "was cut off",
        }
    }

    /// True for a run that is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Preparing | Self::Running | Self::Publishing)
    }

    /// One word for people and programs.
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

/// A run, as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id: a UUID that sorts by time.
    pub run: String,
    /// The id of the pipeline.
    pub pipeline: String,
    /// The folder whose specs were read, relative to the project folder where it lies in it.
    pub folder: String,
    /// Where it is.
    pub state: State,
    /// Why it was run.
    pub reasons: Vec<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Rows that came out of the last step.
    pub rows: u64,
    /// What the steps counted and told.
    pub stats: Map<String, Value>,
    /// The steps by name, and how each ended.
    pub steps: Vec<(String, StepOutcome)>,
    /// What went wrong.
    pub failure: Option<Failed>,
    /// What the result depends on.
    pub fingerprint: Fingerprint,
    /// The folders that it writes data packages into.
    pub outputs: Vec<Output>,
    /// The files of SQLite that it may write into; those that are there, once it has ended well.
    #[serde(default)]
    pub databases: Vec<PathBuf>,
    /// Its steps were begun: whatever they write into may have been changed.
    #[serde(default = "begun")]
    pub has_begun: bool,
    /// The datapackage that it leaves for pipelines after it.
    pub datapackage: Option<PathBuf>,
    /// The call that asked for it, so that it is found after a crash.
    pub mark: Option<String>,
    /// The release of dpp that ran it.
    pub release: String,
    /// The times before the last one that it was tried.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// The folder of records that it was begun in: a copy of the project has a run that is another's.
    #[serde(default)]
    pub home: Option<String>,
}

/// A record that does not say whether its run began is told as one that did: to run a pipeline once more does no harm.
const fn begun() -> bool {
    true
}

/// The key of the statistics under which dpp keeps what is not for people.
const HIDDEN: &str = ".dpp";
/// Where dpp says which data package a run left: see `stat_utils.py`.
const PACKAGE: &str = "out-datapackage-url";

impl Record {
    /// The statistics for people, by name.
    #[must_use]
    pub fn public_stats(&self) -> BTreeMap<String, Value> {
        self.stats
            .iter()
            .filter(|(name, _)| *name != HIDDEN)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// What it made, in a word that is another one when other data was made: the hash of its data package, else itself.
    #[must_use]
    pub fn dataset(&self) -> String {
        let hash = self.stats.get("hash").and_then(Value::as_str);
        hash.unwrap_or(&self.run).to_owned()
    }

    /// The same with each path made another one.
    pub(super) fn with_paths(mut self, other: impl Fn(&Path) -> PathBuf) -> Self {
        for output in &mut self.outputs {
            (output.partial, output.place) = (other(&output.partial), other(&output.place));
        }
        self.datapackage = self.datapackage.map(|path| other(&path));
        self.databases.iter_mut().for_each(|path| *path = other(path));
        self
    }

    /// The path that a run says its data package has.
    pub(super) fn package(stats: &Map<String, Value>) -> Option<&str> {
        stats.get(HIDDEN)?.get(PACKAGE)?.as_str()
    }
}
