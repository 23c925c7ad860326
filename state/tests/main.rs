//! Tests of the stores: the contract with every store, and tests of files and servers.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod crash; // killed processes: their commits stay, and their leases are free
mod export; // export of a store to a document, and import
mod files; // objects at the path: no file, garbage, another program's file, a read-only folder
#[cfg(feature = "postgres")]
mod postgres; // the contract with PostgreSQL, and tests of a server
mod roles; // roles of the role mapper beside a state
mod sqlite; // the contract with SQLite, in a file and in memory
mod transfer; // transfer of a whole state to another database and back
mod transfer_roles; // transfer of a role mapper's roles

use std::time::Duration;
use terrace_store::access::{Access, Fields};
use terrace_store::address::StackId;
use terrace_store::{
    Body, ComponentRow, Intent, NewOperation, NewRequest, OrderKey, Record, Row, RowStatus, Sealed, StepAction, Write,
};
use uuid::Uuid;

fn demo() -> StackId {
    StackId::new("demo", "local")
}

fn row(address: &str) -> Row {
    Row {
        stack: demo(),
        address: address.parse().unwrap(),
        deposed: None,
        status: RowStatus::Ready,
        generation: 0,
        provider: "local".to_owned(),
        provider_version: None,
        schema_version: 1,
        identity: Sealed::from_stored("{}"),
        attributes: Sealed::from_stored("{\"size\":1}"),
        private: vec![0, 255],
        dependencies: Vec::new(),
        lifecycle: "{}".to_owned(),
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        operation: Uuid::nil(),
    }
}

/// A create intent.
fn intent(operation: Uuid, step: u32, row: Row) -> Intent {
    Intent {
        operation,
        step,
        action: StepAction::Create,
        row,
        prior_generation: 0,
        deposes: false,
        timeout: Duration::from_secs(600),
        settle: Duration::ZERO,
    }
}

/// A request with an idempotency key.
fn keyed_request() -> NewRequest {
    let (kind, actor) = ("provision".to_owned(), "jane".to_owned());
    NewRequest {
        operation: NewOperation { id: Uuid::now_v7(), kind, stacks: vec![demo()], actor },
        order: OrderKey::of_text("api"),
        digest: "one".to_owned(),
        older_digests: Vec::new(),
        body: Body::default(),
        idempotency: Some("key".to_owned()),
        can_wait: false,
        quota: None,
    }
}

fn api(principal: Option<&str>) -> ComponentRow {
    ComponentRow {
        key: "api".into(),
        depends_on: Vec::new(),
        outputs: Sealed::from_stored("{}"),
        blueprint: None,
        reads: Vec::new(),
        access: principal.map(|principal| Access::new(vec![principal.to_owned()], Fields::default())),
        ids: None,
    }
}

fn put(row: Row) -> Record {
    Record::Write { operation: Uuid::now_v7(), write: Write::Put { row: Box::new(row), expected: 0 } }
}
