//! The interface between the engine and a state store: plain types, async, independent of a database.
//!
//! A store keeps rows, a journal of steps, leases, operations and history. It never reads attributes: they arrive as
//! JSON texts whose sensitive parts the engine has sealed. [`Journal::commit`] writes rows and steps in one durable
//! transaction, and refuses it when a lease was lost or a row changed. Leases, the start of operations and pruning have
//! calls of their own.
//!
//! Each trait is for one kind of caller: a planner gets a [`StateReader`], which cannot write; apply and recovery get a
//! [`StateStore`]; command lines and servers hold a [`ServerStore`].
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod administration;
mod audit;
mod body;
mod commit;
pub mod diff;
mod error;
mod journal;
mod lease;
pub mod marks;
mod operation;
mod order_key;
mod read;
pub mod record;
mod request;
mod row;
pub mod seal;
mod sealed;
mod usage;

pub use administration::{Administration, Pruned};
pub use audit::{
    Anchor, AuditEntry, AuditLink, AuditLog, AuditOutcome, AuditPage, BrokenChain, GENESIS, PRUNED, Verifier,
};
pub use body::{Body, ResealedRequest};
pub use commit::{Record, Write};
pub use error::StoreError;
pub use error::{describe_lease, describe_stale_rows};
pub use journal::Journal;
pub use lease::{Acquired, Lease, LeaseInfo, LeaseRequest, Leases};
pub use operation::{
    Cancelled, KINDS, LogLine, NewOperation, OperationFilter, OperationRow, OperationStatus, Operations, PLANS, SCANS,
    StepAction, StepResult, StepRow,
};
pub use order_key::OrderKey;
pub use read::{ComponentRead, Generation, Read, StaleRead};
pub use request::{
    Claimant, Enqueued, NewRequest, RequestClaim, RequestEnd, RequestQueue, RequestQuota, RequestRow, ServerStore,
    StoredRequest,
};
pub use row::{
    ComponentEntry, ComponentRow, GRACE, HistoryEntry, Ids, Intent, OpenIntent, OwnerRow, OwnersOf, Ownership, Row,
    RowStatus, Rows, Selection, StackRead, StackSnapshot, StoreIdentity,
};
pub use sealed::Sealed;
pub use terrace_language::{access, address, digest};
pub use usage::Usage;

/// All that planning reads.
pub trait StateReader: Rows + Operations {}

impl<T: Rows + Operations + ?Sized> StateReader for T {}

/// All that apply and recovery need.
pub trait StateStore: StateReader + Journal + Leases {}

impl<T: StateReader + Journal + Leases + ?Sized> StateStore for T {}
