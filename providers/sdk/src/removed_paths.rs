//! Paths that operations removed from a file system.
//!
//! A file may take the place of a folder that the same operation emptied. An empty folder of any other origin belongs to
//! another stack or to a person, so the provider leaves it alone.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How many operations a session remembers. A server runs fewer at a time.
const OPERATIONS: usize = 64;

/// The paths that the latest operations of a session removed. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RemovedPaths(Arc<Mutex<VecDeque<OperationPaths>>>);

/// An operation, and the paths that it removed.
type OperationPaths = (String, BTreeSet<PathBuf>);

impl RemovedPaths {
    /// Remembers a path that an operation removed.
    pub fn add(&self, operation: &str, path: impl Into<PathBuf>) {
        // A panic elsewhere leaves whole entries behind.
        let mut operations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, paths)) = operations.iter_mut().find(|(name, _)| name == operation) {
            paths.insert(path.into());
            return;
        }
        if operations.len() == OPERATIONS {
            operations.pop_front();
        }
        operations.push_back((operation.to_owned(), BTreeSet::from([path.into()])));
    }

    /// True if the operation removed something below this folder.
    #[must_use]
    pub fn has_below(&self, operation: &str, folder: &Path) -> bool {
        let operations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_operation = operations.iter().find(|(name, _)| name == operation);
        of_operation.is_some_and(|(_, paths)| {
            let mut from_folder = paths.range(folder.to_path_buf()..).skip_while(|path| path.as_path() == folder);
            from_folder.next().is_some_and(|path| path.starts_with(folder))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_counts_as_emptied_only_if_the_operation_removed_something_in_it() {
        let removed = RemovedPaths::default();
        removed.add("one", "a/b/c");
        removed.add("one", "d");
        removed.add("two", "e/f");
        let has_below = |operation: &str, folder: &str| removed.has_below(operation, Path::new(folder));
        assert!(has_below("one", "a") && has_below("one", "a/b") && has_below("two", "e"));
        assert!(!has_below("one", "a/b/c") && !has_below("one", "d") && !has_below("one", "a/x"));
        assert!(!has_below("one", "e") && !has_below("two", "a") && !has_below("three", "a"));
    }

    #[test]
    fn oldest_operation_is_forgotten_first() {
        let removed = RemovedPaths::default();
        (0..=OPERATIONS).for_each(|operation| removed.add(&operation.to_string(), "a/b"));
        assert!(!removed.has_below("0", Path::new("a")));
        assert!(removed.has_below("1", Path::new("a")));
    }
}
