//! What a sync brought somewhere, kept beside it: which files, of which content, and by which tag the destination knows each.
//!
//! It is the object that plans are about: without it nothing was synced, whatever lies there.

use super::target::Seen;
use super::{StorageError, Tree};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};

/// How it is called: a name that no data package has.
pub const NAME: &str = ".terrace-sync.json";
/// The form that this terrace reads and writes.
const FORMAT: u32 = 1;
/// A longer one is none of ours: a hundred bytes for each of a million files.
pub(crate) const LONGEST: u64 = 256 << 20;

/// What was brought somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    format: u32,
    /// The call that finished it.
    pub mark: String,
    /// Everybody may read the files.
    pub public: bool,
    /// The files, by their path below the manifest.
    pub files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// In bytes.
    pub size: u64,
    /// Of its content, in hexadecimal digits.
    pub sha256: String,
    /// What the destination tells this content from another one by: an ETag, or the time of the last change.
    pub tag: String,
    /// The source has it no more, and nobody asked to have it removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

impl Manifest {
    pub(crate) const fn new(mark: String, public: bool, files: BTreeMap<String, Entry>) -> Self {
        Self { format: FORMAT, mark, public, files }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or of a newer terrace.
    pub(crate) fn read(bytes: &[u8], at: &str) -> Result<Self, StorageError> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            StorageError::failed(format!("`{at}` is no manifest of a sync: {error}"))
                .hint("remove it, or sync to another place")
        })?;
        // Others may write it: nothing is looked at or removed by it but what lies beside it.
        let is_part =
            |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(|c| c.is_control() || c == '\\');
        if let Some(key) = manifest.files.keys().find(|key| !key.split('/').all(is_part)) {
            let message = format!("`{at}` names `{}`, which lies elsewhere", key.escape_debug());
            return Err(StorageError::failed(message).hint("somebody changed it: remove it, or sync to another place"));
        }
        match manifest.format {
            FORMAT => Ok(manifest),
            other => {
                Err(StorageError::failed(format!("`{at}` has the form {other}, which this terrace does not know")))
            }
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, StorageError> {
        serde_json::to_vec(self)
            .map_err(|error| StorageError::failed(format!("the manifest cannot be written: {error}")))
    }

    /// The files that the source has, too.
    pub fn current(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.files.iter().filter(|(_, entry)| !entry.left).map(|(key, entry)| (key.as_str(), entry))
    }

    /// A digest of all that was synced.
    #[must_use]
    pub fn hash(&self) -> String {
        digest(self.current().map(|(key, entry)| (key, entry.size, entry.sha256.as_str())))
    }

    /// What is no more at the destination as it was brought there, and the digest of what is.
    pub(crate) fn compared(&self, seen: &BTreeMap<String, Seen>) -> (Vec<String>, String) {
        let is_right = |key: &str, entry: &Entry| seen.get(key).is_some_and(|seen| seen.is_of(entry));
        let damaged: Vec<String> =
            self.current().filter(|(key, entry)| !is_right(key, entry)).map(|(key, _)| key.to_owned()).collect();
        if damaged.is_empty() {
            return (damaged, self.hash());
        }
        let there = self.current().map(|(key, entry)| match seen.get(key) {
            _ if is_right(key, entry) => (key, entry.size, entry.sha256.as_str()),
            Some(seen) => (key, seen.size, "another content"),
            None => (key, 0, "not there"),
        });
        let hash = digest(there);
        (damaged, hash)
    }

    /// The addresses' keys of what people load: each data package, else each folder.
    pub(crate) fn doors<'a>(keys: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        let mut folders: Vec<&str> = keys.clone().filter_map(|key| Some(key.split_once('/')?.0)).collect();
        folders.dedup();
        let package = |folder: &str| format!("{folder}/{}", super::DESCRIPTOR);
        let has = |wanted: &str| keys.clone().any(|key| key == wanted);
        let door = |folder: &str| Some(package(folder)).filter(|it| has(it)).unwrap_or_else(|| format!("{folder}/"));
        folders.into_iter().map(door).collect()
    }
}

/// A digest of files by path, size and content.
pub(crate) fn digest<'a>(files: impl Iterator<Item = (&'a str, u64, &'a str)>) -> String {
    let mut digest = Sha256::new();
    for (key, size, sha256) in files {
        // No path has a line break.
        digest.update(format!("{size} {sha256} {key}\n"));
    }
    base16ct::lower::encode_string(&digest.finalize())
}

/// What is to be done at a destination, for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) new: Vec<(String, u64)>,
    pub(crate) other: Vec<(String, u64)>,
    /// What the source has no more.
    pub(crate) gone: Vec<(String, u64)>,
}

/// So many files are named.
const NAMED: usize = 20;

impl Difference {
    /// What a sync of the tree would do after that manifest, where these files of it are damaged.
    pub(crate) fn of(tree: &Tree, former: Option<&Manifest>, damaged: &[String], is_all_other: bool) -> Self {
        let mut difference = Self::default();
        let damaged: HashSet<&str> = damaged.iter().map(String::as_str).collect();
        for file in &tree.files {
            let entry = former.and_then(|former| former.files.get(&file.key));
            let one = (file.key.clone(), file.size);
            match entry {
                None => difference.new.push(one),
                Some(entry) if is_all_other || entry.sha256 != file.sha256 || damaged.contains(file.key.as_str()) => {
                    difference.other.push(one);
                }
                Some(_) => {}
            }
        }
        let gone = former.into_iter().flat_map(|former| &former.files).filter(|(key, _)| !tree.has(key));
        difference.gone = gone.map(|(key, entry)| (key.clone(), entry.size)).collect();
        difference
    }

    /// A line for each file, as far as anybody reads them, after one with the sums.
    pub(crate) fn lines(&self, removes: bool) -> Vec<String> {
        let sent = || self.new.iter().chain(&self.other);
        let bytes: u64 = sent().map(|(_, size)| *size).fold(0, u64::saturating_add);
        let count = sent().count();
        let mut lines = vec![format!("{count} {} to send, {bytes} bytes", if count == 1 { "file" } else { "files" })];
        let new = self.new.iter().map(|(key, size)| format!("+ {key} ({size} bytes)"));
        let other = self.other.iter().map(|(key, size)| format!("~ {key} ({size} bytes)"));
        let sign = if removes { "-" } else { "stays:" };
        let gone = self.gone.iter().map(|(key, _)| format!("{sign} {key}"));
        let mut all = new.chain(other).chain(gone);
        lines.extend(all.by_ref().take(NAMED));
        match all.count() {
            0 => {}
            more => lines.push(format!("and {more} more")),
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sha256: &str) -> Entry {
        Entry { size: 1, sha256: sha256.to_owned(), tag: sha256.to_owned(), left: false }
    }

    #[test]
    fn what_is_gone_or_another_content_shows() {
        let files = [("a", entry("1")), ("b", entry("2"))].map(|(key, entry)| (key.to_owned(), entry)).into();
        let manifest = Manifest::new("call".to_owned(), false, files);
        let seen = |tag: &str| [("a".to_owned(), Seen { size: 1, tag: tag.to_owned() })].into();
        let (damaged, hash) = manifest.compared(&seen("1"));
        assert_eq!(damaged, ["b"]);
        assert_ne!(hash, manifest.hash());
        assert_eq!(manifest.compared(&seen("x")).0, ["a", "b"]);
    }

    #[test]
    fn people_load_data_packages_and_folders() {
        let keys = ["a/datapackage.json", "a/x.csv", "b/y.csv"];
        assert_eq!(Manifest::doors(keys.into_iter()), ["a/datapackage.json", "b/"]);
    }

    #[test]
    fn many_files_are_counted_and_some_are_named() {
        let difference = Difference { new: (0..30).map(|n| (format!("a/{n}"), 2)).collect(), ..Difference::default() };
        let lines = difference.lines(false);
        assert_eq!(
            (lines.len(), lines[0].as_str(), lines[21].as_str()),
            (22, "30 files to send, 60 bytes", "and 10 more")
        );
    }

    #[test]
    fn a_manifest_that_names_files_elsewhere_is_refused() {
        for key in ["../x", "/etc/x", "a/../../x", "a//x", "", ".", "a\\..\\x", "a\nx"] {
            let files = [(key.to_owned(), entry("1"))].into();
            let written = Manifest::new("call".to_owned(), false, files).to_bytes().unwrap();
            let error = Manifest::read(&written, "there").unwrap_err().to_string();
            assert!(error.ends_with("which lies elsewhere"), "{error}");
        }
        let files = [("a/.well-known/x".to_owned(), entry("1"))].into();
        let manifest = Manifest::new("call".to_owned(), false, files);
        assert_eq!(Manifest::read(&manifest.to_bytes().unwrap(), "there").unwrap(), manifest);
    }

    #[test]
    fn what_is_no_manifest_is_told_with_its_place() {
        assert!(Manifest::read(b"<html>", "s3://b/x").unwrap_err().to_string().contains("s3://b/x"));
        let newer = br#"{"format": 2, "mark": "", "public": false, "files": {}}"#;
        assert!(Manifest::read(newer, "x").unwrap_err().to_string().contains("does not know"));
    }
}
