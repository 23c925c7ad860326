//! Detects a full disk as the cause of a failure: the message of a step is easily lost among later errors.

use super::record::Record;
use rustix::fs::statvfs;
use std::path::{Path, PathBuf};

/// Messages about a full disk, in lower case: Python, SQLite, PostgreSQL, quotas.
const MESSAGES: [&str; 4] = ["no space left on device", "disk is full", "disk full", "disk quota exceeded"];
/// Free bytes below which a disk counts as full.
const FULL_BELOW: u64 = 128 << 10;

/// Returns the place without free space among those that a run writes to; nothing if that was not the cause.
pub(super) fn full(record: &Record, also: &[&Path]) -> Option<PathBuf> {
    let lines = record.failure.iter().flat_map(|failure| failure.log.iter().chain([&failure.message]));
    let is_reported =
        lines.map(|line| line.to_ascii_lowercase()).any(|line| MESSAGES.iter().any(|words| line.contains(words)));
    let outputs = record.outputs.iter().map(|output| output.partial.as_path());
    let places: Vec<&Path> = outputs.chain(also.iter().copied()).collect();
    let is_full = |place: &&Path| {
        existing_ancestor(place).is_some_and(|near| free_bytes(near).is_some_and(|free| free < FULL_BELOW))
    };
    match places.iter().find(|place| is_full(place)).copied() {
        Some(place) => existing_ancestor(place).map(Path::to_path_buf),
        // It may have been another disk, or the files are gone already.
        None if is_reported => places.first().and_then(|place| existing_ancestor(place)).map(Path::to_path_buf),
        None => None,
    }
}

/// The folder, or its nearest existing ancestor.
fn existing_ancestor(place: &Path) -> Option<&Path> {
    place.ancestors().find(|folder| folder.is_dir())
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let stats = statvfs(folder).ok()?;
    Some(stats.f_bavail.saturating_mul(stats.f_frsize))
}
