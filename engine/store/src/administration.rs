//! Administration of a store.

use super::{Cancelled, HistoryEntry, LogLine, StoreError};
use async_trait::async_trait;
use std::ops::RangeInclusive;
use std::time::Duration;
use terrace_language::address::{Address, StackId};
use uuid::Uuid;

/// Look-ups and repairs by users, and retention. The engine never calls them.
#[async_trait]
pub trait Administration: Send + Sync {
    /// The versions of a row, newest first.
    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError>;

    /// Breaks a lease, regardless of its holder. Returns false when the lease does not exist.
    async fn break_lease(&self, id: &str) -> Result<bool, StoreError>;

    /// The ids of operations within the bounds, sorted, at most `limit`. Serves look-ups by the first digits of an id.
    async fn operation_ids(&self, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError>;

    /// The log of an operation, oldest first, from line `after` on.
    async fn logs(&self, id: Uuid, after: usize) -> Result<Vec<LogLine>, StoreError>;

    /// Requests the cancellation of an operation, in any process. Returns `None` when no such operation runs. Records
    /// the first principal that requests it.
    async fn request_cancel(&self, operation: Uuid, by: &str) -> Result<Option<Cancelled>, StoreError>;

    /// Removes old versions, and operations that ended or were abandoned, when they are older than `keep` by the
    /// store's clock. The newest version of every address stays, and so do the versions that were current `keep` ago
    /// and the operations of open steps.
    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError>;
}

/// Numbers of records that pruning removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Versions of rows.
    pub versions: usize,
    /// Operations, with their steps and logs.
    pub operations: usize,
}
