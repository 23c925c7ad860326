//! Tests that need the writer's connection.

use super::*;
use crate::SystemClock;
use crate::clock::Clock;
use jiff::Timestamp;
use std::fs;
use terrace_store::{Body, Claimant, OrderKey, RowStatus, Sealed, Write};

fn demo() -> StackId {
    StackId::new("demo", "local")
}

fn put(name: &str, size: usize) -> Record {
    let row = Row {
        stack: demo(),
        address: name.parse().unwrap(),
        attributes: Sealed::from_stored("x".repeat(size)),
        ..crate::values::blank()
    };
    let row = Row { status: RowStatus::Ready, provider: "local".to_owned(), ..row };
    Record::Write { operation: Uuid::nil(), write: Write::Put { row: Box::new(row), expected: 0 } }
}

fn store(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("state.db"), Access::ReadWrite, Arc::new(SystemClock)).unwrap()
}

async fn limit_pages(store: &SqliteStore, pages: u32) {
    store.write(move |transaction, _| Ok(transaction.pragma_update(None, "max_page_count", pages)?)).await.unwrap();
}

fn claimant(name: &str) -> Claimant {
    Claimant { id: Uuid::now_v7(), name: name.to_owned() }
}

#[tokio::test]
async fn full_disk_rolls_a_commit_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.commit(&[], vec![put("local_value.before", 10)]).await.unwrap();
    limit_pages(&store, 120).await;
    let records: Vec<_> = (0..100).map(|number| put(&format!("local_value.a[{number}]"), 10_000)).collect();
    let error = store.commit(&[], records.clone()).await.unwrap_err().to_string();
    assert!(error.starts_with("state cannot be written: the disk is full"), "{error}");
    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
    assert_eq!(rows.len(), 1);
    limit_pages(&store, 1_000_000).await;
    store.commit(&[], records).await.unwrap();
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 101);
}

#[tokio::test]
async fn write_ahead_log_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // The size of the log does not depend on syncing, which is slow on some disks.
    store.write_unsynced().await;
    for number in 0..10_000 {
        store.commit(&[], vec![put(&format!("local_value.a[{number}]"), 500)]).await.unwrap();
    }
    let log = fs::metadata(folder.path().join("state.db-wal")).unwrap().len();
    assert!(log <= 1 << 20, "the log has {log} bytes");
    drop(store);
    assert!(!folder.path().join("state.db-wal").exists(), "closing checkpoints the log");
}

#[tokio::test]
async fn commits_are_synced_and_foreign_keys_checked() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let numbers = ["synchronous", "foreign_keys", "wal_autocheckpoint", "journal_size_limit"];
    let values = store
        .write(move |transaction, _| {
            let value = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            Ok(numbers.map(value).into_iter().collect::<Result<Vec<_>, _>>()?)
        })
        .await
        .unwrap();
    assert_eq!(values, [2, 1, 128, 1 << 20]);
}

#[tokio::test]
async fn reader_does_not_wait_for_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(store(folder.path()));
    store.commit(&[], vec![put("local_value.a", 10)]).await.unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        let hold = move |_: &Transaction<'_>, _: &Context| {
            let _ = started.send(());
            let _ = wait.recv();
            Ok(())
        };
        writer.write(hold).await
    });
    has_started.await.unwrap();
    assert_eq!(store.rows(&demo(), &Selection::All).await.unwrap().len(), 1);
    go.send(()).unwrap();
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn call_of_a_server_does_not_wait_behind_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(store(folder.path()));
    let operation = |kind: &str| NewOperation {
        id: Uuid::now_v7(),
        kind: kind.to_owned(),
        stacks: vec![demo()],
        actor: "me".to_owned(),
    };
    let (works, call) = ([(); 3].map(|()| operation("apply")), operation("provision"));
    let request = NewRequest {
        operation: call.clone(),
        order: OrderKey::of_text("a"),
        digest: "d".to_owned(),
        older_digests: Vec::new(),
        body: Body::from("{}".to_owned()),
        idempotency: None,
        can_wait: false,
        quota: None,
    };
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let holding = store.write(move |_, _| {
        let _ = wait.recv();
        Ok(())
    });
    let [one, other, third] = works.each_ref().map(|work| store.begin(work));
    // All of them are queued in this order before the first one ends.
    let release = async { go.send(()).unwrap() };
    let done = tokio::join!(biased; holding, one, other, third, store.enqueue(&request, 10), release);
    assert!(done.0.is_ok() && done.1.is_ok() && done.2.is_ok() && done.3.is_ok() && done.4.is_ok());
    let recorded = store.operations(&OperationFilter::newest(10)).await.unwrap();
    let kinds: Vec<&str> = recorded.iter().rev().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["provision", "apply", "apply", "apply"]);
}

impl SqliteStore {
    async fn write_unsynced(&self) {
        let Writer::Own(writer, _) = &self.writer else { return };
        writer
            .run(worker::Priority::Normal, "written", |connection| {
                Ok(connection.pragma_update(None, "synchronous", "OFF")?)
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn statement_is_compiled_once_for_all_values() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let compiled_again = store
        .write(|transaction, _| {
            let sql = "SELECT resource.generation FROM resource JOIN version ON version.id = resource.version
                       WHERE resource.stack = ?1 AND component = ?2";
            let mut statement = transaction.prepare(sql)?;
            for stack in 0..10 {
                statement.exists((stack, "api"))?;
            }
            Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
        })
        .await
        .unwrap();
    assert_eq!(compiled_again, 0);
}

/// The saved files of a folder.
fn saved(folder: &Path) -> Vec<std::path::PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().contains(".saved-")).collect()
}

async fn names(store: &SqliteStore) -> Vec<String> {
    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
    rows.iter().map(|row| row.address.to_string()).collect()
}

#[tokio::test]
async fn deleted_open_file_is_detected_and_saved() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let path = folder.path().join("state.db");
    store.commit(&[], vec![put("local_value.before", 10)]).await.unwrap();
    fs::remove_file(&path).unwrap();
    let error = store.commit(&[], vec![put("local_value.during", 10)]).await.unwrap_err().to_string();
    assert!(error.contains("was deleted or replaced while it was in use; a copy of the state is in"), "{error}");
    // The last writes are saved, too.
    store.commit(&[], vec![put("local_value.after", 10)]).await.unwrap_err();
    drop(store);
    let saved = saved(folder.path());
    assert_eq!(saved.len(), 1, "{saved:?}");
    fs::rename(&saved[0], &path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no log of the lost file is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let all = ["local_value.after", "local_value.before", "local_value.during"];
    assert_eq!(names(&self::store(folder.path())).await, all);
}

#[tokio::test]
async fn replacement_of_an_open_file_gets_none_of_its_logs() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.db"), folder.path().join("state.db"));
    drop(SqliteStore::open(&real, Access::ReadWrite, Arc::new(SystemClock)).unwrap());
    fs::copy(&real, folder.path().join("backup.db")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let store = store(folder.path());
    store.commit(&[], vec![put("local_value.before", 10)]).await.unwrap();
    fs::rename(folder.path().join("backup.db"), &real).unwrap();
    let error = store.commit(&[], vec![put("local_value.during", 10)]).await.unwrap_err().to_string();
    assert!(error.contains("real.db` was deleted or replaced"), "{error}");
    drop(store);
    let backup = self::store(folder.path());
    assert!(names(&backup).await.is_empty());
    drop(backup);
    fs::rename(&saved(folder.path())[0], &real).unwrap();
    assert_eq!(names(&self::store(folder.path())).await, ["local_value.before", "local_value.during"]);
    assert_eq!(damage(&link).unwrap(), None);
}

#[tokio::test]
async fn file_of_a_moved_folder_is_saved_at_the_old_path() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let store = store(&inner);
    store.commit(&[], vec![put("local_value.before", 10)]).await.unwrap();
    fs::rename(&inner, folder.path().join("elsewhere")).unwrap();
    store.commit(&[], vec![put("local_value.during", 10)]).await.unwrap_err();
    drop(store);
    fs::rename(&saved(&inner)[0], inner.join("state.db")).unwrap();
    assert_eq!(names(&self::store(&inner)).await, ["local_value.before", "local_value.during"]);
}

/// A system clock that a test sets.
#[cfg(target_os = "linux")]
#[derive(Default)]
struct SetClock(std::sync::atomic::AtomicI64);

#[cfg(target_os = "linux")]
impl SetClock {
    fn jump(&self) {
        self.0.fetch_add(7200, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + Duration::from_secs(self.0.load(std::sync::atomic::Ordering::Relaxed).cast_unsigned())
    }

    fn is_system_clock(&self) -> bool {
        true
    }
}

#[cfg(target_os = "linux")]
fn with_set_clock(folder: &Path) -> (SqliteStore, Arc<SetClock>) {
    let clock = Arc::new(SetClock::default());
    let open = Arc::<SetClock>::clone(&clock);
    (SqliteStore::open(&folder.join("state.db"), Access::ReadWrite, open).unwrap(), clock)
}

#[cfg(target_os = "linux")]
fn lease_of(number: u128) -> LeaseRequest {
    LeaseRequest {
        components: [(demo(), "a".into())].into(),
        operation: Uuid::from_u128(number),
        holder: "another process".to_owned(),
        term: Duration::from_secs(30),
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn running_process_keeps_its_lease_when_the_clock_jumps() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = with_set_clock(folder.path());
    assert!(matches!(store.acquire(&lease_of(1)).await.unwrap(), Acquired::Granted(_)));
    clock.jump();
    assert!(matches!(store.acquire(&lease_of(2)).await.unwrap(), Acquired::Held(_)), "this process itself");
    let mut other = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", other.id())).unwrap();
    let started: i64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let pid = other.id();
    let sql = "UPDATE lease SET pid = ?1, process_started = ?2";
    store.write(move |transaction, _| Ok(transaction.execute(sql, (pid, started))?)).await.unwrap();
    clock.jump();
    assert!(matches!(store.acquire(&lease_of(2)).await.unwrap(), Acquired::Held(_)));
    assert_eq!(store.leases().await.unwrap().len(), 1);
    drop(other.stdin.take());
    other.wait().unwrap();
    assert!(matches!(store.acquire(&lease_of(2)).await.unwrap(), Acquired::Granted(_)));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn running_server_keeps_its_requests_when_the_clock_jumps() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = with_set_clock(folder.path());
    let (kind, actor) = ("provision".to_owned(), "jane".to_owned());
    let request = NewRequest {
        operation: NewOperation { id: Uuid::now_v7(), kind, stacks: vec![demo()], actor },
        order: OrderKey::of_text("a"),
        digest: "d".to_owned(),
        older_digests: Vec::new(),
        body: "{}".to_owned().into(),
        idempotency: None,
        can_wait: false,
        quota: None,
    };
    store.enqueue(&request, 10).await.unwrap();
    let term = Duration::from_secs(30);
    let claim = store.claim(&claimant("jane@host"), term).await.unwrap().unwrap();
    clock.jump();
    assert!(store.claim(&claimant("john@host"), term).await.unwrap().is_none());
    store.renew_claim(&claim, term).await.unwrap();
}
