//! How the last run of a pipeline left things. A step that writes into a database may empty it first: where a run did not end
//! well, what the last good one wrote there is not what is there, and no folder tells.

use super::due::{ENGINE, Target};
use super::record::{Record, State};
use super::single::Runner;
use super::store::Store;
use crate::fingerprint::{Fingerprint, plain};
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

impl Store {
    /// The last run of a pipeline as it stands: one that was cut off is recorded as it was then until somebody settles it, and
    /// is lost all the same.
    ///
    /// # Errors
    /// When records or the lock cannot be read.
    pub fn last_as_it_stands(&self, folder: &str, pipeline: &str) -> io::Result<Option<Record>> {
        let Some(last) = self.last(folder, pipeline)? else { return Ok(None) };
        if last.state.is_over() || self.is_held(&last)? {
            return Ok(Some(last));
        }
        // It may have ended between the two looks, and the next one may have begun.
        let again = self.last(folder, pipeline)?.unwrap_or_else(|| last.clone());
        let is_cut_off = again.run == last.run && !again.state.is_over();
        Ok(Some(if is_cut_off { Record { state: State::Lost, ..again } } else { again }))
    }

    /// How the last run of a pipeline did not end well, after its name; nothing where it did, goes on, or never began its
    /// steps. What was cut off while what it wrote was put in its place [`Store::lost`] tells.
    ///
    /// # Errors
    /// When records or the lock cannot be read.
    pub fn unwell(&self, folder: &str, pipeline: &str) -> io::Result<Option<String>> {
        if self.last(folder, pipeline)?.is_some_and(|last| last.state == State::Publishing) {
            return Ok(None);
        }
        let Some(last) = self.last_as_it_stands(folder, pipeline)? else { return Ok(None) };
        let is_unwell = match last.state {
            State::Failed | State::TimedOut | State::Cancelled | State::Lost => last.has_begun,
            State::Preparing | State::Running | State::Publishing | State::Succeeded => false,
        };
        let how = || format!("last run did not end well: run {} {}", last.run, last.state.in_words());
        Ok(is_unwell.then(how))
    }

    /// How the last run of a pipeline was cut off while what it wrote was put in its place, after its name: some of that is
    /// there, and some is what an earlier one wrote. Nothing where it was not.
    ///
    /// # Errors
    /// When records or the lock cannot be read.
    pub fn half_in_place(&self, folder: &str, pipeline: &str) -> io::Result<Option<String>> {
        let Some(last) = self.last(folder, pipeline)? else { return Ok(None) };
        if last.state != State::Publishing || self.is_held(&last)? {
            return Ok(None);
        }
        // It may have ended between the two looks.
        let last = self.last(folder, pipeline)?.unwrap_or(last);
        Ok((last.state == State::Publishing).then(|| cut_off(&last.run)))
    }
}

/// What is told of a run that was cut off while files were moved.
pub(super) fn cut_off(run: &str) -> String {
    format!("run {run} was cut off while what it wrote was put in its place")
}

/// Why a database that a good run wrote into is not there any more; nothing where all are. A file that was made anew since
/// may be what another pipeline made of it: that is told by nobody.
pub(super) fn lost_database(record: &Record) -> Option<String> {
    let gone = record.databases.iter().find(|database| !database.is_file())?;
    Some(format!("the database that it wrote into is gone: `{}`", gone.display()))
}

impl Runner {
    /// The files of SQLite that a pipeline may write into: those that its steps name, and those that the variables lead to
    /// that it looks at. What becomes of databases of the project the records of those tell.
    pub(super) fn databases_of(
        &self,
        root: &Path,
        pipeline: &Pipeline,
        fingerprint: &Fingerprint,
        variables: &BTreeMap<String, String>,
    ) -> Vec<PathBuf> {
        let said = pipeline.steps.iter().filter_map(|step| step.parameters.get("engine")?.as_str());
        let is_looked_at = |name: &&String| name.as_str() != ENGINE || self.target == Target::Variable;
        let held = fingerprint.variables.keys().filter(is_looked_at).filter_map(|name| variables.get(name));
        let files = said.chain(held.map(String::as_str)).filter_map(file_of);
        let mut found: Vec<PathBuf> = files.map(|file| plain(&root.join(&pipeline.folder).join(file))).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// The file that an address of SQLAlchemy leads to: `sqlite:////absolute.db`, `sqlite+pysqlite:///relative.db?mode=rw`.
fn file_of(address: &str) -> Option<&str> {
    let (scheme, rest) = address.split_once(":///")?;
    let is_sqlite = scheme == "sqlite" || scheme.starts_with("sqlite+");
    let file = rest.split_once('?').map_or(rest, |(file, _)| file);
    (is_sqlite && !file.is_empty() && file != ":memory:").then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_files_lead_to_them() {
        for (address, file) in [
            ("sqlite:////d/x.db", Some("/d/x.db")),
            ("sqlite:///x.db?mode=rw", Some("x.db")),
            ("sqlite+pysqlite:///x.db", Some("x.db")),
            ("sqlite:///:memory:", None),
            ("sqlite://", None),
            ("postgresql:///d", None),
        ] {
            assert_eq!(file_of(address), file, "{address}");
        }
    }
}
