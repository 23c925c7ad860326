//! Whether a run failed because a disk is full: what steps say of that is easily overlooked among what fails after it.

use super::record::Record;
use rustix::fs::statvfs;
use std::io;
use std::path::{Path, PathBuf};

/// What programs say of it, in lower case: Python, SQLite, PostgreSQL, quotas.
const SAID: [&str; 4] = ["no space left on device", "disk is full", "disk full", "disk quota exceeded"];
/// A disk with less is full for whoever writes files.
const NOTHING: u64 = 128 << 10;

/// Where there is no room left, of the places that a run writes to; nothing where that is not what went wrong.
pub(super) fn full(record: &Record, also: &[&Path]) -> Option<PathBuf> {
    let said = record.failure.iter().flat_map(|failure| failure.said.iter().chain([&failure.what]));
    let is_said = said.map(|line| line.to_ascii_lowercase()).any(|line| SAID.iter().any(|words| line.contains(words)));
    let outputs = record.outputs.iter().map(|output| output.partial.as_path());
    let places: Vec<&Path> = outputs.chain(also.iter().copied()).collect();
    let is_full = |place: &&Path| near(place).is_some_and(|near| free(near).is_some_and(|free| free < NOTHING));
    match places.iter().find(|place| is_full(place)).copied() {
        Some(place) => near(place).map(Path::to_path_buf),
        // Perhaps it was another disk, or what was written has gone again.
        None if is_said => places.first().and_then(|place| near(place)).map(Path::to_path_buf),
        None => None,
    }
}

/// The folder itself, or the nearest one above it that is there.
fn near(place: &Path) -> Option<&Path> {
    place.ancestors().find(|folder| folder.is_dir())
}

fn free(folder: &Path) -> Option<u64> {
    let about = statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// The error with the file that it is about.
pub(super) fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}
