//! What a sync asks of a destination.

use super::StorageError;
use super::journal::{Journal, Upload};
use super::manifest::Entry;
use super::source::SourceFile;
use async_trait::async_trait;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// A file as the destination tells of it, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// In bytes.
    pub(crate) size: u64,
    /// Another one when the content is another: an ETag, or the time of the last change; empty where none is told.
    pub(crate) tag: String,
}

impl Seen {
    /// True when it is what was sent.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        self.size == entry.size && bare(&self.tag) == bare(&entry.tag)
    }
}

/// An ETag without what servers put around one and the same.
fn bare(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// A place that files are brought to. Keys are paths below it.
#[async_trait]
pub(crate) trait Target: Send + Sync {
    /// What there is of these files.
    async fn look(&self, keys: &[String]) -> Result<BTreeMap<String, Seen>, StorageError>;

    /// The whole content of a small file; `None` where there is none.
    async fn text(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// The digest of a file's content, read in full; `None` where there is none.
    async fn digest(&self, key: &str) -> Result<Option<String>, StorageError>;

    /// Brings a file there, and tells its tag. It appears as a whole. Content that is no more what its digest says is
    /// refused.
    async fn send(
        &self,
        file: &SourceFile,
        journal: &Journal,
        cancel: &CancellationToken,
    ) -> Result<String, StorageError>;

    /// Puts a small file there.
    async fn write(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError>;

    /// Removes a file. One that is gone already is a success.
    async fn remove(&self, key: &str) -> Result<(), StorageError>;

    /// Gives up what was begun of a large file.
    async fn abandon(&self, _key: &str, _upload: &Upload) -> Result<(), StorageError> {
        Ok(())
    }
}

/// A file that is another one than when it was looked at.
pub(crate) fn changed(file: &SourceFile) -> StorageError {
    StorageError::failed(format!("`{}` changed while it was being sent", file.path.display()))
        .hint("sync again when nobody writes it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_same_however_it_is_quoted() {
        let entry = |tag: &str| Entry { size: 1, sha256: String::new(), tag: tag.to_owned(), left: false };
        let seen = Seen { size: 1, tag: "W/\"a\"".to_owned() };
        assert!(seen.is_of(&entry("\"a\"")) && seen.is_of(&entry("a")));
        assert!(!seen.is_of(&entry("b")) && !Seen { size: 2, ..seen.clone() }.is_of(&entry("a")));
    }
}
