//! Paths: the folder of records, paths without `..`, and errors that name a path.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Folder of records in the project folder.
pub const RECORDS: &str = ".terrace/pipelines";

/// Removes `.` and `..` from a path, so that each file has one name.
#[must_use]
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            other => plain.push(other),
        }
    }
    plain
}

pub(crate) fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}
