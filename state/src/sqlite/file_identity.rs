//! Identity of the open state file: detects that the file was deleted or replaced.
//!
//! SQLite continues to write to the file that it opened, which no process can open again: all rows would be lost at the
//! end of the process.

use super::connection::identity;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use terrace_store::StoreError;

/// The infix of the names of saved copies; the time follows it.
const SAVED: &str = ".saved-";

/// The newest saved copy of a state whose file was lost while in use. A user who puts it back removes the copy by this.
#[must_use]
pub fn find_saved_copy(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let begin = format!("{}{SAVED}", path.file_name()?.to_str()?);
    let entries = fs::read_dir(path.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_saved = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&begin) && !name.ends_with(UNFINISHED)
    };
    // Later copies have later names.
    entries.filter(is_saved).max()
}

/// The suffix of an unfinished copy.
const UNFINISHED: &str = ".new";

/// The location and identity of an open state file.
pub(super) struct FileIdentity {
    path: PathBuf,
    /// `None` if the system has no file IDs.
    file: Option<FileId>,
    /// SQLite's files next to it, with their IDs.
    logs: Vec<(PathBuf, FileId)>,
    /// The path of a saved copy.
    saved: PathBuf,
    is_saved: AtomicBool,
    /// Content of the copy: the number of row changes of this process, and a number that changes with other writers.
    recorded: (AtomicU64, AtomicI64),
}

/// The identity of a file: its device and its inode.
type FileId = (u64, u64);

impl FileIdentity {
    /// The identity of a file that was just opened and written.
    pub(super) fn of(path: &Path, now: Timestamp) -> Self {
        // SQLite creates its logs beside the target of a link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let logs = ["-wal", "-shm"].map(|suffix| with_suffix(&path, suffix));
        Self {
            file: file_at(&path).ok().flatten(),
            logs: logs.into_iter().filter_map(with_id).collect(),
            saved: with_suffix(&path, &format!("{SAVED}{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), std::process::id())),
            is_saved: AtomicBool::default(),
            recorded: Default::default(),
            path,
        }
    }

    /// True while the file is at its path. If the check fails, the file counts as present.
    pub(super) fn is_present(&self) -> bool {
        match file_at(&self.path) {
            Ok(found) => self.file.is_none() || found == self.file,
            Err(error) => self.file.is_none() || error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Saves the current content beside the original path, over the previous copy, and returns the error to report. An
    /// up-to-date copy stays as it is, if it still exists or was put back.
    pub(super) fn save(&self, connection: &Connection) -> StoreError {
        let lost = format!("`{}` was deleted or replaced while it was in use", self.path.display());
        let has_copy = || self.saved.exists() || self.current_file(connection) == CurrentFile::Same;
        let saved = match self.has_all(connection) && has_copy() {
            true => Ok(()),
            false => self.try_save(connection),
        };
        match saved {
            Ok(()) => {
                let hint = self.hint(&self.current_file(connection));
                StoreError::WrittenToFallback { reason: format!("{lost}; {hint}") }
            }
            Err(error) => {
                let reason = format!("{lost}, and its content cannot be saved: {error}");
                StoreError::Unavailable { action: "written", reason }
            }
        }
    }

    /// Whether the copy contains everything.
    fn has_all(&self, connection: &Connection) -> bool {
        let (own, others) = (self.recorded.0.load(Ordering::Relaxed), self.recorded.1.load(Ordering::Relaxed));
        self.is_saved.load(Ordering::Relaxed)
            && own == connection.total_changes()
            && version(connection).is_ok_and(|version| version == others)
    }

    /// The file at the original path. Called after a copy was saved: before that, SQLite would read the logs of the
    /// lost file into it.
    fn current_file(&self, connection: &Connection) -> CurrentFile {
        if !self.path.exists() {
            return CurrentFile::Missing;
        }
        let current = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
        match (current.and_then(|current| identity(&current).ok()), identity(connection)) {
            (Some(current), Ok(own)) if current == own => CurrentFile::Same,
            _ => CurrentFile::Other,
        }
    }

    /// The hint. It must not make users overwrite newer content of other processes.
    fn hint(&self, found: &CurrentFile) -> String {
        let again = "restart all processes that still use the lost file";
        let saved = self.saved.display();
        match found {
            CurrentFile::Same if self.saved.exists() => {
                format!("the file is back: {again}; the content of this process is in `{saved}`, if you need it")
            }
            CurrentFile::Same => format!("the file is back: {again}"),
            CurrentFile::Other => format!(
                "a copy of the state is in `{saved}`: if the new file has no content that you need, replace it by the \
                 copy, {again}, then `terrace recover`"
            ),
            CurrentFile::Missing => {
                format!(
                    "a copy of the state is in `{saved}`: move it to the original path, {again}, then `terrace recover`"
                )
            }
        }
    }

    fn try_save(&self, connection: &Connection) -> Result<(), String> {
        let with_path = |error: io::Error| format!("`{}`: {error}", self.saved.display());
        // The folder may be gone, too.
        if let Some(folder) = self.saved.parent() {
            fs::create_dir_all(folder).map_err(with_path)?;
        }
        // The previous copy stays until the new one is complete.
        let unfinished = with_suffix(&self.saved, UNFINISHED);
        let text = unfinished.to_str().ok_or("its name is not UTF-8")?;
        if unfinished.exists() {
            fs::remove_file(&unfinished).map_err(with_path)?;
        }
        super::connection::make_private(&unfinished).map_err(|error| error.to_string())?;
        connection.execute("VACUUM INTO ?1", [text]).map_err(|error| error.to_string())?;
        fs::rename(&unfinished, &self.saved).map_err(with_path)?;
        if let Some(folder) = self.saved.parent() {
            // The new name must be durable before its source disappears.
            fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(with_path)?;
        }
        self.remove_logs();
        self.recorded.0.store(connection.total_changes(), Ordering::Relaxed);
        self.recorded.1.store(version(connection).map_err(|error| error.to_string())?, Ordering::Relaxed);
        self.is_saved.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Removes the logs of the lost file, which SQLite leaves: it would read them into any file at the original path.
    fn remove_logs(&self) {
        for (log, id) in &self.logs {
            if file_at(log).is_ok_and(|found| found == Some(*id)) {
                // A log that is gone already does no harm.
                let _ = fs::remove_file(log);
            }
        }
    }
}

/// The file at the original path.
#[derive(Debug, PartialEq, Eq)]
enum CurrentFile {
    Missing,
    /// The same state: the file is back.
    Same,
    /// Another state, or an unreadable file.
    Other,
}

/// A number that changes when another connection writes to the file.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// An existing file with its ID.
fn with_id(path: PathBuf) -> Option<(PathBuf, FileId)> {
    let id = file_at(&path).ok().flatten()?;
    Some((path, id))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
fn file_at(path: &Path) -> io::Result<Option<FileId>> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|found| Some((found.dev(), found.ino())))
}

/// On other systems an open file cannot be deleted.
#[cfg(not(unix))]
fn file_at(_: &Path) -> io::Result<Option<FileId>> {
    Ok(None)
}
