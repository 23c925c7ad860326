//! Drift webhooks: a signed call that is retried.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use terrace_tests::served::Served;
use terrace_tests::{Peer, Project, until};

#[test]
fn drift_is_reported_once_accepted_and_signed() {
    // The first call fails.
    let peer = Peer::start(|_, before| (if before == 0 { 503 } else { 204 }, String::new()));
    let project = Project::new();
    let configuration = format!(
        "server: {{stacks: true, drift: {{webhook: {{url: '{}/hook?x=1', secret: '${{{{ env.HOOK }}}}'}}}}}}\n",
        peer.url
    );
    project.write("terrace.yaml", configuration);
    project.write(
        "stack.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources:\n  \
         - {type: local_file, name: a, config: {path: a.txt, content: told}}\n",
    );
    project.run_with(&[("HOOK", "a-secret")], ["apply", "stack.yaml", "--auto-approve"]).done();
    project.write("a.txt", "changed");
    let server = Served::start_with(&project, &[], &[("HOOK", "a-secret")]);
    let begun = server.call("POST", "/api/v1/drift", "{}").json();
    let operation = begun[0]["operation"].as_str().unwrap().to_owned();
    until("the webhook is called twice", || peer.calls().len() == 2);
    let [first, second] = <[_; 2]>::try_from(peer.calls()).unwrap();
    assert_eq!((&first.path, &first.body, &first.headers["webhook-id"]), (&second.path, &second.body, &operation));
    assert_eq!(first.path, "/hook?x=1");
    let body: serde_json::Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["stack"]), (&"drift.detected".into(), &"demo@local".into()));
    assert_eq!(body["data"]["drifted"][0]["address"], "local_file.a", "{body}");
    let sent = format!(
        "{}.{}.{}",
        second.headers["webhook-id"],
        second.headers["webhook-timestamp"],
        String::from_utf8(second.body.to_vec()).unwrap()
    );
    let signature = second.headers["webhook-signature"].strip_prefix("v1,").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a-secret");
    hmac::verify(&key, sent.as_bytes(), &BASE64_STANDARD.decode(signature).unwrap()).unwrap();
    // Without drift there is no call.
    project.write("a.txt", "told");
    let begun = server.call("POST", "/api/v1/drift", "{}").json();
    let operation = begun[0]["operation"].as_str().unwrap();
    let path = format!("/api/v1/operations/{operation}");
    until("the check has ended", || server.call("GET", &path, "").json()["status"] == "completed");
    let ran = server.stop();
    assert_eq!(peer.calls().len(), 2);
    assert!(!ran.stderr.contains("a-secret"), "{}", ran.stderr);
}

#[test]
fn invalid_webhook_is_refused_at_its_place() {
    let project = Project::new();
    project.write("terrace.yaml", "server:\n  drift:\n    webhook:\n      url: hooks\n      secret: hush\n");
    let ran = project.run(["serve"]).with_code(1);
    ran.prints("`url` cannot be called").prints("terrace.yaml:4:12").prints("https://hooks.example.com");
    assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
}
