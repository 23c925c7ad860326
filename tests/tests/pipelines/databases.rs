//! Databases of data pipelines from outside: servers that outlive commands, times to live, web pages, and passwords
//! that appear nowhere.

use crate::pipelines::runs::stand_in;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;
use terrace_tests::served::Served;
use terrace_tests::{Project, Ran, Running, snapshot, until};

/// A processor that writes its database address to a file.
const PROCESSOR: &str = "\
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
open('engine', 'w').write(os.environ['DPP_DB_ENGINE'])
print('INFO engine', os.environ['DPP_DB_ENGINE'], file=__import__('sys').stderr)
while os.path.exists('wait'):
    __import__('time').sleep(0.02)
spew(package, resources, {})
";
const SPEC: &str = "tell: {pipeline: [{run: tell}]}\n";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A project whose databases are removed with it.
struct Databases {
    project: Project,
    caches: TempDir,
}

impl Databases {
    fn new(stack: &str) -> Self {
        let caches = tempfile::tempdir().unwrap();
        stand_in::create(caches.path());
        let project = Project::with_stack(stack);
        // If root runs the tests, another user needs access to the data.
        fs::set_permissions(project.path("."), fs::Permissions::from_mode(0o755)).unwrap();
        project.write("pipelines/tell.py", PROCESSOR);
        project.write("pipelines/pipeline-spec.yaml", SPEC);
        Self { project, caches }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words.iter().copied());
        command.env("XDG_CACHE_HOME", self.caches.path()).env("TERRACE_STATE_KEY", KEY);
        command
    }

    fn start(&self, words: &[&str]) -> Running {
        self.project.start(self.command(words))
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.start(words).finish()
    }

    fn apply(&self) -> Ran {
        self.run(&["apply", "stack.yaml", "--auto-approve"])
    }

    fn settled(&self) {
        self.run(&["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    }

    fn folder(&self) -> std::path::PathBuf {
        self.project.path(".terrace/pipelines/databases")
    }

    fn record(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.folder().join(name).join("database.json")).unwrap()).unwrap()
    }

    fn show(&self, name: &str) -> Value {
        self.run(&["pipelines", "databases", "show", name, "--reveal", "--json"]).done().json()
    }

    fn status(&self, name: &str) -> String {
        self.show(name)["status"].as_str().unwrap().to_owned()
    }

    /// The processes of this project's databases: servers and their guards.
    fn processes(&self) -> Vec<i32> {
        let folder = self.folder().display().to_string();
        let is_own = |process: &std::path::Path| {
            fs::read(process.join("cmdline")).is_ok_and(|words| String::from_utf8_lossy(&words).contains(&folder))
        };
        let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let own = all.filter(|process| is_own(process));
        own.filter_map(|process| process.file_name()?.to_str()?.parse().ok()).collect()
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = Command::new("kill").args(["-9", &process.to_string()]).status();
        }
    }
}

fn kill(process: i32) {
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
}

/// Collects every file of a folder.
fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

const SERVER: &str =
    "resources:\n  - {type: pipelines_database, name: orders, config: {name: orders, engine: postgres, ttl: 1h}}\n";

#[test]
fn database_is_planned_created_restarted_and_removed() {
    let databases = Databases::new(SERVER);
    let plan = databases.run(&["plan", "stack.yaml"]).done();
    plan.prints("+ pipelines_database.orders").prints("password  = (sensitive value)");
    databases.apply().done();
    databases.settled();
    let shown = databases.show("orders");
    assert_eq!((shown["status"].as_str(), shown["engine"].as_str()), (Some("running"), Some("postgres")));
    // After a restart of the machine the server is stopped: a plan shows that, and apply starts it.
    databases.run(&["pipelines", "databases", "stop", "orders"]).done().prints("orders: stopped, kept for ");
    let plan = databases.run(&["plan", "stack.yaml", "--detailed-exitcode"]).with_code(2);
    plan.prints("status").prints("\"stopped\" → \"running\"");
    databases.apply().done();
    assert_eq!(databases.status("orders"), "running");
    databases.settled();
    // A new time to live is an update in place; the data is removed only with consent.
    databases.project.edit("stack.yaml", "ttl: 1h", "ttl: 2h");
    databases.apply().done().prints("1 to change");
    databases.settled();
    databases.run(&["destroy", "stack.yaml", "--auto-approve"]).done();
    assert_eq!(databases.status("orders"), "running");
    databases.run(&["destroy", "stack.yaml", "--auto-approve", "--remove-data"]).done();
    until("no process of the database runs", || databases.processes().is_empty());
    assert!(!databases.folder().join("orders").exists());
    databases.run(&["pipelines", "databases", "show", "orders"]).with_code(1).prints("there is no database `orders`");
}

#[test]
fn hints_remove_a_declared_database_and_nothing_else() {
    let stack = |databases: &str| {
        format!("resources:\n  - {{type: local_file, name: a, config: {{path: a, content: x}}}}\n{databases}")
    };
    let declared = "  - {type: pipelines_database, name: base, config: {name: orders, engine: sqlite}}\n";
    let databases = Databases::new(&stack(declared));
    let refused = |databases: &Databases| {
        databases.apply().done();
        let ran = databases.run(&["pipelines", "databases", "remove", "orders", "--remove-data"]).with_code(4);
        ran.prints("`orders` belongs to a stack");
        ran.prints("`terrace apply FILE --remove-data`")
            .prints("`terrace destroy FILE --target ADDRESS --remove-data`");
        ran.prints("`terrace state list`");
    };
    refused(&databases);
    let listed = databases.run(&["state", "list"]).done().stdout;
    let address = listed.lines().find(|line| line.starts_with("pipelines_database.")).unwrap();
    let words = ["destroy", "stack.yaml", "--target", address, "--remove-data", "--auto-approve"];
    databases.run(&words).done().prints("1 destroyed");
    databases.run(&["pipelines", "databases", "show", "orders"]).with_code(1);
    refused(&databases);
    databases.project.write_stack(&stack(""));
    databases.run(&["apply", "stack.yaml", "--remove-data", "--auto-approve"]).done().prints("1 destroyed");
    databases.run(&["pipelines", "databases", "show", "orders"]).with_code(1);
    assert!(databases.project.has("a"));
    databases.project.write_stack(&stack(declared));
    refused(&databases);
    databases.run(&["destroy", "stack.yaml", "--auto-approve"]).done();
    let retained = databases.run(&["pipelines", "databases", "remove", "orders", "--remove-data"]).with_code(4);
    retained.prints("if no descriptor declares it any more: `terrace destroy STACK@ENVIRONMENT --remove-data`");
    let words = ["destroy", "demo@local", "--remove-data", "--auto-approve"];
    databases.run(&words).done().prints("1 destroyed");
    databases.run(&["pipelines", "databases", "show", "orders"]).with_code(1);
}

#[test]
fn replacement_of_a_database_with_tables_needs_consent() {
    let databases = Databases::new(
        "resources:\n  - {type: pipelines_database, name: orders, config: {name: orders, engine: sqlite}}\n",
    );
    databases.apply().done();
    let file = databases.folder().join("orders/database.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").unwrap();
    databases.project.edit("stack.yaml", "engine: sqlite", "engine: postgres");
    databases.run(&["plan", "stack.yaml"]).done().prints("destroys data");
    databases.apply().with_code(4);
    assert!(file.exists());
    databases.run(&["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
    assert!(!file.exists());
    assert_eq!(databases.show("orders")["engine"], "postgres");
}

#[test]
fn killed_apply_leaves_neither_an_orphan_nor_a_duplicate() {
    let databases = Databases::new(SERVER);
    for moment in ["data.partial", "data", "data/postmaster.pid"] {
        let running = databases.start(&["apply", "stack.yaml", "--auto-approve"]);
        let path = databases.folder().join("orders").join(moment);
        let elsewhere =
            || databases.folder().join("orders/database.json").exists() && !databases.processes().is_empty();
        until("the creation runs", || path.exists() || elsewhere() && moment == "data.partial");
        running.kill();
        let _ = running.finish();
        databases.apply().done();
        databases.settled();
        let shown = databases.show("orders");
        assert_eq!(shown["status"], "running", "{moment}: {shown}");
        let servers = databases.processes().into_iter().filter(|process| {
            let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains("bin/postgres\0-D")
        });
        assert_eq!(servers.count(), 1, "{moment}");
        databases.run(&["destroy", "stack.yaml", "--auto-approve", "--remove-data"]).done();
        until("no process of the database runs", || databases.processes().is_empty());
    }
}

#[test]
fn expired_database_ends_even_if_its_guard_was_killed() {
    let short = SERVER.replace("ttl: 1h", "ttl: 2s");
    let databases = Databases::new(&short);
    databases.apply().done();
    // Without another command, the guard ends the database and itself.
    until("no process of the database runs", || databases.processes().is_empty());
    assert_eq!(databases.record("orders")["isExpired"], true);
    assert!(!databases.folder().join("orders/data").exists());
    let plan = databases.run(&["plan", "stack.yaml", "--detailed-exitcode"]);
    plan.prints("\"running\" → \"expired\"");
    assert_eq!(plan.code, 0, "no run needs it: {plan}");
    databases.run(&["pipelines", "databases"]).done().prints("orders  PostgreSQL  expired");
    databases.run(&["pipelines", "databases", "extend", "orders", "1h"]).with_code(1).prints("has expired");
    // This time the guard is killed: the next command starts another one.
    databases.run(&["apply", "stack.yaml", "--auto-approve", "--replace", "pipelines_database.orders"]).done();
    let guards = || {
        let is_guard = |process: &i32| {
            let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains("databases\0keep")
        };
        databases.processes().into_iter().filter(is_guard).collect::<Vec<_>>()
    };
    databases.run(&["pipelines", "databases", "extend", "orders", "1h"]).done();
    guards().into_iter().for_each(kill);
    until("the guard is gone", || guards().is_empty());
    // The lock of a killed process ends a moment after it, and a guard that meets it ends.
    until("a guard runs again", || {
        databases.run(&["pipelines", "databases"]).done();
        guards().len() == 1
    });
    databases.run(&["pipelines", "databases"]).done();
    // A second guard sees the first one and ends.
    until("one guard is left", || guards().len() == 1);
    // A server starts a guard without a call.
    databases.project.write("terrace.yaml", "server: {auth: {mode: none}}\n");
    guards().into_iter().for_each(kill);
    until("the guard is gone", || guards().is_empty());
    let server = databases.start(&["serve", "--bind", "0.0.0.0:0"]);
    until("a guard runs again", || guards().len() == 1);
    drop(server);
}

#[test]
fn run_writes_into_its_database_and_the_password_appears_nowhere() {
    let stack = format!(
        "{SERVER}  - {{type: pipelines_run, name: load, config: {{folder: pipelines, name: ./tell, database: '${{{{ resources.orders.name }}}}'}}}}\n"
    );
    let databases = Databases::new(&stack);
    let outputs = [
        databases.run(&["plan", "stack.yaml"]).done(),
        databases.run(&["plan", "stack.yaml", "--out", "plan"]).done(),
        databases.run(&["apply", "plan"]).done(),
        databases.run(&["plan", "stack.yaml", "--json"]).done(),
        databases.run(&["pipelines", "databases", "show", "orders"]).done(),
        databases.run(&["pipelines", "databases", "--json"]).done(),
    ];
    databases.settled();
    let engine = databases.project.read("pipelines/engine");
    let password = databases.show("orders")["password"].as_str().unwrap().to_owned();
    assert!(engine.starts_with(&format!("postgresql+psycopg2://postgres:{password}@127.0.0.1:")), "{engine}");
    for ran in &outputs {
        assert!(!ran.stdout.contains(&password) && !ran.stderr.contains(&password), "{ran}");
    }
    let mut all = Vec::new();
    files(&databases.project.path("."), &mut all);
    let may = ["pgpass", "engine"];
    for file in all.iter().filter(|file| !may.contains(&file.file_name().unwrap().to_str().unwrap())) {
        let text = fs::read(file).unwrap_or_default();
        let is_in = text.windows(password.len()).any(|part| part == password.as_bytes());
        assert!(!is_in, "{} has the password", file.display());
    }
    // An expired database is recreated only for the next run.
    let mut record = databases.record("orders");
    record["deadline"]["sinceBoot"][1] = 0.into();
    fs::write(databases.folder().join("orders/database.json"), record.to_string()).unwrap();
    until("the database has expired", || databases.record("orders")["isExpired"] == true);
    let plan = databases.run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
    plan.prints("\"running\" → \"expired\"");
    databases.project.write("pipelines/tell.py", PROCESSOR.replace("INFO engine", "INFO the engine"));
    databases.apply().done().prints("1 changed");
    assert_eq!(databases.status("orders"), "running");
    assert_ne!(databases.record("orders")["id"], record["id"]);
    assert!(!databases.project.read("pipelines/engine").contains(&password));
    databases.settled();
}

#[test]
fn run_creates_its_own_database_and_reports_it_once() {
    let databases = Databases::new("");
    databases.project.write("pipelines/wait", "");
    let running = databases.start(&["pipelines", "run", "--new-database=3s", "--chdir", "pipelines"]);
    until("the step begins", || databases.project.has("pipelines/engine"));
    // The database is kept during the run, even longer than its time to live after the run.
    let name = databases.run(&["pipelines", "databases", "--json", "--chdir", "pipelines"]).done().json()[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let folder = databases.project.path("pipelines/.terrace/pipelines/databases").join(&name);
    let modified = fs::metadata(folder.join("database.json")).unwrap().modified().unwrap();
    until("its deadline is extended", || {
        fs::metadata(folder.join("database.json")).unwrap().modified().unwrap() > modified
    });
    fs::remove_file(databases.project.path("pipelines/wait")).unwrap();
    let ran = running.finish().done();
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines[0], format!("Assigned DB Pod: {name}"), "{ran}");
    assert!(lines[1].starts_with("DB Web UI is available at http://127.0.0.1:"), "{ran}");
    assert!(lines[1].contains(&format!("/databases/{name}#")), "{ran}");
    assert!(lines[2].starts_with("System: PostgreSQL, Server: 127.0.0.1:"), "{ran}");
    let password = lines[2].split_once("Username: postgres, Password: ").unwrap().1;
    assert!(databases.project.read("pipelines/engine").contains(password));
    assert_eq!(ran.stderr.matches(password).count(), 1);
    assert_eq!(*lines.last().unwrap(), "Keeping the DB and Web UI running for 3 seconds");
    databases.run(&["pipelines", "logs", "./tell", "--chdir", "pipelines"]).done().prints("postgres:***@");
    until("no process of the database is left", || !folder.exists());
}

#[test]
fn invalid_database_is_reported_with_its_place_and_changes_nothing() {
    let of = |config: &str| {
        let databases =
            Databases::new(&format!("resources:\n  - {{type: pipelines_database, name: d, config: {{{config}}}}}\n"));
        let plan = databases.run(&["plan", "stack.yaml"]);
        assert!(!databases.folder().exists());
        plan
    };
    for (config, message, place) in [
        ("name: Orders", "`Orders` is not a name for a database", "5:50"),
        ("name: orders, engine: oracle", "`engine` is `oracle`: expected `postgres` or `sqlite`", "5:64"),
        ("name: orders, ttl: tomorrow", "`ttl` is `tomorrow`: expected numbers with their units", "5:64"),
        ("name: orders, engine: sqlite, port: 5432", "is a file of SQLite and has no port", "5:80"),
        ("name: orders, engine: postgres, port: 70000", "`port` is 70000: expected 1 to 65535", "5:82"),
    ] {
        let plan = of(config).with_code(1);
        plan.prints(message).prints(&format!("stack.yaml:{place}")).prints("hint: ");
    }
    let databases = Databases::new("");
    snapshot!(databases.run(&["pipelines", "databases"]), @r"
    exit: 0
    --- stderr
    there are no databases
    ");
    snapshot!(databases.run(&["pipelines", "databases", "show", "orders"]), @r"
    exit: 1
    --- stderr
    error: there is no database `orders`

    hint: declare a `pipelines_database` in a descriptor, or create one for a run with `terrace pipelines run --new-database`
    ");
    snapshot!(databases.run(&["pipelines", "run", "--database", "orders", "--chdir", "pipelines"]), @r"
    exit: 1
    --- stderr
    error: there is no database `orders`

    hint: declare a `pipelines_database` in a descriptor, or create one for a run with `terrace pipelines run --new-database`
    ");
    snapshot!(databases.run(&["pipelines", "run", "--new-database=soon", "--chdir", "pipelines"]), @r"
    exit: 1
    --- stderr
    error: `--new-database=soon`: expected numbers with their units, such as `90s`, `5m` or `1h30m`
    ");
    databases
        .run(&["pipelines", "databases", "extend", "orders", "soon"])
        .with_code(1)
        .prints("expected numbers with their units");
}

/// Names and values that would run as a script in a page that does not escape them.
const NASTY: &str = "<script>document.title = 'taken'</script>\"'&";

#[test]
fn pages_show_tables_only_with_the_token() {
    let databases = Databases::new(
        "resources:\n  - {type: pipelines_database, name: look, config: {name: look, engine: sqlite}}\n",
    );
    databases.apply().done();
    let nasty = NASTY.replace('"', "\"\"");
    let script = format!(
        "CREATE TABLE \"{nasty}\" (\"{nasty}\" text); INSERT INTO \"{nasty}\" VALUES ('{}'), (NULL)",
        NASTY.replace('\'', "''")
    );
    rusqlite::Connection::open(databases.folder().join("look/database.db")).unwrap().execute_batch(&script).unwrap();
    let address = databases.show("look")["web_ui"].as_str().unwrap().to_owned();
    let (address, token) = address.split_once('#').unwrap();
    let served = Served::start_with(&databases.project, &[], &[("TERRACE_STATE_KEY", KEY)]);
    let own = format!("{}/databases/look", served.url());
    for address in [address, own.as_str()] {
        let (base, _) = address.rsplit_once("/databases/").unwrap();
        let get = |path: &str, headers: &[(&str, &str)]| call("GET", &format!("{base}{path}"), "", headers);
        let open =
            |body: &str, headers: &[(&str, &str)]| call("POST", &format!("{base}/databases/-/session"), body, headers);
        // Without the token there is only a page that asks for it.
        let response = get("/databases/look", &[]);
        assert_eq!(response.status, 401);
        assert!(response.body.contains("name=\"token\"") && !response.body.contains("&lt;script"), "{}", response.body);
        assert!(response.header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(open("token=wrong", &[]).status, 403);
        assert_eq!(open("", &[]).status, 403);
        assert_eq!(open(&format!("token={token}"), &[("sec-fetch-site", "cross-site")]).status, 403);
        assert_eq!(open(&format!("token={token}"), &[("host", "evil.example")]).status, 403);
        let opened = open(&format!("token={token}&to=https://evil.example"), &[]);
        assert_eq!((opened.status, opened.header("location")), (303, "/databases/".to_owned()));
        let cookie = opened.header("set-cookie");
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(token),
            "{cookie}"
        );
        let cookie = cookie.split(';').next().unwrap();
        let see = |path: &str| get(path, &[("cookie", cookie)]);
        assert!(plain(&see("/databases/").body).contains("<a href=\"/databases/look\">look</a>"));
        let tables = see("/databases/look");
        let body = plain(&tables.body);
        let (_, rest) = body.split_once("<a href=\"/databases/look/table").unwrap();
        let link = format!("/databases/look/table{}", rest.split('"').next().unwrap());
        let rows = see(&link);
        assert_eq!(rows.status, 200, "{link}");
        assert!(rows.body.contains("null</td>"));
        for page in [&tables, &rows] {
            assert!(
                page.body.contains("&lt;script&gt;document") && !page.body.contains("<script>document"),
                "{}",
                page.body
            );
        }
        for (path, status) in [
            ("/databases/none", 404),
            ("/databases/look/table?table=none", 404),
            ("/databases/look/table", 400),
            ("/databases/look/table?table=x&page=-1", 400),
            ("/databases/..%2f..%2fetc", 404),
            ("/databases/-/style.css", 200),
        ] {
            assert_eq!(see(path).status, status, "{path}");
        }
    }
}

/// The answer of a server that may not listen yet.
fn try_call(url: &str) -> Option<u16> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    agent.get(url).call().ok().map(|answer| answer.status().as_u16())
}

#[test]
fn pages_of_a_pod_show_the_database_of_its_secret() {
    let databases = Databases::new(SERVER);
    databases.apply().done();
    let address = databases.show("orders")["engine_url"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = address.replace("postgresql+psycopg2://", "postgresql://");
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let nasty = NASTY.replace('"', "\"\"");
        let value = NASTY.replace('\'', "''");
        let sql = format!("CREATE TABLE \"{nasty}\" (a text); INSERT INTO \"{nasty}\" VALUES ('{value}'), (NULL)");
        client.batch_execute(&sql).await.unwrap();
    });
    let secret = |name: &str, text: &str| databases.project.write(&format!("secret/{name}"), text);
    let start = |address: &str| {
        databases.start(&["pipelines", "pod", "pages", "orders", "--secrets", "secret", "--bind", address])
    };
    secret("DPP_DB_ENGINE", &address);
    secret("token", "short");
    start("127.0.0.1:0").finish().with_code(1).prints("has fewer than 16 characters").prints("openssl rand -hex 32");
    let token = "0123456789abcdef0123456789abcdef";
    secret("token", &format!("{token}\n"));
    secret("DPP_DB_ENGINE", "open-sesame");
    start("127.0.0.1:0").finish().with_code(1).prints("has no address of PostgreSQL");
    secret("DPP_DB_ENGINE", &address);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let running = start(&free);
    let base = format!("http://{free}");
    until("the pages answer", || try_call(&format!("{base}/databases/")) == Some(401));
    let name = ("host", "terrace-pages-orders.shop.svc");
    let open = |token: &str, headers: &[(&str, &str)]| {
        call("POST", &format!("{base}/databases/-/session"), &format!("token={token}"), headers)
    };
    // A Service has a host name that loopback pages refuse.
    assert_eq!(call("GET", &format!("{base}/databases/orders"), "", &[name]).status, 401);
    assert_eq!(open("wrong", &[name]).status, 403);
    assert_eq!(open(token, &[name, ("sec-fetch-site", "cross-site")]).status, 403);
    let opened = open(token, &[name]);
    assert_eq!((opened.status, opened.header("location")), (303, "/databases/".to_owned()));
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
    let see = |path: &str| call("GET", &format!("{base}{path}"), "", &[name, ("cookie", &cookie)]);
    let all = plain(&see("/databases/").body);
    assert!(all.contains("<a href=\"/databases/orders\">orders</a>") && all.contains("running"), "{all}");
    let tables = see("/databases/orders");
    let body = plain(&tables.body);
    let (_, rest) = body.split_once("<a href=\"/databases/orders/table").unwrap();
    let rows = see(&format!("/databases/orders/table{}", rest.split('"').next().unwrap()));
    assert_eq!((tables.status, rows.status), (200, 200));
    for page in [&tables.body, &rows.body] {
        assert!(page.contains("&lt;script&gt;document") && !page.contains("<script>document"), "{page}");
    }
    assert_eq!(see("/databases/other").status, 404);
    // A changed Secret needs no other pod.
    let password = address.split(':').nth(2).unwrap().split('@').next().unwrap();
    secret("DPP_DB_ENGINE", &address.replace(password, "open-sesame"));
    let refused = see("/databases/orders");
    assert_eq!(refused.status, 503);
    assert!(!refused.body.contains("open-sesame"), "{}", refused.body);
    assert!(see("/databases/").body.contains("not reachable"));
    secret("token", &"f".repeat(32));
    assert_eq!(see("/databases/orders").status, 401);
    running.terminate();
    let ran = running.finish();
    assert!(![token, password, "open-sesame"].iter().any(|secret| ran.to_string().contains(secret)), "{ran}");
}

#[test]
fn page_can_be_added_and_removed_later() {
    let stack = |page: bool| {
        format!(
            "resources:\n  - {{type: pipelines_database, name: look, config: {{name: look, engine: sqlite, ttl: 1h, webUi: {page}}}}}\n"
        )
    };
    let databases = Databases::new(&stack(false));
    databases.apply().done();
    assert!(databases.show("look")["web_ui"].is_null());
    databases.project.write_stack(&stack(true));
    databases.apply().done();
    let address = databases.show("look")["web_ui"].as_str().unwrap().to_owned();
    let (address, _) = address.split_once('#').unwrap();
    assert_eq!(call("GET", address, "", &[]).status, 401);
    databases.project.write_stack(&stack(false));
    databases.apply().done();
    let port: u16 = address.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
    until("nothing listens there", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A page with unescaped slashes and ampersands.
fn plain(body: &str) -> String {
    body.replace("&#x2f;", "/").replace("&amp;", "&")
}

/// A response with its headers.
struct Page {
    status: u16,
    body: String,
    headers: Vec<(String, String)>,
}

impl Page {
    fn header(&self, name: &str) -> String {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

fn call(method: &str, url: &str, body: &str, headers: &[(&str, &str)]) -> Page {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    Page {
        status: response.status().as_u16(),
        headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}
