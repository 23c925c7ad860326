//! Several stores on one database, and connections that break.

use super::{one, request, shown, writer};
use crate::{demo, put, row};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::{
    Acquired, Enqueued, NewOperation, NewRequest, OwnerRow, OwnersOf, Ownership, Record, Row, Selection, ServerStore,
    StoreError, Write,
};
use terrace_state::contract::cluster::{Cluster, PASSWORD, connect};
use tokio::task::JoinHandle;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_race_for_leases_one_gets_all_of_them() {
    const ROUNDS: usize = 15;
    let url = Cluster::shared().database().await;
    let stores = [writer(&url).await, writer(&url).await];
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let store = Arc::clone(&stores[task % 2]);
            // Each asks for others, in another order, and all for one.
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
    assert_eq!(fences.len(), 6 * ROUNDS, "no fence was given twice");
    assert_eq!(stores[0].rows(&demo(), &Selection::All).await.unwrap().len(), 6 * ROUNDS);
    assert_eq!(deadlocks(&url).await, 0);
}

async fn deadlocks(url: &str) -> i64 {
    one(&connect(url).await, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

fn owner(key: &str, stack: &StackId) -> OwnerRow {
    let ownership = Ownership {
        address: Address::shared("local_directory", key),
        stack: stack.clone(),
        component: "api".to_owned(),
    };
    OwnerRow { ownership, declaration: "{}".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_several_stacks_never_wait_in_a_circle() {
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
async fn of_owners_that_leave_at_the_same_time_one_stays() {
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

/// Waits until a transaction waits for a lock.
async fn somebody_waits(client: &tokio_postgres::Client) {
    let until = Instant::now() + Duration::from_secs(30);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while one::<i64>(client, sql).await == 0 {
        assert!(Instant::now() < until, "nobody waits");
    }
}

/// A commit that waits for a transaction of somebody else.
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
    somebody_waits(&connect(url).await).await;
    Held { store, other, committing }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_fails_the_commit_at_work_and_not_the_next() {
    let cluster = Cluster::alone();
    let url = cluster.database().await;
    let Held { store, other: _other, committing } = held(&url).await;
    cluster.order("restart");
    let error = committing.await.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("state cannot be written: "), "{error}");
    assert!(error.contains("was lost") || error.contains("is starting or stopping"), "{error}");
    assert!(error.contains(&shown(&url)) && !error.contains(PASSWORD), "{error}");
    // Also the connections that nobody used meanwhile are no more.
    store.commit(&[], vec![put(row("local_value.after"))]).await.unwrap();
    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.address.to_string()).collect();
    assert_eq!(names, ["local_value.after", "local_value.before"]);

    cluster.order("stop");
    let error = store.rows(&demo(), &Selection::All).await.unwrap_err().to_string();
    assert!(error.starts_with("state cannot be read: ") && error.contains("cannot be reached"), "{error}");
    cluster.order("start");
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 2);
}

/// The server has committed, and waits for a standby that never comes when its connection is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_connection_breaks_is_told_to_be_in_doubt() {
    let cluster = Cluster::alone();
    let url = cluster.database().await;
    let store = writer(&url).await;
    let configure = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    connect(&url).await.batch_execute(configure).await.unwrap();
    cluster.order("restart");
    let committing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            // Those that come before the server knows of the standby go through.
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
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let until = Instant::now() + Duration::from_secs(30);
    while one::<i64>(&watcher, cut).await == 0 {
        assert!(Instant::now() < until, "no commit waits for the standby");
    }
    let (name, told) = committing.await.unwrap();
    let expected = format!(
        "state cannot be written: the connection to {} was lost while it committed, which may have happened or not",
        shown(&url)
    );
    assert!(told.starts_with(&expected), "{told}");
    let names = Selection::Addresses(BTreeSet::from([name.parse().unwrap()]));
    assert_eq!(store.rows(&demo(), &names).await.unwrap().len(), 1, "this one has happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_nobody_waits_for_is_done_to_its_end() {
    let url = Cluster::shared().database().await;
    let Held { store, other, committing } = held(&url).await;
    committing.abort();
    assert!(committing.await.unwrap_err().is_cancelled());
    other.batch_execute("COMMIT").await.unwrap();
    // The next one waits for it.
    store.commit(&[], vec![put(row("local_value.after"))]).await.unwrap();
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_deadlock_that_another_program_causes_is_tried_again() {
    let url = Cluster::shared().database().await;
    let store = writer(&url).await;
    let (one, two) = (StackId::new("one", "local"), StackId::new("two", "local"));
    let both = |name: &str| {
        let rows = [&one, &two].map(|stack| Row { stack: stack.clone(), ..row(name) });
        rows.map(put).to_vec()
    };
    store.commit(&[], both("local_value.a")).await.unwrap();
    let (other, watcher) = (connect(&url).await, connect(&url).await);
    // It waits for the one that is locked first while it holds the one that is locked last, and is ready to wait longer.
    other
        .batch_execute("BEGIN; SET LOCAL deadlock_timeout = '1h'; SELECT 1 FROM stack WHERE name = 'two' FOR UPDATE")
        .await
        .unwrap();
    let committing = {
        let store = Arc::clone(&store);
        let records = both("local_value.b");
        tokio::spawn(async move { store.commit(&[], records).await })
    };
    somebody_waits(&watcher).await;
    other.batch_execute("SELECT 1 FROM stack WHERE name = 'one' FOR UPDATE; COMMIT").await.unwrap();
    committing.await.unwrap().unwrap();
    assert_eq!(deadlocks(&url).await, 1);
    assert_eq!(store.rows(&two, &Selection::All).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_heard_of_by_every_server_until_its_connection_breaks() {
    let url = Cluster::shared().database().await;
    let (here, there) = (writer(&url).await, writer(&url).await);
    let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listening = tokio::spawn(async move { there.listen(&|| tell.send(()).unwrap()).await });
    // It listens.
    heard.recv().await.unwrap();
    let (id, stacks) = (Uuid::now_v7(), vec![demo()]);
    let operation = NewOperation { id, kind: "provision".to_owned(), stacks, actor: "jane".to_owned() };
    let (component, digest, body) = (String::new(), String::new(), String::new());
    let asked = NewRequest { operation, component, digest, body, idempotency: None, can_wait: false };
    assert_eq!(here.enqueue(&asked, 10).await.unwrap(), Enqueued::Queued);
    heard.recv().await.unwrap();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE query LIKE 'LISTEN %' AND datname = current_database()";
    assert_eq!(one::<i64>(&connect(&url).await, cut).await, 1);
    let error = listening.await.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("state cannot be read: ") && !error.contains(PASSWORD), "{error}");
}
