//! Clusters with databases: their count, and restarts after kills.

use super::queued::Queued;
use super::served::serve;
use std::fs;
use terrace_tests::until;

/// Writes the database address to a file.
const PROCESSOR: &str = "\
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
open('engine', 'w').write(os.environ['DPP_DB_ENGINE'])
spew(package, resources, {})
";

const SPEC: &str = "tell: {pipeline: [{run: tell}]}\n";
const SLOW: &str =
    "slow: {pipeline: [{run: noise}, {run: slow}, {run: tell}, {run: dump_to_path, parameters: {out-path: data}}]}\n";

/// Creates a project whose pipeline `./tell` writes its database address to a file.
fn reporting_cluster() -> Queued {
    let queued = Queued::new();
    queued.project.write("tell.py", PROCESSOR);
    queued.project.write("pipeline-spec.yaml", SPEC);
    queued
}

/// Runs the command, and returns the address that the pipeline wrote.
fn engine(queued: &Queued, words: &[&str]) -> String {
    queued.run(words).done();
    let engine = queued.project.read("engine");
    fs::remove_file(queued.project.path("engine")).unwrap();
    engine
}

fn databases(queued: &Queued) -> Vec<(String, String)> {
    let text = |pod: &serde_json::Value, name: &str| pod[name].as_str().unwrap().to_owned();
    let pods = queued.pods();
    pods.iter().filter(|pod| pod["role"] == "db").map(|pod| (text(pod, "name"), text(pod, "status"))).collect()
}

fn is(name: &str, status: &str) -> (String, String) {
    (name.to_owned(), status.to_owned())
}

#[test]
fn cluster_database_is_used_by_workers_and_by_local_runs() {
    let queued = reporting_cluster();
    let created = queued.run(&["pipelines", "init", "local", "--workers", "1"]).done();
    created.prints("1 persistent DB pod and 1 persistent worker pod").prints("Password: ");
    assert!(
        !queued.run(&["pipelines", "init", "local"]).done().stderr.contains("Password"),
        "the password is shown once"
    );
    assert_eq!(databases(&queued), [is("dppctl-db-local-1", "available")]);
    queued.run(&["doctor"]).done().prints("tables go to the database `dppctl-db-local-1` of the cluster `local`\n");
    crate::cli::schemas::assert_is("pods", &serde_json::Value::Array(queued.pods()));
    let by_worker = engine(&queued, &["pipelines", "run", "./tell"]);
    assert!(by_worker.starts_with("postgresql+psycopg2://postgres:"), "{by_worker}");
    assert_eq!(engine(&queued, &["pipelines", "run", "./tell", "--no-queue"]), by_worker);
    // A plan has nothing to run again, and an apply writes nowhere else.
    queued.run(&["plan", "."]).done().prints("exists, is adopted");
    queued.run(&["apply", ".", "--auto-approve"]).done();
    assert!(!queued.project.has("engine"), "the pipeline did not run again");
    queued
        .run(&["pipelines", "ssh", "dppctl-db-local-1"])
        .with_code(1)
        .prints("databases show dppctl-db-local-1 --reveal");
    // The database is assigned during a write.
    queued.project.write("pipeline-spec.yaml", format!("{SPEC}{SLOW}"));
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    assert_eq!(databases(&queued), [is("dppctl-db-local-1", "assigned")]);
    queued.project.write("go", "");
    following.finish().done().prints("Assigned DB Pod: dppctl-db-local-1");
    // The next run restarts a killed server.
    for pid in queued.of_databases() {
        assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }
    until("they are gone", || queued.of_databases().is_empty());
    assert_eq!(databases(&queued), [is("dppctl-db-local-1", "stopped")]);
    assert!(engine(&queued, &["pipelines", "run", "./tell"]).starts_with("postgresql+psycopg2://postgres:"));
}

#[test]
fn workers_write_into_the_database_of_the_settings() {
    let queued = reporting_cluster();
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: data}\nresources:\n\
                 - {type: pipelines_database, name: a, config: {name: orders, engine: sqlite}}\n";
    queued.project.write("stack.yaml", stack);
    queued.run(&["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    let settings = "environments: {local: {overlay: embedded, providers: {pipelines: {database: orders}}}}\n";
    queued.project.write("terrace.yaml", settings);
    queued.run(&["pipelines", "init", "local", "--workers", "1", "--databases", "0"]).done();
    let server = serve(&queued);
    let by_worker = engine(&queued, &["pipelines", "run", "./tell", "--server", server.url()]);
    assert!(by_worker.starts_with("sqlite:///") && by_worker.contains("/databases/orders"), "{by_worker}");
    let recorded = || {
        let listed = server.call("GET", "/api/v1/pipelines/runs?limit=1", "").json();
        listed["items"][0]["database"].as_str().map(str::to_owned)
    };
    assert_eq!(recorded().as_deref(), Some("orders"));
    assert_eq!(engine(&queued, &["pipelines", "run", "./tell", "--no-queue", "--force"]), by_worker);
    // The database of the cluster is not used.
    queued.run(&["pipelines", "init", "local", "--databases", "1"]).done();
    for words in [&["--queue"][..], &["--pool", "local"], &[]] {
        let words = [&["pipelines", "run", "./tell", "--force"], words].concat();
        queued.run(&words).done().prints("Assigned Worker Pod: dppctl-worker-");
        assert_eq!(fs::read_to_string(queued.project.path("engine")).unwrap(), by_worker);
    }
    // Workers of older settings take no run for another database, and those of new settings replace them.
    queued.project.write("terrace.yaml", "{}");
    let here = engine(&queued, &["pipelines", "run", "./tell", "--force", "--no-queue"]);
    assert_ne!(here, by_worker);
    assert_eq!(recorded().as_deref(), Some("dppctl-db-local-1"));
    queued.project.edit("pipeline-spec.yaml", "tell:", "quiet: {pipeline: [{run: noise}]}\ntell:");
    queued.run(&["pipelines", "run", "./quiet", "--no-queue"]).done();
    assert_eq!(recorded(), None, "a pipeline without a database");
    let outdated = queued.run(&["pipelines", "run", "./tell", "--force", "--queue"]).with_code(1);
    outdated.prints("the workers of the pool `local` have other settings: `database`");
    let ran = queued.run(&["pipelines", "run", "./tell", "--force"]).done();
    ran.prints("the workers of the pool `local` have other settings: `database`; the pipelines run without them");
    assert_eq!(fs::read_to_string(queued.project.path("engine")).unwrap(), here, "it runs here");
    queued.run(&["pipelines", "init", "local"]).done();
    queued.run(&["pipelines", "run", "./tell", "--force"]).done().prints("Assigned Worker Pod: dppctl-worker-");
    assert_eq!(fs::read_to_string(queued.project.path("engine")).unwrap(), here);
    queued.project.write("terrace.yaml", settings);
    queued.run(&["pipelines", "init", "local"]).done();
    queued.project.write("terrace.yaml", settings.replace("orders}", "orders, retries: 0}"));
    let outdated = queued.run(&["pipelines", "run", "./tell", "--force", "--queue"]).with_code(1);
    outdated.prints("have other settings: `retries`");
    queued.project.write("terrace.yaml", settings);
    let refused = queued.run(&["pipelines", "run", "./tell", "--queue", "--database", "orders"]).with_code(1);
    refused.prints("workers write only into the `database` of the provider's settings");
}

#[test]
fn public_cluster_gets_changed_settings() {
    let queued = Queued::new();
    queued.run(&["pipelines", "init", "public", "--workers", "1", "--databases", "0"]).done();
    queued
        .project
        .write("terrace.yaml", "environments: {local: {overlay: embedded, providers: {pipelines: {retries: 0}}}}\n");
    let without = queued.run(&["pipelines", "run", "./quick"]).done();
    without.prints("have other settings: `retries`; the pipelines run without them, which publishes no results");
    queued.run(&["pipelines", "init"]).done();
    queued.run(&["pipelines", "run", "./quick", "--force"]).done().prints("Using the public dppctl cluster");
}

#[test]
fn runs_that_wait_for_a_former_cluster_end_with_a_reason() {
    let queued = Queued::with_cluster("1");
    let former = queued.names();
    let slow = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let waiting = queued.start(&["pipelines", "run", "./quick"]);
    waiting.wait_for_stderr("Waiting for available worker pods");
    queued.run(&["pipelines", "init", "public", "--databases", "0"]).done();
    waiting.finish().with_code(1).prints("no worker took it: the worker pool `local` expired or was closed");
    queued.run(&["pipelines", "run", "./quick", "--pool", "local"]).with_code(1).prints("`local`");
    // The present run of a former worker ends as always.
    queued.project.write("go", "");
    slow.finish().done();
    until("the former worker ends", || queued.names().is_disjoint(&former));
    queued.run(&["pipelines", "init", "local"]).done().prints("Worker pod: ");
}

#[test]
fn shell_of_a_pod_uses_the_database_of_its_cluster() {
    let queued = reporting_cluster();
    queued.run(&["pipelines", "init", "local", "--workers", "1"]).done();
    let by_worker = engine(&queued, &["pipelines", "run", "./tell"]);
    assert!(by_worker.starts_with("postgresql+psycopg2://postgres:"), "{by_worker}");
    let pods = queued.pods();
    let worker = pods.iter().find(|pod| pod["role"] == "worker").unwrap()["name"].as_str().unwrap().to_owned();
    let shell = || queued.run(&["pipelines", "ssh", &worker, "echo", "\"$DPP_DB_ENGINE\""]).done().stdout;
    assert_eq!(shell().trim_end(), by_worker);
    // The shell starts a stopped server, as a run does.
    queued.run(&["pipelines", "databases", "stop", "dppctl-db-local-1"]).done();
    let without_port = |engine: &str| engine.split_once('@').unwrap().0.to_owned();
    assert_eq!(without_port(&shell()), without_port(&by_worker));
    assert_eq!(databases(&queued), [is("dppctl-db-local-1", "available")]);
    // In a cluster without databases, the shell uses a file.
    queued.run(&["pipelines", "init", "local", "--databases", "0"]).done();
    assert!(shell().starts_with("sqlite:///"));
}

#[test]
fn cluster_has_the_requested_number_of_databases() {
    let queued = reporting_cluster();
    queued.run(&["pipelines", "init", "local", "--workers", "1", "--databases", "2"]).done();
    assert_eq!(databases(&queued).len(), 2);
    let doctor = queued.run(&["doctor"]).done();
    doctor.prints("go to one database of the cluster `local`: `dppctl-db-local-1`, `dppctl-db-local-2`\n");
    let chosen = engine(&queued, &["pipelines", "run", "./tell"]);
    assert_eq!(engine(&queued, &["pipelines", "run", "./tell"]), chosen, "the same one each time");
    let none = queued.run(&["pipelines", "init", "local", "--databases", "0"]).done();
    none.prints("dppctl-db-local-1 is stopped: the cluster no longer uses it, and its data stays");
    none.prints("dppctl-db-local-2 is stopped");
    assert_eq!(databases(&queued), []);
    assert!(engine(&queued, &["pipelines", "run", "./tell"]).starts_with("sqlite:///"));
    queued.run(&["doctor"]).done().prints("tables go to SQLite");
    assert_eq!(queued.run(&["pipelines", "databases"]).done().stdout.matches("stopped").count(), 2);
    queued
        .run(&["pipelines", "databases", "remove", "dppctl-db-local-2"])
        .with_code(4)
        .prints("would be lost")
        .prints("--remove-data");
    let again = queued.run(&["pipelines", "init", "local", "--databases", "2"]).done();
    assert!(!again.stderr.contains("Password"), "the existing database is started: {again}");
    let after = engine(&queued, &["pipelines", "run", "./tell"]);
    let without_port = |engine: &str| engine.split_once('@').unwrap().0.to_owned();
    assert_eq!(without_port(&after), without_port(&chosen), "the same database");
    // Without the flag, the count stays.
    queued.run(&["pipelines", "init", "local", "--workers", "2"]).done();
    assert_eq!(databases(&queued).len(), 2);
    // A database can be removed only if the cluster no longer has it.
    let remove = |name: &str| queued.run(&["pipelines", "databases", "remove", name, "--remove-data"]);
    let used = remove("dppctl-db-local-2").with_code(4);
    used.prints("the cluster `local` uses the database `dppctl-db-local-2`")
        .prints("terrace pipelines init local --workers 2 --databases N");
    queued.run(&["pipelines", "init", "local", "--workers", "2", "--databases", "1"]).done();
    remove("dppctl-db-local-2").done().prints("removed dppctl-db-local-2");
    remove("dppctl-db-local-2").with_code(1).prints("there is no database");
    for wrong in ["-1", "65", "many"] {
        queued.run(&["pipelines", "init", "local", &format!("--databases={wrong}")]).with_code(1).prints("--databases");
    }
}

#[test]
fn status_names_databases_that_no_pipeline_can_write_into() {
    let queued = Queued::new();
    queued.run(&["pipelines", "init", "local", "--workers", "0"]).done();
    let name = "dppctl-db-local-1";
    let status = || queued.run(&["pipelines", "init"]).done();
    assert!(!status().stderr.contains(name));
    queued.run(&["pipelines", "databases", "stop", name]).done();
    let stopped = status();
    stopped
        .prints(&format!("the database `{name}` is stopped: start it with `terrace pipelines databases start {name}`"));
    queued.run(&["pipelines", "databases", "start", name]).done();
    assert_eq!(databases(&queued), [is(name, "available")]);
    // Its time to live is over.
    queued.run(&["pipelines", "databases", "stop", name]).done();
    let file = format!(".terrace/pipelines/databases/{name}/database.json");
    let mut record: serde_json::Value = serde_json::from_str(&queued.project.read(&file)).unwrap();
    record["isExpired"] = true.into();
    queued.project.write(&file, record.to_string());
    status().prints(&format!(
        "the database `{name}` has expired: create it again with `terrace pipelines init --databases 1`"
    ));
    queued.run(&["pipelines", "init", "--databases", "1"]).done();
    assert!(!status().stderr.contains(name));
    assert_eq!(databases(&queued), [is(name, "available")]);
}

#[test]
fn database_with_a_cluster_name_of_another_owner_is_kept() {
    let queued = Queued::new();
    let stack =
        "resources:\n  - {type: pipelines_database, name: own, config: {name: dppctl-db-local-1, engine: sqlite}}\n";
    queued.project.write_stack(stack);
    let mut command = queued.command(&["apply", "stack.yaml", "--auto-approve"]);
    command.env("TERRACE_STATE_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    queued.project.start(command).finish().done();
    let refused = queued.run(&["pipelines", "init", "local", "--workers", "1"]).with_code(1);
    refused.prints("not of the cluster").prints("--databases 0");
    let declared = queued.run(&["pipelines", "databases", "remove", "dppctl-db-local-1", "--remove-data"]).with_code(4);
    declared.prints("belongs to a stack");
    assert_eq!(queued.run(&["pipelines", "databases"]).done().stdout.lines().count(), 1);
}

#[test]
fn interrupted_cluster_creation_is_continued() {
    for _ in 0..3 {
        let queued = Queued::new();
        let creation = queued.start(&["pipelines", "init", "local", "--workers", "3", "--databases", "2"]);
        creation.wait_for_stderr("Cluster is ready");
        creation.kill();
        assert_eq!(creation.finish().code, -1);
        let again = queued.run(&["pipelines", "init"]).done();
        assert_eq!(again.stdout.matches("Worker pod: ").count(), 3, "{again}");
        assert_eq!(again.stdout.matches("DB pod: ").count(), 2, "{again}");
        assert_eq!(queued.workers().len(), 3);
        queued.run(&["pipelines", "run", "./quick"]).done();
    }
}

#[test]
fn run_without_queue_reports_a_damaged_queue_if_the_pipeline_uses_a_database() {
    let queued = reporting_cluster();
    queued.run(&["pipelines", "init", "local", "--workers", "1", "--databases", "0"]).done();
    queued.damage_queue();
    let ran = queued.run(&["pipelines", "run", "./tell", "--no-queue"]).done();
    ran.prints("warning: the queue of runs `").prints("is damaged");
    ran.prints("pipelines write into their configured database, not into that of a cluster");
}
