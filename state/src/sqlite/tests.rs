//! What needs a hand on the writer's connection.

use super::*;
use crate::SystemClock;
use std::fs;
use terrace_engine::store::{RowStatus, Write};

fn demo() -> StackId {
    StackId::new("demo", "local")
}

fn put(name: &str, size: usize) -> Record {
    let row = Row { stack: demo(), address: name.parse().unwrap(), attributes: "x".repeat(size), ..read::blank() };
    let row = Row { status: RowStatus::Ready, provider: "local".to_owned(), ..row };
    Record::Write { operation: Uuid::nil(), write: Write::Put { row: Box::new(row), expected: 0 } }
}

fn store(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("state.db"), Access::ReadWrite, Arc::new(SystemClock)).unwrap()
}

async fn limit_pages(store: &SqliteStore, pages: u32) {
    store.write(move |transaction, _| Ok(transaction.pragma_update(None, "max_page_count", pages)?)).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_in_the_middle_of_a_commit_leaves_nothing_half_written() {
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
async fn the_log_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // The size of the log does not depend on syncing, which takes its time on slow disks.
    store.write_unsynced().await;
    for number in 0..10_000 {
        store.commit(&[], vec![put(&format!("local_value.a[{number}]"), 500)]).await.unwrap();
    }
    let log = fs::metadata(folder.path().join("state.db-wal")).unwrap().len();
    assert!(log <= 1 << 20, "the log has {log} bytes");
    drop(store);
    assert!(!folder.path().join("state.db-wal").exists(), "closing folds the log into the file");
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
async fn a_reader_does_not_wait_for_the_writer() {
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

impl SqliteStore {
    async fn write_unsynced(&self) {
        let Writer::Own(writer, _) = &self.writer else { return };
        writer.run("written", |connection| Ok(connection.pragma_update(None, "synchronous", "OFF")?)).await.unwrap();
    }
}

#[tokio::test]
async fn a_statement_is_compiled_once_whatever_is_bound_to_it() {
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

#[tokio::test]
async fn a_file_that_is_deleted_or_replaced_while_it_is_open_is_noticed_and_saved() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let path = folder.path().join("state.db");
    store.commit(&[], vec![put("local_value.before", 10)]).await.unwrap();
    fs::remove_file(&path).unwrap();
    let saved = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.to_string_lossy().contains("state.db.saved-")).collect::<Vec<_>>()
    };
    let error = store.commit(&[], vec![put("local_value.during", 10)]).await.unwrap_err().to_string();
    assert!(error.contains("was deleted or replaced while it was in use; what was recorded is in"), "{error}");
    assert!(!folder.path().join("state.db-wal").exists(), "it would be read into what is put there");
    // Another one in its place is not taken for it, and what is written at the end is saved, too.
    fs::write(&path, "another").unwrap();
    store.commit(&[], vec![put("local_value.after", 10)]).await.unwrap_err();
    drop(store);
    let saved = saved();
    assert_eq!(saved.len(), 1, "{saved:?}");
    fs::rename(&saved[0], &path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let rows = self::store(folder.path()).rows(&demo(), &Selection::All).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.address.to_string()).collect();
    assert_eq!(names, ["local_value.after", "local_value.before", "local_value.during"]);
}
