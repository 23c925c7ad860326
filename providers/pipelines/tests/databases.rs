//! Databases: SQLite files and PostgreSQL servers that are created, found, stopped, ended, queried and dumped.

use crate::harness::Project;
use secrecy::ExposeSecret;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use terrace_pipelines::database::browse::{PAGE, Table};
use terrace_pipelines::database::{
    DatabaseErrorKind, DatabaseSpec, Databases, Engine, Extension, ProjectDatabases, Record, Status,
};
use tokio_util::sync::CancellationToken;

const NOTHING: &str = "nothing: {pipeline: [{run: noise}]}\n";
/// Name and value that would break pages and statements without quoting.
const NASTY: &str = "<script>alert('1')</script>\"; DROP TABLE t; --";

fn spec(name: &str, engine: Engine, ttl: Option<&str>) -> DatabaseSpec {
    DatabaseSpec { name: name.to_owned(), engine: Some(engine), ttl: ttl.map(str::to_owned), ..DatabaseSpec::default() }
}

async fn create(databases: &Databases, spec: &DatabaseSpec) -> Record {
    databases.create(spec, &CancellationToken::new()).await.unwrap()
}

/// A session like that of a pipeline.
pub(crate) async fn connect(databases: &Databases, record: &Record) -> tokio_postgres::Client {
    let access = databases.access(record).unwrap();
    let url = access.engine_url.expose_secret().replace("postgresql+psycopg2://", "postgresql://");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(60), "timeout: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Number of a database's processes.
fn processes(record: &Record) -> usize {
    let mark = format!("TERRACE_RUN={} ", record.id);
    let all = fs::read_dir("/proc").unwrap().flatten();
    let environments = all.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environments.filter(|it| it.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))).count()
}

#[tokio::test]
async fn server_outlives_its_creator_until_removed() {
    let project = Project::new(NOTHING);
    let record = create(&project.databases(), &spec("orders", Engine::Postgres, None)).await;
    // Another caller finds it.
    let databases = project.databases();
    assert_eq!(databases.status(&databases.existing("orders").unwrap()), Status::Running);
    let client = connect(&databases, &record).await;
    client.batch_execute("CREATE TABLE t (a integer); INSERT INTO t VALUES (1)").await.unwrap();
    drop(client);
    let password = databases.folder_of("orders").join("pgpass");
    assert_eq!(fs::metadata(&password).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(processes(&record) > 0);
    let stopped = databases.stop("orders").await.unwrap();
    assert_eq!((databases.status(&stopped), processes(&record)), (Status::Stopped, 0));
    let started = databases.start("orders", &CancellationToken::new()).await.unwrap();
    let rows = connect(&databases, &started).await.query("SELECT a FROM t", &[]).await.unwrap();
    assert_eq!(rows.len(), 1, "its data is still there");
    databases.remove("orders").await.unwrap();
    assert_eq!((databases.get("orders").unwrap(), processes(&record)), (None, 0));
    assert!(!record.data.exists() && !databases.folder_of("orders").exists());
}

#[tokio::test]
async fn copy_of_project_does_not_touch_server_of_original() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let record = create(&databases, &spec("orders", Engine::Postgres, None)).await;
    assert!(record.data.starts_with(databases.folder()), "its data is copied with the project");
    let copy = tempfile::tempdir().unwrap();
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copied = copy.path().join("databases");
    let copying = std::process::Command::new("cp").arg("-a").args([databases.folder(), &copied]).status();
    assert!(copying.unwrap().success());
    let copied_databases = Databases::new(copied, None, None);
    copied_databases.stop("orders").await.unwrap();
    copied_databases.remove("orders").await.unwrap();
    assert_eq!(databases.status(&databases.existing("orders").unwrap()), Status::Running);
    connect(&databases, &record).await.batch_execute("SELECT 1").await.unwrap();
    databases.remove("orders").await.unwrap();
}

#[tokio::test]
async fn server_with_data_elsewhere_ends_with_its_project() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let spec = DatabaseSpec { has_page: true, ..spec("orders", Engine::Postgres, None) };
    let mut record = create(&databases, &spec).await;
    databases.stop("orders").await.unwrap();
    // As if root ran terrace, and the server's user could not enter the project.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = elsewhere.path().join(&record.id).join("data");
    fs::create_dir(data.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mv").args([&record.data, &data]).status().unwrap().success());
    record.data = data;
    fs::write(databases.folder_of("orders").join("database.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    databases.start("orders", &CancellationToken::new()).await.unwrap();
    assert!(processes(&record) > 0);
    let guard = databases.become_guard("orders").await.unwrap();
    let stop = CancellationToken::new();
    let guarding = guard.watch(true, &stop);
    let removing = async {
        tokio::task::yield_now().await;
        fs::remove_dir_all(databases.folder()).unwrap();
    };
    let (is_needed, ()) = tokio::join!(guarding, removing);
    assert_eq!((is_needed, processes(&record)), (false, 0));
}

#[tokio::test]
async fn password_is_required_and_only_in_its_file() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let record = create(&databases, &spec("orders", Engine::Postgres, None)).await;
    let access = databases.access(&record).unwrap();
    let password = access.password.unwrap().expose_secret().to_owned();
    let wrong = format!("postgresql://postgres:wrong@127.0.0.1:{}/postgres", record.port.unwrap());
    let refused = tokio_postgres::connect(&wrong, tokio_postgres::NoTls).await.err().unwrap();
    assert!(refused.as_db_error().unwrap().message().contains("password authentication failed"));
    let mut folders = vec![databases.folder_of("orders"), record.data.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "pgpass" {
                let text = fs::read(entry.path()).unwrap_or_default();
                let is_in = text.windows(password.len()).any(|part| part == password.as_bytes());
                assert!(!is_in, "{} has the password", entry.path().display());
            }
        }
    }
    databases.remove("orders").await.unwrap();
}

#[tokio::test]
async fn expired_database_is_removed_and_declared_one_keeps_record() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let record = create(&databases, &spec("short", engine, Some("2s"))).await;
        assert_eq!(databases.status(&record), Status::Running);
        // Without a guard, each opening of the provider ends it.
        until("it expires", async || {
            databases.guard_all().await;
            databases.existing("short").unwrap().is_expired
        })
        .await;
        assert_eq!((databases.status(&databases.existing("short").unwrap()), processes(&record)), (Status::Expired, 0));
        assert!(!record.data.exists() && !databases.folder_of("short").join("pgpass").exists());
        // The next use recreates it.
        let (again, _) = databases.ensure("short", &CancellationToken::new()).await.unwrap();
        assert_ne!(again.id, record.id);
        assert_eq!(again.engine, engine);
        databases.remove("short").await.unwrap();
    }
    let run_database = DatabaseSpec { engine: Some(Engine::Sqlite), ..DatabaseSpec::for_run("1s".to_owned()).unwrap() };
    create(&databases, &run_database).await;
    until("nothing remains of a database for a run", async || {
        databases.guard_all().await;
        databases.names().is_empty()
    })
    .await;
}

/// Minutes until a database expires.
fn minutes_left(record: &Record) -> u64 {
    let now = terrace_pipelines::database::clock::Moment::now();
    record.deadline.as_ref().unwrap().left(&now).as_secs().div_ceil(60)
}

#[tokio::test]
async fn run_extends_lifetime_of_its_database() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    create(&databases, &spec("short", Engine::Sqlite, Some("10m"))).await;
    let now = || databases.get("short").unwrap().unwrap();
    let hour = Duration::from_secs(3600);
    let run = until("the lifetime is extended at the start of the run", async || minutes_left(&now()) == 60);
    ProjectDatabases::from(databases.clone()).extend_during("short", Some(hour), run).await;
    databases.extend("short", Extension::By(hour)).await.unwrap();
    ProjectDatabases::from(databases.clone()).extend_during("short", Some(hour), std::future::ready(())).await;
    assert_eq!(minutes_left(&now()), 120);
}

#[tokio::test]
async fn live_database_is_extended_and_expired_one_is_not() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let record = create(&databases, &spec("short", Engine::Sqlite, Some("1h"))).await;
    assert_eq!(minutes_left(&record), 60);
    let extended = databases.extend("short", Extension::By(Duration::from_secs(3600))).await.unwrap();
    assert_eq!(minutes_left(&extended), 120);
    let shortened = databases.extend("short", Extension::To(Duration::ZERO)).await.unwrap();
    assert_eq!(databases.status(&shortened), Status::Expired);
    assert!(databases.extend("short", Extension::By(Duration::from_secs(1))).await.is_err());
    assert!(databases.reap("short").await.unwrap());
    create(&databases, &spec("ever", Engine::Sqlite, None)).await;
    let refused = databases.extend("ever", Extension::By(Duration::from_secs(1))).await.unwrap_err();
    assert!(refused.message.contains("does not expire"), "{refused:?}");
}

#[tokio::test]
async fn incomplete_database_is_removed_by_next_creation() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let mut record = create(&databases, &spec("half", Engine::Postgres, None)).await;
    // As if the creator had been killed before the end, after the start of another creation.
    record.is_whole = false;
    let path = databases.folder_of("half").join("database.json");
    fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    fs::create_dir(record.data.with_file_name("data.partial")).unwrap();
    assert_eq!(databases.status(&record), Status::Creating);
    let again = create(&databases, &spec("half", Engine::Postgres, None)).await;
    assert_ne!(again.id, record.id);
    assert_eq!((processes(&record), databases.status(&again)), (0, Status::Running), "no orphan and no second server");
    databases.remove("half").await.unwrap();
}

#[tokio::test]
async fn concurrent_creation_of_expired_database_succeeds_once() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let cancel = CancellationToken::new();
    let spec = spec("short", Engine::Postgres, Some("1h"));
    let record = create(&databases, &spec).await;
    let expire = async || databases.extend("short", Extension::To(Duration::ZERO)).await.unwrap();
    expire().await;
    let (first, second) = tokio::join!(databases.create(&spec, &cancel), databases.create(&spec, &cancel));
    let (created, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(refused.unwrap_err().kind, DatabaseErrorKind::AlreadyExists);
    assert_eq!(databases.status(&created.unwrap()), Status::Running);
    expire().await;
    let (first, second) = tokio::join!(databases.ensure("short", &cancel), databases.ensure("short", &cancel));
    let (first, second) = (first.unwrap().0, second.unwrap().0);
    assert_eq!((&first.id, first.port), (&second.id, second.port));
    assert_ne!(first.id, record.id);
    assert_eq!((processes(&record), databases.status(&first)), (0, Status::Running));
    databases.remove("short").await.unwrap();
}

#[tokio::test]
async fn check_for_guard_does_not_prevent_guard() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    create(&databases, &spec("orders", Engine::Sqlite, Some("1h"))).await;
    let check = fs::File::create(databases.folder().join("orders.guard")).unwrap();
    check.lock().unwrap();
    let (guard, ()) = tokio::join!(databases.become_guard("orders"), async { drop(check) });
    assert!(guard.is_some());
    assert!(databases.become_guard("orders").await.is_none(), "a database has one guard");
}

#[tokio::test]
async fn data_moves_with_the_project() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = |name: &str| home.path().join(name).join(".terrace/pipelines/databases");
    let before = Databases::new(folder("before"), None, None);
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let record = create(&before, &spec(engine.word(), engine, None)).await;
        if engine == Engine::Postgres {
            connect(&before, &record).await.batch_execute("CREATE TABLE kept (a integer)").await.unwrap();
            before.stop(engine.word()).await.unwrap();
        } else {
            rusqlite::Connection::open(&record.data).unwrap().execute_batch("CREATE TABLE kept (a)").unwrap();
        }
    }
    fs::rename(home.path().join("before"), home.path().join("after")).unwrap();
    let after = Databases::new(folder("after"), None, None);
    for engine in [Engine::Sqlite, Engine::Postgres] {
        after.ensure(engine.word(), &CancellationToken::new()).await.unwrap();
        assert_eq!(after.count(engine.word()).await.unwrap(), (0, 1), "{engine:?}");
        after.remove(engine.word()).await.unwrap();
    }
}

#[tokio::test]
async fn folders_and_files_of_databases_are_private() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    databases.token().unwrap();
    assert_eq!(mode(databases.folder()), 0o700);
    create(&databases, &spec("file", Engine::Sqlite, None)).await;
    assert_eq!(mode(&databases.folder_of("file")), 0o700);
    let record = create(&databases, &spec("server", Engine::Postgres, Some("1h"))).await;
    // As root, the server's user may pass through, without listing files.
    let expected = if record.account.is_some() { 0o711 } else { 0o700 };
    assert_eq!((mode(&databases.folder_of("server")), mode(databases.folder())), (expected, expected));
    for folder in [databases.folder().to_owned(), databases.folder_of("file"), databases.folder_of("server")] {
        for entry in fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        }
    }
    databases.remove("server").await.unwrap();
}

#[tokio::test]
async fn starting_server_of_killed_process_is_found_at_its_port() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let record = create(&databases, &spec("slow", Engine::Postgres, None)).await;
    let (port, path) = (record.port.unwrap(), record.data.join("postmaster.pid"));
    // The server still recovers, and its new port was not recorded.
    let ready = fs::read_to_string(&path).unwrap();
    fs::write(&path, ready.replace("ready   ", "starting")).unwrap();
    let text = fs::read_to_string(databases.folder_of("slow").join("database.json")).unwrap();
    let before = text.replace(&format!("\"port\":{port}"), "\"port\":1");
    assert_ne!(before, text);
    fs::write(databases.folder_of("slow").join("database.json"), before).unwrap();
    assert_eq!(databases.status(&databases.existing("slow").unwrap()), Status::Stopped);
    let cancel = CancellationToken::new();
    let (started, ()) = tokio::join!(databases.start("slow", &cancel), async { fs::write(&path, &ready).unwrap() });
    let started = started.unwrap();
    assert_eq!((started.port, databases.status(&started)), (Some(port), Status::Running));
    connect(&databases, &databases.existing("slow").unwrap()).await.query("SELECT 1", &[]).await.unwrap();
    databases.remove("slow").await.unwrap();
}

#[tokio::test]
async fn stale_pid_file_does_not_prevent_start() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let record = create(&databases, &spec("crashed", Engine::Postgres, None)).await;
    databases.stop("crashed").await.unwrap();
    // After a crash of the machine, another process has the id, such as this one.
    let text = format!("{}\n{}\n1\n5432\n\n127.0.0.1\n0\nready   \n", std::process::id(), record.data.display());
    fs::write(record.data.join("postmaster.pid"), text).unwrap();
    assert_eq!(databases.status(&databases.existing("crashed").unwrap()), Status::Stopped);
    let started = databases.start("crashed", &CancellationToken::new()).await.unwrap();
    assert_eq!(databases.status(&started), Status::Running);
    databases.remove("crashed").await.unwrap();
}

#[tokio::test]
async fn used_port_is_reported_and_nothing_remains() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spec = DatabaseSpec { port: Some(port), ..spec("orders", Engine::Postgres, None) };
    let error = databases.create(&spec, &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.message, format!("the database `orders` cannot listen on port {port}: it is in use"));
    assert!(error.hint.is_some());
    assert_eq!(databases.names(), Vec::<String>::new());
}

#[tokio::test]
async fn release_mismatch_names_both_releases() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let record = create(&databases, &spec("old", Engine::Postgres, None)).await;
    databases.stop("old").await.unwrap();
    fs::write(record.data.join("PG_VERSION"), "9\n").unwrap();
    let error = databases.start("old", &CancellationToken::new()).await.unwrap_err();
    assert!(error.message.contains("needs PostgreSQL 9, but installed is"), "{error:?}");
    databases.remove("old").await.unwrap();
}

#[tokio::test]
async fn missing_postgres_is_reported_and_nothing_remains() {
    let project = Project::new(NOTHING);
    let nowhere = project.path("nowhere");
    let databases = Databases::new(project.path(".terrace/pipelines/databases"), Some(nowhere), None);
    let error = databases.create(&spec("orders", Engine::Postgres, None), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind, DatabaseErrorKind::Invalid);
    assert!(error.hint.unwrap().contains("engine: sqlite"));
    assert_eq!((databases.default_engine(), databases.names()), (Engine::Sqlite, Vec::new()));
}

#[tokio::test]
async fn tables_with_any_name_are_read_by_page() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let name = NASTY.replace('"', "\"\"");
    let value = NASTY.replace('\'', "''");
    let many = (0..PAGE + 1).map(|number| format!("({number})")).collect::<Vec<_>>().join(", ");
    let script = format!(
        "CREATE TABLE \"{name}\" (\"{name}\" text); INSERT INTO \"{name}\" VALUES ('{value}'), (NULL);
         CREATE TABLE many (n integer); INSERT INTO many VALUES {many};
         CREATE VIEW seen AS SELECT n FROM many WHERE n < 2;"
    );
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let record = create(&databases, &spec("look", engine, None)).await;
        let schema = match engine {
            Engine::Sqlite => {
                rusqlite::Connection::open(&record.data).unwrap().execute_batch(&script).unwrap();
                ""
            }
            Engine::Postgres => {
                connect(&databases, &record).await.batch_execute(&script).await.unwrap();
                "public"
            }
        };
        let tables = databases.tables("look").await.unwrap();
        let table = |name: &str, is_view| Table { schema: schema.to_owned(), name: name.to_owned(), is_view };
        for expected in [table(NASTY, false), table("many", false), table("seen", true)] {
            assert!(tables.contains(&expected), "{tables:?}");
        }
        let rows = databases.rows("look", schema, NASTY, 0).await.unwrap();
        assert_eq!(rows.columns[0].name, NASTY);
        assert_eq!(rows.rows, [vec![Some(NASTY.to_owned())], vec![None]]);
        let first = databases.rows("look", schema, "many", 0).await.unwrap();
        let second = databases.rows("look", schema, "many", 1).await.unwrap();
        assert_eq!((first.rows.len(), first.has_more, second.rows.len(), second.has_more), (50, true, 1, false));
        assert_eq!(second.rows[0][0].as_deref(), Some("50"));
        assert_eq!(databases.rows("look", schema, "seen", 0).await.unwrap().rows.len(), 2);
        let missing = databases.rows("look", schema, "x\"; DROP TABLE many; --", 0).await.unwrap_err();
        assert_eq!(missing.kind, DatabaseErrorKind::Missing);
        assert_eq!(databases.rows("look", schema, "many", u64::MAX).await.unwrap().rows.len(), 0);
        assert_eq!(databases.count("look").await.unwrap(), (53, 2));
        databases.remove("look").await.unwrap();
    }
}

#[tokio::test]
async fn dump_is_readable_and_never_overwrites() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let cancel = CancellationToken::new();
    let file = create(&databases, &spec("file", Engine::Sqlite, None)).await;
    rusqlite::Connection::open(&file.data)
        .unwrap()
        .execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (7)")
        .unwrap();
    databases.dump("file", &project.path("it's.db"), &cancel).await.unwrap();
    let copy = rusqlite::Connection::open(project.path("it's.db")).unwrap();
    assert_eq!(copy.query_row("SELECT a FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
    let refused = databases.dump("file", &project.path("it's.db"), &cancel).await.unwrap_err();
    assert!(refused.message.contains("exists already"), "{refused:?}");
    let server = create(&databases, &spec("server", Engine::Postgres, None)).await;
    connect(&databases, &server).await.batch_execute("CREATE TABLE kept (a integer)").await.unwrap();
    databases.dump("server", &project.path("dump.sql"), &cancel).await.unwrap();
    assert!(fs::read_to_string(project.path("dump.sql")).unwrap().contains("CREATE TABLE public.kept"));
    databases.stop("server").await.unwrap();
    let refused = databases.dump("server", &project.path("other.sql"), &cancel).await.unwrap_err();
    assert!(
        refused.hint.unwrap().contains("terrace pipelines databases start server")
            && !project.path("other.sql").exists()
    );
    databases.remove("server").await.unwrap();
}

#[tokio::test]
async fn page_token_is_created_once_and_private() {
    let project = Project::new(NOTHING);
    let databases = project.databases();
    let token = databases.token().unwrap().expose_secret().to_owned();
    assert_eq!((token.len(), databases.token().unwrap().expose_secret()), (48, token.as_str()));
    let path = databases.folder().join("token");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(databases.names(), Vec::<String>::new(), "a token is not a database");
}
