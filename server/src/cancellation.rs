//! Cancellation of operations.

use crate::auth::Caller;
use crate::logbook::Logbook;
use crate::metrics;
use crate::serve::Shared;
use std::sync::Arc;
use terrace_engine::store::{Cancelled, OperationRow, OperationStatus, RequestEnd, StoreError};

impl Shared {
    /// Asks an operation to stop; false if it has ended. A queued operation that has not started ends at once, even if
    /// it waits for others.
    pub(crate) async fn cancel(&self, operation: &OperationRow, caller: &Caller) -> Result<bool, StoreError> {
        caller.became(operation.id);
        let cancelled = self.store.request_cancel(operation.id, &caller.named("anonymous")).await?;
        if cancelled == Some(Cancelled::Ended) {
            let log = Logbook { store: Arc::clone(&self.store), operation: operation.id };
            log.stopped(&RequestEnd::called_off()).await;
            metrics::counted(&operation.kind, OperationStatus::Interrupted);
            // A request that waited for this one may start.
            self.wake.notify_one();
        }
        Ok(cancelled.is_some())
    }
}
