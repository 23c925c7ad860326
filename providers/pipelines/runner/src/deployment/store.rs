//! Records of deployments: a file for each commit of an action, written after each stage.
//!
//! Below the records of a project, `deployments` has a folder for each action (`actions/KEY`), a bare copy of each
//! repository (`repositories`), and the folders in which descriptors are applied and pipelines run (`projects`): a state with a relative
//! path and the records of runs stay there. A lock lets one process deploy at a time.

use super::Work;
use super::location::Location;
use crate::file_lock::FileLock;
use crate::files::{read, write};
use crate::hash::hash_of;
use crate::private;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The next work on a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Build its image, and push it.
    Build,
    /// Commit the digest to the operations repository.
    Commit,
    /// Apply the descriptor.
    Apply,
    /// Run the pipeline.
    Run,
    /// Nothing: it ended.
    Ended,
}

/// The end of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The descriptor is applied, and the pipeline succeeded with the new image.
    Deployed,
    /// The commit cannot be built or applied, or the pipeline failed.
    Failed,
    /// A newer commit of the branch came first.
    Superseded,
}

impl Outcome {
    /// Word for people and programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// The deployment of a commit by an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The commit of the program.
    pub commit: String,
    /// The branch or tag that led to it: `refs/heads/main`.
    pub reference: String,
    /// Repository of the program.
    pub app: String,
    /// Environment of the operations repository.
    pub environment: String,
    /// Its descriptor and its pipeline.
    #[serde(flatten)]
    pub work: Work,
    /// Next work.
    pub stage: Stage,
    /// Time at which a poll found it.
    pub found_at: Timestamp,
    /// Order among commits that the same poll found.
    pub order: usize,
    /// Time of its end.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Number of failed tries of the stage.
    #[serde(default)]
    pub tries: u32,
    /// Number of requests to deploy it again.
    #[serde(default)]
    pub repeats: u32,
    /// The image with its digest, once it is in the registry.
    #[serde(default)]
    pub image: Option<String>,
    /// The commit of the operations repository that has the image.
    #[serde(default)]
    pub operations_commit: Option<String>,
    /// Id of the run.
    #[serde(default)]
    pub run: Option<String>,
    /// The end.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// The forge has the result, or cannot take it.
    #[serde(default)]
    pub is_reported: bool,
}

impl Record {
    /// Prepares a failed deployment for another try. Returns false if it did not fail.
    pub fn repeat(&mut self) -> bool {
        if self.outcome != Some(Outcome::Failed) {
            return false;
        }
        self.stage = if self.operations_commit.is_some() { self.stage_with_image() } else { Stage::Build };
        (self.tries, self.repeats) = (0, self.repeats.saturating_add(1));
        (self.outcome, self.error, self.ended_at, self.is_reported) = (None, None, None, false);
        true
    }

    /// The first stage after the environment has the image.
    pub(super) const fn stage_with_image(&self) -> Stage {
        if self.work.descriptor.is_some() { Stage::Apply } else { Stage::Run }
    }
}

/// An action's tags before its first poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownTags {
    /// Commits by the names of tags.
    pub tags: BTreeMap<String, String>,
}

/// Deployments of a project.
#[derive(Debug, Clone)]
pub struct Deployments {
    folder: PathBuf,
}

/// Right to deploy, which ends on drop.
#[derive(Debug)]
pub struct Turn {
    _lock: FileLock,
}

impl Deployments {
    /// Deployments below the records of a project, which need not exist yet.
    #[must_use]
    pub fn new(records: &Path) -> Self {
        Self { folder: records.join("deployments") }
    }

    /// The right to deploy, if it is free.
    ///
    /// # Errors
    /// When the lock cannot be opened.
    pub fn acquire_turn(&self) -> io::Result<Option<Turn>> {
        private::folder(&self.folder)?;
        let lock = private::file().truncate(false).write(true).open(self.folder.join("lock"))?;
        Ok(FileLock::try_lock(lock)?.ok().map(|lock| Turn { _lock: lock }))
    }

    fn action(&self, key: &str) -> PathBuf {
        self.folder.join("actions").join(key)
    }

    /// The record of a commit.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, key: &str, commit: &str) -> io::Result<Option<Record>> {
        read(&self.action(key).join("commits").join(format!("{commit}.json")))
    }

    /// Writes the record of a commit.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, key: &str, record: &Record) -> io::Result<()> {
        let folder = self.action(key).join("commits");
        private::folder(&folder)?;
        write(&folder.join(format!("{}.json", record.commit)), record)
    }

    /// Records of an action, the oldest first.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of_action(&self, key: &str) -> io::Result<Vec<Record>> {
        let entries = match fs::read_dir(self.action(key).join("commits")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read::<Record>(&path)?);
            }
        }
        records.sort_by_key(|record| (record.found_at, record.order));
        Ok(records)
    }

    /// Tags that existed at the first poll of an action.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn known_tags(&self, key: &str) -> io::Result<Option<KnownTags>> {
        read(&self.action(key).join("tags.json"))
    }

    /// Writes the tags of the first poll.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put_known_tags(&self, key: &str, tags: &KnownTags) -> io::Result<()> {
        private::folder(&self.action(key))?;
        write(&self.action(key).join("tags.json"), tags)
    }

    /// Folder of the copy of a repository.
    #[must_use]
    pub fn repository(&self, location: &Location) -> PathBuf {
        self.folder.join("repositories").join(short(&location.url))
    }

    /// Folder of an environment for descriptors and pipelines, and the file that remembers its content.
    #[must_use]
    pub fn project(&self, operations: &Location, environment: &str) -> (PathBuf, PathBuf) {
        let name = short(&format!("{operations}\n{environment}"));
        let folder = self.folder.join("projects");
        (folder.join(&name), folder.join(format!("{name}-index")))
    }

    /// An empty folder for a build.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(super) fn work(&self) -> io::Result<PathBuf> {
        let folder = self.folder.join("work");
        crate::files::remove(&folder)?;
        private::folder(&folder)?;
        Ok(folder)
    }
}

fn short(text: &str) -> String {
    hash_of(text).get(..32).unwrap_or_default().to_owned()
}
