//! Locks by operation: one worker of this process at a time, even if a claim was lost and taken again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use uuid::Uuid;

/// The operations that this process works on.
#[derive(Default)]
pub(crate) struct OperationLocks(Mutex<HashMap<Uuid, Weak<tokio::sync::Mutex<()>>>>);

impl OperationLocks {
    /// The lock of an operation: one worker holds it at a time.
    pub(crate) fn of(&self, operation: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = all.get(&operation).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        all.insert(operation, Arc::downgrade(&lock));
        lock
    }
}
