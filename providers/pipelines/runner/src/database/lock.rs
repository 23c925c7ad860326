//! Mutual exclusion by locks of the operating system, which end with the process.

use super::error::{DatabaseError, DatabaseErrorKind, operation_error};
pub(super) use crate::file_lock::FileLock;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Interval between attempts to get a lock.
const POLL: Duration = Duration::from_millis(50);

/// Takes a lock if it is free.
///
/// # Errors
/// When the file cannot be created.
pub(super) fn try_acquire(path: &Path) -> io::Result<Option<FileLock>> {
    if let Some(folder) = path.parent() {
        crate::private::folder(folder)?;
    }
    let file = crate::private::file().truncate(false).write(true).open(path)?;
    let Ok(lock) = FileLock::try_lock(file)? else { return Ok(None) };
    // A lock on a file that was removed meanwhile is worthless.
    let is_current =
        fs::metadata(path).is_ok_and(|current| lock.metadata().is_ok_and(|own| own.ino() == current.ino()));
    Ok(is_current.then_some(lock))
}

/// Returns true if a process holds the lock.
pub(super) fn is_held(path: &Path) -> bool {
    let Ok(file) = File::options().write(true).open(path) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Waits for a lock, at most for `timeout`.
///
/// # Errors
/// When another process holds it for longer, or the file cannot be created.
pub(super) async fn acquire(path: &Path, name: &str, timeout: Duration) -> Result<FileLock, DatabaseError> {
    let started = tokio::time::Instant::now();
    loop {
        if let Some(lock) = try_acquire(path).map_err(|error| operation_error("lock", name, &error))? {
            return Ok(lock);
        }
        if started.elapsed() >= timeout {
            return Err(DatabaseError::new(
                DatabaseErrorKind::InUse,
                format!("another process works on the database `{name}`"),
            )
            .hint("wait longer with `--lock-timeout`"));
        }
        tokio::time::sleep(POLL).await;
    }
}
