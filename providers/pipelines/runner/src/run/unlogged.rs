//! Ends of runs that CronJobs started and that the usage log of a server lacks.
//!
//! The server of a project begins to collect them, in the folder `unlogged` below the records. From then on, each process that
//! records such an end first writes an entry there, so that a kill loses none. The entry has the facts of the end: the record
//! may be removed before the log has them. The server removes the entry once its log has the end. Projects without a server
//! collect nothing.

use super::record::Record;
use super::runner::Runner;
use super::store::Store;
use crate::executor::Failed;
use crate::files::{encoded, read, remove_file, write};
use crate::fingerprint::Fingerprint;
use crate::private;
use std::fs;
use std::io;
use std::path::PathBuf;
use uuid::Uuid;

/// Name of the file that states that ends of the records before it have entries.
const COMPLETE: &str = "complete";

impl Runner {
    /// At most `most` ends of runs that CronJobs started and that the usage log lacks, oldest first. The first call of a project
    /// with schedules begins to collect them.
    ///
    /// # Errors
    /// When they cannot be read or written.
    pub fn unlogged_ends(&self, most: usize) -> io::Result<Vec<Record>> {
        if !self.schedules().has_any() {
            return Ok(Vec::new());
        }
        self.store.collect_ends()?;
        self.store.unlogged_ends(most)
    }
}

impl Store {
    fn unlogged_folder(&self) -> PathBuf {
        self.folder().join("unlogged")
    }

    /// Begins to collect ends, with those of the present records.
    fn collect_ends(&self) -> io::Result<()> {
        let folder = self.unlogged_folder();
        if folder.join(COMPLETE).exists() {
            return Ok(());
        }
        // Other processes write entries as soon as the folder exists, so that no end falls between.
        private::folder(&folder)?;
        for run in self.ids()? {
            if let Ok(Some(record)) = self.run(&run) {
                self.note_end(&record)?;
            }
        }
        write(&folder.join(COMPLETE), &true)
    }

    /// Writes an entry for the end of a run that a CronJob started; nothing for other records, and without a server.
    pub(super) fn note_end(&self, record: &Record) -> io::Result<()> {
        let folder = self.unlogged_folder();
        if record.scheduled_job.is_none() || !record.state.is_over() || !folder.is_dir() {
            return Ok(());
        }
        let stats = record.stats.get_key_value("bytes").map(|(name, bytes)| (name.clone(), bytes.clone()));
        let failure = record.failure.as_ref();
        let end = Record {
            stats: stats.into_iter().collect(),
            failure: failure.map(|failure| Failed { log: Vec::new(), ..failure.clone() }),
            reasons: Vec::new(),
            fingerprint: Fingerprint::default(),
            outputs: Vec::new(),
            ..record.clone()
        };
        write(&folder.join(encoded(&record.run)), &end)
    }

    fn unlogged_ends(&self, most: usize) -> io::Result<Vec<Record>> {
        let names = fs::read_dir(self.unlogged_folder())?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        // Other files are incomplete.
        let mut runs: Vec<&str> = names.iter().filter_map(|name| name.to_str()).filter(|name| is_run(name)).collect();
        runs.sort_unstable();
        let ends = runs.into_iter().take(most).map(|run| read(&self.unlogged_folder().join(run)));
        // Another server may have logged an end meanwhile.
        ends.filter_map(Result::transpose).collect()
    }

    /// Removes the entry of an end that the usage log has.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn mark_end_logged(&self, run: &str) -> io::Result<()> {
        remove_file(&self.unlogged_folder().join(encoded(run)))
    }
}

fn is_run(name: &str) -> bool {
    Uuid::parse_str(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::State;
    use serde_json::json;

    fn id(number: usize) -> String {
        format!("00000000-0000-7000-8000-{number:012}")
    }

    fn record(number: usize, state: State, job: Option<&str>) -> Record {
        Record {
            state,
            stats: [("bytes".to_owned(), json!(9)), ("large".to_owned(), json!("x"))].into_iter().collect(),
            scheduled_job: job.map(str::to_owned),
            ..Record::new(&id(number), (".", "./x"), Vec::new(), Fingerprint::default())
        }
    }

    fn runs(store: &Store) -> Vec<String> {
        store.unlogged_ends(9).unwrap().into_iter().map(|record| record.run).collect()
    }

    #[test]
    fn each_end_has_an_entry_until_it_is_logged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        store.write(&record(3, State::Failed, Some("job-3"))).unwrap();
        assert!(!folder.path().join("unlogged").exists(), "a project without a server collects nothing");
        store.collect_ends().unwrap();
        assert_eq!(runs(&store), [id(3)], "an earlier end");
        store.write(&record(1, State::Succeeded, Some("job-1"))).unwrap();
        store.write(&record(2, State::Running, Some("job-2"))).unwrap();
        store.write(&record(4, State::Succeeded, None)).unwrap();
        fs::remove_dir_all(store.run_folder(&id(1))).unwrap();
        assert_eq!(runs(&store), [id(1), id(3)]);
        let ends = store.unlogged_ends(1).unwrap();
        assert_eq!((ends.len(), &ends[0].stats), (1, json!({"bytes": 9}).as_object().unwrap()));
        store.mark_end_logged(&id(3)).unwrap();
        store.collect_ends().unwrap();
        assert_eq!(runs(&store), [id(1)], "a logged end is not collected again");
    }

    #[test]
    fn entry_comes_before_the_record_of_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        store.write(&record(1, State::Running, Some("job-1"))).unwrap();
        store.collect_ends().unwrap();
        // A folder in place of the entry, which therefore cannot be written.
        let blocker = folder.path().join("unlogged").join(id(1));
        fs::create_dir(&blocker).unwrap();
        store.write(&record(1, State::Succeeded, Some("job-1"))).unwrap_err();
        assert_eq!(store.run(&id(1)).unwrap().unwrap().state, State::Running, "it is settled again");
        fs::remove_dir(&blocker).unwrap();
        store.write(&record(1, State::Succeeded, Some("job-1"))).unwrap();
        assert_eq!(runs(&store), [id(1)]);
    }
}
