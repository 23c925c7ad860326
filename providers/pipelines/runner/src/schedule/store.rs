//! Storage of schedules and of decisions about them: a folder for each below the records of the project.
//!
//! A start is recorded before it happens. If a server is killed in between, the next one finds the record, and the
//! run's mark shows whether it started.

use super::Schedule;
use crate::file_lock::FileLock;
use crate::files::{encoded, read, remove, remove_file, write};
use crate::private;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::PathBuf;

/// The schedules of a project.
#[derive(Debug, Clone)]
pub struct Schedules {
    folder: PathBuf,
}

/// Decisions about a schedule, and the last outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// All times up to this one are decided.
    pub decided: Timestamp,
    /// Due times of the runs to start; the first may be running.
    #[serde(default)]
    pub pending: Vec<Timestamp>,
    /// Last outcome.
    #[serde(default)]
    pub last: Option<Last>,
    /// Crontab of a spec's schedule at the last decision: after a change, nothing counts as missed.
    #[serde(default)]
    pub crontab: Option<String>,
    /// Recorded runs whose Jobs may still be in a cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<String>,
    /// Id of its CronJob, if the cluster does not have it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
}

impl Progress {
    /// Start of a schedule: all times up to this one are decided.
    pub(crate) const fn since(decided: Timestamp) -> Self {
        Self { decided, pending: Vec::new(), last: None, crontab: None, recorded: Vec::new(), gone: None }
    }
}

/// Outcome of a due time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// The due time.
    pub due: Timestamp,
    /// Id of the run, if it started.
    pub run: Option<String>,
    /// State of the run, or `skipped`.
    pub state: String,
    /// Reason, if no run has it.
    pub why: Option<String>,
}

/// Right to start runs of a project, which ends on drop.
#[derive(Debug)]
pub struct Leadership {
    _lock: FileLock,
}

impl Schedules {
    /// Schedules below the records of a project, which need not exist yet.
    #[must_use]
    pub fn new(records: &std::path::Path) -> Self {
        Self { folder: records.join("schedules") }
    }

    /// Returns true if a schedule ever existed.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.folder.is_dir()
    }

    /// The folder of a schedule.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(encoded(name))
    }

    /// Declared schedules, by name, and errors of unreadable ones.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn all(&self) -> io::Result<(Vec<Schedule>, Vec<io::Error>)> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            entries => entries?,
        };
        let (mut schedules, mut broken) = (Vec::new(), Vec::new());
        for entry in entries.flatten() {
            match read::<Schedule>(&entry.path().join("schedule.json")) {
                Ok(Some(schedule)) => schedules.push(schedule),
                Ok(None) => {}
                Err(error) => broken.push(error),
            }
        }
        schedules.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((schedules, broken))
    }

    /// Returns a schedule by name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, name: &str) -> io::Result<Option<Schedule>> {
        read(&self.place(name).join("schedule.json"))
    }

    /// Writes a schedule; decisions about it stay.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, schedule: &Schedule) -> io::Result<()> {
        let place = self.place(&schedule.name);
        private::folder(&place)?;
        write(&place.join("schedule.json"), schedule)
    }

    /// Removes a schedule and the decisions about it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let place = self.place(name);
        // Remove the schedule first: without it, the rest starts nothing.
        remove_file(&place.join("schedule.json"))?;
        remove_file(&place.join("progress.json"))?;
        remove(&self.cron_job_folder(name))
    }

    /// Folder with the files of a schedule's CronJob.
    #[must_use]
    pub fn cron_job_folder(&self, name: &str) -> PathBuf {
        self.place(name).join("cron-job")
    }

    /// Returns the decisions about a schedule.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn progress(&self, name: &str) -> io::Result<Option<Progress>> {
        read(&self.place(name).join("progress.json"))
    }

    /// Writes the decisions about a schedule.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record_decisions(&self, name: &str, progress: &Progress) -> io::Result<()> {
        let place = self.place(name);
        private::folder(&place)?;
        write(&place.join("progress.json"), progress)
    }

    /// Returns the right to start runs, if it is free.
    ///
    /// # Errors
    /// When the lock cannot be opened.
    pub fn acquire_leadership(&self) -> io::Result<Option<Leadership>> {
        private::folder(&self.folder)?;
        let lock = private::file().truncate(false).write(true).open(self.folder.join("lock"))?;
        Ok(FileLock::try_lock(lock)?.ok().map(|lock| Leadership { _lock: lock }))
    }
}
