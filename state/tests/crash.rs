//! Killed processes: their commits stay, and their leases are free.
//!
//! The other process is this test program, started with a variable for its task.

use crate::{demo, intent, put, row};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use terrace_state::contract::claimant;
use terrace_state::{Access, StoreUrl};
use terrace_store::address::ComponentKey;
use terrace_store::{
    Acquired, LeaseRequest, NewOperation, NewRequest, OperationFilter, OrderKey, Record, Selection, ServerStore,
    StateStore,
};
use uuid::Uuid;

const VARIABLE: &str = "TERRACE_STATE_TEST_HOLDER";
/// Set if the operation of the other process has a request.
const AS_REQUEST: &str = "TERRACE_STATE_TEST_ASKED";

async fn open(path: &Path) -> Arc<dyn ServerStore> {
    terrace_state::open(&StoreUrl::Sqlite(path.to_owned()), Access::ReadWrite).await.unwrap()
}

fn request(operation: Uuid) -> LeaseRequest {
    let components = BTreeSet::from([(demo(), ComponentKey::STACK)]);
    LeaseRequest { components, operation, holder: "test".into(), term: Duration::from_secs(3600) }
}

/// Whether the only open step is orphaned, and whether its holder is gone.
async fn open_step(store: &dyn StateStore) -> (bool, bool) {
    let open = store.open_intents(&demo(), &Selection::All).await.unwrap();
    assert_eq!(open.len(), 1);
    open.first().map(|open| (open.is_orphaned, open.is_holder_gone)).unwrap()
}

/// Starts this program as a process that takes a lease and commits until it is killed.
fn start_holder(path: &Path, is_request: bool) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::holder", "--nocapture"])
        .env(VARIABLE, path)
        .envs(is_request.then_some((AS_REQUEST, "1")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test: the task of the other process. It prints the number of each commit once the commit is durable.
#[tokio::test]
async fn holder() {
    let Some(path): Option<OsString> = std::env::var_os(VARIABLE) else { return };
    let store = open(Path::new(&path)).await;
    let operation = Uuid::now_v7();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "test".to_owned() };
    match std::env::var_os(AS_REQUEST) {
        None => store.begin(&new).await.unwrap(),
        Some(_) => {
            let (order, digest, body) = (OrderKey::default(), String::new(), String::new());
            let new_request = NewRequest {
                operation: new,
                order,
                digest,
                older_digests: Vec::new(),
                body: body.into(),
                idempotency: None,
                can_wait: false,
                quota: None,
            };
            store.enqueue(&new_request, 10).await.unwrap();
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
async fn killed_process_loses_its_lease_but_no_commit() {
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

/// The next worker of a dead server's request need not wait for calls that ended with the server.
#[tokio::test]
async fn steps_of_a_killed_claimant_are_known_to_have_ended() {
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
    // The pipe stays open while the process lives.
    drop(lines);
}
