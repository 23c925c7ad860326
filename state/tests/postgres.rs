//! The contract with PostgreSQL, and tests of a server.

use crate::{demo, intent, put, row};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_state::contract::cluster::{Cluster, PASSWORD, connect};
use terrace_state::contract::{Fixture, start_of_time};
use terrace_state::{Access, Clock, ManualClock, StoreUrl};
use terrace_store::address::Address;
use terrace_store::{
    Acquired, ComponentRow, Enqueued, LeaseRequest, NewOperation, NewRequest, OperationStatus, Record, Row, Sealed,
    Selection, ServerStore, StepAction, StepResult, StoreError, Write,
};
use uuid::Uuid;

mod half_open; // connections that stay open without answers
mod killed; // killed or suspended processes with open steps
mod races; // several stores on one database, and broken connections
mod random; // random commits, compared with SQLite

mod contract {
    use super::*;

    async fn in_a_database() -> Fixture {
        let clock = Arc::new(ManualClock::at(start_of_time()));
        let url: StoreUrl = Cluster::shared().database().await.parse().unwrap();
        let store = terrace_state::open_with_clock(&url, Access::ReadWrite, clock.clone()).await.unwrap();
        let reopen = Box::new(move |clock: Arc<ManualClock>| {
            let url = url.clone();
            Box::pin(async move { terrace_state::open_with_clock(&url, Access::ReadWrite, clock).await.unwrap() }) as _
        });
        Fixture { store, clock, reopen: Some(reopen) }
    }

    terrace_state::store_contract!(in_a_database);
}

async fn open(url: &str, access: Access) -> Result<Arc<dyn ServerStore>, StoreError> {
    terrace_state::open(&url.parse().unwrap(), access).await
}

async fn writer(url: &str) -> Arc<dyn ServerStore> {
    open(url, Access::ReadWrite).await.unwrap()
}

async fn refusal(url: &str, access: Access) -> String {
    match open(url, access).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn shown(url: &str) -> String {
    url.parse::<StoreUrl>().unwrap().to_string()
}

async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &tokio_postgres::Client, sql: &str) -> T {
    client.query_one(sql, &[]).await.unwrap().try_get(0).unwrap()
}

fn request(operation: Uuid, keys: &[&str]) -> LeaseRequest {
    let components = keys.iter().map(|key| (demo(), (*key).into())).collect();
    LeaseRequest { components, operation, holder: "test".to_owned(), term: Duration::from_secs(3600) }
}

#[tokio::test]
async fn reader_of_a_missing_store_sees_an_empty_one() {
    let url = Cluster::shared().database().await;
    let store = open(&url, Access::ReadOnly).await.unwrap();
    let identity = store.identity().await.unwrap();
    assert!(identity.id.is_nil());
    assert_eq!(identity.url, shown(&url));
    assert!(store.stacks().await.unwrap().is_empty());
    let error = store.commit(&[], vec![put(row("local_value.a"))]).await.unwrap_err().to_string();
    assert_eq!(error, "state cannot be written: it was opened for reading only");
    let place: StoreUrl = url.parse().unwrap();
    assert_eq!(terrace_state::format_of(&place).await.unwrap(), 0);
    assert_eq!(terrace_state::damage(&place).await.unwrap(), None);
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(one::<i64>(&connect(&url).await, tables).await, 0);
}

#[tokio::test]
async fn reader_sees_commits_and_cannot_write() {
    let url = Cluster::shared().database().await;
    let writer = writer(&url).await;
    let reader = open(&url, Access::ReadOnly).await.unwrap();
    assert_eq!(reader.identity().await.unwrap(), writer.identity().await.unwrap());
    writer.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    assert_eq!(reader.rows(&demo(), &Selection::All).await.unwrap().len(), 1);
    let error = reader.acquire(&request(Uuid::now_v7(), &["api"])).await.unwrap_err().to_string();
    assert_eq!(error, "state cannot be written: it was opened for reading only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_creation_makes_one_store() {
    // The order of the processes varies.
    for _ in 0..8 {
        let url = Cluster::shared().database().await;
        let opening: Vec<_> = (0..8)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { writer(&url).await })
            })
            .collect();
        let mut ids = BTreeSet::new();
        for store in opening {
            ids.insert(store.await.unwrap().identity().await.unwrap().id);
        }
        assert_eq!(ids.len(), 1);
        let formats = i64::from(terrace_state::newest_format(&url.parse().unwrap()));
        assert_eq!(one::<i64>(&connect(&url).await, "SELECT count(*) FROM terrace_schema").await, formats);
        // A reader never sees a part of a new store.
        let transactions = "SELECT count(DISTINCT xmin::text) FROM terrace_schema";
        assert_eq!(one::<i64>(&connect(&url).await, transactions).await, 1);
        assert_newest(&url).await;
    }
}

async fn assert_newest(url: &str) {
    let place = url.parse().unwrap();
    assert_eq!(terrace_state::format_of(&place).await.unwrap(), terrace_state::newest_format(&place));
}

#[tokio::test]
async fn access_survives_an_upgrade() {
    let url = Cluster::shared().database().await;
    let store = writer(&url).await;
    let component = super::api(Some("user:ada"));
    let write = Write::Component { stack: demo(), component: component.clone() };
    store.commit(&[], vec![Record::Write { operation: Uuid::now_v7(), write }]).await.unwrap();
    store.enqueue(&super::keyed_request(), 1).await.unwrap();
    drop(store);
    let older = "ALTER TABLE request ADD COLUMN idempotency text; UPDATE request SET idempotency = (SELECT key FROM request_key);
                 DROP TABLE request_key; DROP TABLE request_death; ALTER TABLE request DROP COLUMN claimant;
                 CREATE UNIQUE INDEX request_idempotency ON request (idempotency) WHERE idempotency IS NOT NULL;
                 ALTER TABLE intent DROP COLUMN boot, DROP COLUMN network_namespace, DROP COLUMN beacon, DROP COLUMN gone_at;
                 ALTER TABLE lease DROP COLUMN origin; DROP INDEX request_waiting; DROP INDEX request_taken; DROP INDEX lease_held;
                 CREATE INDEX request_unended ON request (operation) WHERE result IS NULL;
                 ALTER TABLE component DROP COLUMN access_fields;
                 ALTER TABLE component_version DROP COLUMN access_fields; ALTER TABLE component DROP COLUMN ids;
                 ALTER TABLE component_version DROP COLUMN ids; DROP TABLE audit; DROP TABLE audit_head;
                 DROP INDEX request_of_caller; ALTER TABLE request DROP COLUMN caller;
                 ALTER TABLE request DROP COLUMN most_running; DELETE FROM terrace_schema WHERE version > 6";
    connect(&url).await.batch_execute(older).await.unwrap();
    assert!(refusal(&url, Access::ReadOnly).await.contains("has the older format 6"));
    let store = writer(&url).await;
    assert_eq!(store.components(&demo()).await.unwrap(), std::slice::from_ref(&component));
    let history = store.snapshot(Some(&demo()), true).await.unwrap().remove(0).component_history;
    assert_eq!(history.into_iter().map(|entry| entry.component).collect::<Vec<_>>(), [Some(component)]);
    let again = NewRequest { digest: "other".to_owned(), ..super::keyed_request() };
    assert!(
        matches!(store.enqueue(&again, 9).await.unwrap(), Enqueued::Queued { .. }),
        "the request is kept, its key is not"
    );
}

#[tokio::test]
async fn newer_format_is_refused() {
    let url = Cluster::shared().database().await;
    drop(writer(&url).await);
    connect(&url).await.batch_execute("INSERT INTO terrace_schema (version) VALUES (99)").await.unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = open(&url, access).await.err();
        assert!(matches!(error, Some(StoreError::NewerFormat { found: 99, .. })), "{error:?}");
    }
}

#[tokio::test]
async fn tables_of_another_program_are_refused() {
    let url = Cluster::shared().database().await;
    let client = connect(&url).await;
    client.batch_execute("CREATE TABLE notes (text text); CREATE SCHEMA mine").await.unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let message = refusal(&url, access).await;
        let expected = format!("{} is not a terrace state: it has tables of another program", shown(&url));
        assert!(message.starts_with(&expected), "{message}");
    }
    // Another schema works like another database.
    let beside = format!("{url}&options=-csearch_path%3Dmine");
    writer(&beside).await.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    assert_eq!(one::<i64>(&client, "SELECT count(*) FROM mine.resource").await, 1);
    let nowhere = refusal(&format!("{url}&options=-csearch_path%3Dnowhere"), Access::ReadWrite).await;
    assert!(nowhere.contains("it has no schema"), "{nowhere}");
    assert_eq!(one::<i64>(&client, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, 1);
}

#[tokio::test]
async fn password_is_never_shown() {
    let (cluster, wrong) = (Cluster::shared(), "wr0ng-one");
    let url = cluster.database().await;
    let store = writer(&url).await;
    let absent = cluster.url("absent");
    let unreachable = format!("postgres://terrace:{PASSWORD}@/db?host=/tmp/terrace-no-such-folder");
    let nowhere = format!("postgres://terrace:{PASSWORD}@127.0.0.1:1/db");
    let mut message = vec![
        format!("{:?}", url.parse::<StoreUrl>().unwrap()),
        format!("{:?}", store.identity().await.unwrap()),
        refusal(&url.replace(PASSWORD, wrong), Access::ReadWrite).await,
        refusal(&absent, Access::ReadWrite).await,
        refusal(&unreachable, Access::ReadOnly).await,
        refusal(&nowhere, Access::ReadOnly).await,
        refusal(&format!("{nowhere}?nothing=known"), Access::ReadOnly).await,
    ];
    connect(&url).await.batch_execute("INSERT INTO terrace_schema (version) VALUES (99)").await.unwrap();
    message.push(refusal(&url, Access::ReadWrite).await);
    for message in &message {
        assert!(!message.contains(PASSWORD) && !message.contains(wrong), "{message}");
    }
    assert!(message[2].contains("refuses the user or the password (28P01"), "{}", message[2]);
    assert!(message[3].contains("there is no database at postgres://terrace@/absent"), "{}", message[3]);
    assert!(message[4].contains("cannot be reached"), "{}", message[4]);
    assert!(
        message[5].contains("postgres://terrace@127.0.0.1:1/db cannot be reached (error connecting"),
        "{}",
        message[5]
    );
    assert!(message[6].contains("unknown option `nothing`"), "{}", message[6]);
}

/// A wrong clock, which stores on a server must ignore.
struct WrongClock;

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn is_system_clock(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn store_uses_the_clock_of_the_database() {
    let url = Cluster::shared().database().await;
    let place = url.parse().unwrap();
    let store = terrace_state::open_with_clock(&place, Access::ReadWrite, Arc::new(WrongClock)).await.unwrap();
    let client = connect(&url).await;
    let before: Timestamp = one(&client, "SELECT clock_timestamp()").await;
    store.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    let Acquired::Granted(leases) = store.acquire(&request(Uuid::now_v7(), &["api"])).await.unwrap() else {
        return assert!(url.is_empty(), "it is held");
    };
    let after: Timestamp = one(&client, "SELECT clock_timestamp()").await;
    let written = store.rows(&demo(), &Selection::All).await.unwrap().remove(0).updated_at;
    let lease = store.leases().await.unwrap().remove(0);
    assert!(before <= written && written <= lease.since && lease.since <= after);
    // Only time ends the lease, not the end of its store.
    drop(store);
    let next = writer(&url).await;
    assert!(matches!(next.acquire(&request(Uuid::now_v7(), &["api"])).await.unwrap(), Acquired::Held(_)));
    client.batch_execute("UPDATE lease SET expires = clock_timestamp()").await.unwrap();
    let taken = next.acquire(&request(Uuid::now_v7(), &["api"])).await.unwrap();
    assert!(matches!(&taken, Acquired::Granted(new) if new[0].fence == leases[0].fence + 1), "{taken:?}");
}

/// A commit for a stack of five thousand resources.
#[tokio::test]
async fn large_commit_uses_few_statements() {
    const COUNT: u32 = 5_000;
    let url = Cluster::shared().database().await;
    let name: String = one(&connect(&url).await, "SELECT current_database()::text").await;
    let logged = format!(
        "ALTER DATABASE {name} SET log_statement = 'all'; ALTER DATABASE {name} SET log_parameter_max_length = 0"
    );
    connect(&url).await.batch_execute(&logged).await.unwrap();
    let store = writer(&url).await;
    let operation = Uuid::now_v7();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "test".to_owned() };
    store.begin(&new).await.unwrap();
    let rows: Vec<Row> = (0..COUNT)
        .map(|number| {
            let needed = number.checked_sub(1).map(|before| format!("local_value.a[{before}]").parse().unwrap());
            Row { dependencies: needed.into_iter().collect(), ..row(&format!("local_value.a[{number}]")) }
        })
        .collect();
    let intents =
        rows.iter().zip(0..).map(|(row, step)| Record::Intent(Box::new(intent(operation, step, row.clone()))));
    let outcomes = rows.iter().zip(0..).map(|(row, step)| Record::Outcome {
        operation,
        step,
        stack: demo(),
        address: row.address.clone(),
        action: StepAction::Create,
        result: StepResult::Done,
        writes: vec![
            Write::Put { row: Box::new(row.clone()), expected: 0 },
            Write::Component {
                stack: demo(),
                component: ComponentRow {
                    key: format!("c{step}").into(),
                    depends_on: Vec::new(),
                    outputs: Sealed::from_stored("{}"),
                    blueprint: None,
                    reads: Vec::new(),
                    access: None,
                    ids: None,
                },
            },
        ],
    });
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    store.commit(&[], intents.collect()).await.unwrap();
    assert_eq!(store.open_intents(&demo(), &Selection::All).await.unwrap().len(), COUNT as usize);
    store.commit(&[], outcomes.chain([end]).collect()).await.unwrap();
    let executed = format!("{name} LOG:  execute ");
    let statements = Cluster::shared().log().lines().filter(|line| line.starts_with(&executed)).count();
    assert!((20..200).contains(&statements), "{statements} statements");
    let read = store.rows(&demo(), &Selection::All).await.unwrap();
    assert_eq!(read.len(), COUNT as usize);
    let expected: BTreeSet<&Address> = rows.iter().map(|row| &row.address).collect();
    assert_eq!(read.iter().map(|row| &row.address).collect::<BTreeSet<_>>(), expected);
    assert!(store.open_intents(&demo(), &Selection::All).await.unwrap().is_empty());
    assert_eq!(store.components(&demo()).await.unwrap().len(), COUNT as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslmode_decides_encryption_and_verification() {
    let cluster = Cluster::encrypted();
    drop(cluster.database().await);
    let url = |parameters: &str| {
        let (host, port) = ("localhost", cluster.port());
        format!("postgres://terrace:{PASSWORD}@{host}:{port}/test?{parameters}")
    };
    connect(&cluster.url("postgres")).await.batch_execute("CREATE DATABASE test").await.unwrap();
    let known = format!("sslrootcert={}", cluster.certificate());
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE ssl AND datname = 'test' AND application_name = 'terrace'";
    for parameters in [
        String::new(),
        "sslmode=require".to_owned(),
        format!("sslmode=verify-ca&{known}"),
        format!("sslmode=verify-full&{known}"),
    ] {
        let store = writer(&url(&parameters)).await;
        let watcher = connect(&cluster.url("postgres")).await;
        assert!(one::<i64>(&watcher, encrypted).await > 0, "{parameters}");
        drop(store);
    }
    // The certificate is for `localhost`, and no known authority signed it.
    let elsewhere = |parameters: &str| url(parameters).replace("@localhost:", "@127.0.0.1:");
    writer(&elsewhere(&format!("sslmode=require&{known}"))).await;
    for url in
        [elsewhere(&format!("sslmode=verify-full&{known}")), url("sslmode=verify-full"), url("sslmode=verify-ca")]
    {
        let message = refusal(&url, Access::ReadWrite).await;
        assert!(
            message.contains("error performing TLS handshake: invalid peer certificate")
                || message.contains("knows no authority"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn row_without_content_is_damage() {
    let url = Cluster::shared().database().await;
    let place: StoreUrl = url.parse().unwrap();
    let store = writer(&url).await;
    store.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    assert_eq!(terrace_state::damage(&place).await.unwrap(), None);
    connect(&url).await.batch_execute("DELETE FROM version").await.unwrap();
    let found = terrace_state::damage(&place).await.unwrap();
    assert_eq!(found.as_deref(), Some("demo@local:local_value.a has lost its content"));
}
