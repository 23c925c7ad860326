//! Connections that stay open but carry no bytes: behind a router that dropped them, or to a server that hangs.

use super::{one, writer};
use crate::{demo, intent, put, row};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_state::contract::claimant;
use terrace_state::contract::cluster::{Cluster, connect};
use terrace_state::contract::proxy::Proxy;
use terrace_store::{
    Acquired, Body, Enqueued, LeaseRequest, NewOperation, NewRequest, OrderKey, Record, Selection, ServerStore,
};
use uuid::Uuid;

/// The longest time of a call that finds all connections dead, while new ones work.
const BOUND: Duration = Duration::from_secs(50);

struct ProxiedStore {
    proxy: Proxy,
    /// The URL without the proxy.
    direct: String,
    store: Arc<dyn ServerStore>,
}

async fn proxied_store() -> ProxiedStore {
    let direct = Cluster::shared().database().await;
    let proxy = Cluster::shared().proxy();
    let store = writer(&Cluster::shared().through(&proxy, &direct)).await;
    ProxiedStore { proxy, direct, store }
}

fn new_request(component: &str) -> NewRequest {
    let (id, kind, actor) = (Uuid::now_v7(), "provision".to_owned(), "jane".to_owned());
    NewRequest {
        operation: NewOperation { id, kind, stacks: vec![demo()], actor },
        order: OrderKey::of_text(component),
        digest: id.to_string(),
        older_digests: Vec::new(),
        body: Body::default(),
        idempotency: None,
        can_wait: false,
        quota: None,
    }
}

#[expect(clippy::expect_used, reason = "a test helper")]
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, call).await.expect("the call ends in time")
}

/// Uses connections of all lines, so that each pool has some.
async fn open_connections(store: &Arc<dyn ServerStore>) {
    let many = (0..6).map(|number| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            store.enqueue(&new_request(&format!("warm-{number}")), 100).await.unwrap();
            store.rows(&demo(), &Selection::All).await.unwrap();
        })
    });
    for task in many.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_when_old_connections_are_half_open() {
    let ProxiedStore { proxy, store, .. } = proxied_store().await;
    open_connections(&store).await;
    let here = claimant("here");
    let claim = store.claim(&here, Duration::from_secs(300)).await.unwrap().unwrap();
    let operation = Uuid::now_v7();
    let term = Duration::from_secs(300);
    let components = [(demo(), "api".into())].into();
    let request = LeaseRequest { components, operation, holder: "test".to_owned(), term };
    let Acquired::Granted(leases) = store.acquire(&request).await.unwrap() else { panic!("the component is free") };
    proxy.silence();
    let record = vec![put(row("api/local_value.a"))];
    let (queued, claim_renewed, renewed, committed, read, claimed, cancelled) = in_time(async {
        let (another, stack) = (new_request("another"), demo());
        tokio::join!(
            store.enqueue(&another, 100),
            store.renew_claim(&claim, term),
            store.renew(&leases, term),
            store.commit(&leases, record),
            store.rows(&stack, &Selection::All),
            store.claim(&here, term),
            store.is_cancel_requested(operation),
        )
    })
    .await;
    assert!(matches!(queued.unwrap(), Enqueued::Queued { .. }));
    claim_renewed.unwrap();
    renewed.unwrap();
    committed.unwrap();
    read.unwrap();
    claimed.unwrap();
    assert!(!cancelled.unwrap());
    // Further calls are fast.
    let begun = Instant::now();
    open_connections(&store).await;
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_is_done_once_when_its_connection_goes_silent() {
    let ProxiedStore { proxy, direct, store } = proxied_store().await;
    let operation = Uuid::now_v7();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "test".to_owned() };
    store.begin(&new).await.unwrap();
    let other = connect(&direct).await;
    // This lock keeps the commit inside its transaction while the connection dies.
    other.batch_execute("BEGIN; LOCK TABLE step IN EXCLUSIVE MODE").await.unwrap();
    let committing = {
        let store = Arc::clone(&store);
        let record = Record::Intent(Box::new(intent(operation, 0, row("local_value.a"))));
        tokio::spawn(async move { store.commit(&[], vec![record]).await })
    };
    let watcher = connect(&direct).await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let until = Instant::now() + Duration::from_secs(20);
    while one::<i64>(&watcher, waiting).await == 0 {
        assert!(Instant::now() < until, "the commit does not wait");
        tokio::task::yield_now().await;
    }
    proxy.silence();
    other.batch_execute("COMMIT").await.unwrap();
    in_time(committing).await.unwrap().unwrap();
    assert_eq!(store.open_intents(&demo(), &Selection::All).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_in_bounded_time_while_the_database_is_silent() {
    let ProxiedStore { proxy, store, .. } = proxied_store().await;
    open_connections(&store).await;
    proxy.close();
    let another = new_request("another");
    let failed = in_time(store.enqueue(&another, 100)).await.unwrap_err().to_string();
    assert!(failed.contains("does not answer in time"), "{failed}");
    let failed = in_time(store.rows(&demo(), &Selection::All)).await.unwrap_err().to_string();
    assert!(failed.contains("does not answer in time"), "{failed}");
    proxy.open();
    let queued = in_time(store.enqueue(&new_request("after"), 100)).await.unwrap();
    assert!(matches!(queued, Enqueued::Queued { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listening_fails_when_its_connection_goes_silent() {
    let ProxiedStore { proxy, store, .. } = proxied_store().await;
    let (notify, mut notified) = tokio::sync::mpsc::unbounded_channel();
    let listening = tokio::spawn(async move { store.listen(&|| notify.send(()).unwrap()).await });
    notified.recv().await.unwrap();
    proxy.silence();
    let failed = in_time(listening).await.unwrap().unwrap_err().to_string();
    assert!(failed.contains("does not answer in time"), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_fails_in_bounded_time_when_the_database_is_silent() {
    let direct = Cluster::shared().database().await;
    let proxy = Cluster::shared().proxy();
    proxy.close();
    let url = Cluster::shared().through(&proxy, &direct);
    let failed = in_time(super::refusal(&url, terrace_state::Access::ReadWrite)).await;
    assert!(failed.contains("does not answer in time"), "{failed}");
}

/// The limits of statements must not end the wait for a standby: the server would confirm a commit that the standby
/// lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_is_not_confirmed_before_its_standby_has_it() {
    let cluster = Cluster::alone();
    let url = cluster.database().await;
    let store = writer(&url).await;
    let administrator = connect(&url).await;
    administrator.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    cluster.order("restart");
    let watcher = connect(&url).await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    // Commits succeed until the server knows of the standby.
    let failed = loop {
        let (another, begun) = (new_request("another"), Instant::now());
        match in_time(store.enqueue(&another, 1_000)).await {
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(8), "the limit of statements ended the wait"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(one::<i64>(&watcher, waits).await > 0, "the commit still waits for the standby");
    assert!(failed.contains("whose outcome is unknown") || failed.contains("does not answer in time"), "{failed}");
}
