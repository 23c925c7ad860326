//! Requests wait for a command that works on the same component, however long it takes.

use crate::server::requests::{log, messages, product, project, with_selected};
use terrace_tests::served::Served;
use terrace_tests::until;

#[test]
fn request_continues_after_its_command() {
    let project = project();
    project.make_gate("gate-a");
    project.write("product.yaml", product(&["a"]));
    let command = project.start(project.command(["apply", "product.yaml", "--auto-approve"]));
    until("the command is at work", || project.has("started-a"));
    let server = Served::start(&project, &[]);
    let token = server.submit("/v1/provision", &product(&["a"]));
    let waits = || messages(&server.status(&token)).matches("waiting: ").count();
    until("the wait is logged", || waits() > 0);
    let claims = || -> i64 {
        let state = rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
        state.query_row("SELECT fence FROM request", [], |row| row.get(0)).unwrap()
    };
    until("it is tried again", || claims() > 2);
    let status = server.status(&token);
    for once in ["waiting: ", "Plan: 1 to add", "`a` is valid"] {
        assert_eq!(messages(&status).matches(once).count(), 1, "{once:?} is logged once: {status}");
    }
    project.open_gate("gate-a");
    assert!(command.finish().code == 0);
    let status = server.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(log(&project), ["a"]);
}

#[test]
fn request_waiting_for_a_command_blocks_no_other() {
    let project = project();
    project.make_gate("gate-a");
    project.make_gate("gate-b");
    project.write("product.yaml", product(&["a", "b"]));
    let command = project.start(project.command(["apply", "product.yaml", "--auto-approve"]));
    until("the command is at work", || project.has("started-a") && project.has("started-b"));
    let server = Served::start(&project, &["--workers", "1"]);
    let (held, other) = (with_selected("a", &["a", "b"]), product(&["c"]).replace("finance:cash", "finance:other"));
    let held =
        [server.submit("/v1/provision", &held), server.submit("/v1/provision", &with_selected("b", &["a", "b"]))];
    let waits = |token: &String| messages(&server.status(token)).contains("waiting: ");
    until("both waits are logged", || held.iter().all(waits));
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &other))["status"], "COMPLETED");
    // The waiting request stops without having begun, whether or not a worker has it.
    assert_eq!(server.call("DELETE", &format!("/v1/provision/{}", held[1]), "").status, 202);
    assert_eq!(server.wait_for_end(&held[1])["status"], "TERMINATED");
    project.open_gate("gate-a");
    project.open_gate("gate-b");
    assert!(command.finish().code == 0);
    assert_eq!(server.wait_for_end(&held[0])["status"], "COMPLETED");
}

#[test]
fn busy_worker_does_not_delay_released_components() {
    let project = project();
    ["gate-a", "gate-b", "gate-c"].into_iter().for_each(|gate| project.make_gate(gate));
    project.write("a.yaml", with_selected("a", &["a", "c"]));
    project.write("b.yaml", product(&["b"]).replace("finance:cash", "finance:other"));
    let commands = ["a.yaml", "b.yaml"].map(|file| project.start(project.command(["apply", file, "--auto-approve"])));
    until("the commands are at work", || project.has("started-a") && project.has("started-b"));
    let server = Served::start(&project, &["--workers", "2"]);
    let first = server.submit("/v1/provision", &product(&["a", "c"]));
    let second = server.submit("/v1/provision", &product(&["b"]).replace("finance:cash", "finance:other"));
    let waits = |token: &String| messages(&server.status(token)).contains("waiting: ");
    until("both wait", || waits(&first) && waits(&second));
    let [one, other] = commands;
    project.open_gate("gate-a");
    one.finish().done();
    until("the first one goes on", || project.has("started-c"));
    project.open_gate("gate-b");
    other.finish().done();
    // The first request is still running.
    assert_eq!(server.wait_for_end(&second)["status"], "COMPLETED");
    project.open_gate("gate-c");
    assert_eq!(server.wait_for_end(&first)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b", "c"]);
}

#[test]
fn server_side_error_is_not_reported_as_a_caller_error() {
    let project = project();
    project.write(
        "terrace.yaml",
        "environments:\n  test:\n    providers:\n      hasura: {url: 'https://localhost:1', adminSecret: {secret: x}, caFile: away.pem}\n",
    );
    project.write(
        "blueprints/thing.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: thing, version: 1.0.0}\nmatch: {kind: workload}\n\
         resources: [{type: hasura_role, name: role, config: {roleId: a, componentId: b}}]\n",
    );
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&server.submit("/v1/provision", &product(&["a"])));
    assert_eq!(status["status"], "FAILED", "{status}");
    assert!(status["result"].as_str().unwrap().contains("the settings of `hasura` cannot be used"), "{status}");
}

#[test]
fn dependency_cycle_is_refused_before_queueing() {
    let project = project();
    let server = Served::start(&project, &[]);
    let on = |of: &str, other: &str| format!("name: {of}, dependsOn: ['urn:dmb:cmp:finance:cash:0:{other}'],");
    let looped = product(&["a", "b"]).replace("dependsOn: [], ", "");
    let looped = looped.replace("name: a, kind", &format!("{} kind", on("a", "b")));
    let looped = looped.replace("name: b, kind", &format!("{} kind", on("b", "a")));
    let answer = server.send("/v1/provision", "DATAPRODUCT_DESCRIPTOR", &looped);
    assert_eq!(answer.status, 400, "{answer:?}");
    let output = answer.json();
    assert!(output["errors"][0].as_str().unwrap().contains("a cycle"), "{output}");
    assert_eq!(output["inputErrorField"], "descriptor", "{output}");
    assert_eq!(server.call("GET", "/api/v1/operations", "").json()["items"], serde_json::json!([]));
}
