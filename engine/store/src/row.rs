//! Rows of a store.

use super::operation::StepAction;
use super::read::{ComponentRead, Generation};
use super::{Sealed, StoreError};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_language::access::Access;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::naming::NamesRule;
use terrace_language::registry::EndedCalls;
use uuid::Uuid;

/// The rows, components and owners of stacks, as planning reads them.
#[async_trait]
pub trait Rows: Send + Sync {
    /// The identity of the store, which plans record.
    async fn identity(&self) -> Result<StoreIdentity, StoreError>;

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
        components: &BTreeSet<ComponentKey>,
    ) -> Result<Vec<ComponentRead>, StoreError>;

    /// The owners of shared rows: all owners of the given addresses, or all ownerships of a stack.
    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError>;

    /// Intents without an outcome, oldest first.
    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError>;

    /// Everything recorded of a stack, or of all stacks, sorted, in a consistent snapshot.
    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError>;
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
    Components(BTreeSet<ComponentKey>),
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
    /// The identity attributes.
    pub identity: Sealed,
    /// All attributes.
    pub attributes: Sealed,
    /// The provider's own bytes, sealed.
    pub private: Vec<u8>,
    /// Direct dependencies in the same stack, recorded when the row was written.
    pub dependencies: Vec<Address>,
    /// The settings for planning without a descriptor, as JSON without secrets: protection, retention, timeouts, keyed
    /// digests.
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
    pub key: ComponentKey,
    /// The keys of the components that it depends on.
    pub depends_on: Vec<ComponentKey>,
    /// The outputs.
    pub outputs: Sealed,
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
    /// The component.
    pub component: ComponentKey,
}

/// An owner of a shared row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ownership {
    /// The shared row.
    pub address: Address,
    /// The owner's stack.
    pub stack: StackId,
    /// The owner's component.
    pub component: ComponentKey,
}

/// The record of an owner of a shared row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRow {
    /// The owner and the shared row.
    pub ownership: Ownership,
    /// The owner's declaration of the resource; empty when unknown.
    pub declaration: Sealed,
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

/// Extra time for a call past its limit, when its effects end with the call. Such a call may wait for a lock, or for a
/// program to stop; the time limits of these waits are shorter.
pub const GRACE: Duration = Duration::from_secs(15);

impl OpenIntent {
    /// The step with the knowledge of this process: once its call has ended, its holder counts as gone.
    #[must_use]
    pub fn after(self, calls: &EndedCalls) -> Self {
        let has_ended = calls.has(self.intent.operation, self.intent.step);
        Self { is_holder_gone: self.is_holder_gone || has_ended, ..self }
    }

    /// How long the lost call may still take effect; `None` if it cannot any more.
    ///
    /// A dead process sends nothing more. Its last request may take effect during the settle time of the type, which begins when
    /// the process was first seen gone. Effects of a type without settle time ended with the process. A holder that is not known to
    /// be dead may be suspended: its call keeps its whole timeout.
    #[must_use]
    pub fn settles_in(&self) -> Option<Duration> {
        let intent = &self.intent;
        let longer = match (intent.settle.is_zero(), self.is_holder_gone) {
            (true, false) => GRACE,
            _ => intent.settle,
        };
        let by_time = intent.timeout.saturating_add(longer).saturating_sub(self.age);
        let left = match self.is_holder_gone {
            true => by_time.min(intent.settle.saturating_sub(self.gone_for)),
            false => by_time,
        };
        Some(left).filter(|left| !left.is_zero())
    }
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
    pub key: ComponentKey,
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
