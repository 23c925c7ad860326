//! Where schedules and what was decided of them are kept: below the records of the project, a file of each.
//!
//! What is to start is written down before it starts. So a server that is killed in between leaves what its successor
//! finds, and the mark of the run says whether it began.

use super::Schedule;
use crate::held::Held;
use crate::private;
use crate::run::store::{encoded, read, remove_file, write};
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

/// What was decided of a schedule, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What was due up to now has been decided.
    pub decided: Timestamp,
    /// Runs that are to start, by the times that they were due; the first may have started.
    #[serde(default)]
    pub pending: Vec<Timestamp>,
    /// What came of the last one.
    #[serde(default)]
    pub last: Option<Last>,
    /// The crontab that was decided by, where a spec says it: under another one nothing was missed.
    #[serde(default)]
    pub crontab: Option<String>,
}

/// What came of a time that was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// When it was due.
    pub due: Timestamp,
    /// The run that it became, where there was one.
    pub run: Option<String>,
    /// In a word: the state of the run, or `skipped`.
    pub state: String,
    /// Why, where that is not known from a run.
    pub why: Option<String>,
}

/// The right to start runs of a project, as long as it lives.
#[derive(Debug)]
pub struct Leadership {
    _lock: Held,
}

impl Schedules {
    /// Those below the records of a project, which need not be there yet.
    #[must_use]
    pub fn new(records: &std::path::Path) -> Self {
        Self { folder: records.join("schedules") }
    }

    /// True when there was ever one.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.folder.is_dir()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.join(encoded(name))
    }

    /// All that are declared, by name; what cannot be read is told apart.
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

    /// The one of that name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, name: &str) -> io::Result<Option<Schedule>> {
        read(&self.place(name).join("schedule.json"))
    }

    /// Writes one down. What was decided of it stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, schedule: &Schedule) -> io::Result<()> {
        let place = self.place(&schedule.name);
        private::folder(&place)?;
        write(&place.join("schedule.json"), schedule)
    }

    /// Forgets one, and what was decided of it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let place = self.place(name);
        // First that it is one: whatever is left of it then starts nothing.
        remove_file(&place.join("schedule.json"))?;
        remove_file(&place.join("progress.json"))
    }

    /// What was decided of one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn progress(&self, name: &str) -> io::Result<Option<Progress>> {
        read(&self.place(name).join("progress.json"))
    }

    /// Writes down what is decided of one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn decide(&self, name: &str, progress: &Progress) -> io::Result<()> {
        let place = self.place(name);
        private::folder(&place)?;
        write(&place.join("progress.json"), progress)
    }

    /// The right to start runs, where nobody else has it.
    ///
    /// # Errors
    /// When the lock cannot be opened.
    pub fn lead(&self) -> io::Result<Option<Leadership>> {
        private::folder(&self.folder)?;
        let lock = private::file().truncate(false).write(true).open(self.folder.join("lock"))?;
        Ok(Held::of(lock)?.ok().map(|lock| Leadership { _lock: lock }))
    }
}
