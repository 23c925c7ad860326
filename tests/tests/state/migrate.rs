//! `state migrate`: a whole state moves to another database. Nothing is lost or planned again, and every refusal has a
//! reason.

use std::time::Instant;
use terrace_state::contract::cluster::{Cluster, PASSWORD, connect};
use terrace_tests::{Project, Ran, Running, snapshot, until};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

const STACK: &str = "resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: one}}\n  \
                     - {type: local_value, name: b, config: {input: '${{ resources.a.path }}'}}\n\
                     outputs: {path: '${{ resources.a.path }}'}\n";

/// A stack whose program waits at a gate.
const GATE: &str = "resources:\n  - type: local_command\n    name: c\n    config:\n      \
                    create: [sh, -c, 'touch started; read line < gate; echo {}']\n      find: [echo, 'null']\n";

fn database() -> String {
    Runtime::new().unwrap().block_on(Cluster::shared().database())
}

fn without_password(ran: Ran) -> Ran {
    assert!(!ran.stdout.contains(PASSWORD) && !ran.stderr.contains(PASSWORD), "{ran}");
    ran
}

fn at<'a>(project: &Project, state: &str, words: impl IntoIterator<Item = &'a str>) -> Ran {
    without_password(project.run_with(&[("TERRACE_STATE", state)], words))
}

fn migrate(project: &Project, from: &str, to: &str) -> Ran {
    without_password(project.run_with(&[("TERRACE_STATE", from), ("TERRACE_MIGRATE_TO", to)], ["state", "migrate"]))
}

const FILE: &str = "sqlite:.terrace/state.db";

/// Creates a project with a history of three operations.
fn applied() -> Project {
    let project = Project::with_stack(STACK);
    project.apply().done();
    project.edit("stack.yaml", "content: one", "content: two");
    project.apply().done();
    project.run(["taint", "local_file.a"]).done();
    project
}

#[test]
fn state_moves_to_a_server_and_back_without_new_changes() {
    let (project, url) = (applied(), database());
    project.run(["untaint", "local_file.a"]).done();
    let recorded = at(&project, FILE, ["state", "export", "--history"]).done().stdout;
    let operations = at(&project, FILE, ["operations", "list"]).done().stdout;
    // A plan saved before the move is valid after it.
    project.edit("stack.yaml", "content: two", "content: three");
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    let moved = migrate(&project, FILE, &url).done();
    moved.prints("compared row by row").prints("is unchanged and can be removed");
    moved.prints("Set `state` in terrace.yaml (or `--state`, `TERRACE_STATE`) to the new state on every machine.");
    assert!(moved.stdout.lines().any(|line| line.starts_with("version ")), "{moved}");
    assert_eq!(at(&project, &url, ["state", "export", "--history"]).done().stdout, recorded);
    assert_eq!(at(&project, &url, ["operations", "list"]).done().stdout, operations);
    assert_eq!(at(&project, FILE, ["state", "export", "--history"]).done().stdout, recorded, "the old one stays");
    at(&project, &url, ["output", "path"]).done().prints("a.txt");
    at(&project, &url, ["doctor"]).done();

    std::fs::remove_dir_all(project.path(".terrace")).unwrap();
    at(&project, &url, ["apply", "plan"]).done();
    assert_eq!(project.read("a.txt"), "three");
    at(&project, &url, ["apply", "plan"]).with_code(4).prints("plan");
    at(&project, &url, ["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    let first = at(&project, &url, ["operations", "list", "--json"]).done().json();
    let first = first.as_array().unwrap().last().unwrap()["operation"].as_str().unwrap().to_owned();
    let history = at(&project, &url, ["state", "history", "local_file.a"]).done();
    assert!(history.stdout.lines().count() > 3, "{history}");
    at(&project, &url, ["state", "rollback", "local_file.a", "--to", &first, "--auto-approve"]).done();
    assert_eq!(project.read("a.txt"), "one", "the file is restored to the recorded content");

    let there = at(&project, &url, ["state", "export", "--history"]).done().stdout;
    let back = at(&project, &url, ["state", "migrate", "--to", FILE, "--json"]).done().json();
    assert_eq!(back["to"].as_str().unwrap(), format!("sqlite:{}", real(&project).join(".terrace/state.db").display()));
    assert_eq!(project.run(["state", "export", "--history"]).done().stdout, there);
    project.edit("stack.yaml", "content: three", "content: one");
    project.assert_settled("stack.yaml", &[]);
}

/// Returns the folder as the command prints it.
fn real(project: &Project) -> std::path::PathBuf {
    project.path(".").canonicalize().unwrap()
}

#[test]
fn sealed_values_move_without_the_key_and_open_with_it() {
    let project = Project::with_stack(
        "variables: {v: {type: string, sensitive: true, default: hunter3}}\nresources:\n  \
         - {type: local_file, name: a, config: {path: a.txt, content: '${{ vars.v }}'}}\n\
         outputs: {v: {value: '${{ vars.v }}', sensitive: true}}\n",
    );
    let key = project.run(["init", "--state-key"]).done().stdout.trim().to_owned();
    let url = database();
    let with_key = [("TERRACE_STATE_KEY", key.as_str()), ("TERRACE_STATE", FILE)];
    project.run_with(&with_key, ["apply", "stack.yaml", "--auto-approve"]).done();
    migrate(&project, FILE, &url).done();
    let with_key = [("TERRACE_STATE_KEY", key.as_str()), ("TERRACE_STATE", url.as_str())];
    project.run_with(&with_key, ["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
}

#[test]
fn destination_that_is_not_empty_is_left_alone() {
    let (project, url) = (applied(), database());
    let other = Project::with_stack(STACK);
    at(&other, &url, ["apply", "stack.yaml", "--auto-approve"]).done();
    let before = at(&other, &url, ["state", "export", "--history"]).done().stdout;
    let refused = migrate(&project, FILE, &url).with_code(4);
    refused.prints("is not empty; nothing was copied");
    assert_eq!(at(&other, &url, ["state", "export", "--history"]).done().stdout, before);
    snapshot!(project.run(["state", "migrate", "--to", "sqlite:.terrace/../.terrace/state.db"]), @"
    exit: 4
    --- stderr
    copying sqlite:[folder]/.terrace/state.db to sqlite:[folder]/.terrace/../.terrace/state.db
    error: sqlite:[folder]/.terrace/../.terrace/state.db is the same state, or a copy of it

    hint: name another, empty store with `--to`
    ");
    migrate(&project, FILE, FILE).with_code(4).prints("is the same state");
}

#[test]
fn typing_mistakes_are_reported() {
    let project = applied();
    snapshot!(project.run(["state", "migrate"]), @"
    exit: 1
    --- stderr
    error: the target is missing

    hint: pass `--to URL`, or set `TERRACE_MIGRATE_TO` if it has a password: `sqlite:PATH`, `postgres://…`
    ");
    snapshot!(project.run(["state", "migrate", "--to", "mysql://me:hunter2@host/db"]), @"
    exit: 1
    --- stderr
    error: --to: `mysql://…` is not a state: expected `sqlite:PATH` or `postgres://…`

    hint: write `sqlite:PATH`, such as `sqlite:.terrace/state.db`, or `postgres://USER@HOST/DATABASE`
    ");
    project.run(["state", "migrate", "--to", "sqlite::memory:"]).with_code(4).prints("ends with the command");
    project.run(["state", "migrate", "--to", "sqlite:no/such/folder.db"]).with_code(1).prints("there is no folder");
    let nowhere = format!("postgres://jane:{PASSWORD}@127.0.0.1:1/terrace");
    migrate(&project, FILE, &nowhere).with_code(1).prints("postgres://jane@127.0.0.1:1/terrace cannot be reached");
    migrate(&project, FILE, &Cluster::shared().url("absent")).with_code(1).prints("there is no database at");
    let nothing = Project::new();
    nothing.run(["state", "migrate", "--to", "sqlite:new.db"]).with_code(1).prints("there is no state in sqlite:");
    nothing
        .run(["--state", "sqlite:gone.db", "state", "migrate", "--to", FILE])
        .with_code(1)
        .prints("there is no state in sqlite:");
    assert!(!nothing.has("new.db") && !nothing.has(".terrace"), "something was made");
    assert_settled(&project);
}

/// Checks that the old state still works.
fn assert_settled(project: &Project) {
    project.run(["untaint", "local_file.a"]).done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn state_in_use_is_refused_with_its_holder_and_moves_after_recovery() {
    let (project, apply) = Project::waiting_at_gate(GATE);
    let url = database();
    let refused = migrate(&project, FILE, &url).with_code(4);
    refused
        .prints("the state is in use, so nothing was copied: demo@local is held by tester@")
        .prints("terrace unlock ");
    apply.kill();
    let _ = apply.finish();
    let refused = migrate(&project, FILE, &url).with_code(4);
    refused
        .prints("demo@local:local_command.c is in doubt since operation")
        .prints("resolve it with `terrace recover demo@local`");
    at(&project, &url, ["doctor"]).done().prints("it does not exist yet");
    // The gate is opened for reading too, so the write does not block if the program is gone.
    let gate = std::fs::OpenOptions::new().read(true).write(true).open(project.path("gate"));
    std::io::Write::write_all(&mut gate.unwrap(), b"open\n").unwrap();
    project.run(["recover", "demo@local"]).done();
    migrate(&project, FILE, &url).done();
    at(&project, &url, ["operations", "list"]).done().prints("interrupted");
}

#[test]
fn state_with_a_queued_request_does_not_move() {
    use terrace_tests::served::Served;
    let project = crate::server::requests::project();
    let url = database();
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let token = server.submit("/v1/provision", &crate::server::requests::product(&["a"]));
    until("the creation runs", || project.has("started-a"));
    migrate(&project, FILE, &url).with_code(4).prints("is held by").prints(&token);
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    assert_eq!(server.stop().code, 0);
    migrate(&project, FILE, &url).done();
    let project_of =
        |url: &str| project.write("terrace.yaml", format!("state: '{url}'\nenvironments: {{test: {{}}}}\n"));
    project_of(&url);
    let server = Served::start(&project, &[]);
    assert_eq!(server.status(&token)["status"], "COMPLETED", "the token is known over there");
    let again = server.wait_for_end(&server.submit("/v1/provision", &crate::server::requests::product(&["a"])));
    assert!(crate::server::requests::messages(&again).contains("No changes."), "{again}");
    assert_eq!(crate::server::requests::log(&project), ["a"]);
}

/// Blocks the copy of steps while a test holds this lock.
const LOCK: &str = "SELECT pg_advisory_lock(4711)";

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().try_get(0).unwrap()
}

/// Kills a blocked copy.
async fn kill_in_the_middle(client: &Client, running: Running) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()";
    let begin = Instant::now();
    while count(client, waits).await == 0 {
        assert!(begin.elapsed().as_secs() < 60, "it does not come to the steps");
    }
    running.kill();
    assert_eq!(running.finish().code, -1);
    client.batch_execute("SELECT pg_advisory_unlock(4711)").await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'terrace'";
    while count(client, others).await > 0 {
        assert!(begin.elapsed().as_secs() < 60, "its connection stays");
    }
}

#[test]
fn killed_copy_leaves_the_database_empty_and_the_next_one_starts_again() {
    let (project, url) = (applied(), database());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        // The tables exist and are empty.
        drop(terrace_state::open(&url.parse().unwrap(), terrace_state::Access::ReadWrite).await.unwrap());
        let client = connect(&url).await;
        client
            .batch_execute(&format!(
                "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END';
                 CREATE TRIGGER waits BEFORE INSERT ON step FOR EACH ROW EXECUTE FUNCTION waits(); {LOCK}"
            ))
            .await
            .unwrap();
        let mut command = project.command(["state", "migrate", "--to", &url]);
        command.env("TERRACE_STATE", FILE);
        kill_in_the_middle(&client, project.start(command)).await;
        assert_eq!(count(&client, "SELECT count(*) FROM version").await, 0);
        assert_eq!(count(&client, "SELECT count(*) FROM store").await, 1);
        client.batch_execute("DROP TRIGGER waits ON step").await.unwrap();
    });
    at(&project, &url, ["state", "list"]).done();
    assert_eq!(at(&project, &url, ["state", "list"]).stdout, "");
    migrate(&project, FILE, &url).done();
    at(&project, &url, ["state", "list"]).done().prints("local_file.a");
    assert_settled(&project);
}

#[test]
fn killed_copy_leaves_the_file_empty_and_the_next_one_starts_again() {
    let (project, url) = (applied(), database());
    migrate(&project, FILE, &url).done();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let client = connect(&url).await;
        client
            .batch_execute(&format!(
                "ALTER TABLE step RENAME TO lines;
                 CREATE VIEW step AS SELECT lines.* FROM lines, (SELECT pg_advisory_xact_lock_shared(4711)) AS waits;
                 {LOCK}"
            ))
            .await
            .unwrap();
        let mut command = project.command(["state", "migrate", "--to", "sqlite:new.db"]);
        command.env("TERRACE_STATE", &url);
        kill_in_the_middle(&client, project.start(command)).await;
        client.batch_execute("DROP VIEW step; ALTER TABLE lines RENAME TO step").await.unwrap();
    });
    assert!(project.has("new.db"));
    assert_eq!(project.run(["--state", "sqlite:new.db", "state", "list"]).done().stdout, "");
    at(&project, &url, ["state", "migrate", "--to", "sqlite:new.db"]).done();
    project.run(["--state", "sqlite:new.db", "state", "list"]).done().prints("local_file.a");
}
