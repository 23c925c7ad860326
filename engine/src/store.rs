//! The interface between the engine and a state store: plain types, async, independent of a database.
//!
//! A store keeps rows, a journal of steps, leases, operations and history. It never reads attributes: they arrive as
//! JSON texts whose sensitive parts the engine has sealed. [`StateStore::commit`] writes rows and steps in one durable
//! transaction, and refuses it when a lease was lost or a row changed. Leases, the start of operations and pruning have
//! calls of their own.

mod audit;
mod error;
mod operation;
mod record;
mod request;

pub use audit::{
    Anchor, AuditEntry, AuditLink, AuditLog, AuditOutcome, AuditPage, BrokenChain, GENESIS, PRUNED, Verifier,
};
pub use error::StoreError;
pub(crate) use error::describe_lease;
pub(crate) use error::describe_stale_rows;
pub use operation::{
    KINDS, LogLine, NewOperation, OperationFilter, OperationRow, OperationStatus, PLANS, SCANS, StepResult, StepRow,
};
pub use record::{ComponentRead, Read, Record, StaleRead, Write};
pub use request::{
    Body, Cancelled, Claimant, Enqueued, NewRequest, RequestClaim, RequestEnd, RequestQueue, RequestQuota, RequestRow,
    ResealedRequest, ServerStore, StoredRequest,
};

use crate::access::Access;
use crate::address::{Address, StackId};
use crate::naming::NamesRule;
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;
use uuid::Uuid;

/// The version of a row, counted from 1; 0 stands for an absent row.
pub type Generation = u64;

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

/// The record of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The stack that owns it.
    pub stack: StackId,
    /// Its address in the stack.
    pub address: Address,
    /// Set for the old object of a replacement that creates first.
    pub deposed: Option<String>,
    /// The status of the object.
    pub status: RowStatus,
    /// The version of this row. The store counts it and ignores the writer's value.
    pub generation: Generation,
    /// The configured provider instance, for example `sqlite` or `snowflake.eu`.
    pub provider: String,
    /// The version of the provider that wrote it; `None` in rows of an older terrace, which did not record it.
    pub provider_version: Option<String>,
    /// The schema version of the resource type at the time of writing.
    pub schema_version: u32,
    /// The identity attributes, as sealed JSON.
    pub identity: String,
    /// All attributes, as sealed JSON.
    pub attributes: String,
    /// The provider's own bytes, sealed.
    pub private: Vec<u8>,
    /// Direct dependencies in the same stack, recorded when the row was written.
    pub dependencies: Vec<Address>,
    /// The settings for planning without a descriptor, as JSON: protection, retention, timeouts.
    pub lifecycle: String,
    /// When this version was written, by the store's clock. The writer's value is ignored.
    pub updated_at: Timestamp,
    /// The operation that wrote this version.
    pub operation: Uuid,
}

/// The status of a recorded object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowStatus {
    /// The object exists as recorded.
    Ready,
    /// The creation failed halfway: the next plan replaces the object.
    Tainted,
    /// The component was removed and its data stays. The row lets the next provision adopt the object.
    Retained,
}

/// The record of a component, without its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentRow {
    /// The component's key.
    pub key: String,
    /// The keys of the components that it depends on.
    pub depends_on: Vec<String>,
    /// The outputs, as sealed JSON.
    pub outputs: String,
    /// The blueprint that it was compiled with, for display.
    pub blueprint: Option<String>,
    /// The components of other stacks whose outputs or objects it reads.
    pub reads: Vec<StackRead>,
    /// The principals with access; `None` if none were ever given.
    pub access: Option<Access>,
    /// The ids in the descriptor, and the naming rule; `None` when the key was the only name and the rule is
    /// [`NamesRule::Ascii`].
    pub ids: Option<Ids>,
}

/// The original ids of a component and its data product. The component's key and the stack's name derive from them, and
/// two ids may derive the same name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ids {
    /// The id of the data product; empty if it has none.
    pub product: String,
    /// The id of the component; empty if it has none.
    pub component: String,
    /// The rule for names beyond ASCII.
    #[serde(default, skip_serializing_if = "NamesRule::is_ascii")]
    pub names: NamesRule,
}

/// A component of another stack whose outputs or objects are read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StackRead {
    /// The stack.
    pub stack: StackId,
    /// The component; empty for the stack's own outputs.
    pub component: String,
}

/// An owner of a shared row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ownership {
    /// The shared row.
    pub address: Address,
    /// The owner's stack.
    pub stack: StackId,
    /// The owner's component.
    pub component: String,
}

/// The record of an owner of a shared row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRow {
    /// The owner and the shared row.
    pub ownership: Ownership,
    /// The owner's declaration of the resource, as JSON sealed by the engine; empty when unknown.
    pub declaration: String,
}

/// The ownerships to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnersOf {
    /// All owners of these shared rows.
    Addresses(BTreeSet<Address>),
    /// All shared rows of this stack.
    Stack(StackId),
}

/// A step without a recorded outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenIntent {
    /// The planned call.
    pub intent: Intent,
    /// When the intent was recorded.
    pub started_at: Timestamp,
    /// Time since then, by the store's clock.
    pub age: Duration,
    /// The step's lease has ended or was taken over, so no operation works on it any more.
    pub is_orphaned: bool,
    /// The process that worked on the step is known to have ended. False also when that is unknown: a holder that lost
    /// its lease, or runs on another machine, may still be in the call.
    pub is_holder_gone: bool,
    /// Time since a server first noticed the end of the process, by the store's clock; zero if the store does not
    /// record it.
    pub gone_for: Duration,
}

/// A planned provider call, durable before the engine makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// The operation.
    pub operation: Uuid,
    /// The step's number within the operation.
    pub step: u32,
    /// The kind of call.
    pub action: StepAction,
    /// The whole row as planned; for a delete, the row to delete.
    pub row: Row,
    /// The generation of the row that the step replaces, updates or deletes; 0 for a new row.
    pub prior_generation: Generation,
    /// The old object stays as a deposed object next to the new one until it is deleted.
    pub deposes: bool,
    /// Time limit of the call.
    pub timeout: Duration,
    /// How long a lost call may still take effect.
    pub settle: Duration,
}

/// The kind of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepAction {
    /// Calls `create`.
    Create,
    /// Calls `update`.
    Update,
    /// Calls `delete`; drops the row without a call if the object no longer exists.
    Delete,
    /// Writes state only: adopt, forget, retain, move, refreshed attributes, state-only types.
    Record,
}

/// One version of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The version.
    pub generation: Generation,
    /// The row; `None` when this version is a deletion.
    pub row: Option<Row>,
    /// When it was written.
    pub at: Timestamp,
    /// The operation that wrote it.
    pub operation: Uuid,
}

/// One version of a component's record.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentEntry {
    /// The component's key.
    pub key: String,
    /// The version within the store; later versions have greater numbers.
    pub version: u64,
    /// The component had no earlier record. False when an older version was pruned.
    pub is_first: bool,
    /// The record; `None` when this version is a deletion.
    pub component: Option<ComponentRow>,
    /// When it was written.
    pub at: Timestamp,
    /// The operation that wrote it.
    pub operation: Uuid,
}

/// Everything recorded of a stack, in a consistent snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct StackSnapshot {
    /// The stack.
    pub stack: StackId,
    /// Its rows, sorted by address.
    pub rows: Vec<Row>,
    /// Its components, sorted by key.
    pub components: Vec<ComponentRow>,
    /// The shared rows that it owns, sorted.
    pub owned: Vec<OwnerRow>,
    /// All versions of all its rows, oldest first; empty unless requested.
    pub history: Vec<(Address, HistoryEntry)>,
    /// All versions of its components, oldest first; empty unless requested.
    pub component_history: Vec<ComponentEntry>,
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
