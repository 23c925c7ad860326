//! One of the two databases of a transfer.

use super::tables::Table;
use async_trait::async_trait;
use std::collections::BTreeSet;
use terrace_store::address::StackId;
use terrace_store::{LeaseInfo, OrderKey, StoreError};
use uuid::Uuid;

/// A value of a column in a form common to all databases: flags are numbers, times are microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Id(Uuid),
}

/// The summary of an operation whose process had ended before the transfer.
pub(crate) const INTERRUPTED_SUMMARY: &str = "it was interrupted before the state moved";

pub(crate) type Cells = Vec<Cell>;

/// One of the two databases, in a transaction that lasts as long as the transfer. Dropping it rolls back.
#[async_trait]
pub(crate) trait Side: Send {
    /// The identity of the state.
    async fn id(&mut self) -> Result<Uuid, StoreError>;

    /// What keeps the state from moving.
    async fn in_use(&mut self) -> Result<Vec<InUse>, StoreError>;

    /// True if a role mapper has tables beside the state. From this call on, none can write them.
    async fn has_roles(&mut self) -> Result<bool, StoreError>;

    /// Creates the tables of a role mapper, or upgrades them to the newest format.
    async fn make_roles(&mut self) -> Result<(), StoreError>;

    /// True when a table has a row.
    async fn has_any(&mut self, table: &'static str) -> Result<bool, StoreError>;

    /// The rows after a key, in order.
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<Cells>,
        most: usize,
    ) -> Result<Vec<Cells>, StoreError>;

    /// Deletes the identity that the state was created with.
    async fn forget_id(&mut self) -> Result<(), StoreError>;

    /// Adds rows.
    async fn add(&mut self, table: &'static Table, rows: Vec<Cells>) -> Result<(), StoreError>;

    /// Continues number sequences after the transferred rows, ends interrupted operations that no process will end, and
    /// commits.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// A process that uses a state, or interrupted work.
#[derive(Debug, Clone, PartialEq)]
pub enum InUse {
    /// A component is leased.
    Lease(LeaseInfo),
    /// An operation is running.
    Operation {
        /// Its id.
        id: Uuid,
        /// The kind.
        kind: String,
        /// The caller.
        actor: String,
    },
    /// A request waits, or is running.
    Request {
        /// Its operation.
        id: Uuid,
        /// The kind.
        kind: String,
        /// The stack.
        stack: StackId,
        /// The requests behind which it waits.
        order: OrderKey,
        /// True before its first claim.
        is_queued: bool,
    },
    /// A step has no outcome yet.
    Step {
        /// The stack.
        stack: StackId,
        /// The address of its object.
        address: String,
        /// Its operation.
        operation: Uuid,
    },
}

impl InUse {
    const fn operation(&self) -> Uuid {
        match self {
            Self::Lease(LeaseInfo { operation, .. })
            | Self::Operation { id: operation, .. }
            | Self::Request { id: operation, .. }
            | Self::Step { operation, .. } => *operation,
        }
    }
}

/// An operation without an end. It blocks the transfer unless it is abandoned, or was cancelled and holds nothing.
pub(crate) struct Unended {
    /// Its number.
    pub(crate) sequence: i64,
    /// Its id.
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) actor: String,
    /// Whether it was cancelled.
    pub(crate) is_cancelled: bool,
}

/// Everything that keeps a state from moving. For an operation with leases, only its leases are listed.
pub(crate) fn in_use(
    leases: Vec<LeaseInfo>,
    requests: Vec<InUse>,
    operations: Vec<Unended>,
    abandoned: &[i64],
    steps: Vec<InUse>,
) -> Vec<InUse> {
    let mut listed_operations: BTreeSet<Uuid> = leases.iter().map(|lease| lease.operation).collect();
    let mut found: Vec<InUse> = leases.into_iter().map(InUse::Lease).collect();
    let running = operations
        .into_iter()
        .filter(|operation| !operation.is_cancelled && !abandoned.contains(&operation.sequence))
        .map(|Unended { id, kind, actor, .. }| InUse::Operation { id, kind, actor });
    for other in running.chain(requests).chain(steps) {
        let operation = other.operation();
        // Each open step is listed, unless its operation is listed already.
        let is_listed = match other {
            InUse::Step { .. } => listed_operations.contains(&operation),
            _ => !listed_operations.insert(operation),
        };
        if !is_listed {
            found.push(other);
        }
    }
    found
}
