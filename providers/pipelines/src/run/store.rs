//! Where runs are recorded, and who may run a pipeline.
//!
//! Below the project's `.terrace/pipelines` there is a folder for each run (`runs/ID`: `run.json`, `log.jsonl`) and one for
//! each pipeline (`pipelines/NAME`: the lock, the run that holds it, the last run and the last that succeeded). Files are
//! written beside their place and renamed. The lock is one of the operating system: it goes with the process that holds
//! it, so nobody has to take it away after a crash.
//!
//! A pipeline is one, from whichever folder its spec was found. Paths in records are relative to the project: a project that
//! is moved has its results still, and a copy has results of its own. Only a run that goes on is its maker's.

use super::files::remove;
pub(crate) use super::files::{encoded, read, remove_file, write};
use super::record::Record;
use crate::held::Held;
use crate::private;
use serde::de::DeserializeOwned;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// How often somebody else's run is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Who only looks holds the lock for a moment: it is tried so often at least.
const LEAST_TRIES: u32 = 2;
/// What is known of a pipeline.
const KNOWN: &str = "pipeline.json";
/// The list of a pipeline's runs, one a line.
const RUNS: &str = "runs";
/// So many runs of a pipeline are kept.
const KEPT: usize = 20;

/// The records of a project.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// The right to run a pipeline, as long as it lives.
#[derive(Debug)]
pub struct Turn {
    _lock: Held,
    folder: PathBuf,
}

/// Why there is no turn.
#[derive(Debug)]
pub enum NoTurn {
    /// A run of the pipeline is under way.
    Taken {
        /// The run, where it is known.
        run: Option<String>,
    },
    /// Somebody wants to stop.
    Cancelled,
    /// A file cannot be made or read.
    Io(io::Error),
}

impl Store {
    /// The records in this folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder of the records.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a run.
    #[must_use]
    pub fn run_folder(&self, run: &str) -> PathBuf {
        self.folder.join("runs").join(encoded(run))
    }

    /// The folder of a pipeline, which is the same from whichever folder its spec is found.
    fn pipeline_folder(&self, folder: &str, pipeline: &str) -> PathBuf {
        let name = pipeline.strip_prefix("./").unwrap_or(pipeline);
        match (folder, name.rsplit_once('/')) {
            (_, None) => self.seen_folder(folder, name),
            (".", Some((within, name))) => self.seen_folder(within, name),
            (folder, Some((within, name))) => self.seen_folder(&format!("{folder}/{within}"), name),
        }
    }

    /// The folder of a pipeline as it is found from this folder.
    fn seen_folder(&self, folder: &str, pipeline: &str) -> PathBuf {
        let name = pipeline.strip_prefix("./").unwrap_or(pipeline);
        self.folder.join("pipelines").join(encoded(&format!("{name}@{folder}")))
    }

    /// True for a run of this pipeline.
    #[must_use]
    pub fn is_of(&self, record: &Record, folder: &str, pipeline: &str) -> bool {
        self.is_one((&record.folder, &record.pipeline), (folder, pipeline))
    }

    /// True where two folders, each with the id of a pipeline in it, mean one pipeline.
    #[must_use]
    pub fn is_one(&self, one: (&str, &str), other: (&str, &str)) -> bool {
        self.pipeline_folder(one.0, one.1) == self.pipeline_folder(other.0, other.1)
    }

    /// The project, below which the records are.
    fn project(&self) -> &Path {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder)
    }

    /// A record, its paths as they are here.
    fn record(&self, path: &Path) -> io::Result<Option<Record>> {
        let record: Option<Record> = read(path)?;
        Ok(record.map(|record| record.with_paths(|path| self.project().join(path))))
    }

    /// What tells this folder of records from a copy of it: a copy is another file, and was made later. One that was moved is
    /// what it was.
    pub(super) fn home(&self) -> Option<String> {
        let metadata = fs::metadata(&self.folder).ok()?;
        let made = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Some(format!("{}-{}", metadata.ino(), made.as_nanos()))
    }

    /// The run of that id, or of the only one whose id begins so.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn run(&self, run: &str) -> io::Result<Option<Record>> {
        if let Some(record) = self.record(&self.run_folder(run).join("run.json"))? {
            return Ok(Some(record));
        }
        let mut begun = self.ids()?.into_iter().filter(|id| !run.is_empty() && id.starts_with(run));
        match (begun.next(), begun.next()) {
            (Some(id), None) => self.record(&self.run_folder(&id).join("run.json")),
            _ => Ok(None),
        }
    }

    /// The ids of all runs, the oldest first.
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

    /// The last run of a pipeline.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last(&self, folder: &str, pipeline: &str) -> io::Result<Option<Record>> {
        self.record(&self.pipeline_folder(folder, pipeline).join("last.json"))
    }

    /// The last run of a pipeline that succeeded.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn succeeded(&self, folder: &str, pipeline: &str) -> io::Result<Option<Record>> {
        self.record(&self.pipeline_folder(folder, pipeline).join("succeeded.json"))
    }

    /// What is known of a pipeline, as somebody wrote it down.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn known<T: DeserializeOwned>(&self, folder: &str, pipeline: &str) -> io::Result<Option<T>> {
        read(&self.seen_folder(folder, pipeline).join(KNOWN))
    }

    /// Writes down what is known of a pipeline.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make_known<T: serde::Serialize>(&self, folder: &str, pipeline: &str, known: &T) -> io::Result<()> {
        let place = self.seen_folder(folder, pipeline);
        private::folder(&place)?;
        write(&place.join(KNOWN), known)
    }

    /// Forgets what was written down of a pipeline; its runs stay.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn make_unknown(&self, folder: &str, pipeline: &str) -> io::Result<()> {
        match fs::remove_file(self.seen_folder(folder, pipeline).join(KNOWN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Records a run as it is now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        let (run, pipeline) = (self.run_folder(&record.run), self.pipeline_folder(&record.folder, &record.pipeline));
        private::folder(&run)?;
        private::folder(&pipeline)?;
        let within = |path: &Path| path.strip_prefix(self.project()).unwrap_or(path).to_path_buf();
        let record = &record.clone().with_paths(within);
        // The run's own record last: as long as it says that the run goes on, it is settled again.
        if record.state == super::State::Succeeded {
            write(&pipeline.join("succeeded.json"), record)?;
        }
        write(&pipeline.join("last.json"), record)?;
        write(&run.join("run.json"), record)
    }

    /// Why what a pipeline's last good run wrote is not there any more; nothing where it is.
    ///
    /// # Errors
    /// When records cannot be read.
    pub fn lost(&self, record: &Record) -> io::Result<Option<String>> {
        let place = self.pipeline_folder(&record.folder, &record.pipeline);
        if let Some(run) = holder(&place) {
            let unfinished = self.record(&self.run_folder(&run).join("run.json"))?;
            if unfinished.is_some_and(|unfinished| unfinished.state == super::State::Publishing) {
                return Ok(Some(super::standing::cut_off(&run)));
            }
        }
        if let Some(lost) = super::standing::lost_database(record) {
            return Ok(Some(lost));
        }
        let mut others = None;
        for output in &record.outputs {
            for file in output.lost() {
                if others.is_none() {
                    others = Some(self.others(record)?);
                }
                // What another pipeline works on further is its result by now.
                let is_others = others.iter().flatten().any(|other| {
                    other.started_at > record.started_at
                        && other.outputs.iter().any(|it| it.place == output.place && it.files.contains_key(file))
                });
                if !is_others {
                    let path = output.place.join(file);
                    return Ok(Some(format!("what it wrote is gone, or another: `{}`", path.display())));
                }
            }
        }
        Ok(None)
    }

    /// The last good runs of all other pipelines.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn others(&self, record: &Record) -> io::Result<Vec<Record>> {
        let mut others = Vec::new();
        for entry in fs::read_dir(self.folder.join("pipelines"))? {
            let other = self.record(&entry?.path().join("succeeded.json"))?;
            let is_other = |other: &Record| !self.is_of(other, &record.folder, &record.pipeline);
            others.extend(other.filter(is_other));
        }
        Ok(others)
    }

    /// Forgets that a pipeline ever succeeded.
    pub(super) fn forget_success(&self, folder: &str, pipeline: &str) -> io::Result<()> {
        remove_file(&self.pipeline_folder(folder, pipeline).join("succeeded.json"))
    }

    /// Forgets all that is recorded of a pipeline; what it wrote stays.
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

    /// Removes the oldest runs of a pipeline beyond those that are kept.
    ///
    /// # Errors
    /// When they cannot be listed or removed.
    pub fn prune(&self, folder: &str, pipeline: &str) -> io::Result<()> {
        let runs = self.runs_of(folder, pipeline)?;
        let succeeded = self.succeeded(folder, pipeline)?.map(|record| record.run);
        let surplus = runs.len().saturating_sub(KEPT);
        if surplus == 0 {
            return Ok(());
        }
        let (old, kept) = runs.split_at(surplus);
        // Where it cannot be told who still needs which, all stay.
        let Some(untold) = crate::queue::untold(&self.folder) else { return Ok(()) };
        let is_old = |run: &&String| Some(*run) != succeeded.as_ref() && !untold.contains(*run);
        let (old, needed): (Vec<&String>, Vec<&String>) = old.iter().partition(is_old);
        for run in old {
            remove(&self.run_folder(run))?;
        }
        let kept: String = needed.into_iter().chain(kept).map(|run| format!("{run}\n")).collect();
        let path = self.pipeline_folder(folder, pipeline).join(RUNS);
        let partial = path.with_extension("partial");
        fs::write(&partial, kept).and_then(|()| fs::rename(partial, path))
    }

    /// The ids of the runs of a pipeline, the oldest first.
    fn runs_of(&self, folder: &str, pipeline: &str) -> io::Result<Vec<String>> {
        match fs::read_to_string(self.pipeline_folder(folder, pipeline).join(RUNS)) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Waits for the right to run a pipeline, at most so long.
    ///
    /// # Errors
    /// When another run of it goes on, or a file cannot be made.
    pub async fn turn(
        &self,
        folder: &str,
        pipeline: &str,
        patience: Duration,
        cancel: &CancellationToken,
    ) -> Result<Turn, NoTurn> {
        let place = self.pipeline_folder(folder, pipeline);
        private::folder(&place).map_err(NoTurn::Io)?;
        let path = place.join("lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let mut file = open.map_err(NoTurn::Io)?;
        let begun = tokio::time::Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            file = match Held::of(file).map_err(NoTurn::Io)? {
                Ok(lock) => return Ok(Turn { _lock: lock, folder: place }),
                Err(_) if begun.elapsed() >= patience && tries >= LEAST_TRIES => {
                    return Err(NoTurn::Taken { run: holder(&place) });
                }
                Err(file) => file,
            };
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => return Err(NoTurn::Cancelled),
            }
        }
    }

    /// True while somebody runs the pipeline of this record, or prepares to.
    ///
    /// # Errors
    /// When the lock cannot be looked at.
    pub fn is_held(&self, record: &Record) -> io::Result<bool> {
        let path = self.pipeline_folder(&record.folder, &record.pipeline).join("lock");
        let file = match File::options().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        // Whoever looks takes nobody's turn.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Asks whoever runs it to stop a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ask_to_stop(&self, run: &str) -> io::Result<()> {
        fs::write(self.run_folder(run).join("stop"), "")
    }

    /// True when somebody asked to stop a run.
    #[must_use]
    pub fn is_asked_to_stop(&self, run: &str) -> bool {
        self.run_folder(run).join("stop").exists()
    }
}

impl Turn {
    /// The run that held the turn before and did not end.
    #[must_use]
    pub fn left(&self) -> Option<String> {
        holder(&self.folder)
    }

    /// Says which run holds the turn; nothing when it has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn hold(&self, run: Option<&str>) -> io::Result<()> {
        let path = self.folder.join("current");
        match run {
            Some(run) => {
                let mut runs = File::options().create(true).append(true).open(self.folder.join(RUNS))?;
                writeln!(runs, "{run}")?;
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

fn holder(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("current")).ok().filter(|run| !run.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_one_from_whichever_folder_its_spec_is_found() {
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
    async fn one_turn_at_a_time_and_the_next_one_sees_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let cancel = CancellationToken::new();
        let turn = store.turn(".", "./x", Duration::ZERO, &cancel).await.unwrap();
        turn.hold(Some("run-1")).unwrap();
        let refused = store.turn(".", "./x", Duration::ZERO, &cancel).await.unwrap_err();
        assert!(matches!(refused, NoTurn::Taken { run: Some(run) } if run == "run-1"));
        store.turn(".", "./y", Duration::ZERO, &cancel).await.unwrap();
        drop(turn);
        let turn = store.turn(".", "./x", Duration::ZERO, &cancel).await.unwrap();
        assert_eq!(turn.left().as_deref(), Some("run-1"));
        turn.hold(None).unwrap();
        assert_eq!(turn.left(), None);
    }
}
