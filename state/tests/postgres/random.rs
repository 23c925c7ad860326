//! Random commits have the same result as in SQLite, which applies the records one by one: batches preserve the
//! necessary order.

use crate::row;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_state::contract::cluster::Cluster;
use terrace_state::contract::start_of_time;
use terrace_state::{Access, ManualClock, StoreUrl};
use terrace_store::address::{Address, StackId};
use terrace_store::{
    ComponentRow, Generation, OwnerRow, Ownership, Record, Row, RowStatus, Sealed, StackRead, StackSnapshot,
    StateStore, Write,
};
use uuid::Uuid;

type Key = (StackId, Address);

/// The known generations, so that most random writes are valid.
#[derive(Clone, Default)]
struct KnownState {
    newest: BTreeMap<Key, Generation>,
    rows: BTreeMap<Key, BTreeMap<Option<String>, Generation>>,
}

impl KnownState {
    fn next(&mut self, key: &Key) -> Generation {
        let newest = self.newest.entry(key.clone()).or_default();
        *newest += 1;
        *newest
    }

    fn generation(&self, key: &Key, deposed: Option<&str>) -> Generation {
        let rows = self.rows.get(key);
        rows.and_then(|rows| rows.get(&deposed.map(str::to_owned))).copied().unwrap_or_default()
    }

    fn put(&mut self, key: &Key, deposed: Option<String>) {
        let generation = self.next(key);
        self.rows.entry(key.clone()).or_default().insert(deposed, generation);
    }

    fn remove(&mut self, key: &Key, deposed: Option<&str>) {
        self.next(key);
        self.rows.entry(key.clone()).or_default().remove(&deposed.map(str::to_owned));
    }
}

struct WriteGenerator {
    random: fastrand::Rng,
    known: KnownState,
}

impl WriteGenerator {
    fn stack(&mut self) -> StackId {
        match self.random.u8(0..5) {
            0 => StackId::shared("local"),
            1 | 2 => StackId::new("one", "local"),
            _ => StackId::new("two", "local"),
        }
    }

    fn address(&mut self, stack: &StackId) -> Address {
        if *stack == StackId::shared("local") {
            return Address::shared("local_value", &self.random.u8(0..3).to_string());
        }
        let name = self.random.choice(["local_value.a", "local_value.b", "x/local_value.c"]).unwrap();
        let key = self.random.choice(["", "[0]", "[1]", "[\"k\"]"]).unwrap();
        format!("{name}{key}").parse().unwrap()
    }

    fn dependencies(&mut self) -> Vec<Address> {
        let mut found = Vec::new();
        for _ in 0..self.random.u8(0..3) {
            let stack = self.stack();
            found.push(match self.random.u8(0..4) {
                0 => "local_value.a[*]".parse().unwrap(),
                _ => self.address(&stack),
            });
        }
        found.sort();
        found.dedup();
        found
    }

    fn component(&mut self) -> ComponentRow {
        let reads = (0..self.random.u8(0..2)).map(|_| StackRead {
            stack: StackId::new("one", "local"),
            component: self.random.choice(["x", "y"]).unwrap().into(),
        });
        let reads = reads.collect();
        let outputs = Sealed::from_stored(format!("{{\"o\":{}}}", self.random.u8(0..3)));
        let key = self.random.choice(["", "x", "y"]).unwrap().into();
        ComponentRow { key, depends_on: Vec::new(), outputs, blueprint: None, reads, access: None, ids: None }
    }

    fn write(&mut self) -> Write {
        let stack = self.stack();
        let address = self.address(&stack);
        let key = (stack.clone(), address.clone());
        let deposed = (self.random.u8(0..6) == 0).then(|| "old".to_owned());
        // Some writes have a wrong expectation.
        let wrong = Generation::from(self.random.u8(0..40) == 0);
        let expected = self.known.generation(&key, deposed.as_deref()) + wrong;
        let current = self.known.generation(&key, None);
        match self.random.u8(0..24) {
            0..=8 => {
                let (dependencies, size) = (self.dependencies(), self.random.u16(..));
                self.known.put(&key, deposed.clone());
                let attributes = Sealed::from_stored(format!("{{\"size\":{size}}}"));
                let status = *[RowStatus::Ready, RowStatus::Retained].get(usize::from(size % 2)).unwrap();
                let row = Row { stack, deposed, dependencies, attributes, status, ..row(&address.to_string()) };
                Write::Put { row: Box::new(row), expected }
            }
            9..=11 if expected > 0 => {
                self.known.remove(&key, deposed.as_deref());
                Write::Delete { stack, address, deposed, expected }
            }
            12..=13 if expected > 0 => {
                self.known.remove(&key, deposed.as_deref());
                Write::Forget { stack, address, deposed, expected }
            }
            14 if current > 0 && self.known.generation(&key, Some("old")) == 0 => {
                let rows = self.known.rows.entry(key).or_default();
                rows.remove(&None);
                rows.insert(Some("old".to_owned()), current);
                Write::Depose { stack, address, key: "old".to_owned(), expected: current }
            }
            15..=16 if current > 0 => {
                let to = self.address(&stack);
                let target = (stack.clone(), to.clone());
                if self.known.generation(&target, Some("old")) > 0 {
                    // Deposed keys must be unique within a target.
                    return Write::Follow { stack, block: "local_value.a[*]".parse().unwrap(), to };
                }
                if self.known.rows.get(&target).is_none_or(BTreeMap::is_empty) {
                    let rows: Vec<_> = self.known.rows.remove(&key).unwrap_or_default().into_keys().collect();
                    for deposed in rows {
                        self.known.next(&key);
                        self.known.put(&target, deposed);
                    }
                }
                Write::Move { stack, from: address, to, expected: current }
            }
            17 => Write::Follow { stack, block: "local_value.a[*]".parse().unwrap(), to: address },
            18 => {
                let (from, to) = ("x".into(), "y".into());
                Write::FollowReads { stack: StackId::new("one", "local"), from, to }
            }
            19 => {
                let generation = self.random.u64(1..4);
                let attributes = Sealed::from_stored(format!("{{\"sealed\":{}}}", self.random.u16(..)));
                let row = Row { stack, generation, attributes, ..row(&address.to_string()) };
                Write::Reseal { row: Box::new(row) }
            }
            20 => Write::DropComponent { stack, key: self.random.choice(["", "x", "y"]).unwrap().into() },
            21 => Write::PutOwner(OwnerRow {
                ownership: self.ownership(),
                declaration: Sealed::from_stored(self.random.u8(..).to_string()),
            }),
            22 => Write::DropOwner { ownership: self.ownership(), may_be_last: self.random.bool() },
            _ => Write::Component { stack, component: self.component() },
        }
    }

    fn ownership(&mut self) -> Ownership {
        let address = self.address(&StackId::shared("local"));
        let name = *self.random.choice(&["one", "two"]).unwrap();
        Ownership { address, stack: StackId::new(name, "local"), component: "x".into() }
    }
}

/// The recorded state, with consecutive version numbers: those of a database have gaps.
async fn recorded(store: &dyn StateStore) -> Vec<StackSnapshot> {
    let mut snapshots = store.snapshot(None, true).await.unwrap();
    for snapshot in &mut snapshots {
        for (number, entry) in (1..).zip(&mut snapshot.component_history) {
            entry.version = number;
        }
    }
    snapshots
}

#[tokio::test]
async fn random_commits_equal_those_in_sqlite() {
    const COMMITS: u64 = 200;
    let clock = Arc::new(ManualClock::at(start_of_time()));
    let sqlite = StoreUrl::SqliteMemory;
    let sqlite = terrace_state::open_with_clock(&sqlite, Access::ReadWrite, clock.clone()).await.unwrap();
    let url = Cluster::shared().database().await.parse().unwrap();
    let store = terrace_state::open_with_clock(&url, Access::ReadWrite, clock.clone()).await.unwrap();
    let seed = fastrand::u64(..);
    let mut generator = WriteGenerator { random: fastrand::Rng::with_seed(seed), known: KnownState::default() };
    let mut done = 0;
    for number in 0..COMMITS {
        clock.advance(std::time::Duration::from_secs(60));
        let (before, operation) = (generator.known.clone(), Uuid::from_u128(number.into()));
        let count = generator.random.usize(1..12);
        let writes: Vec<Write> = (0..count).map(|_| generator.write()).collect();
        let records: Vec<Record> = writes.into_iter().map(|write| Record::Write { operation, write }).collect();
        let expected = sqlite.commit(&[], records.clone()).await;
        let found = store.commit(&[], records.clone()).await;
        assert_eq!(found.is_ok(), expected.is_ok(), "seed {seed}: {records:#?}: {found:?} {expected:?}");
        match expected {
            Ok(()) => done += 1,
            Err(_) => generator.known = before,
        }
        let (expected, found) = (recorded(&*sqlite).await, recorded(&*store).await);
        assert_eq!(found, expected, "seed {seed}: {records:#?}");
        if number % 50 == 49 {
            let keep = std::time::Duration::from_secs(1800);
            assert_eq!(store.prune(keep).await.unwrap(), sqlite.prune(keep).await.unwrap(), "seed {seed}");
        }
    }
    assert!(done > COMMITS / 4, "seed {seed}: {done} commits were accepted");
}
