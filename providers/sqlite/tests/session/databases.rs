use crate::world::{World, attributes};
use terrace_provider::{DataAmount, ErrorKind, Found};

const DATABASE: &str = r#"{"path": "data/D/s.db"}"#;

#[tokio::test]
async fn database_is_created_found_and_deleted() {
    let world = World::new().await;
    let database = world.create("sqlite_database", DATABASE).await.unwrap();
    world.is_settled("sqlite_database", &database, DATABASE).await;
    assert_eq!(database.attributes.get("id"), Some(&"data%2FD%2Fs.db".into()));
    assert_eq!(world.import("sqlite_database", "data%2FD%2Fs.db").await.as_ref(), Some(&database));
    assert_eq!(world.import("sqlite_database", "data/D/s.db").await.as_ref(), Some(&database));
    assert_eq!(world.find("sqlite_database", DATABASE, Some("step-1")).await, Found::Ours(database.clone()));
    assert_eq!(world.find("sqlite_database", DATABASE, Some("step-2")).await, Found::Strangers(database.clone()));
    assert_eq!(world.find("sqlite_database", DATABASE, None).await, Found::Strangers(database.clone()));

    world.delete("sqlite_database", &database).await.unwrap();
    assert_eq!(world.read("sqlite_database", &database).await, None);
    assert_eq!(world.find("sqlite_database", DATABASE, Some("step-1")).await, Found::Absent);
    assert_eq!(std::fs::read_dir(world.folder.join("data/D")).unwrap().count(), 0);
    world.delete("sqlite_database", &database).await.unwrap();
}

#[tokio::test]
async fn existing_database_is_not_taken_over() {
    let world = World::new().await;
    std::fs::create_dir_all(world.folder.join("data/D")).unwrap();
    world.execute("data/D/s.db", "CREATE TABLE t (a)");
    let error = world.create("sqlite_database", DATABASE).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { import_id: Some(id) } if id == "data%2FD%2Fs.db"));
}

#[tokio::test]
async fn file_of_a_killed_create_is_not_a_database() {
    let world = World::new().await;
    std::fs::create_dir_all(world.folder.join("data/D")).unwrap();
    std::fs::write(world.folder.join("data/D/s.db"), "").unwrap();
    assert_eq!(world.find("sqlite_database", DATABASE, Some("step-1")).await, Found::Absent);
    world.create("sqlite_database", DATABASE).await.unwrap();
}

#[tokio::test]
async fn database_with_tables_is_deleted_only_if_recursive() {
    let world = World::new().await;
    let database = world.create("sqlite_database", DATABASE).await.unwrap();
    assert_eq!(world.count("sqlite_database", &database).await, DataAmount::Empty);
    world.execute(
        "data/D/s.db",
        "PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2); CREATE TABLE u (a)",
    );
    let held = DataAmount::Some { count: 2, text: "2 tables with 2 rows".to_owned() };
    assert_eq!(world.count("sqlite_database", &database).await, held);
    let error = world.delete("sqlite_database", &database).await.unwrap_err();
    assert!(error.message.contains("still has 2 tables"), "{error}");

    let recursive = r#"{"path": "data/D/s.db", "onDelete": "recursive"}"#;
    let database = world.update("sqlite_database", &database, recursive).await.unwrap();
    world.delete("sqlite_database", &database).await.unwrap();
    assert_eq!(std::fs::read_dir(world.folder.join("data/D")).unwrap().count(), 0);
}

#[tokio::test]
async fn other_file_is_not_a_database() {
    let world = World::new().await;
    let database = world.create("sqlite_database", DATABASE).await.unwrap();
    std::fs::write(world.folder.join("data/D/s.db"), "not a database, but long enough to look like a file".repeat(99))
        .unwrap();
    let error = world.try_read("sqlite_database", &database).await.unwrap_err();
    assert_eq!(error.message, "`data/D/s.db` is a file, but not an SQLite database");
    assert!(!error.solutions.is_empty());
}

#[tokio::test]
async fn path_out_of_the_project_is_refused_in_the_plan() {
    let world = World::new().await;
    let error = world.plan("sqlite_database", None, r#"{"path": "../x.db"}"#).await.unwrap_err();
    assert!(error.message.contains("leads out of the project folder"));
    let error = world.plan("sqlite_database", None, r#"{"path": "x.db", "onDelete": "always"}"#).await.unwrap_err();
    assert!(error.message.contains("`ifEmpty` or `recursive`"));
}

#[tokio::test]
async fn lock_is_a_transient_error() {
    let world = World::new().await;
    let database = world.create("sqlite_database", DATABASE).await.unwrap();
    let other = world.open("data/D/s.db");
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = world.try_read("sqlite_database", &database).await.unwrap_err();
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
    let world = World::protecting(folder.path(), files).await;
    for path in ["state.db", "./x/../state.db", "hard.db", "link.db", "state.db-wal", "STATE.db"] {
        let arguments = attributes(&format!(r#"{{"path": "{path}", "name": "t"}}"#));
        let error = world.session.lookup("sqlite_table", &arguments).await.unwrap_err();
        assert!(error.message.contains("this is the state"), "{path}: {error}");
        for (ty, config) in [
            ("sqlite_database", format!(r#"{{"path": "{path}"}}"#)),
            (
                "sqlite_table",
                format!(r#"{{"path": "{path}", "name": "t", "columns": [{{"name": "a", "type": "TEXT"}}]}}"#),
            ),
        ] {
            let error = world.plan(ty, None, &config).await.unwrap_err();
            assert!(error.message.contains("this is the state"), "{path}: {error}");
        }
    }
    world.plan("sqlite_database", None, r#"{"path": "other.db"}"#).await.unwrap();
}

#[tokio::test]
async fn database_replaces_only_a_folder_that_its_operation_emptied() {
    let world = World::new().await;
    let by_hand = world.folder.join("x.db/sub");
    std::fs::create_dir_all(&by_hand).unwrap();
    let at_x = r#"{"path": "x.db"}"#;
    let error = world.create("sqlite_database", at_x).await.unwrap_err();
    assert!(error.message.contains("found a folder"), "{error}");
    assert!(by_hand.is_dir());
    let inner = world.create("sqlite_database", r#"{"path": "x.db/deep/y.db"}"#).await.unwrap();
    world.delete("sqlite_database", &inner).await.unwrap();
    let error = world.create("sqlite_database", at_x).await.unwrap_err();
    assert!(error.message.contains("found a folder"), "{error}");
    std::fs::remove_dir(&by_hand).unwrap();
    world.create("sqlite_database", at_x).await.unwrap();
    assert!(world.folder.join("x.db").is_file());
}
