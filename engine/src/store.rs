//! What the engine asks of a state store: plain types, async, no technology.
//!
//! A store keeps rows, a journal of steps, leases, operations and history. It never looks into attributes: they come
//! as JSON texts whose sensitive parts the engine has sealed. What is recorded of objects and steps goes through
//! [`StateStore::commit`], in one durable transaction that is refused when a lease was lost or a row has moved; leases,
//! the beginning of operations and pruning have calls of their own.

mod audit;
mod error;
mod operation;
mod record;
mod request;

pub use audit::{
    Anchor, AuditEntry, AuditLink, AuditLog, AuditOutcome, AuditPage, BrokenChain, GENESIS, PRUNED, Verifier,
};
pub use error::StoreError;
pub(crate) use error::component_in_words;
pub(crate) use error::moved_in_words;
pub use operation::{
    KINDS, LogLine, NewOperation, OperationFilter, OperationRow, OperationStatus, PLANS, SCANS, StepResult, StepRow,
};
pub use record::{ComponentRead, Read, Record, StaleRead, Write};
pub use request::{
    AskedAnew, AskedRow, Body, Cancelled, Claimant, Enqueued, NewRequest, RequestClaim, RequestEnd, RequestQueue,
    RequestQuota, RequestRow, ServerStore,
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

/// Counts the versions of one row, from 1; 0 stands for an absent row.
pub type Generation = u64;

/// A store of stacks.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Which store this is: plans name it.
    async fn identity(&self) -> Result<StoreIdentity, StoreError>;

    /// The moment by the clock that all times of the store are told by; that of this machine may be another one.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// The stacks of which something is recorded, sorted: a row, an open step, a shared row or an output. A first apply
    /// that was cut off may have left but a step, and a stack may own nothing but what it shares.
    async fn stacks(&self) -> Result<Vec<StackId>, StoreError>;

    /// The stacks of which anything was ever recorded, sorted: of one whose last row went the history is still there,
    /// and leads back.
    async fn known_stacks(&self) -> Result<Vec<StackId>, StoreError>;

    /// The rows of a stack, sorted by address.
    async fn rows(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Row>, StoreError>;

    /// The rows of an environment whose objects were retained when their components went, by stack and address.
    async fn retained_rows(&self, environment: &str) -> Result<Vec<Row>, StoreError>;

    /// What is recorded of components beside their rows: order, outputs. Sorted by key.
    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError>;

    /// Those components with the newest versions of what was recorded of them, in order.
    async fn component_reads(
        &self,
        stack: &StackId,
        components: &BTreeSet<String>,
    ) -> Result<Vec<ComponentRead>, StoreError>;

    /// The owners of shared rows: all owners of the given addresses, or all that a stack owns.
    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError>;

    /// Intents without an outcome, oldest first.
    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError>;

    /// The versions of one row, newest first.
    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError>;

    /// Everything that is recorded of a stack, or of all of them, sorted, as of one moment.
    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError>;

    /// Grants leases on components, all or none, in sorted order. Every grant has a new id and a higher fence. A lease is free
    /// when it was released, has expired, or its holder is known to be dead; and, while it is live, for another run of the
    /// same operation in the process that holds it: a process runs an operation once at a time, so the earlier run has ended.
    /// A store that cannot tell processes apart makes that run wait until the lease expires.
    /// Steps that the earlier run left open are orphaned from then on.
    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError>;

    /// Keeps leases for another term. Fails with [`StoreError::LeaseLost`] when one was taken over.
    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError>;

    /// Gives leases back. Leases that were lost already are no error.
    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError>;

    /// All leases that are held.
    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError>;

    /// Takes a lease away from whoever holds it; false when there is none of that id.
    async fn break_lease(&self, id: &str) -> Result<bool, StoreError>;

    /// Records that an operation begins. One that was queued may begin again and again: whoever works on it may plan
    /// anew, or take up what another one left.
    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError>;

    /// Writes all records in one durable transaction, in order; all or none.
    ///
    /// `leases` are those the writer works under: when one of them was taken over nothing is written. When one has
    /// expired, what was done may still be recorded, but no step may be opened.
    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError>;

    /// Operations, newest first.
    async fn operations(&self, which: &OperationFilter) -> Result<Vec<OperationRow>, StoreError>;

    /// Operations that have not ended, newest first: those at work, and those that were abandoned.
    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError>;

    /// The ids of operations within bounds, sorted, and no more than `limit`: so those are found that begin in some way.
    async fn operation_ids(&self, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError>;

    /// One operation with its steps.
    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError>;

    /// The log of an operation, oldest first, after so many lines.
    async fn logs(&self, id: Uuid, after: usize) -> Result<Vec<LogLine>, StoreError>;

    /// Asks an operation to stop, wherever it runs; `None` when none of that id is at work. Who asked first is recorded.
    async fn request_cancel(&self, operation: Uuid, by: &str) -> Result<Option<Cancelled>, StoreError>;

    /// True when somebody asked the operation to stop.
    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError>;

    /// Removes versions that are not current, and operations that ended or were abandoned, when they are older than
    /// `keep` by the clock of the store. The newest version of every address stays, and so does what was current then,
    /// and what an open step belongs to.
    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError>;

    /// True when that plan was applied (or began to be) already.
    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError>;
}

/// What pruning removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Versions of rows.
    pub versions: usize,
    /// Operations, with their steps and logs.
    pub operations: usize,
}

/// Which store this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Made once, when the store was.
    pub id: Uuid,
    /// Where it is, for people: `sqlite:.terrace/state.db`.
    pub url: String,
}

/// Which part of a stack is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    All,
    /// What belongs to these components.
    Components(BTreeSet<String>),
    /// These resources.
    Addresses(BTreeSet<Address>),
}

/// One recorded object.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The stack that owns it.
    pub stack: StackId,
    /// Its address in the stack.
    pub address: Address,
    /// Set for the old object of a replacement that creates first.
    pub deposed: Option<String>,
    /// What is known of the object.
    pub status: RowStatus,
    /// The version of this row; what a writer gives here is ignored, the store counts.
    pub generation: Generation,
    /// The configured provider instance: `sqlite`, `snowflake.eu`.
    pub provider: String,
    /// The version of the provider that wrote it; `None` when an older terrace did, which did not record it.
    pub provider_version: Option<String>,
    /// The resource type's schema version that the attributes were written with.
    pub schema_version: u32,
    /// The identity attributes, as sealed JSON.
    pub identity: String,
    /// All attributes, as sealed JSON.
    pub attributes: String,
    /// The provider's own bytes, sealed.
    pub private: Vec<u8>,
    /// Direct dependencies in the same stack, recorded when the row was written.
    pub dependencies: Vec<Address>,
    /// What the engine remembers of the row for planning without a descriptor, as JSON: protection, retention, timeouts.
    pub lifecycle: String,
    /// When this version was written, by the clock of the store; what a writer gives here is ignored.
    pub updated_at: Timestamp,
    /// The operation that wrote this version.
    pub operation: Uuid,
}

/// What is known of a recorded object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowStatus {
    /// It is there as recorded.
    Ready,
    /// Its creation failed half-way: the next plan replaces it.
    Tainted,
    /// Its component is gone, its data stays: recorded so that the next provision takes it up again.
    Retained,
}

/// What is recorded of a component beside its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentRow {
    /// The component's key.
    pub key: String,
    /// The keys of the components that it depends on.
    pub depends_on: Vec<String>,
    /// The outputs, as sealed JSON.
    pub outputs: String,
    /// The blueprint that it was compiled with, for people.
    pub blueprint: Option<String>,
    /// The components of other stacks whose outputs it reads, or whose objects it looks at.
    pub reads: Vec<StackRead>,
    /// Who has access; `None` where nobody ever said.
    pub access: Option<Access>,
    /// The ids that it was described by, and the rule of its names; `None` where its key was its only name and the rule is
    /// [`NamesRule::Ascii`].
    pub ids: Option<Ids>,
}

/// What a component and its data product are called where they come from. The key and the stack's name are made of that, and
/// two ids may make one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ids {
    /// The data product's id; empty where it has none.
    pub product: String,
    /// The component's; empty where the data product has none.
    pub component: String,
    /// The rule by which names beyond ASCII were written.
    #[serde(default, skip_serializing_if = "NamesRule::is_ascii")]
    pub names: NamesRule,
}

/// A component of another stack whose outputs are read, or whose objects are looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StackRead {
    /// The stack.
    pub stack: StackId,
    /// The component; empty for the stack's own outputs.
    pub component: String,
}

/// Who owns a shared row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ownership {
    /// The shared row.
    pub address: Address,
    /// The owner's stack.
    pub stack: StackId,
    /// The owner's component.
    pub component: String,
}

/// An owner of a shared row as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRow {
    /// Who owns what.
    pub ownership: Ownership,
    /// How it declares the resource, as sealed JSON of the engine; empty when that is not known.
    pub declaration: String,
}

/// Which ownerships are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnersOf {
    /// All owners of these shared rows.
    Addresses(BTreeSet<Address>),
    /// All shared rows of this stack.
    Stack(StackId),
}

/// A step whose outcome is not recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenIntent {
    /// What was going to be done.
    pub intent: Intent,
    /// When the intent was recorded.
    pub started_at: Timestamp,
    /// How long ago that is, by the clock of the store.
    pub age: Duration,
    /// The lease under which it was written has ended or was taken over: nobody works on it any more.
    pub is_orphaned: bool,
    /// The process that works on it is known to have ended. False also where that cannot be told: a holder that lost
    /// its lease, or works elsewhere, may be in the middle of the call.
    pub is_holder_gone: bool,
    /// Time since a server first saw that, by the clock of the store; zero if the store does not record it.
    pub gone_for: Duration,
}

/// What is going to be done, durable before the provider is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// The operation.
    pub operation: Uuid,
    /// The step's number within the operation.
    pub step: u32,
    /// What kind of call.
    pub action: StepAction,
    /// The whole row as planned; for a delete the row that goes.
    pub row: Row,
    /// The generation of the row that the step replaces, updates or deletes; 0 for none.
    pub prior_generation: Generation,
    /// The object of that generation stays beside the one that is made, deposed, until it is deleted.
    pub deposes: bool,
    /// How long the call may take.
    pub timeout: Duration,
    /// How long a lost call may still take effect.
    pub settle: Duration,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepAction {
    /// Calls `create`.
    Create,
    /// Calls `update`.
    Update,
    /// Calls `delete`; drops what is gone already, without a call.
    Delete,
    /// Writes state only: adopt, forget, retain, move, refreshed attributes, state-only types.
    Record,
}

/// One version of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The version.
    pub generation: Generation,
    /// The row as it was; `None` when this version is its deletion.
    pub row: Option<Row>,
    /// When it was written.
    pub at: Timestamp,
    /// By which operation.
    pub operation: Uuid,
}

/// One version of what is recorded of a component.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentEntry {
    /// The component's key.
    pub key: String,
    /// Names the version within the store; later ones have greater numbers.
    pub version: u64,
    /// Nothing was recorded of the component before. False where an older version was pruned.
    pub is_first: bool,
    /// What was recorded; `None` when this version is its deletion.
    pub component: Option<ComponentRow>,
    /// When it was written.
    pub at: Timestamp,
    /// By which operation.
    pub operation: Uuid,
}

/// What is recorded of a stack, as of one moment.
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
    /// All versions of all its rows, oldest first; empty when they were not asked for.
    pub history: Vec<(Address, HistoryEntry)>,
    /// All versions of its components, oldest first; empty when they were not asked for.
    pub component_history: Vec<ComponentEntry>,
}

/// Asks for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The components, by stack.
    pub components: BTreeSet<(StackId, String)>,
    /// The operation that will hold them.
    pub operation: Uuid,
    /// Who that is, for people: `jane@host (pid 4711)`.
    pub holder: String,
    /// How long they last without renewal.
    pub term: Duration,
}

/// The right to change one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Names the lease for `terrace unlock`.
    pub id: String,
    /// The stack.
    pub stack: StackId,
    /// The component.
    pub component: String,
    /// Grows with every holder.
    pub fence: u64,
}

/// What came of asking for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// All of them.
    Granted(Vec<Lease>),
    /// None: these are held by others.
    Held(Vec<LeaseInfo>),
}

/// A lease as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Names the lease for `terrace unlock`.
    pub id: String,
    /// The stack.
    pub stack: StackId,
    /// The component.
    pub component: String,
    /// Who holds it.
    pub holder: String,
    /// The holder's operation.
    pub operation: Uuid,
    /// Since when.
    pub since: Timestamp,
    /// When it ends unless it is renewed.
    pub expires: Timestamp,
}
