//! A new store for each test of the contract, with shorthands for its records.

use crate::clock::ManualClock;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use terrace_store::address::{Address, ComponentKey, StackId};
use terrace_store::{
    Acquired, Claimant, Generation, Intent, Lease, LeaseRequest, NewOperation, Record, Row, RowStatus, Sealed,
    Selection, ServerStore, StepAction, StoreError, Write,
};
use uuid::Uuid;

/// Opens the store of a fixture again.
pub type Reopen =
    Box<dyn Fn(Arc<ManualClock>) -> Pin<Box<dyn Future<Output = Arc<dyn ServerStore>> + Send>> + Send + Sync>;

/// A new, empty store and its clock.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn ServerStore>,
    /// Its clock, which stands still until a test moves it.
    pub clock: Arc<ManualClock>,
    /// Opens the store again; `None` for stores that end with their last user.
    pub reopen: Option<Reopen>,
}

/// The initial time of the fixtures' clocks.
#[must_use]
pub fn start_of_time() -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap()
}

/// A process with that name. Equal names are the same process.
#[must_use]
pub fn claimant(name: &str) -> Claimant {
    let id = name.bytes().fold(0, |id: u128, byte| id.wrapping_mul(257).wrapping_add(byte.into()));
    Claimant { id: Uuid::from_u128(id), name: name.to_owned() }
}

pub(super) fn demo() -> StackId {
    StackId::new("demo", "local")
}

pub(super) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(super) fn forget(text: &str, expected: Generation) -> Write {
    Write::Forget { stack: demo(), address: address(text), deposed: None, expected }
}

pub(super) fn row(text: &str) -> Row {
    Row {
        stack: demo(),
        address: address(text),
        deposed: None,
        status: RowStatus::Ready,
        generation: 0,
        provider: "local".to_owned(),
        provider_version: Some("1.2.3".to_owned()),
        schema_version: 1,
        identity: Sealed::from_stored(format!(r#"{{"name":"{}"}}"#, address(text).name)),
        attributes: Sealed::from_stored(r#"{"size":1}"#),
        private: vec![0, 1, 255],
        dependencies: Vec::new(),
        lifecycle: "{}".to_owned(),
        updated_at: Timestamp::UNIX_EPOCH,
        operation: Uuid::nil(),
    }
}

pub(super) fn row_depending_on(text: &str, on: &[&str]) -> Row {
    Row { dependencies: on.iter().map(|text| address(text)).collect(), ..row(text) }
}

pub(super) fn put(row: Row, expected: Generation) -> Write {
    Write::Put { row: Box::new(row), expected }
}

pub(super) fn delete(text: &str, expected: Generation) -> Write {
    Write::Delete { stack: demo(), address: address(text), deposed: None, expected }
}

pub(super) fn rename(from: &str, to: &str, expected: Generation) -> Write {
    Write::Move { stack: demo(), from: address(from), to: address(to), expected }
}

pub(super) fn intent(operation: Uuid, step: u32, row: Row) -> Intent {
    Intent {
        operation,
        step,
        action: StepAction::Create,
        row,
        prior_generation: 0,
        deposes: false,
        timeout: Duration::from_secs(600),
        settle: Duration::from_secs(30),
    }
}

pub(super) fn addresses(texts: &[&str]) -> Selection {
    Selection::Addresses(texts.iter().map(|text| address(text)).collect())
}

pub(super) fn components(keys: &[&str]) -> BTreeSet<(StackId, ComponentKey)> {
    keys.iter().map(|key| (demo(), (*key).into())).collect()
}

impl Fixture {
    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.write_as(Uuid::now_v7(), writes).await
    }

    pub(super) async fn write_as(&self, operation: Uuid, writes: Vec<Write>) -> Result<(), StoreError> {
        let records: Vec<Record> = writes.into_iter().map(|write| Record::Write { operation, write }).collect();
        self.store.commit(&[], records).await
    }

    pub(super) async fn row(&self, text: &str) -> Option<Row> {
        let rows = self.store.rows(&demo(), &addresses(&[text])).await.unwrap();
        rows.into_iter().find(|row| row.deposed.is_none())
    }

    pub(super) async fn generation(&self, text: &str) -> Generation {
        self.row(text).await.map_or(0, |row| row.generation)
    }

    pub(super) async fn names(&self, selection: &Selection) -> Vec<String> {
        let rows = self.store.rows(&demo(), selection).await.unwrap();
        rows.iter().map(|row| row.address.to_string()).collect()
    }

    pub(super) async fn begin(&self) -> Uuid {
        let id = Uuid::now_v7();
        let operation = NewOperation { id, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
        self.store.begin(&operation).await.unwrap();
        id
    }

    pub(super) async fn acquire(&self, operation: Uuid, keys: &[&str]) -> Acquired {
        let request = LeaseRequest {
            components: components(keys),
            operation,
            holder: "jane@host".to_owned(),
            term: Duration::from_secs(30),
        };
        self.store.acquire(&request).await.unwrap()
    }

    pub(super) async fn granted(&self, operation: Uuid, keys: &[&str]) -> Vec<Lease> {
        match self.acquire(operation, keys).await {
            Acquired::Granted(leases) => leases,
            Acquired::Held(held) => {
                let holders: Vec<_> = held.iter().map(|lease| &lease.component).collect();
                assert!(holders.is_empty(), "held by other operations: {holders:?}");
                Vec::new()
            }
        }
    }
}
