//! Identity of the open state file: notices that the file was deleted or replaced.
//!
//! SQLite goes on writing to the file that it opened, which nobody can open again: all rows would be lost at the end of
//! the process.

use super::connection::identity;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use terrace_engine::store::StoreError;

/// What follows the name of a state in those of what was saved of it; then comes when.
const SAVED: &str = ".saved-";

/// What was saved last of a state whose file was lost while it was in use; who puts it back leaves none.
#[must_use]
pub fn saved_beside(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let begin = format!("{}{SAVED}", path.file_name()?.to_str()?);
    let entries = fs::read_dir(path.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_saved = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&begin) && !name.ends_with(UNFINISHED)
    };
    // The names of later ones come later.
    entries.filter(is_saved).max()
}

/// How the name of what is still being saved ends.
const UNFINISHED: &str = ".new";

/// Where the open file of a state was found.
pub(super) struct FileIdentity {
    path: PathBuf,
    /// `None` where files cannot be told apart.
    file: Option<FileId>,
    /// Those beside it that SQLite made, with what tells them from others of their names.
    logs: Vec<(PathBuf, FileId)>,
    /// Where what was recorded is saved to.
    saved: PathBuf,
    is_saved: AtomicBool,
    /// What had been recorded by then: how many rows by this process, and a number that others change.
    recorded: (AtomicU64, AtomicI64),
}

/// What tells one file from another: its device and its number there.
type FileId = (u64, u64);

impl FileIdentity {
    /// That of a file which was just opened and written to.
    pub(super) fn of(path: &Path, now: Timestamp) -> Self {
        // SQLite puts its logs beside the file that a link leads to.
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

    /// True as long as the file is where it was. Who cannot look does not know of another.
    pub(super) fn is_there(&self) -> bool {
        match file_at(&self.path) {
            Ok(found) => self.file.is_none() || found == self.file,
            Err(error) => self.file.is_none() || error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Saves what the connection has by now beside the place where the file was, over what was saved before; says so. Where
    /// nothing was recorded since and what was saved is still there, or in its place by now, it stays as it is.
    pub(super) fn save(&self, connection: &Connection) -> StoreError {
        let lost = format!("`{}` was deleted or replaced while it was in use", self.path.display());
        let is_kept = || self.saved.exists() || self.found(connection) == Found::Own;
        let saved = match self.has_all(connection) && is_kept() {
            true => Ok(()),
            false => self.try_save(connection),
        };
        match saved {
            Ok(()) => {
                let what = self.what_to_do(&self.found(connection));
                StoreError::KeptElsewhere { reason: format!("{lost}; {what}") }
            }
            Err(error) => {
                let reason = format!("{lost}, and what was recorded cannot be saved: {error}");
                StoreError::Unavailable { doing: "written", reason }
            }
        }
    }

    /// Whether all that was recorded was saved once.
    fn has_all(&self, connection: &Connection) -> bool {
        let (own, others) = (self.recorded.0.load(Ordering::Relaxed), self.recorded.1.load(Ordering::Relaxed));
        self.is_saved.load(Ordering::Relaxed)
            && own == connection.total_changes()
            && version(connection).is_ok_and(|version| version == others)
    }

    /// What is in its place, once it was saved: before, the logs of the file that was lost would be read into it.
    fn found(&self, connection: &Connection) -> Found {
        if !self.path.exists() {
            return Found::Nothing;
        }
        let there = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
        match (there.and_then(|there| identity(&there).ok()), identity(connection)) {
            (Some(there), Ok(own)) if there == own => Found::Own,
            _ => Found::Other,
        }
    }

    /// Nothing may be overwritten that somebody recorded meanwhile.
    fn what_to_do(&self, found: &Found) -> String {
        let again = "start again whatever still runs with the one that was lost";
        let saved = self.saved.display();
        match found {
            Found::Own if self.saved.exists() => {
                format!("by now it is back: {again}; what this process recorded is in `{saved}`, where that is needed")
            }
            Found::Own => format!("by now it is back: {again}"),
            Found::Other => format!(
                "a copy of the state is in `{saved}`: where nothing that another one recorded since is needed, put it in its \
                 place, {again}, then `terrace recover`"
            ),
            Found::Nothing => {
                format!("a copy of the state is in `{saved}`: put it in its place, {again}, then `terrace recover`")
            }
        }
    }

    fn try_save(&self, connection: &Connection) -> Result<(), String> {
        let told = |error: io::Error| format!("`{}`: {error}", self.saved.display());
        // The folder may be gone as well.
        if let Some(folder) = self.saved.parent() {
            fs::create_dir_all(folder).map_err(told)?;
        }
        // What was saved before stays until there is something newer.
        let unfinished = with_suffix(&self.saved, UNFINISHED);
        let text = unfinished.to_str().ok_or("its name is not UTF-8")?;
        if unfinished.exists() {
            fs::remove_file(&unfinished).map_err(told)?;
        }
        super::connection::make_private(&unfinished).map_err(|error| error.to_string())?;
        connection.execute("VACUUM INTO ?1", [text]).map_err(|error| error.to_string())?;
        fs::rename(&unfinished, &self.saved).map_err(told)?;
        if let Some(folder) = self.saved.parent() {
            // Its name has to last before what it was made of goes.
            fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(told)?;
        }
        self.remove_logs();
        self.recorded.0.store(connection.total_changes(), Ordering::Relaxed);
        self.recorded.1.store(version(connection).map_err(|error| error.to_string())?, Ordering::Relaxed);
        self.is_saved.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Removes the logs that the file left, which SQLite does not: they would be read into whatever is put in its place.
    fn remove_logs(&self) {
        for (log, id) in &self.logs {
            if file_at(log).is_ok_and(|found| found == Some(*id)) {
                // One that is gone meanwhile does no harm.
                let _ = fs::remove_file(log);
            }
        }
    }
}

/// What is where the file of a state was.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// The same state, put back.
    Own,
    /// Another one, or what cannot be read.
    Other,
}

/// A number that is another one when another connection wrote to the file.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// A file that is there, with what tells it from others.
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

/// Elsewhere an open file cannot be deleted.
#[cfg(not(unix))]
fn file_at(_: &Path) -> io::Result<Option<FileId>> {
    Ok(None)
}
