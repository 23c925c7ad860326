//! Transfer of a whole state to another database and back: complete, or not at all.

use crate::{demo, intent, put, row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use terrace_state::contract::claimant;
use terrace_state::roles;
use terrace_state::transfer::{
    InUse, Migrated, ROLE_TABLES, TABLES, TransferError, UNTRANSFERRED_COLUMNS, UNTRANSFERRED_TABLES,
};
use terrace_state::{Access, StoreUrl};
use terrace_store::access::Access as Granted;
use terrace_store::address::{Address, StackId};
use terrace_store::{
    Acquired, AuditEntry, AuditOutcome, ComponentRow, Ids, LeaseRequest, NewOperation, NewRequest, OperationFilter,
    OperationStatus, OrderKey, OwnerRow, Ownership, Record, RequestEnd, RequestQuota, Row, RowStatus, Sealed,
    Selection, ServerStore, StackRead, StepAction, StepResult, Verifier, Write,
};
use uuid::Uuid;

const TERM: Duration = Duration::from_secs(3600);

pub(crate) async fn migrate(from: &StoreUrl, to: &StoreUrl) -> Result<Migrated, TransferError> {
    terrace_state::transfer::migrate(from, to, &|| {}).await
}

pub(crate) async fn writer(url: &StoreUrl) -> std::sync::Arc<dyn ServerStore> {
    terrace_state::open(url, Access::ReadWrite).await.unwrap()
}

fn operation(kind: &str) -> NewOperation {
    NewOperation { id: Uuid::now_v7(), kind: kind.to_owned(), stacks: vec![demo(), other()], actor: "jane".to_owned() }
}

fn other() -> StackId {
    StackId::new("other \0 \u{1} ☃", "local")
}

fn request_for(component: &str) -> NewRequest {
    NewRequest {
        operation: operation("provision"),
        order: OrderKey::of_text(component),
        digest: "d".to_owned(),
        older_digests: Vec::new(),
        body: "{\"secret\":\"sealed\"}".to_owned().into(),
        idempotency: Some(format!("key of {component}")),
        can_wait: component == "late",
        quota: Some(RequestQuota { caller: "ci".to_owned(), waiting: 9, running: Some(4) }),
    }
}

fn outcome(operation: Uuid, step: u32, name: &str, result: StepResult, writes: Vec<Write>) -> Record {
    let (stack, address) = (demo(), name.parse().unwrap());
    Record::Outcome { operation, step, stack, address, action: StepAction::Create, result, writes }
}

fn with(row: Row, expected: u64) -> Write {
    Write::Put { row: Box::new(row), expected }
}

/// Writes rows into every table and column, as servers and users do.
async fn fill(store: &dyn ServerStore) {
    let apply = operation("apply");
    let id = apply.id;
    store.begin(&apply).await.unwrap();
    let components = BTreeSet::from([(demo(), "api".into())]);
    let request = LeaseRequest { components, operation: id, holder: "jane@host".into(), term: TERM };
    let Acquired::Granted(leases) = store.acquire(&request).await.unwrap() else { return };
    let log = |message: &str| {
        let (level, phase, message) = ("info".to_owned(), "apply".to_owned(), message.to_owned());
        Record::Log { operation: id, level, phase, message }
    };
    let spent = Record::SpendPlan { plan: Uuid::now_v7(), reads: Vec::new(), components: Vec::new() };
    store.commit(&leases, vec![spent, log("starts"), log("text with \0 and \u{1} and ☃")]).await.unwrap();
    let sealed = Row {
        attributes: Sealed::from_stored("{\"password\":{\"$sealed\":\"k1:\u{1}\0\"}}"),
        private: (0..=255).collect(),
        dependencies: vec!["api/local_value.b".parse().unwrap()],
        provider_version: Some("1.2.3".to_owned()),
        ..row("api/local_value.a")
    };
    let intent = intent(id, 0, sealed.clone());
    store.commit(&leases, vec![Record::Intent(Box::new(intent))]).await.unwrap();
    let component = ComponentRow {
        key: "api".into(),
        depends_on: vec!["db".into()],
        outputs: Sealed::from_stored("{\"o\":1}"),
        blueprint: Some("thing 1.0.0".to_owned()),
        reads: vec![StackRead { stack: other(), component: "x".into() }],
        access: Some(Granted::new(
            vec!["user:jane".to_owned()],
            serde_json::from_str(r#"{"why":"\u0000 ☃"}"#).unwrap(),
        )),
        ids: Some(Ids {
            product: "urn:dmb:dp:a:b:0".to_owned(),
            component: "urn:dmb:cmp:a:b:0:api".to_owned(),
            names: Default::default(),
        }),
    };
    let gone = ComponentRow { key: "gone".into(), access: None, blueprint: None, ..component.clone() };
    let done = outcome(
        id,
        0,
        "api/local_value.a",
        StepResult::Done,
        vec![with(sealed.clone(), 0), Write::Component { stack: demo(), component }],
    );
    let failed = outcome(id, 1, "api/local_value.z", StepResult::Failed("it broke".to_owned()), Vec::new());
    store.commit(&leases, vec![done, failed]).await.unwrap();
    let end = Record::End { operation: id, status: OperationStatus::Failed, summary: "1 failed".to_owned() };
    store.commit(&leases, vec![end]).await.unwrap();
    store.release(&leases).await.unwrap();

    let entry = |actor: &str| AuditEntry::new(actor, "apply", AuditOutcome::Done);
    store.audit(vec![entry("jane"), entry("joe \0 \u{1} ☃")]).await.unwrap();

    let by_hand = Uuid::now_v7();
    let write = |write| Record::Write { operation: by_hand, write };
    let shared = Row {
        stack: StackId::shared("local"),
        address: Address::shared("local_directory", "lake"),
        ..row("local_directory.lake")
    };
    let ownership = Ownership { address: shared.address.clone(), stack: other(), component: "x".into() };
    let elsewhere = Row { stack: other(), status: RowStatus::Retained, ..row("local_value.c[\"k\"]") };
    let delete =
        Write::Delete { stack: demo(), address: "local_value.gone".parse().unwrap(), deposed: None, expected: 1 };
    let depose = Write::Depose {
        stack: demo(),
        address: "api/local_value.a".parse().unwrap(),
        key: "old".to_owned(),
        expected: 1,
    };
    let moved = Write::Move {
        stack: demo(),
        from: "local_value.from".parse().unwrap(),
        to: "local_value.to".parse().unwrap(),
        expected: 1,
    };
    let records = [
        with(shared, 0),
        Write::PutOwner(OwnerRow { ownership, declaration: Sealed::from_stored("{\"sealed\":1}") }),
        with(elsewhere, 0),
        with(row("local_value.gone"), 0),
        delete,
        depose,
        with(Row { provider_version: None, ..sealed }, 0),
        with(row("local_value.from"), 0),
        moved,
        Write::Component { stack: demo(), component: gone },
        Write::DropComponent { stack: demo(), key: "gone".into() },
    ];
    store.commit(&[], records.into_iter().map(write).collect()).await.unwrap();
    for component in ["api", "late"] {
        assert!(matches!(
            store.enqueue(&request_for(component), 10).await.unwrap(),
            terrace_store::Enqueued::Queued { behind: None }
        ));
        let claim = store.claim(&claimant("jane@host"), TERM).await.unwrap().unwrap();
        let (status, summary) = (OperationStatus::Completed, "1 added".to_owned());
        let end = RequestEnd { status, summary, result: "{\"info\":{}}".to_owned(), keeps_body: true };
        store.finish(&claim, &end).await.unwrap();
    }
    store.request_cancel(id, "jane").await.unwrap();
}

async fn filled(folder: &Path) -> StoreUrl {
    let url = StoreUrl::Sqlite(folder.join("from.db"));
    let store = writer(&url).await;
    fill(store.as_ref()).await;
    crate::transfer_roles::fill(&url).await;
    // More than a few batches.
    let many = (0..3000).map(|number| put(row(&format!("local_value.many[{number}]")))).collect();
    store.commit(&[], many).await.unwrap();
    url
}

pub(crate) fn path(url: &StoreUrl) -> &Path {
    match url {
        StoreUrl::Sqlite(path) => path,
        _ => Path::new("?"),
    }
}

/// The columns of every table of a file, read from the file itself.
pub(crate) fn columns_of_file(path: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let file = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'";
    let mut statement = file.prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (table, column) in found.map(Result::unwrap) {
        columns.entry(table).or_default().insert(column);
    }
    columns
}

/// Every row of every transferred table, as text, without the columns that are not transferred.
pub(crate) fn dump(path: &Path) -> BTreeMap<String, Vec<String>> {
    let file = rusqlite::Connection::open(path).unwrap();
    let mut dumped = BTreeMap::new();
    for (table, columns) in columns_of_file(path) {
        if UNTRANSFERRED_TABLES.contains(&table.as_str()) {
            continue;
        }
        let moves = |column: &&String| !UNTRANSFERRED_COLUMNS.contains(&(table.as_str(), column.as_str()));
        let quoted: Vec<String> = columns.iter().filter(moves).map(|column| format!("quote(\"{column}\")")).collect();
        let sql = format!("SELECT concat_ws('|', {}) AS line FROM \"{table}\" ORDER BY line", quoted.join(", "));
        let mut statement = file.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        dumped.insert(table, rows);
    }
    dumped
}

/// The described tables: transferred ones, and others.
fn described_tables() -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let columns = |table: &terrace_state::transfer::Table| table.columns.iter().map(|it| it.name.to_owned()).collect();
    let tables = TABLES.iter().chain(ROLE_TABLES).map(|table| (table.name.to_owned(), columns(table))).collect();
    (tables, UNTRANSFERRED_TABLES.iter().map(|name| (*name).to_owned()).collect())
}

fn assert_described(mut found: BTreeMap<String, BTreeSet<String>>) {
    let (tables, left) = described_tables();
    found.retain(|table, _| !left.contains(table));
    for (table, column) in UNTRANSFERRED_COLUMNS {
        found.get_mut(*table).unwrap().remove(*column);
    }
    assert_eq!(
        found, tables,
        "a migration added a table or column that is not described: see `state/src/transfer/tables.rs`"
    );
}

#[tokio::test]
async fn every_table_and_column_of_a_file_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("state.db"));
    drop(writer(&url).await);
    drop(roles::open(&url).await.unwrap());
    assert_described(columns_of_file(path(&url)));
}

#[tokio::test]
async fn file_is_transferred_completely() {
    let folder = tempfile::tempdir().unwrap();
    let from = filled(folder.path()).await;
    let (before, bytes) = (dump(path(&from)), std::fs::read(path(&from)).unwrap());
    assert!(before.values().all(|rows| !rows.is_empty()), "a table is empty: {before:#?}");
    let to = StoreUrl::Sqlite(folder.path().join("to.db"));
    let moved = migrate(&from, &to).await.unwrap();
    assert_eq!(dump(path(&to)), before);
    for table in &moved.tables {
        assert_eq!(table.rows, before[table.name].len() as u64, "{}", table.name);
    }
    assert_eq!(std::fs::read(path(&from)).unwrap(), bytes, "the old state is unchanged");
    assert!(matches!(migrate(&from, &to).await, Err(TransferError::Same(_))), "the target is a copy now");
    // The chain of the audit log continues.
    let store = writer(&to).await;
    store.audit(vec![AuditEntry::new("eve", "apply", AuditOutcome::Done)]).await.unwrap();
    let page = store.audit_page(0, 10).await.unwrap();
    let mut verifier = Verifier::default();
    page.links.iter().for_each(|link| verifier.take(link).unwrap());
    assert_eq!(verifier.finish(page.head.as_ref()), Ok(3));
    // A spent plan is spent in the copy, too.
    assert_eq!(writer(&to).await.identity().await.unwrap().id, moved.id);
}

#[tokio::test]
async fn state_in_use_is_not_transferred() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (StoreUrl::Sqlite(folder.path().join("from.db")), StoreUrl::Sqlite(folder.path().join("to.db")));
    assert!(matches!(migrate(&from, &to).await, Err(TransferError::Nothing(_))));
    let store = writer(&from).await;
    let found = async || match migrate(&from, &to).await {
        Err(TransferError::InUse(found)) => found,
        other => unreachable!("{other:?}"),
    };
    let apply = operation("apply");
    store.begin(&apply).await.unwrap();
    let [InUse::Operation { id, kind, .. }] = &found().await[..] else { unreachable!() };
    assert_eq!((*id, kind.as_str()), (apply.id, "apply"));
    let components = BTreeSet::from([(demo(), "api".into())]);
    let request = LeaseRequest { components, operation: apply.id, holder: "jane@host".into(), term: TERM };
    let Acquired::Granted(leases) = store.acquire(&request).await.unwrap() else { unreachable!() };
    let intent = intent(apply.id, 0, row("api/local_value.a"));
    store.commit(&leases, vec![Record::Intent(Box::new(intent))]).await.unwrap();
    let [InUse::Lease(lease)] = &found().await[..] else { unreachable!("only the lease is listed") };
    assert_eq!((lease.component.as_str(), lease.holder.as_str()), ("api", "jane@host"));
    store.release(&leases).await.unwrap();
    let [InUse::Step { address, .. }] = &found().await[..] else { unreachable!("the open step is listed") };
    assert_eq!(address, "api/local_value.a");
    let done = outcome(apply.id, 0, "api/local_value.a", StepResult::Done, Vec::new());
    store.commit(&[], vec![done]).await.unwrap();
    store.enqueue(&request_for("api"), 10).await.unwrap();
    assert!(matches!(&found().await[..], [InUse::Request { is_queued: true, .. }]));
    let claim = store.claim(&claimant("jane@host"), TERM).await.unwrap().unwrap();
    store.begin(&NewOperation { id: claim.operation, ..operation("apply") }).await.unwrap();
    assert!(matches!(&found().await[..], [InUse::Request { is_queued: false, .. }]));
    let (status, summary) = (OperationStatus::Completed, String::new());
    let end = RequestEnd { status, summary, result: "{}".to_owned(), keeps_body: true };
    store.finish(&claim, &end).await.unwrap();
    assert!(!path(&to).exists(), "the target was created");
    // Only an abandoned operation without open steps is left: it is over.
    assert!(store.operation(apply.id).await.unwrap().unwrap().0.is_abandoned);
    migrate(&from, &to).await.unwrap();
    let (ended, _) = writer(&to).await.operation(apply.id).await.unwrap().unwrap();
    assert_eq!(ended.status, OperationStatus::Interrupted);
    assert!(ended.ended_at.is_some());
}

#[tokio::test]
async fn cancelled_operation_does_not_block_a_transfer() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (StoreUrl::Sqlite(folder.path().join("from.db")), StoreUrl::Sqlite(folder.path().join("to.db")));
    let (store, prune) = (writer(&from).await, operation("state prune"));
    store.begin(&prune).await.unwrap();
    assert!(matches!(migrate(&from, &to).await, Err(TransferError::InUse(_))));
    store.request_cancel(prune.id, "jane").await.unwrap();
    migrate(&from, &to).await.unwrap();
}

#[tokio::test]
async fn transfer_does_not_overwrite_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let from = filled(folder.path()).await;
    let to = StoreUrl::Sqlite(folder.path().join("to.db"));
    let store = writer(&to).await;
    store.commit(&[], vec![put(row("local_value.mine"))]).await.unwrap();
    assert!(matches!(migrate(&from, &to).await, Err(TransferError::NotEmpty(_))));
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 1);
    assert!(matches!(migrate(&from, &from).await, Err(TransferError::Same(_))));
    let linked = StoreUrl::Sqlite(folder.path().join("linked.db"));
    std::fs::hard_link(path(&from), path(&linked)).unwrap();
    assert!(matches!(migrate(&from, &linked).await, Err(TransferError::Same(_))), "the same file under another name");
    assert!(matches!(migrate(&from, &StoreUrl::SqliteMemory).await, Err(TransferError::InMemory)));
    // A state of an older format is not upgraded.
    let older = folder.path().join("older.db");
    let file = rusqlite::Connection::open(&older).unwrap();
    file.execute_batch(include_str!("../migrations/sqlite/0001_init.sql")).unwrap();
    file.execute_batch(
        "PRAGMA application_id = 1413829202; PRAGMA user_version = 1; INSERT INTO store VALUES (1, zeroblob(16), 0);
         INSERT INTO stack VALUES (1, 'demo', 'local')",
    )
    .unwrap();
    let older = StoreUrl::Sqlite(older);
    assert!(matches!(migrate(&from, &older).await, Err(TransferError::NotEmpty(_))));
    assert_eq!(terrace_state::format_of(&older).await.unwrap(), 1);
    // A spent plan counts as content, too.
    let spent = StoreUrl::Sqlite(folder.path().join("spent.db"));
    let record = Record::SpendPlan { plan: Uuid::now_v7(), reads: Vec::new(), components: Vec::new() };
    writer(&spent).await.commit(&[], vec![record]).await.unwrap();
    assert!(matches!(migrate(&from, &spent).await, Err(TransferError::NotEmpty(_))));
    // Roles count as content, too.
    let roles = StoreUrl::Sqlite(folder.path().join("roles.db"));
    crate::transfer_roles::fill(&roles).await;
    assert!(matches!(migrate(&from, &roles).await, Err(TransferError::NotEmpty(_))));
    // A file of another program.
    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let refused = migrate(&from, &StoreUrl::Sqlite(foreign)).await.unwrap_err().to_string();
    assert!(refused.contains("another program's"), "{refused}");
}

#[tokio::test]
async fn differing_copy_is_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let from = filled(folder.path()).await;
    let to = StoreUrl::Sqlite(folder.path().join("to.db"));
    drop(writer(&to).await);
    let file = rusqlite::Connection::open(path(&to)).unwrap();
    file.execute_batch(
        "CREATE TRIGGER spoils AFTER INSERT ON step WHEN NEW.step = 1
         BEGIN UPDATE step SET message = 'other' WHERE operation = NEW.operation AND step = NEW.step; END",
    )
    .unwrap();
    let differs = migrate(&from, &to).await.unwrap_err().to_string();
    assert_eq!(differs, "the copy of `step` differs from the state, at operation 1, step 1");
    assert!(writer(&to).await.known_stacks().await.unwrap().is_empty());
    file.execute_batch(
        "DROP TRIGGER spoils; CREATE TRIGGER spoils AFTER INSERT ON log WHEN NEW.id = 2
         BEGIN DELETE FROM log WHERE id = 2; END",
    )
    .unwrap();
    let differs = migrate(&from, &to).await.unwrap_err().to_string();
    assert_eq!(differs, "the copy of `log` differs from the state, at id 2");
    file.execute_batch("DROP TRIGGER spoils").unwrap();
    migrate(&from, &to).await.unwrap();
}

#[cfg(feature = "postgres")]
pub(crate) mod postgres {
    use super::*;
    use terrace_state::contract::cluster::{Cluster, connect};

    #[tokio::test]
    async fn every_table_and_column_of_a_database_is_described() {
        let url = Cluster::shared().database().await;
        drop(writer(&url.parse().unwrap()).await);
        drop(roles::open(&url.parse().unwrap()).await.unwrap());
        let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns
                   WHERE table_schema = 'public'";
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in connect(&url).await.query(sql, &[]).await.unwrap() {
            found.entry(row.try_get(0).unwrap()).or_default().insert(row.try_get(1).unwrap());
        }
        assert_described(found);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn state_survives_a_transfer_to_a_database_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let from = filled(folder.path()).await;
        let text = Cluster::shared().database().await;
        let (database, back) = (text.parse().unwrap(), StoreUrl::Sqlite(folder.path().join("back.db")));
        let there = migrate(&from, &database).await.unwrap();
        let again = migrate(&database, &back).await.unwrap();
        assert_eq!(there, again, "counts and digests are independent of the database");
        assert_eq!(dump(path(&back)), dump(path(&from)));
        let (old, new) = (writer(&from).await, writer(&database).await);
        assert_eq!(new.snapshot(None, true).await.unwrap(), old.snapshot(None, true).await.unwrap());
        let all = OperationFilter::newest(usize::MAX);
        let operations = new.operations(&all).await.unwrap();
        assert_eq!(operations, old.operations(&all).await.unwrap());
        for row in &operations {
            assert_eq!(new.operation(row.id).await.unwrap(), old.operation(row.id).await.unwrap());
            assert_eq!(new.logs(row.id, 0).await.unwrap(), old.logs(row.id, 0).await.unwrap());
            assert_eq!(new.request(row.id).await.unwrap(), old.request(row.id).await.unwrap());
        }
        assert_eq!(terrace_state::damage(&database).await.unwrap(), None);
        let (there, here) = (roles::open(&database).await.unwrap(), roles::open(&from).await.unwrap());
        assert_eq!(there.roles().await.unwrap(), here.roles().await.unwrap());
        // Numbers continue after the copied ones.
        let more = operation("apply");
        new.begin(&more).await.unwrap();
        let log = Record::Log {
            operation: more.id,
            level: "info".to_owned(),
            phase: "apply".to_owned(),
            message: "continues".to_owned(),
        };
        let first = Row { stack: StackId::new("third", "local"), ..row("local_value.a") };
        let write = |write| Record::Write { operation: more.id, write };
        let component = new.components(&demo()).await.unwrap().remove(0);
        let component = write(Write::Component { stack: first.stack.clone(), component });
        new.commit(&[], vec![log, write(with(first, 0)), component]).await.unwrap();
        assert_eq!(new.operations(&OperationFilter::newest(1)).await.unwrap()[0].id, more.id);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn transferred_empty_state_counts_from_one() {
        let folder = tempfile::tempdir().unwrap();
        let from = StoreUrl::Sqlite(folder.path().join("from.db"));
        drop(writer(&from).await);
        let url = Cluster::shared().database().await;
        let moved = migrate(&from, &url.parse().unwrap()).await.unwrap();
        assert_eq!(moved.tables.iter().map(|table| table.rows).sum::<u64>(), 1, "only the identity");
        let store = writer(&url.parse().unwrap()).await;
        store.begin(&operation("apply")).await.unwrap();
        let numbers = connect(&url).await.query_one("SELECT min(sequence) FROM operation", &[]).await.unwrap();
        assert_eq!(numbers.try_get::<_, i64>(0).unwrap(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writers_wait_for_a_transfer_and_readers_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = filled(folder.path()).await;
        let text = Cluster::shared().database().await;
        let database: StoreUrl = text.parse().unwrap();
        migrate(&file, &database).await.unwrap();
        let store = writer(&database).await;
        let url = Cluster::shared().database().await;
        let to: StoreUrl = url.parse().unwrap();
        drop(writer(&to).await);
        // The copy waits for this lock.
        let (holder, watcher) = (connect(&url).await, connect(&url).await);
        holder
            .batch_execute(
                "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END';
                 CREATE TRIGGER waits BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION waits();
                 SELECT pg_advisory_lock(4711)",
            )
            .await
            .unwrap();
        let moving = tokio::spawn(async move { migrate(&database, &to).await });
        until_one(&watcher, "wait_event = 'advisory'").await;
        let writing = {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move { store.commit(&[], vec![put(row("local_value.late"))]).await })
        };
        let other = connect(&text).await;
        until_one(&other, "wait_event = 'relation'").await;
        let rows = store.rows(&demo(), &Selection::All).await.unwrap().len();
        holder.batch_execute("SELECT pg_advisory_unlock(4711)").await.unwrap();
        let moved = moving.await.unwrap().unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), rows + 1);
        let there = writer(&url.parse().unwrap()).await;
        assert_eq!(there.rows(&demo(), &Selection::All).await.unwrap().len(), rows);
        assert!(moved.tables.iter().any(|table| table.name == "log" && table.rows == 2));
    }

    /// Waits until one connection of a database matches a condition.
    pub(crate) async fn until_one(client: &tokio_postgres::Client, how: &str) {
        let until = std::time::Instant::now() + Duration::from_secs(30);
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {how} AND datname = current_database()");
        while client.query_one(&sql, &[]).await.unwrap().try_get::<_, i64>(0).unwrap() == 0 {
            assert!(std::time::Instant::now() < until, "no connection matches {how}");
        }
    }
}
