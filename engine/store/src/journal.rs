//! Writes of operations.

use super::{Lease, NewOperation, Record, StoreError};
use async_trait::async_trait;
use uuid::Uuid;

/// The journal of operations, the only way to change rows.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Records the start of an operation. A queued operation may start repeatedly: its worker may replan, or another
    /// worker may continue after a crash.
    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError>;

    /// Writes all records in one durable transaction, in order; all or none.
    ///
    /// `leases` are the writer's leases. When one was taken over, nothing is written. When one has expired, the writer
    /// can still record outcomes but cannot open steps.
    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError>;

    /// True when an operation already applied the plan, or started to.
    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError>;
}
