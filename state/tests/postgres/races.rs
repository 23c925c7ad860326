//! Several stores on one database, and broken connections.

use super::{one, request, shown, writer};
use crate::{demo, intent, put, row};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_state::contract::claimant;
use terrace_state::contract::cluster::{Cluster, PASSWORD, connect};
use terrace_store::address::{Address, StackId};
use terrace_store::{
    Acquired, Body, Cancelled, ComponentRow, Enqueued, NewOperation, NewRequest, OperationStatus, OrderKey, OwnerRow,
    OwnersOf, Ownership, Record, RequestEnd, Row, Sealed, Selection, ServerStore, StepAction, StepResult, StoreError,
    Write,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_racing_operations_gets_all_leases() {
    const ROUNDS: usize = 15;
    let url = Cluster::shared().database().await;
    let stores = [writer(&url).await, writer(&url).await];
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let store = Arc::clone(&stores[task % 2]);
            // Each task has other keys in another order; one key is common to all.
            let keys = [["api", "db", "web"], ["web", "api", "queue"], ["queue", "api", "db"]][task % 3];
            tokio::spawn(async move {
                let (mut fences, mut name) = (Vec::new(), 0);
                while fences.len() < ROUNDS {
                    let operation = Uuid::now_v7();
                    let Acquired::Granted(leases) = store.acquire(&request(operation, &keys)).await.unwrap() else {
                        continue;
                    };
                    let fence = leases.iter().find(|lease| lease.component == "api").unwrap().fence;
                    fences.push(fence);
                    name += 1;
                    let record = put(row(&format!("api/local_value.t{task}[{name}]")));
                    store.commit(&leases, vec![record]).await.unwrap();
                    store.renew(&leases, Duration::from_secs(60)).await.unwrap();
                    store.release(&leases).await.unwrap();
                    let late = store.commit(&leases, vec![put(row(&format!("api/local_value.late{task}")))]).await;
                    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "{late:?}");
                }
                fences
            })
        })
        .collect();
    let mut fences = BTreeSet::new();
    for task in tasks {
        fences.extend(task.await.unwrap());
    }
    assert_eq!(fences.len(), 6 * ROUNDS, "every fence is unique");
    assert_eq!(stores[0].rows(&demo(), &Selection::All).await.unwrap().len(), 6 * ROUNDS);
    assert_eq!(deadlocks(&url).await, 0);
}

#[tokio::test]
async fn process_with_the_same_name_does_not_get_the_leases() {
    let url = Cluster::shared().database().await;
    // Like a restarted container: the same name and the same pid.
    let (before, after) = (writer(&url).await, writer(&url).await);
    let new_request = request(Uuid::now_v7(), &["api"]);
    assert!(matches!(before.acquire(&new_request).await.unwrap(), Acquired::Granted(_)));
    assert!(matches!(after.acquire(&new_request).await.unwrap(), Acquired::Held(_)), "the holder may still be active");
    let Acquired::Granted(leases) = before.acquire(&new_request).await.unwrap() else { panic!("the lease is its own") };
    before.release(&leases).await.unwrap();
    assert!(matches!(after.acquire(&new_request).await.unwrap(), Acquired::Granted(_)));
}

async fn deadlocks(url: &str) -> i64 {
    one(&connect(url).await, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

fn owner(key: &str, stack: &StackId) -> OwnerRow {
    let ownership =
        Ownership { address: Address::shared("local_directory", key), stack: stack.clone(), component: "api".into() };
    OwnerRow { ownership, declaration: Sealed::from_stored("{}") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_several_stacks_never_deadlock() {
    const ROUNDS: usize = 12;
    let url = Cluster::shared().database().await;
    let stores = [writer(&url).await, writer(&url).await];
    let names: Vec<StackId> = (0..4).map(|number| StackId::new(format!("s{number}"), "local")).collect();
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let (store, mut names) = (Arc::clone(&stores[task % 2]), names.clone());
            if task % 2 == 1 {
                names.reverse();
            }
            names.rotate_left(task / 2);
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let operation = Uuid::now_v7();
                    let of =
                        |stack: &StackId| Row { stack: stack.clone(), ..row(&format!("local_value.t{task}[{round}]")) };
                    let mut records: Vec<Record> = names
                        .iter()
                        .map(|stack| Write::Put { row: Box::new(of(stack)), expected: 0 })
                        .map(|write| Record::Write { operation, write })
                        .collect();
                    let (first, last) = (&names[0], &names[3]);
                    for (key, stack) in [("x", first), ("y", last)] {
                        records.push(Record::Write { operation, write: Write::PutOwner(owner(key, stack)) });
                        let ownership = owner(if key == "x" { "y" } else { "x" }, stack).ownership;
                        let write = Write::DropOwner { ownership, may_be_last: false };
                        records.push(Record::Write { operation, write });
                    }
                    store.commit(&[], records).await.unwrap();
                    if round % 4 == task % 4 {
                        store.prune(Duration::from_secs(3600)).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for stack in &names {
        assert_eq!(stores[0].rows(stack, &Selection::All).await.unwrap().len(), 6 * ROUNDS);
    }
    assert_eq!(deadlocks(&url).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_leaving_owners_stays() {
    let url = Cluster::shared().database().await;
    let stores = [writer(&url).await, writer(&url).await];
    let stacks = ["one", "two"].map(|name| StackId::new(name, "local"));
    let operation = Uuid::now_v7();
    for round in 0..15 {
        let key = format!("x{round}");
        let write = |write| vec![Record::Write { operation, write }];
        for stack in &stacks {
            stores[0].commit(&[], write(Write::PutOwner(owner(&key, stack)))).await.unwrap();
        }
        let leave = |at: usize| {
            let ownership = owner(&key, &stacks[at]).ownership;
            stores[at].commit(&[], write(Write::DropOwner { ownership, may_be_last: false }))
        };
        let (one, other) = tokio::join!(leave(0), leave(1));
        one.unwrap();
        other.unwrap();
        let of = OwnersOf::Addresses(BTreeSet::from([Address::shared("local_directory", &key)]));
        assert_eq!(stores[0].owners("local", &of).await.unwrap().len(), 1);
    }
}

/// Waits until that many transactions wait for locks.
async fn wait_for_waiting(client: &tokio_postgres::Client, many: i64) {
    let until = Instant::now() + Duration::from_secs(30);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while one::<i64>(client, sql).await < many {
        assert!(Instant::now() < until, "no transaction waits");
    }
}

/// A commit that waits for another transaction.
struct Held {
    store: Arc<dyn ServerStore>,
    other: tokio_postgres::Client,
    committing: JoinHandle<Result<(), StoreError>>,
}

async fn held(url: &str) -> Held {
    let store = writer(url).await;
    store.commit(&[], vec![put(row("local_value.before"))]).await.unwrap();
    let other = connect(url).await;
    other.batch_execute("BEGIN; SELECT 1 FROM stack FOR UPDATE").await.unwrap();
    let committing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(&[], vec![put(row("local_value.during"))]).await })
    };
    wait_for_waiting(&connect(url).await, 1).await;
    Held { store, other, committing }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_is_waited_for_and_a_longer_outage_reported() {
    let cluster = Cluster::alone();
    let url = cluster.database().await;
    let Held { store, other: _other, committing } = held(&url).await;
    cluster.order("restart");
    // The commit did not happen, so the store repeats it.
    committing.await.unwrap().unwrap();
    // Idle connections are replaced, too.
    store.commit(&[], vec![put(row("local_value.after"))]).await.unwrap();
    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.address.to_string()).collect();
    assert_eq!(names, ["local_value.after", "local_value.before", "local_value.during"]);

    cluster.order("stop");
    let reading = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.rows(&demo(), &Selection::All).await })
    };
    let error = store.commit(&[], vec![put(row("local_value.never"))]).await.unwrap_err().to_string();
    assert!(error.starts_with("state cannot be written: ") && error.contains("cannot be reached"), "{error}");
    assert!(error.contains(&shown(&url)) && !error.contains(PASSWORD), "{error}");
    let error = reading.await.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("state cannot be read: ") && error.contains("cannot be reached"), "{error}");
    cluster.order("start");
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 3);
}

/// Makes every commit wait for an absent standby.
async fn require_absent_standby(url: &str, watcher: &tokio_postgres::Client) {
    watcher.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    watcher.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    // The setting is in effect once a commit waits.
    let other = connect(url).await;
    let waiting = tokio::spawn(async move {
        let sql = "CREATE TABLE IF NOT EXISTS probe (); DROP TABLE probe";
        while other.batch_execute(sql).await.is_ok() {}
    });
    cut_waiting_commits(watcher).await;
    waiting.await.unwrap();
}

async fn release_absent_standby(watcher: &tokio_postgres::Client) {
    watcher.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    watcher.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// Runs work whose commit happens but is not answered.
async fn unanswered<T: Send + 'static>(
    url: &str,
    watcher: &tokio_postgres::Client,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> T {
    require_absent_standby(url, watcher).await;
    let working = tokio::spawn(work);
    cut_waiting_commits(watcher).await;
    release_absent_standby(watcher).await;
    working.await.unwrap().unwrap()
}

/// The store would refuse each of these records the second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unanswered_commit_is_not_repeated() {
    let cluster = Cluster::alone();
    let url = cluster.database().await;
    let watcher = connect(&url).await;
    let store = writer(&url).await;
    let (id, plan) = (Uuid::now_v7(), Uuid::now_v7());
    let operation = |id| NewOperation { id, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
    let (one, new) = (Arc::clone(&store), operation(id));
    unanswered(&url, &watcher, async move { one.begin(&new).await }).await;
    let row = row("local_value.a");
    let intent = Record::Intent(Box::new(intent(id, 3, row.clone())));
    let outcome = Record::Outcome {
        operation: id,
        step: 3,
        stack: demo(),
        address: row.address.clone(),
        action: StepAction::Create,
        result: StepResult::Done,
        writes: vec![Write::Put { row: Box::new(row), expected: 0 }],
    };
    let spend = Record::SpendPlan { plan, reads: Vec::new(), components: Vec::new() };
    for record in [spend, intent, outcome] {
        let (one, records) = (Arc::clone(&store), vec![record.clone()]);
        unanswered(&url, &watcher, async move { one.commit(&[], records).await }).await;
        assert!(store.commit(&[], vec![record]).await.is_err(), "the record was committed");
    }
    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.generation).collect::<Vec<_>>(), [1]);
    let component = ComponentRow {
        key: "api".into(),
        depends_on: Vec::new(),
        outputs: Sealed::from_stored("{\"o\":1}"),
        blueprint: None,
        reads: Vec::new(),
        access: None,
        ids: None,
    };
    let component = Record::Write { operation: id, write: Write::Component { stack: demo(), component } };
    let end = Record::End { operation: id, status: OperationStatus::Completed, summary: String::new() };
    let (one, records) = (Arc::clone(&store), vec![component, end]);
    unanswered(&url, &watcher, async move { one.commit(&[], records).await }).await;
    assert_eq!(store.snapshot(Some(&demo()), true).await.unwrap()[0].component_history.len(), 1);
    let new_request = empty_request(operation(Uuid::now_v7()));
    let (one, request) = (Arc::clone(&store), new_request.clone());
    let queued = unanswered(&url, &watcher, async move { one.enqueue(&request, 10).await }).await;
    assert_eq!(queued, Enqueued::Queued { behind: None });
    let claim = store.claim(&claimant("here"), Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!(claim.operation, new_request.operation.id);
    let (status, summary, result) = (OperationStatus::Completed, String::new(), "{}".to_owned());
    let end = RequestEnd { status, summary, result, keeps_body: false };
    let (one, ended) = (Arc::clone(&store), claim.clone());
    unanswered(&url, &watcher, async move { one.finish(&ended, &end).await }).await;
    assert!(
        store.claim(&claimant("here"), Duration::from_secs(60)).await.unwrap().is_none(),
        "the request was queued once, and has ended"
    );
    let waiting = empty_request(operation(Uuid::now_v7()));
    store.enqueue(&waiting, 10).await.unwrap();
    let (one, id) = (Arc::clone(&store), waiting.operation.id);
    let cancelled = unanswered(&url, &watcher, async move { one.request_cancel(id, "jane").await }).await;
    assert_eq!(cancelled, Some(Cancelled::Ended));
    assert_eq!(store.request_cancel(id, "jane").await.unwrap(), None, "it has ended");
}

async fn cut_waiting_commits(watcher: &tokio_postgres::Client) {
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let until = Instant::now() + Duration::from_secs(30);
    while one::<i64>(watcher, cut).await == 0 {
        assert!(Instant::now() < until, "no commit waits for the standby");
    }
}

/// The server has committed, and waits for an absent standby when its connection breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_on_a_broken_connection_is_in_doubt() {
    let cluster = Cluster::alone();
    let url = cluster.database().await;
    let store = writer(&url).await;
    let configure = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    connect(&url).await.batch_execute(configure).await.unwrap();
    cluster.order("restart");
    let committing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            // Commits succeed until the server knows of the standby.
            for number in 0.. {
                let name = format!("local_value.a[{number}]");
                if let Err(error) = store.commit(&[], vec![put(row(&name))]).await {
                    return (name, error.to_string());
                }
            }
            (String::new(), String::new())
        })
    };
    let watcher = connect(&url).await;
    cut_waiting_commits(&watcher).await;
    let (name, message) = committing.await.unwrap();
    let expected = format!(
        "state cannot be written: the connection to {} was lost during a commit, whose outcome is unknown",
        shown(&url)
    );
    assert!(message.starts_with(&expected), "{message}");
    let names = Selection::Addresses(BTreeSet::from([name.parse().unwrap()]));
    assert_eq!(store.rows(&demo(), &names).await.unwrap().len(), 1, "the commit has happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_commit_runs_to_its_end() {
    let url = Cluster::shared().database().await;
    let Held { store, other, committing } = held(&url).await;
    committing.abort();
    assert!(committing.await.unwrap_err().is_cancelled());
    other.batch_execute("COMMIT").await.unwrap();
    // The next commit waits for it.
    store.commit(&[], vec![put(row("local_value.after"))]).await.unwrap();
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 3);
}

#[tokio::test]
async fn deadlock_with_another_program_is_retried() {
    let url = Cluster::shared().database().await;
    let store = writer(&url).await;
    let (one, two) = (StackId::new("one", "local"), StackId::new("two", "local"));
    let both = |name: &str| {
        let rows = [&one, &two].map(|stack| Row { stack: stack.clone(), ..row(name) });
        rows.map(put).to_vec()
    };
    store.commit(&[], both("local_value.a")).await.unwrap();
    let (other, watcher) = (connect(&url).await, connect(&url).await);
    // This transaction holds the second lock while it waits for the first one, with a longer deadlock timeout.
    other
        .batch_execute("BEGIN; SET LOCAL deadlock_timeout = '1h'; SELECT 1 FROM stack WHERE name = 'two' FOR UPDATE")
        .await
        .unwrap();
    let committing = {
        let store = Arc::clone(&store);
        let records = both("local_value.b");
        tokio::spawn(async move { store.commit(&[], records).await })
    };
    wait_for_waiting(&watcher, 1).await;
    other.batch_execute("SELECT 1 FROM stack WHERE name = 'one' FOR UPDATE; COMMIT").await.unwrap();
    committing.await.unwrap().unwrap();
    assert_eq!(deadlocks(&url).await, 1);
    assert_eq!(store.rows(&two, &Selection::All).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_is_notified_of_a_request() {
    let url = Cluster::shared().database().await;
    let (here, there) = (writer(&url).await, writer(&url).await);
    let (notify, mut notified) = tokio::sync::mpsc::unbounded_channel();
    let listening = tokio::spawn(async move { there.listen(&|| notify.send(()).unwrap()).await });
    // The server listens.
    notified.recv().await.unwrap();
    let (id, stacks) = (Uuid::now_v7(), vec![demo()]);
    let operation = NewOperation { id, kind: "provision".to_owned(), stacks, actor: "jane".to_owned() };
    let new_request = empty_request(operation);
    assert_eq!(here.enqueue(&new_request, 10).await.unwrap(), Enqueued::Queued { behind: None });
    notified.recv().await.unwrap();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE query LIKE 'LISTEN %' AND datname = current_database()";
    assert_eq!(one::<i64>(&connect(&url).await, cut).await, 1);
    let error = listening.await.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("state cannot be read: ") && !error.contains(PASSWORD), "{error}");
}

/// Either the request is cancelled and no worker has it, or a worker has it and is notified.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn request_is_cancelled_or_claimed_but_never_both() {
    let cluster = Cluster::alone();
    let url = cluster.database().await;
    let (one, other) = (writer(&url).await, writer(&url).await);
    for _ in 0..100 {
        let new = NewOperation {
            id: Uuid::now_v7(),
            kind: "provision".to_owned(),
            stacks: vec![demo()],
            actor: "jane".to_owned(),
        };
        let request = empty_request(new);
        let id = request.operation.id;
        one.enqueue(&request, 10).await.unwrap();
        let claiming = {
            let other = Arc::clone(&other);
            tokio::spawn(async move { other.claim(&claimant("here"), Duration::from_secs(60)).await.unwrap() })
        };
        let cancelled = one.request_cancel(id, "jane").await.unwrap();
        match (cancelled, claiming.await.unwrap()) {
            (Some(Cancelled::Ended), None) => {}
            (Some(Cancelled::Notified), Some(claim)) => {
                assert!(other.is_cancel_requested(id).await.unwrap());
                other.finish(&claim, &RequestEnd::cancelled()).await.unwrap();
            }
            both => panic!("{both:?}"),
        }
    }
}

/// Both find no stack, and a third transaction adds it first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_calls_with_one_key_get_the_same_request() {
    let url = Cluster::shared().database().await;
    let (watcher, other, stack) = (connect(&url).await, connect(&url).await, demo());
    let stores = [writer(&url).await, writer(&url).await];
    let sql = "INSERT INTO stack (name, environment) VALUES ($1, $2)";
    other.batch_execute("BEGIN").await.unwrap();
    other.execute(sql, &[&stack.name, &stack.environment]).await.unwrap();
    let mut asking = Vec::new();
    for (number, store) in (1..).zip(&stores) {
        let (id, kind, actor) = (Uuid::now_v7(), "provision".to_owned(), "jane".to_owned());
        let operation = NewOperation { id, kind, stacks: vec![stack.clone()], actor };
        let new_request = NewRequest { idempotency: Some("key".to_owned()), ..empty_request(operation) };
        let store = Arc::clone(store);
        asking.push((id, tokio::spawn(async move { store.enqueue(&new_request, 10).await.unwrap() })));
        wait_for_waiting(&watcher, number).await;
    }
    other.batch_execute("COMMIT").await.unwrap();
    let (mut queued, mut same) = (Vec::new(), Vec::new());
    for (id, new_request) in asking {
        match new_request.await.unwrap() {
            Enqueued::Queued { behind: None } => queued.push(id),
            Enqueued::Same(token) => same.push(token),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((queued.len(), &queued), (1, &same));
}

/// A request whose content does not matter.
fn empty_request(operation: NewOperation) -> NewRequest {
    NewRequest {
        operation,
        order: OrderKey::default(),
        digest: String::new(),
        older_digests: Vec::new(),
        body: Body::default(),
        idempotency: None,
        can_wait: false,
        quota: None,
    }
}
