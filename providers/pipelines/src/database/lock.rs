//! Mutual exclusion by locks of the operating system, which end with the process.

use super::error::{DatabaseError, Why, cannot};
pub(super) use crate::held::Held;
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
pub(super) fn try_hold(path: &Path) -> io::Result<Option<Held>> {
    if let Some(folder) = path.parent() {
        crate::private::folder(folder)?;
    }
    let file = crate::private::file().truncate(false).write(true).open(path)?;
    let Ok(held) = Held::of(file)? else { return Ok(None) };
    // A lock on a file that was removed meanwhile is worthless.
    let is_there = fs::metadata(path).is_ok_and(|there| held.metadata().is_ok_and(|own| own.ino() == there.ino()));
    Ok(is_there.then_some(held))
}

/// Returns true if a process holds the lock.
pub(super) fn is_held(path: &Path) -> bool {
    let Ok(file) = File::options().write(true).open(path) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Waits for a lock, at most for `patience`.
///
/// # Errors
/// When another process holds it for longer, or the file cannot be created.
pub(super) async fn hold(path: &Path, name: &str, patience: Duration) -> Result<Held, DatabaseError> {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(held) = try_hold(path).map_err(|error| cannot("lock", name, &error))? {
            return Ok(held);
        }
        if begun.elapsed() >= patience {
            return Err(DatabaseError::new(Why::Held, format!("another process works on the database `{name}`"))
                .hint("wait longer with `--lock-timeout`"));
        }
        tokio::time::sleep(POLL).await;
    }
}
