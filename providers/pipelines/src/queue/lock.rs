//! Whether a worker lives: each holds the lock on a file of its own from before it is started, and the operating system
//! takes the lock away when it ends. Who gets the lock of a worker that is dead is the one who takes care of what it left. What
//! is in the file says that it does not hang.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the files are, in the folder of the queue.
pub(crate) const FOLDER: &str = "workers";

/// What the lock of a worker says.
#[derive(Debug)]
pub enum Looked {
    /// It lives, or somebody takes care of what it left.
    Held,
    /// It is dead, and what it left is the caller's as long as this is held.
    Free(File),
}

/// The file of a worker's lock.
#[must_use]
pub fn path(folder: &Path, worker: &str) -> PathBuf {
    folder.join(FOLDER).join(format!("{worker}.lock"))
}

/// Looks whether a worker lives.
///
/// # Errors
/// When the file cannot be made.
pub fn look(folder: &Path, worker: &str) -> io::Result<Looked> {
    let file = crate::private::file().truncate(false).write(true).open(path(folder, worker))?;
    match file.try_lock() {
        Ok(()) => Ok(Looked::Free(file)),
        Err(TryLockError::WouldBlock) => Ok(Looked::Held),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Says that a worker is well: another number each time. Nothing else is written for that, so that a disk may sleep.
///
/// # Errors
/// When the file is gone, or cannot be written.
pub fn beat(folder: &Path, worker: &str, number: u64) -> io::Result<()> {
    File::options().write(true).truncate(true).open(path(folder, worker))?.write_all(number.to_string().as_bytes())
}

/// What a worker said last; nothing of one that never did.
#[must_use]
pub fn last_beat(folder: &Path, worker: &str) -> String {
    fs::read_to_string(path(folder, worker)).unwrap_or_default()
}

/// Removes the file of a worker that nobody knows any more.
pub fn remove(folder: &Path, worker: &str) {
    // One that stays is in nobody's way.
    let _ = fs::remove_file(path(folder, worker));
}
