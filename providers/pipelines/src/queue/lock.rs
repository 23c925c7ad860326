//! Whether a worker lives: each holds the lock on a file of its own from before it is started, and the operating system
//! takes the lock away when it ends. Who gets the lock of a worker that is dead is the one who takes care of what it left. The
//! time of the file says that it does not hang.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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

/// Says that a worker is well: another number each time, as the file's time. Nothing is written into it: that would need
/// room, and who works on a disk that is full is no worse than others.
///
/// # Errors
/// When the file is gone, or its time cannot be set.
pub fn beat(folder: &Path, worker: &str, number: u32) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number.into());
    File::options().write(true).open(path(folder, worker))?.set_modified(time)
}

/// What a worker said last; of one that never did, when it was started.
#[must_use]
pub fn last_beat(folder: &Path, worker: &str) -> Option<SystemTime> {
    path(folder, worker).metadata().and_then(|metadata| metadata.modified()).ok()
}

/// Removes the file of a worker that nobody knows any more.
pub fn remove(folder: &Path, worker: &str) {
    // One that stays is in nobody's way.
    let _ = fs::remove_file(path(folder, worker));
}
