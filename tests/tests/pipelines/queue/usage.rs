//! The usage log of `terrace serve`: objects of stacks that its callers apply, and databases that expire.

use super::queued::Queued;
use super::served::{DATABASES, serve};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use terrace_tests::served::{Answer, Served};
use terrace_tests::until;

const RUNS: &str = "/api/v1/pipelines/runs";

/// A server that accepts plain stacks of the tokens `ada`, which has these limits, and `bob`.
fn serve_stacks(queued: &Queued, limits: &str) -> Served {
    let digest = |name: &str| base16ct::lower::encode_string(&Sha256::digest(name));
    queued.project.write(
        "terrace.yaml",
        format!(
            "encryption: {{key: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=}}\nserver:\n  stacks: true\n  auth:\n    mode: token\n    minimumTokenLength: 1\n    tokens:\n\
             \x20     - {{name: ada, organisation: acme, sha256: '{}', scopes: [apply], limits: {{pipelines: {{{limits}}}}}}}\n\
             \x20     - {{name: bob, organisation: acme, sha256: '{}', scopes: [apply]}}\n",
            digest("ada"),
            digest("bob")
        ),
    );
    serve(queued)
}

fn call(server: &Served, token: &str, method: &str, path: &str, body: &str) -> Answer {
    server.call_with(method, path, body, &[("authorization", &format!("Bearer {token}"))])
}

fn stack(name: &str, resources: &str) -> String {
    format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources:\n{resources}")
}

/// Plans a stack and starts its apply; returns the operation.
fn apply(server: &Served, token: &str, stack: &str) -> String {
    let plan = call(server, token, "POST", "/api/v1/plans", &json!({"descriptor": stack}).to_string());
    assert_eq!(plan.status, 200, "{plan:?}");
    let id = plan.json()["id"].as_str().unwrap().to_owned();
    let applied = call(server, token, "POST", &format!("/api/v1/plans/{id}/apply"), "");
    assert_eq!(applied.status, 202, "{applied:?}");
    applied.json()["operation"].as_str().unwrap().to_owned()
}

fn ended(server: &Served, operation: &str) -> Value {
    let mut last = Value::Null;
    until("the operation ends", || {
        last = call(server, "bob", "GET", &format!("/api/v1/operations/{operation}"), "").json();
        last["ended_at"].is_string()
    });
    last
}

/// The usage records of an action: the audit log has no damage.
pub(super) fn usage(queued: &Queued, action: &str) -> Vec<Value> {
    let printed = queued.run(&["audit", "usage", "--verify"]).done().stdout;
    let all = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|record| record["action"] == action).collect()
}

/// The only usage record of an action.
#[track_caller]
fn only(queued: &Queued, action: &str) -> Value {
    let found = usage(queued, action);
    assert_eq!(found.len(), 1, "{action}: {found:?}");
    found.into_iter().next().unwrap()
}

fn database(name: &str, ttl: &str) -> String {
    format!("- {{type: pipelines_database, name: {name}, config: {{name: {name}, engine: sqlite{ttl}}}}}\n")
}

#[test]
fn objects_of_a_stack_are_in_the_usage_log_with_their_facts() {
    let queued = Queued::new();
    queued.project.write("files/one.txt", "12345");
    queued.project.write("data/index.html", "<h1>Hello</h1>");
    let server = serve_stacks(&queued, "");
    let resources = database("orders", ", ttl: 1h")
        + "- {type: pipelines_static_site, name: site, config: {name: weekly}}\n\
           - {type: pipelines_volume_sync, name: copy, config: {name: weekly, source: files, destination: copies}}\n\
           - {type: pipelines_run, name: run, config: {name: ./quick}}\n";
    let operation = apply(&server, "ada", &stack("data", &resources));
    assert_eq!(ended(&server, &operation)["status"], "completed");
    let created = only(&queued, "db.create");
    assert_eq!((&created["db"], &created["user"], &created["org"]), (&json!("orders"), &json!("ada"), &json!("acme")));
    assert!(created["outcome"] == "done" && created["bytes_synced"].is_null(), "{created}");
    assert_eq!(only(&queued, "publish")["bytes"], 14);
    let copy = only(&queued, "sync");
    assert!(copy["bytes_synced"].as_u64().is_some_and(|bytes| bytes >= 5), "{copy}");
    let run = only(&queued, "run");
    assert_eq!((&run["pipeline_id"], &run["rows"], &run["user"]), (&json!("./quick"), &json!(500), &json!("ada")));
    assert!(run["run_id"].is_string() && run["duration_ms"].is_u64() && run["image"].is_null(), "{run}");
    let metrics = call(&server, "bob", "GET", "/metrics", "").body;
    assert!(metrics.contains("terrace_pipelines_actions_total{action=\"db.create\",outcome=\"done\"} 1"), "{metrics}");
    // An unchanged stack uses nothing, and its removal creates nothing.
    let again = apply(&server, "bob", &stack("data", &resources).replace("1h", "2h"));
    assert_eq!(ended(&server, &again)["status"], "completed");
    only(&queued, "db.create");
}

#[test]
fn database_that_cannot_be_created_is_logged_as_failed() {
    let queued = Queued::new();
    let server = serve_stacks(&queued, "");
    let resources =
        "- {type: pipelines_volume_sync, name: copy, config: {name: w, source: missing, destination: copies}}\n";
    let operation = apply(&server, "ada", &stack("data", resources));
    assert_eq!(ended(&server, &operation)["status"], "failed");
    let copy = only(&queued, "sync");
    assert!(copy["outcome"] == "failed" && copy["error"].is_string() && copy["bytes_synced"].is_null(), "{copy}");
}

#[test]
fn created_databases_are_logged_once_across_kills_of_the_server() {
    let queued = Queued::new();
    let mut server = serve_stacks(&queued, "");
    let names: Vec<String> = (0..6).map(|number| format!("d{number}")).collect();
    let resources: String = names.iter().map(|name| database(name, ", ttl: 1h")).collect();
    let operation = apply(&server, "ada", &stack("data", &resources));
    // Each kill hits another moment of the operation.
    for count in [1, 4] {
        until("some databases exist", || {
            names.iter().filter(|name| queued.project.has(&format!(".terrace/pipelines/databases/{name}"))).count()
                >= count
        });
        server.kill();
        server = serve_stacks(&queued, "");
    }
    assert_eq!(ended(&server, &operation)["status"], "completed");
    // A server that is killed between the entries and the end of the operation writes them again.
    let created = usage(&queued, "db.create");
    let mut found: Vec<&str> = created.iter().map(|record| record["db"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, names, "each once: {created:?}");
    assert!(created.iter().all(|record| record["user"] == "ada" && record["outcome"] == "done"), "{created:?}");
}

#[test]
fn expired_database_is_logged_once() {
    let queued = Queued::new();
    queued.project.write("stack.yaml", DATABASES.replace("1h", "1s"));
    queued.run(&["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    let server = serve(&queued);
    until("the expiry is logged", || !usage(&queued, "db.expire").is_empty());
    let expired = only(&queued, "db.expire");
    assert_eq!((&expired["db"], &expired["user"]), (&json!("orders"), &json!("terrace")), "{expired}");
    let queue = rusqlite::Connection::open(queued.project.path(".terrace/pipelines/queue.db")).unwrap();
    let noted = || -> u32 { queue.query_row("SELECT count(*) FROM logged_expiry", [], |row| row.get(0)).unwrap() };
    until("the expiry is noted", || noted() == 1);
    server.kill();
    // As if the server had been killed between the entry and the note of it.
    queue.execute("DELETE FROM logged_expiry", []).unwrap();
    let _server = serve(&queued);
    until("the expiry is noted again", || noted() == 1);
    only(&queued, "db.expire");
}

#[test]
fn lifetimes_of_created_databases_count_for_the_hours_of_a_day() {
    let queued = Queued::new();
    let server = serve_stacks(&queued, "databaseHoursPerDay: 3");
    let first = apply(&server, "ada", &stack("one", &database("one", ", ttl: 2h")));
    assert_eq!(ended(&server, &first)["status"], "completed");
    // All databases of a plan, or none.
    let resources = database("small", ", ttl: 10m") + &database("large", ", ttl: 51m");
    let refused = ended(&server, &apply(&server, "ada", &stack("two", &resources)));
    let words = "the limit `databaseHoursPerDay` is 3, and ";
    let text = refused.to_string();
    assert!(refused["status"] == "failed" && text.contains(words) && text.contains("it resets at "), "{refused}");
    assert!(!queued.project.has(".terrace/pipelines/databases/small"), "nothing changed");
    let refusals = |queued: &Queued| {
        usage(queued, "db.create").into_iter().filter(|record| record["outcome"] == "refused").collect::<Vec<_>>()
    };
    let records = refusals(&queued);
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!((&record["limit"], &record["quota_limit"]), (&json!("databaseHoursPerDay"), &json!(3)), "{record}");
    assert!(record["user"] == "ada" && record["error"].as_str().unwrap().starts_with(words), "{record}");
    // A database without an end, and a longer lifetime.
    let endless = ended(&server, &apply(&server, "ada", &stack("three", &database("endless", ""))));
    assert!(endless.to_string().contains("a database without `ttl` does not end: set `ttl`"), "{endless}");
    let longer = ended(&server, &apply(&server, "ada", &stack("one", &database("one", ", ttl: 61m"))));
    assert_eq!(longer["status"], "failed", "a new lifetime of an existing database counts, too: {longer}");
    // Calls that extend a database count for the same limit.
    let extend = |token: &str, by: &str| {
        let path = "/api/v1/pipelines/databases/one/extend";
        call(&server, token, "POST", path, &json!({"by": by}).to_string()).status
    };
    assert_eq!((extend("ada", "61m"), extend("ada", "50m")), (429, 200));
    let ten = apply(&server, "ada", &stack("two", &database("small", ", ttl: 10m")));
    assert_eq!(ended(&server, &ten)["status"], "completed");
    assert_eq!(refusals(&queued).len(), 3);
    let other = apply(&server, "bob", &stack("four", &database("endless", "")));
    assert_eq!(ended(&server, &other)["status"], "completed", "another caller has no such limit");
}

#[test]
fn cancelled_run_names_the_caller_in_record_log_and_usage() {
    let queued = Queued::with_cluster("1");
    let server = serve_stacks(&queued, "");
    let started = call(&server, "ada", "POST", RUNS, &json!({"pipeline_id": "./slow"}).to_string()).json();
    let run = started["run_id"].as_str().unwrap().to_owned();
    until("the step begins", || queued.step_starts() == 1);
    assert_eq!(call(&server, "bob", "POST", &format!("{RUNS}/{run}/cancel"), "").status, 202);
    let show = || call(&server, "bob", "GET", &format!("{RUNS}/{run}"), "").json();
    until("the run is cancelled", || show()["state"] == "cancelled");
    assert_eq!(show()["cancelled_by"], "bob");
    let log = call(&server, "bob", "GET", &format!("{RUNS}/{run}/logs"), "").body;
    assert!(log.contains("cancelled by bob"), "{log}");
    let listed = queued.run(&["pipelines", "runs", "--json"]).done().json();
    assert_eq!(listed["runs"][0]["cancelled_by"], "bob", "{listed}");
    let end = || usage(&queued, "run").into_iter().find(|record| record["finished_at"].is_string());
    until("the end is logged", || end().is_some());
    assert_eq!(end().unwrap()["error"], "cancelled by bob");
}

#[test]
fn refusal_names_its_limit_in_the_usage_log() {
    let queued = Queued::with_cluster("1");
    let server = serve_stacks(&queued, "concurrentRuns: 0");
    let refused = call(&server, "ada", "POST", RUNS, &json!({"pipeline_id": "./quick"}).to_string());
    assert_eq!(refused.status, 429, "{refused:?}");
    let record = only(&queued, "run");
    assert_eq!((&record["limit"], &record["quota_limit"]), (&json!("concurrentRuns"), &json!(0)), "{record}");
}
