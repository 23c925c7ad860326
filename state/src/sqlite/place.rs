//! Notices that the file of a state was deleted or replaced while it is open. SQLite goes on writing to the file that
//! it opened, which nobody can open again: all that is recorded would be lost when the process ends.

use super::error::Failure;
use jiff::Timestamp;
use rusqlite::Connection;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use terrace_engine::store::StoreError;

/// Where the open file of a state was found.
pub(super) struct Place {
    path: PathBuf,
    file: Option<FileId>,
    /// Where what was recorded was saved to.
    saved: PathBuf,
}

/// What tells one file from another: its device and its number there.
type FileId = (u64, u64);

impl Place {
    /// That of a file which was just opened.
    pub(super) fn of(path: &Path, now: Timestamp) -> Self {
        let mut saved = path.as_os_str().to_owned();
        saved.push(format!(".saved-{}", now.strftime("%Y%m%dT%H%M%SZ")));
        Self { path: path.to_owned(), file: file_at(path).ok().flatten(), saved: saved.into() }
    }

    /// Whether the file is still there; where it is not, all of it is saved beside the place where it was.
    ///
    /// # Errors
    /// When it is another one or none, with where it was saved.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), Failure> {
        let is_there = match file_at(&self.path) {
            Ok(found) => found == self.file,
            // Who cannot look does not know of another.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if is_there {
            return Ok(());
        }
        let lost = format!("`{}` was deleted or replaced while it was in use", self.path.display());
        let reason = match self.save(connection) {
            Ok(()) => format!(
                "{lost}; what was recorded is in `{}`: put it in its place, then `terrace recover`",
                self.saved.display()
            ),
            Err(error) => format!("{lost}, and cannot be saved to `{}`: {error}", self.saved.display()),
        };
        Err(StoreError::Unavailable { doing: "written", reason }.into())
    }

    /// Saves what the connection has by now, over what was saved before.
    fn save(&self, connection: &Connection) -> Result<(), String> {
        let text = self.saved.to_str().ok_or("its name is not UTF-8")?;
        if let Err(error) = fs::remove_file(&self.saved)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.to_string());
        }
        super::connection::make_private(&self.saved).map_err(|error| error.to_string())?;
        connection.execute("VACUUM INTO ?1", [text]).map_err(|error| error.to_string())?;
        self.remove_logs();
        Ok(())
    }

    /// Removes the logs that the file left: whatever is put in its place would be taken for what they belong to. Those of
    /// another file that is there already are its own.
    fn remove_logs(&self) {
        if self.path.exists() {
            return;
        }
        for suffix in ["-wal", "-shm"] {
            let mut log = self.path.as_os_str().to_owned();
            log.push(suffix);
            // They may be gone as well.
            let _ = fs::remove_file(log);
        }
    }
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
