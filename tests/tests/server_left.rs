//! Requests that a server left when it was killed, as they look until another server goes on with them.

use crate::server::{log, product, project};
use serde_json::json;
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

/// A server that works on a request: one thing is made, the other one stands at its gate.
fn at_work() -> (Project, Served, String) {
    at_work_with(&[])
}

fn at_work_with(more: &[&str]) -> (Project, Served, String) {
    let project = project();
    project.make_gate("gate-a");
    let server = Served::start(&project, more);
    let token = server.ask("/v1/provision", &product(&["a", "b"]));
    until("both are being made", || project.has("started-a") && project.has("made-b"));
    (project, server, token)
}

/// The same, killed, where what it had begun has ended since.
fn left() -> (Project, String) {
    let (project, server, token) = at_work();
    server.kill();
    drop(server);
    project.open_gate("gate-a");
    until("the program that outlived it has ended", || project.has("made-a"));
    (project, token)
}

#[test]
fn it_is_said_that_no_server_works_on_it_and_the_next_one_ends_it_where_it_was_to_stop() {
    let (project, token) = left();
    let told = format!("no server works on operation `{token}`");
    project
        .run(["operations", "logs", "--follow", &token])
        .with_code(1)
        .says(&told)
        .says("the next server goes on with it");
    // Recovery finds out what became of its steps, and leaves the request to a server.
    project.run(["recover", "--env", "test"]).done();
    project.run(["operations", "list"]).done().says("abandoned");
    project.run(["doctor"]).done().says(&format!("no server works on operation `{token}` (provision)"));
    let cancelled = project.run(["operations", "cancel", &token]).done();
    cancelled.says(&format!("operation {token} is asked to stop: the next server ends it"));
    let server = Served::start(&project, &[]);
    assert_eq!(server.ended(&token)["status"], "TERMINATED");
    assert_eq!(log(&project), ["a", "b"]);
    assert!(!project.run(["doctor"]).done().stdout.contains("no server works"));
}

#[test]
fn it_runs_until_its_request_has_ended_whatever_was_found_out_of_its_steps() {
    let (project, token) = left();
    let server = Served::start(&project, &[]);
    let mut standings = Vec::new();
    until("it has ended", || {
        let operation = server.call("GET", &format!("/api/v1/operations/{token}"), "").json();
        let listed = server.call("GET", "/api/v1/operations?kind=provision", "").json()["items"][0].clone();
        standings.extend([operation["status"].clone(), listed["status"].clone()]);
        operation["ended_at"].is_string()
    });
    // It runs, and then it has ended: nothing else is told, and no end is taken back.
    let running = standings.iter().take_while(|standing| **standing == json!("running")).count();
    assert!(standings[running..].iter().all(|standing| *standing == json!("completed")), "{standings:?}");
    assert_eq!(server.status(&token)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b"], "each is made once");
}

#[test]
fn what_is_to_stop_has_stopped_once_what_it_began_has_ended() {
    let (project, server, token) = at_work();
    assert_eq!(server.call("DELETE", &format!("/v1/provision/{token}"), "").status, 202);
    server.kill();
    drop(server);
    let server = Served::start(&project, &[]);
    assert_eq!(server.status(&token)["status"], "TERMINATING");
    project.open_gate("gate-a");
    let status = server.ended(&token);
    assert_eq!(
        (&status["status"], &status["result"]),
        (&json!("TERMINATED"), &json!("stopped before the rest was applied")),
        "{status}"
    );
    let steps = server.call("GET", &format!("/api/v1/operations/{token}"), "").json()["steps"].clone();
    assert!(steps.as_array().unwrap().iter().all(|step| step["status"] != "open"), "{steps}");
    assert_eq!(log(&project), ["a", "b"]);
}

#[test]
fn request_that_three_servers_died_of_fails_and_says_why() {
    let (project, mut server, token) = at_work();
    for attempt in [2, 3] {
        server.kill();
        drop(server);
        server = Served::start(&project, &[]);
        let told = format!("attempt {attempt} of 3");
        until("the next server works on it", || {
            server.call("GET", &format!("/api/v1/operations/{token}/logs"), "").body.contains(&told)
        });
        assert_eq!(server.status(&token)["status"], "RUNNING");
    }
    server.kill();
    drop(server);
    let server = Served::start(&project, &[]);
    let status = server.ended(&token);
    assert_eq!(status["status"], "FAILED", "{status}");
    let result = status["result"].as_str().unwrap();
    assert!(result.starts_with("gave up: 3 server processes died while they worked on this request"), "{result}");
    assert!(result.contains("a memory limit"), "{result}");
    assert!(status["logs"].to_string().contains("gave up: 3 server processes died"), "{status}");
    // The next request finds out what became of the steps of this one.
    project.open_gate("gate-a");
    until("the program that outlived its servers has ended", || project.has("made-a"));
    let token = server.ask("/v1/provision", &product(&["a", "b"]));
    assert_eq!(server.ended(&token)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b"], "each is made once");
}

#[test]
fn orderly_shutdown_is_no_death_however_often() {
    let at_once = &["--drain", "0s"];
    let (project, mut server, token) = at_work_with(at_once);
    for _ in 0..4 {
        drop(server.stop());
        server = Served::start(&project, at_once);
        until("the next server works on it", || {
            let operation = server.call("GET", &format!("/api/v1/operations/{token}"), "").json();
            operation["status"] == "running"
        });
    }
    project.open_gate("gate-a");
    assert_eq!(server.ended(&token)["status"], "COMPLETED");
    let logs = server.call("GET", &format!("/api/v1/operations/{token}/logs"), "").body;
    assert!(!logs.contains("died while it worked"), "{logs}");
}
