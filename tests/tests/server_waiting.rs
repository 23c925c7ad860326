//! What is asked while a command works on the same waits for that, however long it takes.

use crate::server::{log, messages, product, project};
use terrace_tests::served::Served;
use terrace_tests::until;

#[test]
fn a_request_goes_on_once_the_command_is_done_that_it_waits_for() {
    let project = project();
    project.make_gate("gate-a");
    project.write("product.yaml", product(&["a"]));
    let command = project.start(project.command(["apply", "product.yaml", "--auto-approve"]));
    until("the command is at work", || project.has("started-a"));
    let server = Served::start(&project, &[]);
    let token = server.ask("/v1/provision", &product(&["a"]));
    let waits = || messages(&server.status(&token)).matches("waiting: ").count();
    until("it is told that it waits", || waits() > 0);
    let claims = || -> i64 {
        let state = rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
        state.query_row("SELECT fence FROM request", [], |row| row.get(0)).unwrap()
    };
    until("it is tried again", || claims() > 2);
    assert_eq!(waits(), 1, "that is told once: {}", server.status(&token));
    project.open_gate("gate-a");
    assert!(command.finish().code == 0);
    let status = server.ended(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(log(&project), ["a"]);
}

#[test]
fn a_loop_is_refused_before_anything_is_queued() {
    let project = project();
    let server = Served::start(&project, &[]);
    let on = |of: &str, other: &str| format!("name: {of}, dependsOn: ['urn:dmb:cmp:finance:cash:0:{other}'],");
    let looped = product(&["a", "b"]).replace("dependsOn: [], ", "");
    let looped = looped.replace("name: a, kind", &format!("{} kind", on("a", "b")));
    let looped = looped.replace("name: b, kind", &format!("{} kind", on("b", "a")));
    let answer = server.send("/v1/provision", "DATAPRODUCT_DESCRIPTOR", &looped);
    assert_eq!(answer.status, 400, "{answer:?}");
    let told = answer.json();
    assert!(told["errors"][0].as_str().unwrap().contains("a loop"), "{told}");
    assert_eq!(told["inputErrorField"], "descriptor", "{told}");
    assert_eq!(server.call("GET", "/api/v1/operations", "").json()["items"], serde_json::json!([]));
}
