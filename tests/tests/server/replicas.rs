//! Several servers on one state: one server finishes the work of another, and nothing is done twice.

use crate::server::requests::{log, messages, product, project, with_selected};
use std::time::{Duration, Instant};
use terrace_state::contract::cluster::{Cluster, connect};
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

/// Creates a project with its own state in PostgreSQL.
pub(crate) fn shared_project() -> Project {
    project_and_state().0
}

/// Creates the project, and returns the URL of its state too.
fn project_and_state() -> (Project, String) {
    let project = project();
    let url = tokio::runtime::Runtime::new().unwrap().block_on(Cluster::shared().database());
    project.write("terrace.yaml", format!("state: '{url}'\nenvironments: {{test: {{}}}}\n"));
    (project, url)
}

#[test]
fn request_of_a_killed_server_is_finished_by_another() {
    let project = shared_project();
    project.make_gate("gate-a");
    let first = Served::start(&project, &[]);
    let token = first.submit("/v1/provision", &product(&["a"]));
    until("the creation runs", || project.has("started-a"));
    let second = Served::start(&project, &[]);
    assert_eq!(second.status(&token)["status"], "RUNNING", "any server knows the token");
    first.kill();
    drop(first);
    project.open_gate("gate-a");
    let status = second.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert!(messages(&status).contains("recover "), "{status}");
    assert_eq!(log(&project), ["a"], "it is made once");
}

/// Does the same from another machine, where a dead server looks suspended and the object may still appear.
fn came_to_nothing_elsewhere((project, state): &(Project, String)) -> String {
    let token = killed_without_effect(project);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        connect(state).await.execute("UPDATE intent SET boot = 'another machine'", &[]).await.unwrap();
    });
    token
}

/// Kills a server while it creates `a`, before any effect, and returns the request.
fn killed_without_effect(project: &Project) -> String {
    project.make_gate("gate-a");
    let first = Served::start(project, &[]);
    let token = first.submit("/v1/provision", &product(&["a"]));
    until("the creation runs", || project.has("started-a"));
    first.kill();
    drop(first);
    project.write("in-vain", "");
    project.open_gate("gate-a");
    until("it comes to nothing", || !project.has("gate-a"));
    token
}

/// The call may take ten minutes, but its server is known to be dead. Only its claim has to expire.
#[test]
fn killed_server_is_replaced_within_recovery_objective() {
    let project = shared_project();
    let token = killed_without_effect(&project);
    let killed = Instant::now();
    let second = Served::start(&project, &[]);
    let status = second.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert!(killed.elapsed() < Duration::from_secs(45), "{:?}", killed.elapsed());
    assert_eq!(log(&project), ["a"], "it is made once");
}

/// A suspended server is not dead: no other server settles its step before the call's timeout.
#[cfg(target_os = "linux")]
#[test]
fn suspended_server_keeps_its_step() {
    let (project, state) = &project_and_state();
    project.make_gate("gate-a");
    let first = Served::start(project, &[]);
    let token = first.submit("/v1/provision", &product(&["a"]));
    until("the creation runs", || project.has("started-a"));
    // A server that cannot record the process of a call stops the process.
    until("its process is recorded", || has_recorded_process(state));
    first.suspend();
    let second = Served::start(project, &[]);
    let waiting = "queue waiting: finance.cash.0@test:a/local_command.made";
    until("it waits", || messages(&second.status(&token)).contains(waiting));
    first.resume();
    project.open_gate("gate-a");
    // If its program was stopped at the gate, the next one finds no gate.
    std::fs::remove_file(project.path("gate-a")).unwrap();
    let status = second.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(log(project), ["a"], "it is made once");
}

/// True if a step in progress has private state, which for a command is its process.
#[cfg(target_os = "linux")]
fn has_recorded_process(state: &str) -> bool {
    let query = "SELECT 1 FROM intent WHERE private IS NOT NULL";
    let recorded = async { connect(state).await.query(query, &[]).await.unwrap() };
    tokio::runtime::Runtime::new().unwrap().block_on(recorded).len() == 1
}

#[test]
fn request_waits_until_an_interrupted_call_cannot_take_effect() {
    let place = project_and_state();
    let project = &place.0;
    let blueprint =
        project.read("blueprints/thing.yaml").replace("name: made\n", "name: made\n    timeouts: {create: 25s}\n");
    project.write("blueprints/thing.yaml", blueprint);
    let token = came_to_nothing_elsewhere(&place);
    let second = Served::start(project, &[]);
    let waiting = "queue waiting: finance.cash.0@test:a/local_command.made: an interrupted call may still take effect";
    until("it waits", || messages(&second.status(&token)).contains(waiting));
    let status = second.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(messages(&status).matches("queue waiting: ").count(), 1, "{status}");
    assert_eq!(log(project), ["a"]);
}

#[test]
fn request_waiting_for_an_interrupted_call_can_be_terminated() {
    let place = project_and_state();
    let project = &place.0;
    let token = came_to_nothing_elsewhere(&place);
    let second = Served::start(project, &[]);
    let is_waiting =
        || messages(&second.status(&token)).contains("queue waiting: finance.cash.0@test:a/local_command.made: ");
    until("it waits", is_waiting);
    assert_eq!(second.call("DELETE", &format!("/v1/provision/{token}"), "").status, 202);
    // The interrupted call could still take effect for ten minutes.
    let output = second.wait_for_end(&token);
    assert_eq!(output["status"], "TERMINATED");
    let left = "the outcome of finance.cash.0@test:a/local_command.made is in doubt";
    assert!(output["result"].as_str().unwrap().contains(left), "{output}");
    assert!(!project.has("log"));
}

#[test]
fn request_waiting_too_long_for_an_interrupted_call_fails() {
    let place = project_and_state();
    let project = &place.0;
    let token = came_to_nothing_elsewhere(&place);
    let second = Served::start(project, &["--lock-timeout", "3s"]);
    let output = second.wait_for_end(&token);
    assert_eq!(output["status"], "FAILED", "{output}");
    let output = output.to_string();
    assert!(output.contains("finance.cash.0@test:a/local_command.made"), "{output}");
    assert!(output.contains("may still take effect"), "{output}");
    assert!(!project.has("log"));
}

#[test]
fn many_components_on_all_servers_are_each_created_once() {
    let project = shared_project();
    let servers = [(); 3].map(|()| Served::start(&project, &["--workers", "4"]));
    let names: Vec<String> = (0..200).map(|number| format!("c{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let requests = names.iter().zip(servers.iter().cycle());
    let tokens: Vec<String> =
        requests.map(|(name, server)| server.submit("/v1/provision", &with_selected(name, &[name]))).collect();
    for (token, server) in tokens.iter().zip(servers.iter().rev().cycle()) {
        let status = server.wait_for_end(token);
        assert_eq!(status["status"], "COMPLETED", "{status}");
    }
    assert_eq!(log(&project), names);
}
