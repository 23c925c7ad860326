//! Requests of a killed server, until another server continues them.

use crate::server::requests::{log, product, project};
use serde_json::json;
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

/// Starts a server that works on a request: one object is created, and the other one waits at its gate.
fn busy_server() -> (Project, Served, String) {
    busy_server_with(&[])
}

fn busy_server_with(more: &[&str]) -> (Project, Served, String) {
    let project = project();
    project.make_gate("gate-a");
    let server = Served::start(&project, more);
    let token = server.submit("/v1/provision", &product(&["a", "b"]));
    until("both are being made", || project.has("started-a") && project.has("made-b"));
    (project, server, token)
}

/// Starts and kills such a server, and lets its program end.
fn left() -> (Project, String) {
    let (project, server, token) = busy_server();
    server.kill();
    drop(server);
    project.open_gate("gate-a");
    until("the program that outlived it has ended", || project.has("made-a"));
    (project, token)
}

#[test]
fn abandoned_request_is_reported_and_the_next_server_cancels_it() {
    let (project, token) = left();
    let message = format!("no server works on operation `{token}`");
    project
        .run(["operations", "logs", "--follow", &token])
        .with_code(1)
        .prints(&message)
        .prints("start a server to continue it, or end it with `terrace operations cancel`");
    // Recovery settles the steps and leaves the request to a server.
    project.run(["recover", "--env", "test"]).done();
    project.run(["operations", "list"]).done().prints("abandoned");
    project.run(["doctor"]).done().prints(&format!("no server works on operation `{token}` (provision)"));
    let cancelled = project.run(["operations", "cancel", &token]).done();
    cancelled.prints(&format!("operation {token} will stop: the next server ends it"));
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&token)["status"], "TERMINATED");
    assert_eq!(log(&project), ["a", "b"]);
    assert!(!project.run(["doctor"]).done().stdout.contains("no server works"));
}

#[test]
fn continued_request_is_running_until_it_ends() {
    let (project, token) = left();
    let server = Served::start(&project, &[]);
    let mut standings = Vec::new();
    until("it has ended", || {
        let operation = server.call("GET", &format!("/api/v1/operations/{token}"), "").json();
        let listed = server.call("GET", "/api/v1/operations?kind=provision", "").json()["items"][0].clone();
        standings.extend([operation["status"].clone(), listed["status"].clone()]);
        operation["ended_at"].is_string()
    });
    // The status is `running`, then `completed`. There is no other status, and the end is final.
    let running = standings.iter().take_while(|standing| **standing == json!("running")).count();
    assert!(standings[running..].iter().all(|standing| *standing == json!("completed")), "{standings:?}");
    assert_eq!(server.status(&token)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b"], "each is created once");
}

#[test]
fn cancelled_request_stops_after_its_running_step() {
    let (project, server, token) = busy_server();
    assert_eq!(server.call("DELETE", &format!("/v1/provision/{token}"), "").status, 202);
    server.kill();
    drop(server);
    let server = Served::start(&project, &[]);
    assert_eq!(server.status(&token)["status"], "TERMINATING");
    project.open_gate("gate-a");
    let status = server.wait_for_end(&token);
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
fn request_that_killed_three_servers_fails_with_the_reason() {
    let (project, mut server, token) = busy_server();
    for attempt in [2, 3] {
        server.kill();
        drop(server);
        server = Served::start(&project, &[]);
        let expected = format!("attempt {attempt} of 3");
        until("the next server works on it", || {
            server.call("GET", &format!("/api/v1/operations/{token}/logs"), "").body.contains(&expected)
        });
        assert_eq!(server.status(&token)["status"], "RUNNING");
    }
    server.kill();
    drop(server);
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&token);
    assert_eq!(status["status"], "FAILED", "{status}");
    let result = status["result"].as_str().unwrap();
    assert!(result.starts_with("gave up: 3 server processes died while they worked on this request"), "{result}");
    assert!(result.contains("a memory limit"), "{result}");
    assert!(status["logs"].to_string().contains("gave up: 3 server processes died"), "{status}");
    // The next request settles the steps of this one.
    project.open_gate("gate-a");
    until("the program that outlived its servers has ended", || project.has("made-a"));
    let token = server.submit("/v1/provision", &product(&["a", "b"]));
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b"], "each is made once");
}

#[test]
fn orderly_shutdown_never_counts_as_a_crash() {
    let at_once = &["--drain", "0s"];
    let (project, mut server, token) = busy_server_with(at_once);
    for _ in 0..4 {
        drop(server.stop());
        server = Served::start(&project, at_once);
        until("the next server works on it", || {
            let operation = server.call("GET", &format!("/api/v1/operations/{token}"), "").json();
            operation["status"] == "running"
        });
    }
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    let logs = server.call("GET", &format!("/api/v1/operations/{token}/logs"), "").body;
    assert!(!logs.contains("died while it worked"), "{logs}");
}
