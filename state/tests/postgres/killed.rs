//! Open steps of killed or suspended processes.
//!
//! The other process is this test program, started with a variable that has the URL.

use super::{request, writer};
use crate::{demo, intent, row};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use terrace_state::contract::cluster::Cluster;
use terrace_store::{Acquired, Intent, NewOperation, OpenIntent, Record, Selection, ServerStore};
use uuid::Uuid;

const VARIABLE: &str = "TERRACE_STATE_TEST_POSTGRES_HOLDER";

/// The other process: opens two steps, prints a line and waits to be killed. Does nothing when run as a test.
#[tokio::test]
async fn holder() {
    let Some(url) = std::env::var_os(VARIABLE) else { return };
    let store = writer(url.to_str().unwrap()).await;
    let operation = Uuid::now_v7();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "test".to_owned() };
    store.begin(&new).await.unwrap();
    let Acquired::Granted(leases) = store.acquire(&request(operation, &[""])).await.unwrap() else { return };
    let remote = Intent { settle: Duration::from_secs(30), ..intent(operation, 1, row("local_value.remote")) };
    let local = intent(operation, 2, row("local_value.here"));
    store.commit(&leases, [remote, local].map(|it| Record::Intent(Box::new(it))).to_vec()).await.unwrap();
    store.release(&leases).await.unwrap();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "opened").unwrap();
    stdout.flush().unwrap();
    std::future::pending::<()>().await;
}

/// A process with two open steps and no lease.
fn start_holder(url: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::killed::holder", "--nocapture"])
        .env(VARIABLE, url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("opened")));
    child
}

/// The open steps: a remote one, and one whose effects end with its process.
async fn open(store: &dyn ServerStore) -> [OpenIntent; 2] {
    let open = store.open_intents(&demo(), &Selection::All).await.unwrap();
    assert!(open.iter().all(|open| open.is_orphaned));
    open.try_into().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_process_is_gone_and_suspended_process_is_not() {
    let url = Cluster::shared().database().await;
    let mut child = start_holder(&url);
    let store = writer(&url).await;
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    for open in open(&*store).await {
        assert!(!open.is_holder_gone);
        let left = open.settles_in().unwrap();
        assert!(left > Duration::from_secs(600), "the whole timeout of its call counts: {left:?}");
    }
    signal("-KILL");
    child.wait().unwrap();
    let [remote, local] = open(&*store).await;
    assert!(remote.is_holder_gone && local.is_holder_gone);
    assert_eq!(local.settles_in(), None, "its effects ended with the process");
    let left = remote.settles_in().unwrap();
    assert!(left <= Duration::from_secs(30), "the service may work at most for the settle time: {left:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listening_server_records_when_a_process_was_gone() {
    let url = Cluster::shared().database().await;
    let mut child = start_holder(&url);
    child.kill().unwrap();
    child.wait().unwrap();
    let (store, server) = (writer(&url).await, writer(&url).await);
    let listening = tokio::spawn(async move { server.listen(&|| {}).await });
    let until = Instant::now() + Duration::from_secs(30);
    while open(&*store).await.iter().any(|open| open.gone_for.is_zero()) {
        assert!(Instant::now() < until, "the end is not recorded");
        tokio::task::yield_now().await;
    }
    listening.abort();
}
