//! A lock of the operating system that is let go of, whoever else has its file open.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Deref;

/// A file that is locked as long as this lives, and as the process does. A process that is just being started has for a
/// moment what this one has open: closing the file would leave the lock to it.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Held {
    /// Locks a file; gives it back where another one holds its lock.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub(crate) fn of(file: File) -> io::Result<Result<Self, File>> {
        match file.try_lock() {
            Ok(()) => Ok(Ok(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(Err(file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Deref for Held {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It goes with the file else.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_let_go_of_though_a_child_has_its_file_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("lock")).unwrap();
        let held = Held::of(open()).unwrap().unwrap();
        let of_a_child = held.try_clone().unwrap();
        assert!(Held::of(open()).unwrap().is_err());
        drop(held);
        assert!(Held::of(open()).unwrap().is_ok());
        drop(of_a_child);
    }
}
