use crate::harness::{Harness, attributes};
use terrace_provider::{DataAmount, ErrorKind, Found};

const DATABASE: &str = r#"{"path": "data/D/s.db"}"#;

#[tokio::test]
async fn database_is_created_found_and_deleted() {
    let harness = Harness::new().await;
    let database = harness.create("sqlite_database", DATABASE).await.unwrap();
    harness.assert_settled("sqlite_database", &database, DATABASE).await;
    assert_eq!(database.attributes.get("id"), Some(&"data%2FD%2Fs.db".into()));
    assert_eq!(harness.import("sqlite_database", "data%2FD%2Fs.db").await.as_ref(), Some(&database));
    assert_eq!(harness.import("sqlite_database", "data/D/s.db").await.as_ref(), Some(&database));
    assert_eq!(harness.find("sqlite_database", DATABASE, Some("step-1")).await, Found::Own(database.clone()));
    assert_eq!(harness.find("sqlite_database", DATABASE, Some("step-2")).await, Found::Foreign(database.clone()));
    assert_eq!(harness.find("sqlite_database", DATABASE, None).await, Found::Foreign(database.clone()));

    harness.delete("sqlite_database", &database).await.unwrap();
    assert_eq!(harness.read("sqlite_database", &database).await, None);
    assert_eq!(harness.find("sqlite_database", DATABASE, Some("step-1")).await, Found::Absent);
    assert_eq!(std::fs::read_dir(harness.folder.join("data/D")).unwrap().count(), 0);
    harness.delete("sqlite_database", &database).await.unwrap();
}

#[tokio::test]
async fn lookup_lists_the_tables_of_a_database() {
    let harness = Harness::new().await;
    std::fs::create_dir_all(harness.folder.join("data/D")).unwrap();
    harness.execute("data/D/s.db", "CREATE TABLE b (a); CREATE TABLE a (a); CREATE VIEW v AS SELECT a FROM a");
    let answer = harness.session.lookup("sqlite_tables", &attributes(DATABASE)).await.unwrap();
    let expected = serde_json::json!([{"id": "data/D/s.db/a", "name": "a"}, {"id": "data/D/s.db/b", "name": "b"}]);
    assert_eq!(answer.get("tables").map(terrace_provider::Value::to_json), Some(expected));
    let error = harness.session.lookup("sqlite_tables", &attributes(r#"{"path": "none.db"}"#)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn existing_database_is_not_taken_over() {
    let harness = Harness::new().await;
    std::fs::create_dir_all(harness.folder.join("data/D")).unwrap();
    harness.execute("data/D/s.db", "CREATE TABLE t (a)");
    let error = harness.create("sqlite_database", DATABASE).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { import_id: Some(id) } if id == "data%2FD%2Fs.db"));
}

#[tokio::test]
async fn file_of_a_killed_create_is_not_a_database() {
    let harness = Harness::new().await;
    std::fs::create_dir_all(harness.folder.join("data/D")).unwrap();
    std::fs::write(harness.folder.join("data/D/s.db"), "").unwrap();
    assert_eq!(harness.find("sqlite_database", DATABASE, Some("step-1")).await, Found::Absent);
    harness.create("sqlite_database", DATABASE).await.unwrap();
}

#[tokio::test]
async fn database_with_tables_is_deleted_only_if_recursive() {
    let harness = Harness::new().await;
    let database = harness.create("sqlite_database", DATABASE).await.unwrap();
    assert_eq!(harness.count("sqlite_database", &database).await, DataAmount::Empty);
    harness.execute(
        "data/D/s.db",
        "PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2); CREATE TABLE u (a)",
    );
    let held = DataAmount::Some { count: 2, text: "2 tables with 2 rows".to_owned() };
    assert_eq!(harness.count("sqlite_database", &database).await, held);
    let error = harness.delete("sqlite_database", &database).await.unwrap_err();
    assert!(error.message.contains("still has 2 tables"), "{error}");

    let recursive = r#"{"path": "data/D/s.db", "onDelete": "recursive"}"#;
    let database = harness.update("sqlite_database", &database, recursive).await.unwrap();
    harness.delete("sqlite_database", &database).await.unwrap();
    assert_eq!(std::fs::read_dir(harness.folder.join("data/D")).unwrap().count(), 0);
}

#[tokio::test]
async fn other_file_is_not_a_database() {
    let harness = Harness::new().await;
    let database = harness.create("sqlite_database", DATABASE).await.unwrap();
    std::fs::write(
        harness.folder.join("data/D/s.db"),
        "not a database, but long enough to look like a file".repeat(99),
    )
    .unwrap();
    let error = harness.try_read("sqlite_database", &database).await.unwrap_err();
    assert_eq!(error.message, "`data/D/s.db` is a file, but not an SQLite database");
    assert!(!error.solutions.is_empty());
}

#[tokio::test]
async fn path_out_of_the_project_is_refused_in_the_plan() {
    let harness = Harness::new().await;
    let error = harness.plan("sqlite_database", None, r#"{"path": "../x.db"}"#).await.unwrap_err();
    assert!(error.message.contains("leads out of the project folder"));
    let error = harness.plan("sqlite_database", None, r#"{"path": "x.db", "onDelete": "always"}"#).await.unwrap_err();
    assert!(error.message.contains("`ifEmpty` or `recursive`"));
}

#[tokio::test]
async fn lock_is_a_transient_error() {
    let harness = Harness::new().await;
    let database = harness.create("sqlite_database", DATABASE).await.unwrap();
    let other = harness.open("data/D/s.db");
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = harness.try_read("sqlite_database", &database).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert_eq!(error.message, "`data/D/s.db` is locked by another connection");
}

#[tokio::test]
async fn protected_database_is_neither_read_nor_changed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    rusqlite::Connection::open(&state).unwrap().execute_batch("CREATE TABLE t (a TEXT)").unwrap();
    std::fs::hard_link(&state, folder.path().join("hard.db")).unwrap();
    std::os::unix::fs::symlink("state.db", folder.path().join("link.db")).unwrap();
    let files = terrace_provider::sandbox::ProtectedFiles::default().family(&state, "the state");
    let harness = Harness::protecting(folder.path(), files).await;
    for path in ["state.db", "./x/../state.db", "hard.db", "link.db", "state.db-wal", "STATE.db"] {
        let arguments = attributes(&format!(r#"{{"path": "{path}", "name": "t"}}"#));
        for lookup in ["sqlite_table", "sqlite_tables"] {
            let error = harness.session.lookup(lookup, &arguments).await.unwrap_err();
            assert!(error.message.contains("this is the state"), "{lookup} {path}: {error}");
        }
        for (ty, config) in [
            ("sqlite_database", format!(r#"{{"path": "{path}"}}"#)),
            (
                "sqlite_table",
                format!(r#"{{"path": "{path}", "name": "t", "columns": [{{"name": "a", "type": "TEXT"}}]}}"#),
            ),
        ] {
            let error = harness.plan(ty, None, &config).await.unwrap_err();
            assert!(error.message.contains("this is the state"), "{path}: {error}");
        }
    }
    harness.plan("sqlite_database", None, r#"{"path": "other.db"}"#).await.unwrap();
}

#[tokio::test]
async fn database_replaces_only_a_folder_that_its_operation_emptied() {
    let harness = Harness::new().await;
    let manual_folder = harness.folder.join("x.db/sub");
    std::fs::create_dir_all(&manual_folder).unwrap();
    let at_x = r#"{"path": "x.db"}"#;
    let error = harness.create("sqlite_database", at_x).await.unwrap_err();
    assert!(error.message.contains("found a folder"), "{error}");
    assert!(manual_folder.is_dir());
    let inner = harness.create("sqlite_database", r#"{"path": "x.db/deep/y.db"}"#).await.unwrap();
    harness.delete("sqlite_database", &inner).await.unwrap();
    let error = harness.create("sqlite_database", at_x).await.unwrap_err();
    assert!(error.message.contains("found a folder"), "{error}");
    std::fs::remove_dir(&manual_folder).unwrap();
    harness.create("sqlite_database", at_x).await.unwrap();
    assert!(harness.folder.join("x.db").is_file());
}
