//! Storage of run records, and the locks of pipelines.
//!
//! Below the project's `.terrace/pipelines`, each run has a folder (`runs/ID`: `run.json`, `log.jsonl`, `rows`), and each
//! pipeline has one (`pipelines/NAME`: the lock, its holder, the last run, and the last successful run). Files are
//! written atomically by renaming. The lock is one of the operating system: it ends with the process of its holder, so
//! nothing is left to remove after a crash.
//!
//! A pipeline has one identity, independent of the folder in which its spec was found. Paths in records are relative to
//! the project: a moved project keeps its results, and a copy has its own. Only a run in progress belongs to the
//! process that started it.

use super::live_rows::rows_so_far;
use super::record::Record;
use crate::file_lock::FileLock;
use crate::files::{encoded, encoded_beginning, read, remove, remove_file, write};
use crate::private;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// Interval between attempts to get a lock.
const POLL: Duration = Duration::from_millis(100);
/// Minimum number of attempts, since a check of the lock holds it for a moment.
const MIN_TRIES: u32 = 2;
/// Name of a pipeline's record.
const PIPELINE_RECORD: &str = "pipeline.json";
/// Name of the list of a pipeline's runs, with one id per line.
const RUNS: &str = "runs";
/// File of a requested stop, with the principal that requested it.
const STOP: &str = "stop";
/// Number of runs that are kept for each pipeline.
const MAX_RUNS: usize = 20;

/// Records of a project.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// Right to run a pipeline, which ends on drop.
#[derive(Debug)]
pub struct PipelineLock {
    _lock: FileLock,
    folder: PathBuf,
}

/// Reason why the lock is not available.
#[derive(Debug)]
pub enum LockError {
    /// A run of the pipeline is in progress.
    InProgress {
        /// The run, if known.
        run: Option<String>,
    },
    /// The wait was cancelled.
    Cancelled,
    /// A file cannot be created or read.
    Io(io::Error),
}

impl Store {
    /// Records in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Folder of the records.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder of a run.
    #[must_use]
    pub fn run_folder(&self, run: &str) -> PathBuf {
        self.folder.join("runs").join(encoded(run))
    }

    /// Folder of a pipeline, independent of the folder in which its spec was found.
    fn pipeline_folder(&self, folder: &str, pipeline: &str) -> PathBuf {
        let name = pipeline.strip_prefix("./").unwrap_or(pipeline);
        match (folder, name.rsplit_once('/')) {
            (_, None) => self.spec_folder(folder, name),
            (".", Some((within, name))) => self.spec_folder(within, name),
            (folder, Some((within, name))) => self.spec_folder(&format!("{folder}/{within}"), name),
        }
    }

    /// Folder of a pipeline by the folder in which its spec was found.
    fn spec_folder(&self, folder: &str, pipeline: &str) -> PathBuf {
        let name = pipeline.strip_prefix("./").unwrap_or(pipeline);
        self.folder.join("pipelines").join(encoded(&format!("{name}@{folder}")))
    }

    /// Returns true for a run of this pipeline.
    #[must_use]
    pub fn is_run_of(&self, record: &Record, folder: &str, pipeline: &str) -> bool {
        self.is_same_pipeline((&record.folder, &record.pipeline), (folder, pipeline))
    }

    /// Returns true if two pairs of folder and id name the same pipeline.
    #[must_use]
    pub fn is_same_pipeline(&self, one: (&str, &str), other: (&str, &str)) -> bool {
        self.pipeline_folder(one.0, one.1) == self.pipeline_folder(other.0, other.1)
    }

    /// Project folder, which contains the records.
    fn project(&self) -> &Path {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder)
    }

    /// Reads a record, with paths in this project.
    fn record(&self, path: &Path) -> io::Result<Option<Record>> {
        let record: Option<Record> = read(path)?;
        Ok(record.map(|mut record| {
            if !record.state.is_over() {
                record.rows = record.rows.max(rows_so_far(&self.run_folder(&record.run)));
            }
            record.with_paths(|path| self.project().join(path))
        }))
    }

    /// Identity of this folder of records, by inode and creation time. It differs in a copy, and stays the same after a
    /// move.
    #[must_use]
    pub fn folder_identity(&self) -> Option<String> {
        let metadata = fs::metadata(&self.folder).ok()?;
        let created = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Some(format!("{}-{}", metadata.ino(), created.as_nanos()))
    }

    /// Returns the run with exactly this id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn exact_run(&self, id: &str) -> io::Result<Option<Record>> {
        Ok(self.record(&self.run_folder(id).join("run.json"))?.filter(|record| record.run == id))
    }

    /// Returns the run with this id, or the only one whose id starts with it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn run(&self, run: &str) -> io::Result<Option<Record>> {
        if let Some(record) = self.record(&self.run_folder(run).join("run.json"))? {
            return Ok(Some(record));
        }
        let mut matching = self.ids()?.into_iter().filter(|id| !run.is_empty() && id.starts_with(run));
        match (matching.next(), matching.next()) {
            (Some(id), None) => self.record(&self.run_folder(&id).join("run.json")),
            _ => Ok(None),
        }
    }

    /// Ids of all runs, oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.folder.join("runs")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// Ids of the runs of all pipelines whose id ends with the same name, oldest first. One id names several pipelines in
    /// different folders of specs, and the folders of their records have the name in common.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn ids_of(&self, pipeline: &str) -> io::Result<Vec<String>> {
        let name = pipeline.strip_prefix("./").unwrap_or(pipeline);
        let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
        let beginning = encoded_beginning(&format!("{name}@"));
        let mut ids = Vec::new();
        for folder in self.pipeline_folders()? {
            if folder.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&beginning)) {
                ids.extend(listed_runs(&folder)?);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Last run of a pipeline.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last(&self, folder: &str, pipeline: &str) -> io::Result<Option<Record>> {
        self.record(&self.pipeline_folder(folder, pipeline).join("last.json"))
    }

    /// Last successful run of a pipeline.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn succeeded(&self, folder: &str, pipeline: &str) -> io::Result<Option<Record>> {
        self.record(&self.pipeline_folder(folder, pipeline).join("succeeded.json"))
    }

    /// Record of a pipeline.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pipeline_record<T: DeserializeOwned>(&self, folder: &str, pipeline: &str) -> io::Result<Option<T>> {
        read(&self.spec_folder(folder, pipeline).join(PIPELINE_RECORD))
    }

    /// Writes the record of a pipeline.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_pipeline_record<T: serde::Serialize>(
        &self,
        folder: &str,
        pipeline: &str,
        record: &T,
    ) -> io::Result<()> {
        let place = self.spec_folder(folder, pipeline);
        private::folder(&place)?;
        write(&place.join(PIPELINE_RECORD), record)
    }

    /// Removes the record of a pipeline; its runs stay.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_pipeline_record(&self, folder: &str, pipeline: &str) -> io::Result<()> {
        match fs::remove_file(self.spec_folder(folder, pipeline).join(PIPELINE_RECORD)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the record of a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        let (run, pipeline) = (self.run_folder(&record.run), self.pipeline_folder(&record.folder, &record.pipeline));
        private::folder(&run)?;
        private::folder(&pipeline)?;
        let within = |path: &Path| path.strip_prefix(self.project()).unwrap_or(path).to_path_buf();
        let record = &record.clone().with_paths(within);
        self.note_end(record)?;
        // The run's own record comes last: while it is unfinished, the run is settled again.
        if record.state == super::State::Succeeded && self.is_newest(record, &pipeline.join("succeeded.json"))? {
            write(&pipeline.join("succeeded.json"), record)?;
        }
        if self.is_newest(record, &pipeline.join("last.json"))? {
            write(&pipeline.join("last.json"), record)?;
        }
        write(&run.join("run.json"), record)
    }

    /// Returns true unless this file has a later run. A run that a cluster started may be recorded after later ones.
    fn is_newest(&self, record: &Record, path: &Path) -> io::Result<bool> {
        let newest = if record.scheduled_job.is_some() { self.record(path)? } else { None };
        Ok(newest.is_none_or(|newest| newest.run <= record.run))
    }

    /// Reason why outputs of a run no longer exist; nothing if all exist.
    ///
    /// # Errors
    /// When records cannot be read.
    pub fn lost_output(&self, record: &Record) -> io::Result<Option<String>> {
        let place = self.pipeline_folder(&record.folder, &record.pipeline);
        if let Some(run) = current_run(&place) {
            let unfinished = self.record(&self.run_folder(&run).join("run.json"))?;
            if unfinished.is_some_and(|unfinished| unfinished.state == super::State::Publishing) {
                return Ok(Some(interrupted_publish(&run)));
            }
        }
        if let Some(lost) = lost_database(record) {
            return Ok(Some(lost));
        }
        if record.fingerprint.claim.is_some() {
            // This machine does not see a claim.
            return Ok(None);
        }
        let mut others = None;
        for output in &record.outputs {
            for file in output.missing_files() {
                if others.is_none() {
                    others = Some(self.other_successes(record)?);
                }
                // A file that another pipeline processed later belongs to that pipeline.
                let is_overwritten = others.iter().flatten().any(|other| {
                    other.started_at > record.started_at
                        && other.outputs.iter().any(|it| it.place == output.place && it.files.contains_key(file))
                });
                if !is_overwritten {
                    let path = output.place.join(file);
                    return Ok(Some(format!("its output is missing or changed: `{}`", path.display())));
                }
            }
        }
        Ok(None)
    }

    /// Last successful runs of all other pipelines.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn other_successes(&self, record: &Record) -> io::Result<Vec<Record>> {
        let mut others = Vec::new();
        for entry in fs::read_dir(self.folder.join("pipelines"))? {
            let other = self.record(&entry?.path().join("succeeded.json"))?;
            let is_other = |other: &Record| !self.is_run_of(other, &record.folder, &record.pipeline);
            others.extend(other.filter(is_other));
        }
        Ok(others)
    }

    /// Removes the last successful run of a pipeline.
    pub(super) fn forget_success(&self, folder: &str, pipeline: &str) -> io::Result<()> {
        remove_file(&self.pipeline_folder(folder, pipeline).join("succeeded.json"))
    }

    /// Removes all records of a pipeline's runs; its outputs stay.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, folder: &str, pipeline: &str) -> io::Result<()> {
        for run in self.runs_of(folder, pipeline)? {
            remove(&self.run_folder(&run))?;
        }
        let place = self.pipeline_folder(folder, pipeline);
        ["last.json", "succeeded.json", RUNS].into_iter().try_for_each(|name| remove_file(&place.join(name)))
    }

    /// Removes the oldest runs of a pipeline beyond the limit.
    ///
    /// # Errors
    /// When they cannot be listed or removed.
    pub fn prune(&self, folder: &str, pipeline: &str) -> io::Result<()> {
        let runs = self.runs_of(folder, pipeline)?;
        let succeeded = self.succeeded(folder, pipeline)?.map(|record| record.run);
        let surplus = runs.len().saturating_sub(MAX_RUNS);
        if surplus == 0 {
            return Ok(());
        }
        let (old, recent) = runs.split_at(surplus);
        // If the queue cannot be read, keep all.
        let Some(unreported) = crate::queue::unreported_records(&self.folder) else { return Ok(()) };
        let is_old = |run: &&String| Some(*run) != succeeded.as_ref() && !unreported.contains(*run);
        let (old, needed): (Vec<&String>, Vec<&String>) = old.iter().partition(is_old);
        for run in old {
            remove(&self.run_folder(run))?;
        }
        let list: String = needed.into_iter().chain(recent).map(|run| format!("{run}\n")).collect();
        let path = self.pipeline_folder(folder, pipeline).join(RUNS);
        let partial = path.with_extension("partial");
        fs::write(&partial, list).and_then(|()| fs::rename(partial, path))
    }

    /// The run of the pipeline before this one.
    pub(super) fn previous(&self, record: &Record) -> io::Result<Option<Record>> {
        let runs = self.runs_of(&record.folder, &record.pipeline)?;
        let before = runs.iter().take_while(|run| **run != record.run).last();
        before.map_or(Ok(None), |run| self.run(run))
    }

    /// The newest run of a pipeline with this mark.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn marked(&self, folder: &str, pipeline: &str, mark: &str) -> io::Result<Option<Record>> {
        for run in self.runs_of(folder, pipeline)?.iter().rev() {
            if let Some(record) = self.run(run)?.filter(|record| record.mark.as_deref() == Some(mark)) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The run with this mark, if it is the last run of its pipeline.
    ///
    /// # Errors
    /// When the pipelines cannot be listed, or a record cannot be read.
    pub fn last_marked(&self, mark: &str) -> io::Result<Option<Record>> {
        self.last_where(|record| record.mark.as_deref() == Some(mark))
    }

    /// As [`Store::run`], and finds a run whose process died before it wrote the run's own record, after that of the pipeline.
    /// A user removes the folder of a run whose cluster is gone.
    pub(super) fn run_or_last(&self, run: &str) -> io::Result<Option<Record>> {
        match self.run(run)? {
            None if self.run_folder(run).is_dir() => self.last_where(|record| record.run == run),
            found => Ok(found),
        }
    }

    /// The last run of a pipeline that meets a condition.
    fn last_where(&self, is_meant: impl Fn(&Record) -> bool) -> io::Result<Option<Record>> {
        for folder in self.pipeline_folders()? {
            if let Some(record) = self.record(&folder.join("last.json"))?.filter(&is_meant) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Ids of a pipeline's runs, oldest first.
    pub(super) fn runs_of(&self, folder: &str, pipeline: &str) -> io::Result<Vec<String>> {
        listed_runs(&self.pipeline_folder(folder, pipeline))
    }

    /// Ids of the last run that held the lock of each pipeline, if it did not end.
    ///
    /// # Errors
    /// When the pipelines cannot be listed.
    pub(super) fn unfinished_runs(&self) -> io::Result<Vec<String>> {
        Ok(self.pipeline_folders()?.iter().filter_map(|folder| current_run(folder)).collect())
    }

    /// Folders of all pipelines.
    fn pipeline_folders(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.folder.join("pipelines")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    }

    /// Waits for a pipeline's lock, at most for `timeout`.
    ///
    /// # Errors
    /// When another run of it is in progress, or a file cannot be created.
    pub async fn lock_pipeline(
        &self,
        folder: &str,
        pipeline: &str,
        timeout: Duration,
        cancel: &CancellationToken,
    ) -> Result<PipelineLock, LockError> {
        let place = self.pipeline_folder(folder, pipeline);
        private::folder(&place).map_err(LockError::Io)?;
        let path = place.join("lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let mut file = open.map_err(LockError::Io)?;
        let started = tokio::time::Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            file = match FileLock::try_lock(file).map_err(LockError::Io)? {
                Ok(lock) => return Ok(PipelineLock { _lock: lock, folder: place }),
                Err(_) if started.elapsed() >= timeout && tries >= MIN_TRIES => {
                    return Err(LockError::InProgress { run: current_run(&place) });
                }
                Err(file) => file,
            };
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => return Err(LockError::Cancelled),
            }
        }
    }

    /// Returns true while a process runs or prepares the pipeline of this record.
    ///
    /// # Errors
    /// When the lock cannot be checked.
    pub fn is_held(&self, record: &Record) -> io::Result<bool> {
        let path = self.pipeline_folder(&record.folder, &record.pipeline).join("lock");
        let file = match File::options().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        // A shared lock does not block runs.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Requests to stop a run, for a principal if it is known. The first known principal stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn request_stop(&self, run: &str, by: Option<&str>) -> io::Result<()> {
        if self.stop_requester(run).is_some() {
            return Ok(());
        }
        fs::write(self.run_folder(run).join(STOP), by.unwrap_or_default())
    }

    /// Returns true if a stop of the run is requested.
    #[must_use]
    pub fn is_stop_requested(&self, run: &str) -> bool {
        self.run_folder(run).join(STOP).exists()
    }

    /// Principal that requested to stop the run, if known.
    #[must_use]
    pub fn stop_requester(&self, run: &str) -> Option<String> {
        fs::read_to_string(self.run_folder(run).join(STOP)).ok().filter(|principal| !principal.is_empty())
    }
}

impl PipelineLock {
    /// Returns the last run that held the lock, if it did not end.
    #[must_use]
    pub fn unfinished_run(&self) -> Option<String> {
        current_run(&self.folder)
    }

    /// Adds a run to the list of the pipeline's runs, once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn add_run(&self, run: &str) -> io::Result<()> {
        let mut runs = File::options().create(true).read(true).append(true).open(self.folder.join(RUNS))?;
        let mut listed = String::new();
        runs.read_to_string(&mut listed)?;
        // A crash may have come between this entry and the record of the run.
        if listed.lines().any(|line| line == run) {
            return Ok(());
        }
        writeln!(runs, "{run}")
    }

    /// Records the run that holds the lock; `None` at its end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_current_run(&self, run: Option<&str>) -> io::Result<()> {
        let path = self.folder.join("current");
        match run {
            Some(run) => {
                self.add_run(run)?;
                let partial = self.folder.join("current.partial");
                fs::write(&partial, run)?;
                fs::rename(partial, path)
            }
            None => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }
}

/// Ids in the list of runs of a pipeline's folder, oldest first.
fn listed_runs(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(folder.join(RUNS)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn current_run(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("current")).ok().filter(|run| !run.is_empty())
}

/// Message for a run that was interrupted while it moved outputs.
pub(super) fn interrupted_publish(run: &str) -> String {
    format!("run {run} was interrupted while it moved its outputs into place")
}

/// Message for a database of a good run that no longer exists; nothing if all exist. A recreated file is not detected:
/// another pipeline may have created it.
fn lost_database(record: &Record) -> Option<String> {
    let gone = record.databases.iter().find(|database| !database.is_file())?;
    Some(format!("its database was removed: `{}`", gone.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipeline_identity_does_not_depend_on_folder() {
        let store = Store::new("/project/.terrace/pipelines".into());
        let one = store.pipeline_folder(".", "./a/b/x");
        assert_eq!(
            [store.pipeline_folder("a", "./b/x"), store.pipeline_folder("a/b", "./x")],
            [one.clone(), one.clone()]
        );
        for other in [(".", "./x"), ("b", "./x"), (".", "./a/x"), ("a/b/x", "./x"), (".", "./a/b/X")] {
            assert_ne!(store.pipeline_folder(other.0, other.1), one, "{other:?}");
        }
    }

    #[tokio::test]
    async fn runs_are_listed_by_the_id_of_their_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        assert_eq!(store.ids_of("./x").unwrap(), Vec::<String>::new());
        let long = format!("./{}", "é".repeat(60));
        let runs = [(".", "./a/x", "3"), ("b", "./x", "1"), (".", "./xx", "4"), (".", long.as_str(), "2")];
        for (folder, pipeline, run) in runs {
            let cancel = CancellationToken::new();
            let lock = store.lock_pipeline(folder, pipeline, Duration::ZERO, &cancel).await.unwrap();
            lock.add_run(run).unwrap();
        }
        for id in ["./x", "x", "./a/x"] {
            assert_eq!(store.ids_of(id).unwrap(), ["1", "3"], "{id}");
        }
        assert_eq!(store.ids_of(&long).unwrap(), ["2"]);
    }

    #[tokio::test]
    async fn turn_is_exclusive_and_shows_unfinished_run() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let cancel = CancellationToken::new();
        let pipeline_lock = store.lock_pipeline(".", "./x", Duration::ZERO, &cancel).await.unwrap();
        pipeline_lock.set_current_run(Some("run-1")).unwrap();
        let refused = store.lock_pipeline(".", "./x", Duration::ZERO, &cancel).await.unwrap_err();
        assert!(matches!(refused, LockError::InProgress { run: Some(run) } if run == "run-1"));
        store.lock_pipeline(".", "./y", Duration::ZERO, &cancel).await.unwrap();
        drop(pipeline_lock);
        let pipeline_lock = store.lock_pipeline(".", "./x", Duration::ZERO, &cancel).await.unwrap();
        assert_eq!(pipeline_lock.unfinished_run().as_deref(), Some("run-1"));
        pipeline_lock.set_current_run(None).unwrap();
        assert_eq!(pipeline_lock.unfinished_run(), None);
    }
}
