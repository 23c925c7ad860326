//! File lock that ends on drop, even if another process has the file open.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Deref;

/// A file that is locked while this value and the process live. A child process that is just starting briefly inherits
/// open files: closing the file alone would leave the lock with the child.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl FileLock {
    /// Locks a file; returns it as `Err` if another process holds its lock.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub(crate) fn try_lock(file: File) -> io::Result<Result<Self, File>> {
        match file.try_lock() {
            Ok(()) => Ok(Ok(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(Err(file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Deref for FileLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // If this fails, closing the file unlocks it.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_lock_is_free_while_child_has_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("lock")).unwrap();
        let lock = FileLock::try_lock(open()).unwrap().unwrap();
        let inherited = lock.try_clone().unwrap();
        assert!(FileLock::try_lock(open()).unwrap().is_err());
        drop(lock);
        assert!(FileLock::try_lock(open()).unwrap().is_ok());
        drop(inherited);
    }
}
