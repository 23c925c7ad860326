//! A state is rekeyed while requests wait in its queue: no request is lost, and repeated requests are recognised.

use crate::server::replicas::shared_project;
use crate::server::requests::{log, product, project, with_selected};
use serde_json::json;
use terrace_tests::served::{Answer, Served, request};
use terrace_tests::{Project, Ran, snapshot, until};

const OLD: (&str, &str) = ("TERRACE_STATE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
const NEW: (&str, &str) = ("TERRACE_STATE_KEY", "//////////////////////////////////////////8=");
const KEYED: [(&str, &str); 1] = [("idempotency-key", "mine")];

fn submit_keyed(server: &Served, component: &str) -> Answer {
    let body = request("COMPONENT_DESCRIPTOR", &with_selected(component, &["a", "b"]), false);
    server.call_with("POST", "/v1/provision", body, &KEYED)
}

/// Leaves the request for `b` in the queue of a stopped server, and returns its token.
fn leave_queued_request(project: &Project, variables: &[(&str, &str)]) -> String {
    let server = Served::start_with(project, &["--workers", "1"], variables);
    project.make_gate("gate-a");
    let busy = server.submit("/v1/provision", &with_selected("a", &["a", "b"]));
    until("the request runs", || project.has("started-a"));
    let waiting = submit_keyed(&server, "b");
    assert_eq!(waiting.status, 202, "{waiting:?}");
    assert_ne!(waiting.body, busy);
    server.terminate();
    project.open_gate("gate-a");
    let _ = server.finish();
    assert_eq!(log(project), ["a"]);
    waiting.body
}

fn rekey(project: &Project, old: &[&str]) -> Ran {
    let configuration = project.read("terrace.yaml");
    let previous: Vec<String> = (0..old.len()).map(|number| format!("{{keyFile: old-{number}.key}}")).collect();
    for (number, key) in old.iter().enumerate() {
        project.write(&format!("old-{number}.key"), key);
    }
    project.write("terrace.yaml", format!("{configuration}encryption: {{previous: [{}]}}\n", previous.join(", ")));
    let ran = project.run_with(&[NEW], ["state", "rekey"]);
    project.write("terrace.yaml", configuration);
    ran
}

fn check_queued_request_is_rekeyed(project: &Project) {
    let token = leave_queued_request(project, &[OLD]);
    rekey(project, &[OLD.1]).done();
    // The old key is configured nowhere now.
    let server = Served::start_with(project, &["--workers", "1"], &[NEW]);
    let again = submit_keyed(&server, "b");
    assert_eq!((again.status, again.body.as_str()), (202, token.as_str()), "the same request is known by its key");
    assert_eq!(submit_keyed(&server, "a").status, 422, "another request is refused");
    let status = server.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(log(project), ["a", "b"]);
}

#[test]
fn request_queued_in_a_file_is_rekeyed() {
    check_queued_request_is_rekeyed(&project());
}

#[test]
fn request_queued_in_a_database_is_rekeyed() {
    check_queued_request_is_rekeyed(&shared_project());
}

#[test]
fn unsealed_queued_request_is_sealed_with_the_first_key() {
    let project = project();
    let token = leave_queued_request(&project, &[]);
    rekey(&project, &[]).done().prints("2 records are sealed with the present key");
    let server = Served::start_with(&project, &[], &[NEW]);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
}

#[test]
fn unsealed_request_is_refused_after_the_first_key() {
    let project = project();
    let token = leave_queued_request(&project, &[]);
    let server = Served::start_with(&project, &[], &[NEW]);
    until("the refusal is logged", || server.stderr().contains("`terrace state rekey` seals it"));
    assert_ne!(server.call("GET", &format!("/v1/provision/{token}/status"), "").json()["status"], "COMPLETED");
    assert_eq!(log(&project), ["a"]);
}

#[test]
fn older_plan_is_applied_while_its_key_is_known() {
    let project = project();
    let configuration = project.read("terrace.yaml");
    let body = json!({"descriptor": product(&["a"])}).to_string();
    let server = Served::start_with(&project, &[], &[OLD]);
    let plan = server.call_with("POST", "/api/v1/plans", &body, &KEYED);
    assert_eq!(plan.status, 200, "{plan:?}");
    let id = plan.json()["id"].as_str().unwrap().to_owned();
    let _ = server.stop();
    rekey(&project, &[OLD.1]).done();
    let apply = |server: &Served| {
        let known = server.call_with("POST", "/api/v1/plans", &body, &KEYED);
        assert_eq!(known.json()["id"], id.as_str(), "{known:?}");
        let begun = server.call("POST", &format!("/api/v1/plans/{id}/apply"), "");
        assert_eq!(begun.status, 202, "{begun:?}");
        let path = format!("/api/v1/operations/{}", begun.json()["operation"].as_str().unwrap());
        let operation = || server.call("GET", &path, "").json();
        until("it ends", || !["queued", "running"].contains(&operation()["status"].as_str().unwrap()));
        operation()
    };
    // Without the old key, the server cannot compare sensitive values.
    let server = Served::start_with(&project, &[], &[NEW]);
    let refused = apply(&server);
    assert_eq!(refused["status"], "failed", "{refused}");
    assert!(refused["summary"].as_str().unwrap().contains("plan again"), "{refused}");
    let _ = server.stop();
    assert!(!project.has("log"));
    project.write("terrace.yaml", format!("{configuration}encryption: {{previous: [{{keyFile: old-0.key}}]}}\n"));
    let server = Served::start_with(&project, &[], &[NEW]);
    let applied = apply(&server);
    assert_eq!(applied["status"], "completed", "{applied}");
    assert_eq!(log(&project), ["a"]);
}

#[test]
fn ended_request_is_recognised_while_its_key_is_known() {
    let project = project();
    let server = Served::start_with(&project, &[], &[OLD]);
    let token = submit_keyed(&server, "a").body;
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    let _ = server.stop();
    let configuration = project.read("terrace.yaml");
    project.write("old.key", OLD.1);
    project.write("terrace.yaml", format!("{configuration}encryption: {{previous: [{{keyFile: old.key}}]}}\n"));
    let server = Served::start_with(&project, &[], &[NEW]);
    assert_eq!(submit_keyed(&server, "a").body, token, "before the state is sealed again");
    project.run_with(&[NEW], ["state", "rekey"]).done();
    assert_eq!(submit_keyed(&server, "a").body, token, "and after it");
    let _ = server.stop();
    project.write("terrace.yaml", configuration);
    let server = Served::start_with(&project, &[], &[NEW]);
    assert_eq!(submit_keyed(&server, "a").status, 422, "without the old key requests cannot be compared");
}

#[test]
fn rekey_is_refused_if_a_queued_request_cannot_be_opened() {
    let project = project();
    // The request is the only sealed record.
    project.edit("make.sh", "echo $1 >> log\n", "echo $1 >> log\nif [ $1 = a ]; then exit 1; fi\n");
    let token = leave_queued_request(&project, &[OLD]);
    let refused = rekey(&project, &[]);
    snapshot!(refused, @"
    exit: 1
    --- stderr
    error: the request of operation [uuid] cannot be opened: a sealed value cannot be opened: it was sealed with state key f70b65e4, which is not configured

    hint: add the key that it was sealed with to `encryption.previous`
    hint: if that key is lost, run `terrace operations cancel [uuid]`: a server then ends the operation
    ");
    // A server without the key does not start the request, and can cancel it.
    project.run(["operations", "cancel", &token]).done();
    let server = Served::start_with(&project, &[], &[NEW]);
    assert_eq!(server.wait_for_end(&token)["status"], "TERMINATED");
    let _ = server.stop();
    assert_eq!(log(&project), ["a"]);
    rekey(&project, &[]).done();
}

#[test]
fn server_with_only_the_old_key_leaves_requests_to_others() {
    let project = project();
    let token = leave_queued_request(&project, &[OLD]);
    rekey(&project, &[OLD.1]).done();
    // The request had many claims for another reason.
    let state = rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
    assert_eq!(state.execute("UPDATE request SET fence = 100 WHERE result IS NULL", []).unwrap(), 1);
    drop(state);
    let old = Served::start_with(&project, &[], &[OLD]);
    until("the server checks the queue", || old.stderr().contains("cannot run a request now"));
    assert!(old.stderr().contains("which is not configured"), "{}", old.stderr());
    // The server fails a new request if it needs sealed records.
    let status = old.wait_for_end(&old.submit("/v1/unprovision", &with_selected("a", &["a", "b"])));
    assert_eq!(status["status"], "FAILED", "{status}");
    assert!(status["result"].as_str().unwrap().contains("which is not configured"), "{status}");
    assert!(project.has("made-a"));
    assert_eq!(old.status(&token)["status"], "RUNNING");
    old.kill();
    drop(old);
    let server = Served::start_with(&project, &[], &[NEW]);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b"]);
}
