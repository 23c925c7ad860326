//! Interface of a destination.

use super::StorageError;
use super::entry::RemoteFile;
use super::journal::Journal;
use super::source::SourceFile;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use tokio_util::sync::CancellationToken;

/// A destination. Keys are paths below it.
#[async_trait]
pub(crate) trait Target: Send + Sync {
    /// Metadata of those files that exist.
    async fn metadata(&self, keys: &[String]) -> Result<BTreeMap<String, RemoteFile>, StorageError>;

    /// Content of a small file; `None` if it does not exist.
    async fn text(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Digest of a file's content, read in full; `None` if it does not exist.
    async fn digest(&self, key: &str) -> Result<Option<String>, StorageError>;

    /// Sends a file atomically, and returns its tag. A file whose content no longer matches its digest is refused.
    async fn send(
        &self,
        file: &SourceFile,
        journal: &Journal,
        cancel: &CancellationToken,
    ) -> Result<String, StorageError>;

    /// Writes a small file.
    async fn write(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError>;

    /// Removes a file; a missing file counts as a success.
    async fn remove(&self, key: &str) -> Result<(), StorageError>;

    /// Aborts the upload of a large file.
    async fn abandon(&self, _key: &str, _upload: &str) -> Result<(), StorageError> {
        Ok(())
    }

    /// Aborts all unfinished uploads of these files, which a killed process left. No other process may send them.
    async fn abandon_all(&self, _keys: &BTreeSet<&str>) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Error for a file that changed after it was read.
pub(crate) fn changed(file: &SourceFile) -> StorageError {
    StorageError::failed(format!("`{}` changed while it was being sent", file.path.display()))
        .hint("sync again when no process writes it")
}
