//! Manifest of a sync, stored next to the files: their paths, contents, and tags at the destination.
//!
//! The manifest is the object that plans manage: without it, nothing counts as synced, even if files exist there.

use super::StorageError;
pub use super::entry::Entry;
use super::entry::RemoteFile;
use crate::hash::hash_of_listing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the manifest, which no data package uses.
pub const NAME: &str = ".terrace-sync.json";
/// Format that this version reads and writes.
const FORMAT: u32 = 1;
/// Maximum size in bytes: a hundred bytes for each of a million files, with a reserve.
pub(crate) const LONGEST: u64 = 256 << 20;

/// Manifest of a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    format: u32,
    /// Call that finished the sync.
    pub mark: String,
    /// The files are public.
    pub public: bool,
    /// Files, by path below the manifest.
    pub files: BTreeMap<String, Entry>,
}

impl Manifest {
    pub(crate) const fn new(mark: String, public: bool, files: BTreeMap<String, Entry>) -> Self {
        Self { format: FORMAT, mark, public, files }
    }

    /// Manifest without files.
    #[must_use]
    pub const fn empty(public: bool) -> Self {
        Self::new(String::new(), public, BTreeMap::new())
    }

    /// Parses a manifest.
    ///
    /// # Errors
    /// When it is not valid, or comes from a newer terrace.
    pub(crate) fn read(bytes: &[u8], at: &str) -> Result<Self, StorageError> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            StorageError::failed(format!("`{at}` is not the manifest of a sync: {error}"))
                .hint("remove it, or sync to another place")
        })?;
        // Other programs may write it, so its paths must stay below the manifest.
        let is_part =
            |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(|c| c.is_control() || c == '\\');
        if let Some(key) = manifest.files.keys().find(|key| !key.split('/').all(is_part)) {
            let message = format!("`{at}` names `{}`, which is outside of it", key.escape_debug());
            return Err(StorageError::failed(message).hint("remove the altered manifest, or sync to another place"));
        }
        match manifest.format {
            FORMAT => Ok(manifest),
            other => {
                Err(StorageError::failed(format!("`{at}` has the format {other}, which this terrace does not support")))
            }
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, StorageError> {
        serde_json::to_vec(self)
            .map_err(|error| StorageError::failed(format!("the manifest cannot be written: {error}")))
    }

    /// Files that the source has too.
    pub fn current(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.files.iter().filter(|(_, entry)| !entry.left).map(|(key, entry)| (key.as_str(), entry))
    }

    /// Digest of all synced files.
    #[must_use]
    pub fn hash(&self) -> String {
        hash_of_listing(self.current().map(|(key, entry)| (key, entry.size, entry.sha256.as_str())))
    }

    /// Files that are missing or altered at the destination, and the digest of the present state.
    pub(crate) fn compare(&self, remote: &BTreeMap<String, RemoteFile>) -> (Vec<String>, String) {
        let is_intact = |key: &str, entry: &Entry| remote.get(key).is_some_and(|remote| remote.matches(entry));
        let damaged: Vec<String> =
            self.current().filter(|(key, entry)| !is_intact(key, entry)).map(|(key, _)| key.to_owned()).collect();
        if damaged.is_empty() {
            return (damaged, self.hash());
        }
        let present = self.current().map(|(key, entry)| match remote.get(key) {
            _ if is_intact(key, entry) => (key, entry.size, entry.sha256.as_str()),
            Some(remote) => (key, remote.size, "another content"),
            None => (key, 0, "not there"),
        });
        let hash = hash_of_listing(present);
        (damaged, hash)
    }

    /// Keys that people load: each data package, or else each folder.
    pub(crate) fn entry_points<'a>(keys: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        let mut folders: Vec<&str> = keys.clone().filter_map(|key| Some(key.split_once('/')?.0)).collect();
        folders.dedup();
        let package = |folder: &str| format!("{folder}/{}", super::DESCRIPTOR);
        let has = |wanted: &str| keys.clone().any(|key| key == wanted);
        let entry_point =
            |folder: &str| Some(package(folder)).filter(|it| has(it)).unwrap_or_else(|| format!("{folder}/"));
        folders.into_iter().map(entry_point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sha256: &str) -> Entry {
        Entry { size: 1, sha256: sha256.to_owned(), tag: sha256.to_owned(), left: false }
    }

    #[test]
    fn missing_and_altered_files_are_damaged() {
        let files = [("a", entry("1")), ("b", entry("2"))].map(|(key, entry)| (key.to_owned(), entry)).into();
        let manifest = Manifest::new("call".to_owned(), false, files);
        let remote = |tag: &str| [("a".to_owned(), RemoteFile { size: 1, tag: tag.to_owned() })].into();
        let (damaged, hash) = manifest.compare(&remote("1"));
        assert_eq!(damaged, ["b"]);
        assert_ne!(hash, manifest.hash());
        assert_eq!(manifest.compare(&remote("x")).0, ["a", "b"]);
    }

    #[test]
    fn entry_points_are_data_packages_or_folders() {
        let keys = ["a/datapackage.json", "a/x.csv", "b/y.csv"];
        assert_eq!(Manifest::entry_points(keys.into_iter()), ["a/datapackage.json", "b/"]);
    }

    #[test]
    fn manifest_with_outside_paths_is_refused() {
        for key in ["../x", "/etc/x", "a/../../x", "a//x", "", ".", "a\\..\\x", "a\nx"] {
            let files = [(key.to_owned(), entry("1"))].into();
            let written = Manifest::new("call".to_owned(), false, files).to_bytes().unwrap();
            let error = Manifest::read(&written, "there").unwrap_err().to_string();
            assert!(error.ends_with("which is outside of it"), "{error}");
        }
        let files = [("a/.well-known/x".to_owned(), entry("1"))].into();
        let manifest = Manifest::new("call".to_owned(), false, files);
        assert_eq!(Manifest::read(&manifest.to_bytes().unwrap(), "there").unwrap(), manifest);
    }

    #[test]
    fn error_for_invalid_manifest_has_its_place() {
        assert!(Manifest::read(b"<html>", "s3://b/x").unwrap_err().to_string().contains("s3://b/x"));
        let newer = br#"{"format": 2, "mark": "", "public": false, "files": {}}"#;
        assert!(Manifest::read(newer, "x").unwrap_err().to_string().contains("does not support"));
    }
}
