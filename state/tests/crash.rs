//! Processes that die: what they committed stays, what they held is free.
//!
//! The other process is this very test program, started again with a variable that tells it what to do.

use crate::{demo, intent, put, row};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::store::{
    Acquired, LeaseRequest, NewOperation, NewRequest, OperationFilter, Record, Selection, ServerStore, StateStore,
};
use terrace_state::contract::claimant;
use terrace_state::{Access, StoreUrl};
use uuid::Uuid;

const VARIABLE: &str = "TERRACE_STATE_TEST_HOLDER";
/// The operation of the other process is one that a server was asked for.
const ASKED: &str = "TERRACE_STATE_TEST_ASKED";

async fn open(path: &Path) -> Arc<dyn ServerStore> {
    terrace_state::open(&StoreUrl::Sqlite(path.to_owned()), Access::ReadWrite).await.unwrap()
}

fn request(operation: Uuid) -> LeaseRequest {
    let components = BTreeSet::from([(demo(), String::new())]);
    LeaseRequest { components, operation, holder: "test".to_owned(), term: Duration::from_secs(3600) }
}

/// How the one open step stands: orphaned, its holder gone.
async fn open_step(store: &dyn StateStore) -> (bool, bool) {
    let open = store.open_intents(&demo(), &Selection::All).await.unwrap();
    assert_eq!(open.len(), 1);
    open.first().map(|open| (open.is_orphaned, open.is_holder_gone)).unwrap()
}

/// Runs this program as a process that takes a lease and commits until it is killed.
fn start_holder(path: &Path, is_asked: bool) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::holder", "--nocapture"])
        .env(VARIABLE, path)
        .envs(is_asked.then_some((ASKED, "1")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the other process does. It says the number of each commit once that is durable.
#[tokio::test]
async fn holder() {
    let Some(path): Option<OsString> = std::env::var_os(VARIABLE) else { return };
    let store = open(Path::new(&path)).await;
    let operation = Uuid::now_v7();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "test".to_owned() };
    match std::env::var_os(ASKED) {
        None => store.begin(&new).await.unwrap(),
        Some(_) => {
            let (component, digest, body) = (String::new(), String::new(), String::new());
            let asked = NewRequest {
                operation: new,
                component,
                digest,
                older_digests: Vec::new(),
                body: body.into(),
                idempotency: None,
                can_wait: false,
                quota: None,
            };
            store.enqueue(&asked, 10).await.unwrap();
            store.claim(&claimant("test"), Duration::from_secs(3600)).await.unwrap().unwrap();
        }
    }
    let Acquired::Granted(leases) = store.acquire(&request(operation)).await.unwrap() else { return };
    store.commit(&leases, vec![Record::Intent(Box::new(intent(operation, 1, row("local_value.open"))))]).await.unwrap();
    for number in 0.. {
        store.commit(&leases, vec![put(row(&format!("local_value.a[{number}]")))]).await.unwrap();
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "committed {number}").unwrap();
        stdout.flush().unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_loses_its_lease_at_once_and_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    let mut child = start_holder(&path, false);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines =
        lines.filter_map(|line| line.strip_prefix("committed ").and_then(|text| text.parse::<usize>().ok()));
    let reached = lines.find(|number| *number == 20).unwrap();

    let operation = Uuid::now_v7();
    let refused = store.acquire(&request(operation)).await.unwrap();
    assert!(matches!(refused, Acquired::Held(_)), "{refused:?}");
    let running = store.operations(&OperationFilter::newest(1)).await.unwrap();
    assert_eq!((running.len(), running.first().unwrap().is_abandoned), (1, false));
    assert_eq!(open_step(&*store).await, (false, false));

    child.kill().unwrap();
    let last = lines.last().unwrap_or(reached);
    child.wait().unwrap();
    let taken = store.acquire(&request(operation)).await.unwrap();
    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
    assert!(rows.len() > last, "{} rows after commit {last} was confirmed", rows.len());
    assert!(store.operations(&OperationFilter::newest(1)).await.unwrap().first().unwrap().is_abandoned);
    if cfg!(target_os = "linux") {
        let Acquired::Granted(leases) = taken else { return assert!(rows.is_empty(), "the lease is still held") };
        assert_eq!(leases.first().unwrap().fence, 2);
        assert_eq!(open_step(&*store).await, (true, true));
    }
}

/// Who goes on with what a dead server was asked need not wait for calls that ended with it.
#[tokio::test]
async fn what_is_claimed_from_a_killed_process_is_known_to_have_ended_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    let mut child = start_holder(&path, true);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("committed 1")));
    assert!(store.claim(&claimant("other"), Duration::from_secs(60)).await.unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    if cfg!(target_os = "linux") {
        let claim = store.claim(&claimant("other"), Duration::from_secs(60)).await.unwrap().unwrap();
        assert_eq!(claim.fence, 2);
        assert_eq!(open_step(&*store).await, (true, true));
    }
    // As long as it lived somebody read what it said.
    drop(lines);
}
