//! Tells live workers from dead ones. A worker holds the lock on its own file from before its start, and the operating
//! system releases the lock when it ends. The process that gets a dead worker's lock cleans up after it. The file's
//! time is the heartbeat.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folder of the lock files, in the folder of the queue.
pub(crate) const FOLDER: &str = "workers";

/// State of a worker's lock.
#[derive(Debug)]
pub enum LockState {
    /// The worker is alive, or another process cleans up after it.
    Held,
    /// The worker is dead; the caller cleans up while it holds this.
    Free(File),
}

/// Path of a worker's lock file.
#[must_use]
pub fn path(folder: &Path, worker: &str) -> PathBuf {
    folder.join(FOLDER).join(format!("{worker}.lock"))
}

/// Checks whether a worker is alive.
///
/// # Errors
/// When the file cannot be created.
pub fn check(folder: &Path, worker: &str) -> io::Result<LockState> {
    let file = crate::private::file().truncate(false).write(true).open(path(folder, worker))?;
    match file.try_lock() {
        Ok(()) => Ok(LockState::Free(file)),
        Err(TryLockError::WouldBlock) => Ok(LockState::Held),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Records a heartbeat: sets the file's time to another number. It writes no data, so it works on a full disk.
///
/// # Errors
/// When the file is gone, or its time cannot be set.
pub fn write_heartbeat(folder: &Path, worker: &str, number: u32) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number.into());
    File::options().write(true).open(path(folder, worker))?.set_modified(time)
}

/// Last heartbeat of a worker; before the first one, the time of its start.
#[must_use]
pub fn last_heartbeat(folder: &Path, worker: &str) -> Option<SystemTime> {
    path(folder, worker).metadata().and_then(|metadata| metadata.modified()).ok()
}

/// Removes the lock file of a removed worker.
pub fn remove(folder: &Path, worker: &str) {
    // A file that stays does no harm.
    let _ = fs::remove_file(path(folder, worker));
}
