//! State after the last run of a pipeline. A step may empty a database before it writes: after a failed run, the data
//! of the last good run is gone, and no folder shows that.

use super::record::{Record, State};
use super::runner::{Runner, Target};
use super::store::{Store, interrupted_publish};
use crate::executor::Place;
use crate::fingerprint::{ENGINE, Fingerprint};
use crate::paths::plain;
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

impl Store {
    /// Returns true for a run that goes on in a cluster without a process of this machine, as far as its record shows.
    pub(super) fn is_in_cluster(&self, record: &Record) -> bool {
        record.state == State::Running
            && matches!(record.place, Some(Place::Kubernetes(_)))
            && record.home == self.folder_identity()
    }

    /// Returns the last run of a pipeline. An interrupted run that is not settled yet is returned as lost, unless it goes on in
    /// its cluster.
    ///
    /// # Errors
    /// When records or the lock cannot be read.
    pub fn last_resolved(&self, folder: &str, pipeline: &str) -> io::Result<Option<Record>> {
        let Some(last) = self.last(folder, pipeline)? else { return Ok(None) };
        if last.state.is_over() || self.is_in_cluster(&last) || self.is_held(&last)? {
            return Ok(Some(last));
        }
        // It may have ended between the two reads, and the next run may have started.
        let again = self.last(folder, pipeline)?.unwrap_or_else(|| last.clone());
        let is_interrupted = again.run == last.run && !again.state.is_over();
        Ok(Some(if is_interrupted { Record { state: State::Lost, ..again } } else { again }))
    }

    /// Describes a failure of the last run of a pipeline, as a noun phrase, or that it goes on in its cluster without a process
    /// that follows it. Nothing if it succeeded, has such a process, or never started its steps. [`Store::lost_output`] reports
    /// runs that were interrupted while moving outputs.
    ///
    /// # Errors
    /// When records or the lock cannot be read.
    pub fn last_failure(&self, folder: &str, pipeline: &str) -> io::Result<Option<String>> {
        if self.last(folder, pipeline)?.is_some_and(|last| last.state == State::Publishing) {
            return Ok(None);
        }
        let Some(last) = self.last_resolved(folder, pipeline)? else { return Ok(None) };
        Ok(match last.state {
            State::Failed | State::TimedOut | State::Cancelled | State::Lost if last.has_begun => {
                Some(format!("last run did not succeed: run {} {}", last.run, last.state.predicate()))
            }
            State::Running if self.is_in_cluster(&last) && !self.is_held(&last)? => {
                let again = self.last(folder, pipeline)?;
                if again.is_none_or(|again| (again.run, again.state) != (last.run.clone(), last.state)) {
                    // It ended between the two reads, or the next run has started.
                    return self.last_failure(folder, pipeline);
                }
                Some(format!("last run may be in progress in its cluster: run {}", last.run))
            }
            _ => None,
        })
    }

    /// Describes an interruption of the last run while it moved outputs: some are new, others are from an earlier run.
    /// Nothing if that did not happen.
    ///
    /// # Errors
    /// When records or the lock cannot be read.
    pub fn partial_publish(&self, folder: &str, pipeline: &str) -> io::Result<Option<String>> {
        let Some(last) = self.last(folder, pipeline)? else { return Ok(None) };
        if last.state != State::Publishing || self.is_held(&last)? {
            return Ok(None);
        }
        // It may have ended between the two reads.
        let last = self.last(folder, pipeline)?.unwrap_or(last);
        Ok((last.state == State::Publishing).then(|| interrupted_publish(&last.run)))
    }
}

impl Runner {
    /// SQLite files that a pipeline may write into: those in its steps, and those in variables that it reads. Databases
    /// of the project have their own records.
    pub(super) fn databases_of(
        &self,
        root: &Path,
        pipeline: &Pipeline,
        fingerprint: &Fingerprint,
        variables: &BTreeMap<String, String>,
    ) -> Vec<PathBuf> {
        let in_steps = pipeline.steps.iter().filter_map(|step| step.parameters.get("engine")?.as_str());
        let is_relevant = |name: &&String| name.as_str() != ENGINE || self.target == Target::Variable;
        let in_variables = fingerprint.variables.keys().filter(is_relevant).filter_map(|name| variables.get(name));
        let files = in_steps.chain(in_variables.map(String::as_str)).filter_map(file_of);
        let mut found: Vec<PathBuf> = files.map(|file| plain(&root.join(&pipeline.folder).join(file))).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// File of a SQLAlchemy address: `sqlite:////absolute.db`, `sqlite+pysqlite:///relative.db?mode=rw`.
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
    fn sqlite_addresses_name_their_file() {
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
