//! Cancellation of operations.

use crate::auth::Caller;
use crate::metrics;
use crate::operation_log::OperationLog;
use crate::shared::Shared;
use std::sync::Arc;
use terrace_engine::store::{Cancelled, OperationRow, OperationStatus, RequestEnd, StoreError};

impl Shared {
    /// Asks an operation to stop; false if it has ended. A queued operation that has not started ends at once, even if
    /// it waits for others.
    pub(crate) async fn cancel(&self, operation: &OperationRow, caller: &Caller) -> Result<bool, StoreError> {
        caller.note_operation(operation.id);
        let cancelled = self.store.request_cancel(operation.id, &caller.name_or("anonymous")).await?;
        if cancelled == Some(Cancelled::Ended) {
            let log = OperationLog { store: Arc::clone(&self.store), operation: operation.id };
            log.stopped(&RequestEnd::cancelled()).await;
            metrics::count_ended(&operation.kind, OperationStatus::Interrupted);
            // A request that waited for this one may start.
            self.wake.notify_one();
        }
        Ok(cancelled.is_some())
    }
}
