//! The audit log of changes and refused calls: a file, and a chain in the state.

use crate::server::requests::{product, project};
use serde_json::Value as Json;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use terrace_tests::served::{Served, request};
use terrace_tests::{Project, until};

/// `printf %s "$SCOPE-secret" | sha256sum`
const TOKENS: &str = "{name: reader, sha256: 'f0fd6c09405cb6d3707d04067d8509cb924e62ae66fa02067c2bc467b0d721e4', scopes: [read]}, \
    {name: applier, sha256: '158899373cca41a91f446dad1d6baa189008601a0de5b95ccccaf30c1f854722', scopes: [apply]}";

fn serve(project: &Project, more: &str) -> Served {
    project.write(
        "terrace.yaml",
        format!("environments: {{test: {{}}}}\nserver: {{{more}auth: {{mode: token, minimumTokenLength: 1, tokens: [{TOKENS}]}}}}\n"),
    );
    Served::start(project, &[])
}

fn entries(project: &Project) -> Vec<Json> {
    let exported = project.run(["audit", "export", "--verify"]).done().stdout;
    exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn call(server: &Served, token: &str, method: &str, path: &str, body: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-request-id", "call 1")];
    server.call_with(method, path, body, &headers).status
}

#[test]
fn server_records_changes_and_refused_calls() {
    let project = project();
    let server = serve(&project, "audit: {log: audit.jsonl}, ");
    let body = request("DATAPRODUCT_DESCRIPTOR", &product(&["a"]), false);
    assert_eq!(call(&server, "s3cret-guess", "POST", "/v1/provision", &body), 401);
    assert_eq!(call(&server, "read-secret", "POST", "/v1/provision", &body), 403);
    assert_eq!(call(&server, "apply-secret", "POST", "/v1/provision", "{}"), 400);
    assert_eq!(call(&server, "apply-secret", "GET", "/api/v1/stacks", ""), 200);
    assert_eq!(call(&server, "apply-secret", "POST", "/v1/provision", &body), 202);
    until("the operation has ended", || entries(&project).iter().any(|entry| entry["outcome"] == "done"));
    let all = entries(&project);
    let shown: Vec<(&str, &str, &str, u64)> = all
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            (text("actor"), text("action"), text("outcome"), entry["status"].as_u64().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("unknown", "provision", "refused", 401),
            ("reader", "provision", "refused", 403),
            ("applier", "provision", "failed", 400),
            ("applier", "provision", "accepted", 202),
            ("applier", "provision", "done", 0),
        ]
    );
    let accepted = &all[3];
    assert_eq!(accepted["stacks"], serde_json::json!(["finance.cash.0@test"]));
    assert_eq!(
        (&accepted["scope"], &accepted["peer"], &accepted["request_id"], &accepted["target"]),
        (&"apply".into(), &"127.0.0.1".into(), &"call 1".into(), &"POST /v1/provision".into())
    );
    assert!(accepted["operation"].is_string() && accepted["operation"] == all[4]["operation"], "{all:?}");
    // The file has the same lines, and the server's log has none of them.
    let log = project.read("audit.jsonl");
    let logged: Vec<Json> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(logged.len(), all.len(), "{log}");
    assert_eq!((&logged[1]["actor"], &logged[1]["status"]), (&"reader".into(), &403.into()));
    assert!(
        !server.stderr().contains("terrace::audit") && !server.stderr().contains("\"actor\""),
        "{}",
        server.stderr()
    );
    let everything = format!("{log}{}{}", server.stderr(), project.run(["audit", "export"]).done().stdout);
    for secret in ["s3cret-guess", "apply-secret", "f0fd6c09"] {
        assert!(!everything.contains(secret), "{secret}");
    }
    assert_eq!(server.stop().code, 0);
}

#[test]
fn token_is_checked_before_the_length_of_the_body() {
    let project = project();
    let server = serve(&project, "bodyLimit: 1KB, ");
    let long = "x".repeat(2_000);
    for (token, status) in [("s3cret-guess", 401), ("read-secret", 403), ("apply-secret", 413)] {
        assert_eq!(call(&server, token, "POST", "/v1/provision", &long), status, "{token}");
    }
    assert_eq!(server.stop().code, 0);
    let all = entries(&project);
    let shown: Vec<(&str, u64)> =
        all.iter().map(|entry| (entry["actor"].as_str().unwrap(), entry["status"].as_u64().unwrap())).collect();
    assert_eq!(shown, [("unknown", 401), ("reader", 403), ("applier", 413)]);
}

#[test]
fn refused_calls_are_counted_after_ten_a_minute() {
    let project = project();
    let server = serve(&project, "");
    for _ in 0..25 {
        assert_eq!(call(&server, "guess", "GET", "/api/v1/stacks", ""), 401);
    }
    assert_eq!(server.stderr().matches("\"status\":401").count(), 10, "{}", server.stderr());
    assert_eq!(server.stop().code, 0);
    let all = entries(&project);
    assert_eq!((all.len(), &all[10]["suppressed"]), (11, &14.into()), "{all:?}");
}

#[test]
fn suppressed_calls_are_counted_if_the_server_stops_during_work() {
    let project = project();
    project.write(
        "terrace.yaml",
        format!("environments: {{test: {{}}}}\nserver: {{drain: 0s, auth: {{mode: token, minimumTokenLength: 1, tokens: [{TOKENS}]}}}}\n"),
    );
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let body = request("DATAPRODUCT_DESCRIPTOR", &product(&["a"]), false);
    assert_eq!(call(&server, "apply-secret", "POST", "/v1/provision", &body), 202);
    until("the operation is at work", || project.has("started-a"));
    for _ in 0..25 {
        assert_eq!(call(&server, "guess", "GET", "/api/v1/stacks", ""), 401);
    }
    // The next server takes over the request.
    drop(server.stop());
    let refused: Vec<Json> = entries(&project).into_iter().filter(|entry| entry["outcome"] == "refused").collect();
    assert_eq!((refused.len(), &refused[10]["suppressed"]), (11, &14.into()), "{refused:?}");
    let server = serve(&project, "");
    project.open_gate("gate-a");
    until("the operation has ended", || entries(&project).iter().any(|entry| entry["outcome"] == "done"));
    server.kill();
}

#[test]
fn change_that_times_out_is_accepted() {
    let project = project();
    let server = serve(&project, "timeout: 1s, ");
    assert_eq!(call(&server, "apply-secret", "GET", "/api/v1/stacks", ""), 200);
    // Another process blocks writes of the server.
    let state = rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
    state.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = request("DATAPRODUCT_DESCRIPTOR", &product(&["a"]), false);
    assert_eq!(call(&server, "apply-secret", "POST", "/v1/provision", &body), 503);
    state.execute_batch("ROLLBACK").unwrap();
    until("the operation has ended", || entries(&project).iter().any(|entry| entry["outcome"] == "done"));
    let all = entries(&project);
    assert_eq!(all.len(), 2, "{all:?}");
    let accepted = all.iter().find(|entry| entry["outcome"] == "accepted").unwrap();
    let done = all.iter().find(|entry| entry["outcome"] == "done").unwrap();
    assert_eq!((&accepted["status"], &accepted["operation"]), (&503.into(), &done["operation"]), "{all:?}");
    // A change that is refused before it is queued has no operation.
    assert_eq!(call(&server, "apply-secret", "POST", "/v1/provision", "{}"), 400);
    assert_eq!(server.stop().code, 0);
    let all = entries(&project);
    assert!(all[2]["outcome"] == "failed" && all[2]["operation"].is_null(), "{all:?}");
}

#[test]
fn operation_without_an_entry_never_begins() {
    let stack = |content: &str| {
        format!("resources: [{{type: local_file, name: a, config: {{path: a, content: {content}}}}}]\n")
    };
    let project = Project::with_stack(&stack("one"));
    project.apply().done();
    let state = || rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
    state()
        .execute_batch("CREATE TRIGGER deaf BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
        .unwrap();
    project.write_stack(&stack("two"));
    project.run(["apply", "stack.yaml", "--auto-approve"]).with_code(1);
    state().execute_batch("DROP TRIGGER deaf").unwrap();
    assert_eq!(project.read("a"), "one");
    let operations = project.run(["operations", "list", "--json"]).json();
    assert_eq!(operations.as_array().unwrap().len(), 1, "{operations}");
    project.apply().done();
    assert_eq!(project.read("a"), "two");
}

#[test]
fn audit_log_file_is_private_and_unreadable_for_resources() {
    let project = project();
    let server = serve(&project, "audit: {log: audit.jsonl}, ");
    assert_eq!(call(&server, "guess", "GET", "/api/v1/stacks", ""), 401);
    assert_eq!(server.stop().code, 0);
    let file = project.path("audit.jsonl");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for rest in [
        "data:\n  - {type: local_file, name: k, config: {path: audit.jsonl}}\noutputs: {k: '${{ data.k.content }}'}\n",
        "resources:\n  - {type: local_file, name: k, adopt: ifExists, config: {path: audit.jsonl, content: x}}\n",
    ] {
        project
            .write("thief.yaml", format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: thief}}\n{rest}"));
        let ran = project.run(["--env", "test", "plan", "thief.yaml"]).with_code(1);
        let words: Vec<&str> = ran.stderr.split_whitespace().filter(|word| *word != "│").collect();
        assert!(words.join(" ").contains("which no descriptor may use"), "{rest}: {ran}");
    }
    set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    project.run(["doctor"]).prints("warn  log: ");
    set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let refused = project.run(["serve", "--bind", "127.0.0.1:0"]).with_code(1);
    refused.prints("the audit log `").prints("can be changed by other users").prints("chmod 600");
    assert!(project.run(["doctor"]).with_code(1).stdout.contains("can be changed by other users"));
}

#[test]
fn disconnected_caller_leaves_an_entry() {
    let project = project();
    let server = serve(&project, "");
    let body = request("DATAPRODUCT_DESCRIPTOR", &product(&["a"]), false);
    let head = format!(
        "POST /v1/provision HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer apply-secret\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let caller = server.begin(&format!("{head}{body}"));
    until("the operation is queued", || !project.run(["operations", "list"]).done().stdout.is_empty());
    drop(caller);
    until("the call has its entry", || entries(&project).iter().any(|entry| entry["outcome"] == "accepted"));
    server.kill();
}

#[test]
fn commands_record_their_changes() {
    let project = Project::with_stack("resources: [{type: local_file, name: a, config: {path: a, content: x}}]\n");
    project.run(["plan", "stack.yaml"]).done();
    project.apply().done();
    project.run(["state", "mv", "local_file.a", "local_file.b"]).done();
    project.run(["taint", "local_file.b"]).done();
    project.run(["state", "rm", "local_file.b"]).done();
    project.run(["recover"]).done();
    project.run(["destroy", "demo@local", "--auto-approve"]).done();
    let all = entries(&project);
    let shown: Vec<String> = all.iter().map(|entry| format!("{} {}", entry["action"], entry["outcome"])).collect();
    for expected in ["\"apply\" \"accepted\"", "\"apply\" \"done\"", "\"state mv\" \"done\"", "\"state rm\" \"done\""] {
        assert!(shown.iter().any(|shown| shown == expected), "{expected}: {shown:?}");
    }
    assert!(all.iter().all(|entry| entry["actor"].as_str().unwrap().starts_with("tester@")), "{all:?}");
    assert!(!shown.iter().any(|shown| shown.contains("plan")), "{shown:?}");
}

#[test]
fn broken_lease_is_recorded() {
    let command = "resources: [{type: local_command, name: a, config: {create: [sh, -c, 'touch started; read line < gate; echo {}']}}]\n";
    let (project, running) = Project::waiting_at_gate(command);
    let leases = project.run(["leases", "list", "--json"]).json();
    let lease = leases[0]["lease"].as_str().unwrap();
    project.run(["unlock", lease, "--auto-approve"]).done();
    let all = entries(&project);
    let unlock = all.iter().find(|entry| entry["action"] == "unlock").unwrap();
    assert_eq!(unlock["target"], format!("lease {lease}"));
    project.open_gate("gate");
    drop(running.finish());
}

#[test]
fn changed_log_is_found_at_its_first_wrong_entry() {
    let project = Project::with_stack("resources: [{type: local_file, name: a, config: {path: a, content: x}}]\n");
    for content in ["x", "y", "z"] {
        project.write_stack(&format!(
            "resources: [{{type: local_file, name: a, config: {{path: a, content: {content}}}}}]\n"
        ));
        project.apply().done();
    }
    let count = entries(&project).len();
    assert!(count >= 6, "{count}");
    let verified = || project.run(["audit", "export", "--verify"]);
    let output = verified().done().stderr;
    assert!(
        output.contains(&format!("the audit log is complete: its last entry is {count} with the hash ")),
        "{output}"
    );
    let change = |sql: &str| {
        let state = rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
        state.execute(sql, []).unwrap();
    };
    change("UPDATE audit SET entry = replace(entry, 'tester@', 'other@') WHERE number = 4");
    let broken = verified().with_code(1);
    assert_eq!(broken.stdout.lines().count(), 3);
    assert!(broken.stderr.contains("the audit log is broken at entry 4: "), "{broken}");
    change("UPDATE audit SET entry = replace(entry, 'other@', 'tester@') WHERE number = 4");
    verified().done();
    change("CREATE TABLE kept AS SELECT * FROM audit WHERE number = 3");
    change("DELETE FROM audit WHERE number = 3");
    assert!(verified().with_code(1).stderr.contains("broken at entry 3: "));
    change("INSERT INTO audit SELECT * FROM kept");
    verified().done();
    change(&format!("DELETE FROM audit WHERE number = {count}"));
    assert!(verified().with_code(1).stderr.contains(&format!("broken at entry {count}: ")));
    // Without `--verify` the export prints the log unchecked.
    assert_eq!(project.run(["audit", "export"]).done().stdout.lines().count(), count - 1);
}

#[test]
fn pruned_log_is_whole() {
    let project = Project::with_stack("resources: [{type: local_file, name: a, config: {path: a, content: x}}]\n");
    project.apply().done();
    assert!(
        project.run(["audit", "prune", "--keep", "1d", "--input=false"]).with_code(1).stderr.contains("`--keep 400d`")
    );
    assert_eq!(project.run(["audit", "prune", "--keep", "400d"]).done().stdout, "entries removed: 0\n");
    let removed = project.run(["audit", "prune", "--keep", "0s", "--auto-approve"]).done().stdout;
    assert_eq!(removed, "entries removed: 2\n");
    let all = entries(&project);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!((&all[0]["anchor"]["number"], &all[1]["action"]), (&2.into(), &"audit prune".into()));
    assert_eq!(project.run(["audit", "export", "--since", "1h"]).done().stdout.lines().count(), 2);
    assert_eq!(project.run(["audit", "export", "--since", "2100-01-01"]).done().stdout, "");
}
