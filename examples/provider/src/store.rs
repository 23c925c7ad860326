//! The technology: a folder with one file for each key. This module does not depend on terrace.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// An entry in its stored form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) revision: i64,
    /// The creator of the entry, as free text.
    #[serde(default)]
    pub(crate) made_by: String,
}

/// A store.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// True for a valid key.
    pub(crate) fn is_key(key: &str) -> bool {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !key.is_empty() && !key.starts_with('.') && key.chars().all(is_fine)
    }

    /// Returns the entry of a key, or `None`.
    pub(crate) fn get(&self, key: &str) -> io::Result<Option<Entry>> {
        match fs::read(self.path(key)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds an entry. Returns false if the key exists.
    pub(crate) fn add(&self, key: &str, entry: &Entry) -> io::Result<bool> {
        let written = self.write(key, entry)?;
        // `hard_link` never overwrites: if two processes add the same key, one of them fails.
        let added = fs::hard_link(&written, self.path(key));
        fs::remove_file(&written)?;
        match added {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes an entry, and overwrites an existing one.
    pub(crate) fn set(&self, key: &str, entry: &Entry) -> io::Result<()> {
        fs::rename(self.write(key, entry)?, self.path(key))
    }

    /// Removes an entry, if it exists.
    pub(crate) fn remove(&self, key: &str) -> io::Result<()> {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Writes an entry to a temporary file, so that readers never see a partial entry.
    fn write(&self, key: &str, entry: &Entry) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!(".{key}.{}", std::process::id()));
        let text = serde_json::to_vec_pretty(entry).map_err(io::Error::other)?;
        fs::write(&path, text)?;
        Ok(path)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.json"))
    }
}
