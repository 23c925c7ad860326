//! The interface between the engine and a state store: plain types, async, independent of a database.
//!
//! A store keeps rows, a journal of steps, leases, operations and history. It never reads attributes: they arrive as
//! JSON texts whose sensitive parts the engine has sealed. [`StateStore::commit`] writes rows and steps in one durable
//! transaction, and refuses it when a lease was lost or a row changed. Leases, the start of operations and pruning have
//! calls of their own.

mod audit;
mod body;
mod error;
mod operation;
mod record;
mod request;
mod row;

pub use audit::{
    Anchor, AuditEntry, AuditLink, AuditLog, AuditOutcome, AuditPage, BrokenChain, GENESIS, PRUNED, Verifier,
};
pub use body::{Body, ResealedRequest};
pub use error::StoreError;
pub(crate) use error::{describe_lease, describe_stale_rows};
pub use operation::{
    Cancelled, KINDS, LogLine, NewOperation, OperationFilter, OperationRow, OperationStatus, PLANS, SCANS, StepAction,
    StepResult, StepRow,
};
pub use record::{ComponentRead, Read, Record, StaleRead, Write};
pub use request::{
    Claimant, Enqueued, NewRequest, RequestClaim, RequestEnd, RequestQueue, RequestQuota, RequestRow, ServerStore,
    StoredRequest,
};
pub use row::{
    ComponentEntry, ComponentRow, Generation, HistoryEntry, Ids, Intent, OpenIntent, OwnerRow, Ownership, Row,
    RowStatus, StackRead, StackSnapshot,
};

use crate::address::{Address, StackId};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;
use uuid::Uuid;

/// A store of stacks.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// The identity of the store, which plans record.
    async fn identity(&self) -> Result<StoreIdentity, StoreError>;

    /// The current time by the store's clock, which may differ from this machine's. All times of the store use it.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// The stacks with recorded state, sorted: a row, an open step, a shared row or an output. An interrupted first
    /// apply may leave only a step, and a stack may own only shared rows.
    async fn stacks(&self) -> Result<Vec<StackId>, StoreError>;

    /// The stacks that ever had recorded state, sorted. A stack without rows still has its history, which a rollback
    /// can use.
    async fn known_stacks(&self) -> Result<Vec<StackId>, StoreError>;

    /// The rows of a stack, sorted by address.
    async fn rows(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Row>, StoreError>;

    /// The rows of an environment whose objects were retained after their components were removed, by stack and
    /// address.
    async fn retained_rows(&self, environment: &str) -> Result<Vec<Row>, StoreError>;

    /// The components of a stack, with order and outputs. Sorted by key.
    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError>;

    /// The given components with the newest versions of their records, in order.
    async fn component_reads(
        &self,
        stack: &StackId,
        components: &BTreeSet<String>,
    ) -> Result<Vec<ComponentRead>, StoreError>;

    /// The owners of shared rows: all owners of the given addresses, or all ownerships of a stack.
    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError>;

    /// Intents without an outcome, oldest first.
    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError>;

    /// The versions of a row, newest first.
    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError>;

    /// Everything recorded of a stack, or of all stacks, sorted, in a consistent snapshot.
    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError>;

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

    /// Breaks a lease, regardless of its holder. Returns false when the lease does not exist.
    async fn break_lease(&self, id: &str) -> Result<bool, StoreError>;

    /// Records the start of an operation. A queued operation may start repeatedly: its worker may replan, or another
    /// worker may continue after a crash.
    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError>;

    /// Writes all records in one durable transaction, in order; all or none.
    ///
    /// `leases` are the writer's leases. When one was taken over, nothing is written. When one has expired, the writer
    /// can still record outcomes but cannot open steps.
    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError>;

    /// Operations, newest first.
    async fn operations(&self, which: &OperationFilter) -> Result<Vec<OperationRow>, StoreError>;

    /// Operations without an end, newest first: running and abandoned ones.
    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError>;

    /// The ids of operations within the bounds, sorted, at most `limit`. Serves look-ups by the first digits of an id.
    async fn operation_ids(&self, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError>;

    /// One operation with its steps.
    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError>;

    /// The log of an operation, oldest first, from line `after` on.
    async fn logs(&self, id: Uuid, after: usize) -> Result<Vec<LogLine>, StoreError>;

    /// Requests the cancellation of an operation, in any process. Returns `None` when no such operation runs. Records
    /// the first principal that requests it.
    async fn request_cancel(&self, operation: Uuid, by: &str) -> Result<Option<Cancelled>, StoreError>;

    /// True when a caller asked the operation to stop.
    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError>;

    /// Removes old versions, and operations that ended or were abandoned, when they are older than `keep` by the
    /// store's clock. The newest version of every address stays, and so do the versions that were current `keep` ago
    /// and the operations of open steps.
    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError>;

    /// True when an operation already applied the plan, or started to.
    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError>;
}

/// Numbers of records that pruning removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Versions of rows.
    pub versions: usize,
    /// Operations, with their steps and logs.
    pub operations: usize,
}

/// The identity of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Generated once, when the store was created.
    pub id: Uuid,
    /// The location, for display: `sqlite:.terrace/state.db`.
    pub url: String,
}

/// The part of a stack to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The whole stack.
    All,
    /// The rows of these components.
    Components(BTreeSet<String>),
    /// These resources.
    Addresses(BTreeSet<Address>),
}

/// The ownerships to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnersOf {
    /// All owners of these shared rows.
    Addresses(BTreeSet<Address>),
    /// All shared rows of this stack.
    Stack(StackId),
}

/// A request for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The components, by stack.
    pub components: BTreeSet<(StackId, String)>,
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
    pub component: String,
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
    pub component: String,
    /// The holder, for display.
    pub holder: String,
    /// The holder's operation.
    pub operation: Uuid,
    /// When it was granted.
    pub since: Timestamp,
    /// When it expires without renewal.
    pub expires: Timestamp,
}
