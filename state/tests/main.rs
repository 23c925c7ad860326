//! The store from outside: the contract over every store, and what only a file can show.
#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod crash; // processes that die: what they committed stays, what they held is free
mod export; // a store as a document, and back
mod files; // what is at the path: nothing, garbage, another program's file, a read-only folder
mod memory; // the contract over the store in memory
#[cfg(feature = "postgres")]
mod postgres; // the contract over PostgreSQL, and what only a server can show
mod roles; // what the role mapper keeps beside a state
mod sqlite; // the contract over SQLite, in a file and in memory
mod transfer; // a whole state that moves to another database and back
mod transfer_roles; // what a role mapper keeps beside it moves along

use std::time::Duration;
use terrace_engine::access::{Access, Fields};
use terrace_engine::address::StackId;
use terrace_engine::store::{
    Body, ComponentRow, Intent, NewOperation, NewRequest, Record, Row, RowStatus, StepAction, Write,
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
        identity: "{}".to_owned(),
        attributes: "{\"size\":1}".to_owned(),
        private: vec![0, 255],
        dependencies: Vec::new(),
        lifecycle: "{}".to_owned(),
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        operation: Uuid::nil(),
    }
}

/// What is to be created.
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

/// A component without anything but who has access.
/// A request of a caller who knows it again by a key.
fn asking_by_key() -> NewRequest {
    let (kind, actor) = ("provision".to_owned(), "jane".to_owned());
    NewRequest {
        operation: NewOperation { id: Uuid::now_v7(), kind, stacks: vec![demo()], actor },
        component: "api".to_owned(),
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
        key: "api".to_owned(),
        depends_on: Vec::new(),
        outputs: "{}".to_owned(),
        blueprint: None,
        reads: Vec::new(),
        access: principal.map(|principal| Access::new(vec![principal.to_owned()], Fields::default())),
        ids: None,
    }
}

fn put(row: Row) -> Record {
    Record::Write { operation: Uuid::now_v7(), write: Write::Put { row: Box::new(row), expected: 0 } }
}
