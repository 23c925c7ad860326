//! Objects at the path: no file, garbage, another program's file, a read-only folder.

use crate::{demo, put, row};
use jiff::Timestamp;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use terrace_state::{Access, StoreUrl};
use terrace_store::{Enqueued, NewOperation, NewRequest, Record, Selection, StoreError, Write};
use uuid::Uuid;

async fn open(path: &Path, access: Access) -> Result<Arc<dyn terrace_store::ServerStore>, StoreError> {
    terrace_state::open(&StoreUrl::Sqlite(path.to_owned()), access).await
}

async fn refusal(path: &Path, access: Access) -> String {
    match open(path, access).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn reader_of_a_missing_store_sees_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("state.db"), Access::ReadOnly).await.unwrap();
    assert!(store.identity().await.unwrap().id.is_nil());
    assert!(store.identity().await.unwrap().url.ends_with("state.db"));
    assert!(store.stacks().await.unwrap().is_empty());
    let error = store.commit(&[], vec![put(row("local_value.a"))]).await.unwrap_err().to_string();
    assert_eq!(error, "state cannot be written: it was opened for reading only");
    let deeper = open(&folder.path().join("absent/state.db"), Access::ReadOnly).await.unwrap();
    assert!(deeper.stacks().await.unwrap().is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn reader_sees_commits_and_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = open(&path, Access::ReadWrite).await.unwrap();
    let reader = open(&path, Access::ReadOnly).await.unwrap();
    assert_eq!(reader.identity().await.unwrap(), writer.identity().await.unwrap());
    writer.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    assert_eq!(reader.rows(&demo(), &Selection::All).await.unwrap().len(), 1);
    assert!(reader.commit(&[], vec![put(row("local_value.b"))]).await.is_err());
    drop(writer);
    drop(reader);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["state.db"]);
}

#[tokio::test]
async fn concurrent_creation_makes_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { open(&path, Access::ReadWrite).await.unwrap() })
        })
        .collect();
    let mut ids = Vec::new();
    for store in opening {
        ids.push(store.await.unwrap().identity().await.unwrap().id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn other_file_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let garbage = folder.path().join("garbage.db");
    fs::write(&garbage, "to be or not to be, that is the question ".repeat(100)).unwrap();
    let short = folder.path().join("short.db");
    fs::write(&short, "x").unwrap();
    for (path, reason) in [
        (&foreign, "it is another program's SQLite database"),
        (&garbage, "it is not a SQLite database"),
        (&short, "it is not a SQLite database"),
    ] {
        let before = fs::read(path).unwrap();
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let expected = format!("sqlite:{} is not a terrace state: {reason}", path.display());
            assert_eq!(refusal(path, access).await, expected);
        }
        assert_eq!(fs::read(path).unwrap(), before);
    }
}

#[tokio::test]
async fn truncated_file_is_damaged_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(open(&path, Access::ReadWrite).await.unwrap());
    let whole = fs::read(&path).unwrap();
    for length in [1, 15, 16, 100, 511] {
        fs::write(&path, &whole[..length]).unwrap();
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let refused = refusal(&path, access).await;
            assert!(refused.contains("is damaged: it is cut short"), "{length} bytes: {refused}");
        }
        assert!(terrace_state::format_of(&StoreUrl::Sqlite(path.clone())).await.is_err());
        assert_eq!(fs::read(&path).unwrap().len(), length);
    }
}

/// A file system of a few megabytes, unmounted on drop.
#[cfg(target_os = "linux")]
struct Disk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Disk {
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn state_on_a_full_disk_is_not_writable() {
    let Some(disk) = Disk::mounted() else {
        println!("skipped: cannot mount a file system here");
        return;
    };
    let store = open(&disk.0.path().join("state.db"), Access::ReadWrite).await.unwrap();
    for number in 0..50 {
        store.commit(&[], vec![put(row(&format!("local_value.a[{number}]")))]).await.unwrap();
    }
    store.check_writable().await.unwrap();
    let filling = disk.0.path().join("filling");
    assert!(fs::write(&filling, vec![0; 4 << 20]).is_err(), "the file fits");
    let refused = store.check_writable().await.unwrap_err().to_string();
    assert!(refused.contains("the disk is full"), "{refused}");
    fs::remove_file(&filling).unwrap();
    store.check_writable().await.unwrap();
    let left: Vec<_> = fs::read_dir(disk.0.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("room")), "{left:?}");
}

#[tokio::test]
async fn newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(open(&path, Access::ReadWrite).await.unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = open(&path, access).await.err();
        assert!(matches!(error, Some(StoreError::NewerFormat { found: 99, .. })), "{error:?}");
    }
}

#[tokio::test]
async fn writer_upgrades_an_older_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path, Access::ReadWrite).await.unwrap();
    let component = super::api(None);
    let record = Record::Write { operation: Uuid::now_v7(), write: Write::Component { stack: demo(), component } };
    store.commit(&[], vec![put(row("local_value.a")), record]).await.unwrap();
    let operation_id = Uuid::now_v7();
    let stacks = vec![demo()];
    store
        .begin(&NewOperation { id: operation_id, kind: "apply".to_owned(), stacks, actor: "jane".to_owned() })
        .await
        .unwrap();
    drop(store);
    // Undoes the changes of the newest formats.
    let older = rusqlite::Connection::open(&path).unwrap();
    older
        .execute_batch(
            "DROP TABLE audit; DROP TABLE audit_head; DROP INDEX operation_of_stack; DROP INDEX lease_held; DROP TABLE request_key; DROP TABLE request_death; DROP TABLE request; DROP TABLE component_version; ALTER TABLE component DROP COLUMN reads;
             ALTER TABLE component DROP COLUMN principals; ALTER TABLE component DROP COLUMN access_fields; ALTER TABLE component DROP COLUMN ids;
             ALTER TABLE intent DROP COLUMN boot; ALTER TABLE intent DROP COLUMN pid_namespace;
             ALTER TABLE intent DROP COLUMN pid; ALTER TABLE intent DROP COLUMN process_started;
             ALTER TABLE intent DROP COLUMN deposes; ALTER TABLE intent DROP COLUMN provider_version;
             ALTER TABLE version DROP COLUMN provider_version; ALTER TABLE operation DROP COLUMN cancelled_by;
             ALTER TABLE operation ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;
             UPDATE operation SET cancel_requested = 1;
             PRAGMA user_version = 3",
        )
        .unwrap();
    drop(older);
    let message = refusal(&path, Access::ReadOnly).await;
    assert!(
        message.contains(&format!("sqlite:{} has the older format 3; `terrace state upgrade`", path.display())),
        "{message}"
    );
    drop(open(&path, Access::ReadWrite).await.unwrap());
    let store = open(&path, Access::ReadOnly).await.unwrap();
    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.provider_version.as_deref()).collect::<Vec<_>>(), [None]);
    assert!(store.open_intents(&demo(), &Selection::All).await.unwrap().is_empty());
    // The older format did not record the cancelling user.
    let (operation, _) = store.operation(operation_id).await.unwrap().unwrap();
    assert_eq!(operation.cancelled_by.as_deref(), Some("somebody"));
    assert!(store.is_cancel_requested(operation_id).await.unwrap());
    // Components from before the history count as the oldest.
    let history = store.snapshot(Some(&demo()), true).await.unwrap().remove(0).component_history;
    assert_eq!(
        history.iter().map(|entry| (entry.key.as_str(), entry.at)).collect::<Vec<_>>(),
        [("api", Timestamp::UNIX_EPOCH)]
    );
}

#[tokio::test]
async fn access_survives_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path, Access::ReadWrite).await.unwrap();
    let component = super::api(Some("user:ada"));
    let write = Write::Component { stack: demo(), component: component.clone() };
    store.commit(&[], vec![Record::Write { operation: Uuid::now_v7(), write }]).await.unwrap();
    let request = super::keyed_request();
    store.enqueue(&request, 1).await.unwrap();
    drop(store);
    let older = "ALTER TABLE request ADD COLUMN idempotency TEXT; UPDATE request SET idempotency = (SELECT key FROM request_key);
                 DROP TABLE request_key; DROP TABLE request_death; ALTER TABLE request DROP COLUMN claimant;
                 CREATE UNIQUE INDEX request_idempotency ON request (idempotency) WHERE idempotency IS NOT NULL;
                 DROP INDEX request_waiting; DROP INDEX request_taken; DROP INDEX lease_held;
                 CREATE INDEX request_unended ON request (operation) WHERE result IS NULL;
                 ALTER TABLE component DROP COLUMN access_fields;
                 ALTER TABLE component_version DROP COLUMN access_fields; ALTER TABLE component DROP COLUMN ids;
                 ALTER TABLE component_version DROP COLUMN ids; DROP TABLE audit; DROP TABLE audit_head;
                 DROP INDEX request_of_caller; ALTER TABLE request DROP COLUMN caller;
                 ALTER TABLE request DROP COLUMN most_running; PRAGMA user_version = 15";
    rusqlite::Connection::open(&path).unwrap().execute_batch(older).unwrap();
    let store = open(&path, Access::ReadWrite).await.unwrap();
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
async fn damaged_file_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path, Access::ReadWrite).await.unwrap();
    let records: Vec<_> = (0..500).map(|number| put(row(&format!("local_value.a[{number}]")))).collect();
    store.commit(&[], records).await.unwrap();
    drop(store);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, bytes.get(..bytes.len() / 3).unwrap()).unwrap();
    let error = match open(&path, Access::ReadWrite).await {
        Ok(store) => store.rows(&demo(), &Selection::All).await.map(|_| ()).unwrap_err(),
        Err(error) => error,
    };
    let message = format!("sqlite:{} is damaged: restore it from a backup", path.display());
    assert!(error.to_string().contains(&message), "{error}");
}

#[tokio::test]
async fn impossible_paths_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("absent/state.db");
    let parent = nowhere.parent().unwrap().display();
    let expected = format!("state cannot be opened: the folder `{parent}` does not exist");
    assert_eq!(refusal(&nowhere, Access::ReadWrite).await, expected);
    let expected = format!("state cannot be opened: `{}` is a folder, not a file", folder.path().display());
    assert_eq!(refusal(folder.path(), Access::ReadOnly).await, expected);
    assert!(refusal(Path::new("/dev/null"), Access::ReadOnly).await.contains("is not a regular file"));
}

#[tokio::test]
async fn emptied_file_is_damaged_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    fs::write(&path, "").unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let message = refusal(&path, access).await;
        assert!(message.contains("is damaged: it is empty; restore it from a backup"), "{message}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"");
}

/// A reader never takes a store in creation for an emptied one.
#[test]
fn store_in_creation_is_missing_or_complete() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let go = std::sync::Barrier::new(4);
        let opened = |access: Access| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(open(&path, access)).map(|_| ()).map_err(|error| error.to_string())
        };
        std::thread::scope(|scope| {
            for access in [Access::ReadWrite, Access::ReadWrite, Access::ReadOnly, Access::ReadOnly] {
                let (go, opened) = (&go, &opened);
                scope.spawn(move || {
                    go.wait();
                    let many = if access == Access::ReadOnly { 100 } else { 1 };
                    (0..many).for_each(|_| assert_eq!(opened(access), Ok(())));
                });
            }
        });
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["state.db"], "no temporary file is left");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn new_store_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("state.db"), Access::ReadWrite).await.unwrap();
    store.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn store_in_a_read_only_folder_is_readable() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path, Access::ReadWrite).await.unwrap();
    store.commit(&[], vec![put(row("local_value.a"))]).await.unwrap();
    drop(store);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o400);
    mode(folder.path(), 0o500);
    let is_enforced = fs::write(folder.path().join("probe"), "").is_err();
    let read = open(&path, Access::ReadOnly).await.unwrap().rows(&demo(), &Selection::All).await.unwrap();
    assert_eq!(read.len(), 1);
    // The superuser may write anywhere.
    if is_enforced {
        let expected = format!("state cannot be opened: `{}` is read-only", path.display());
        mode(folder.path(), 0o700);
        assert_eq!(refusal(&path, Access::ReadWrite).await, expected);
    }
    mode(folder.path(), 0o700);
}
