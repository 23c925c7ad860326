//! Leases.

use super::StoreError;
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_language::address::{ComponentKey, StackId};
use uuid::Uuid;

/// The rights of operations to change components.
#[async_trait]
pub trait Leases: Send + Sync {
    /// The current time by the store's clock, which may differ from this machine's. All times of the store use it.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Grants leases on components, all or none, in sorted order. Every grant has a new id and a higher fence.
    ///
    /// A lease is free when it was released, has expired, or its holder is known to be dead. A live lease is also free
    /// for another run of the same operation in the holding process: a process runs an operation once at a time, so the
    /// earlier run has ended. A store that cannot identify processes makes that run wait until the lease expires. Steps
    /// that the earlier run left open are orphaned from then on.
    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError>;

    /// Renews leases for another term. Fails with [`StoreError::LeaseLost`] when another operation took a lease over.
    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError>;

    /// Releases leases. A lost lease causes no error.
    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError>;

    /// All leases that are held.
    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError>;
}

/// A request for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The components, by stack.
    pub components: BTreeSet<(StackId, ComponentKey)>,
    /// The operation that will hold them.
    pub operation: Uuid,
    /// The holder, for display: `jane@host (pid 4711)`.
    pub holder: String,
    /// How long the leases last without renewal.
    pub term: Duration,
}

/// The right to change one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The id that `terrace unlock` takes.
    pub id: String,
    /// The stack.
    pub stack: StackId,
    /// The component.
    pub component: ComponentKey,
    /// Increases with every holder.
    pub fence: u64,
}

/// The result of a request for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// All leases were granted.
    Granted(Vec<Lease>),
    /// No lease was granted: other operations hold these.
    Held(Vec<LeaseInfo>),
}

/// A lease as other processes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseInfo {
    /// The id that `terrace unlock` takes.
    pub id: String,
    /// The stack.
    pub stack: StackId,
    /// The component.
    pub component: ComponentKey,
    /// The holder, for display.
    pub holder: String,
    /// The holder's operation.
    pub operation: Uuid,
    /// When it was granted.
    pub since: Timestamp,
    /// When it expires without renewal.
    pub expires: Timestamp,
}
