//! Results of deployments at the forge of the program.

use super::{MAIN, World};
use serde_json::Value;
use terrace_tests::Peer;

/// A world that reports to a forge, which fails at first.
fn reporting(forge: &str, repository: &str) -> (World, Peer) {
    let peer = Peer::start(|_, before| if before == 0 { (502, String::new()) } else { (201, "{}".to_owned()) });
    let world = World::new(MAIN);
    let status = format!("  status: {{forge: {forge}, url: '{}', repository: {repository}}}\n", peer.url);
    world.describe(&status, MAIN);
    (world, peer)
}

/// Deploys until the forge has the result, and once more. Returns path, token and body of the last call.
fn reported(world: &World, peer: &Peer, code: i32, header: &str) -> (String, String, Value) {
    let deploy = || {
        let mut command = world.command(&["pipelines", "deploy"]);
        command.env("GITHUB_TOKEN", "forge-secret").env("GITLAB_TOKEN", "forge-secret");
        let ran = world.pipelines.project.start(command).finish();
        assert!(!format!("{ran}").contains("forge-secret"), "{ran}");
        ran
    };
    deploy().with_code(code);
    if peer.calls().len() == 1 {
        // The next poll reports again.
        deploy().done();
    }
    let calls = peer.calls();
    let last = calls.last().unwrap();
    deploy().done().prints("no new commits");
    assert_eq!(peer.calls().len(), calls.len(), "a result is reported once");
    for (name, content) in world.pipelines.project.all_files() {
        assert!(!content.windows(12).any(|bytes| bytes == b"forge-secret"), "{name} has the token");
    }
    (last.path.clone(), last.headers[header].clone(), serde_json::from_slice(&last.body).unwrap())
}

#[test]
fn success_is_a_check_at_github() {
    let (world, peer) = reporting("github", "acme/orders");
    let commit = world.git("app", &["rev-parse", "HEAD"]);
    let (path, token, body) = reported(&world, &peer, 0, "authorization");
    assert_eq!((path.as_str(), token.as_str()), ("/repos/acme/orders/check-runs", "Bearer forge-secret"));
    assert_eq!((&body["head_sha"], &body["conclusion"]), (&commit.into(), &"success".into()));
    assert_eq!(body["name"], "terrace: ./load in staging");
}

#[test]
fn failure_is_a_check_with_its_reason_at_github() {
    let (world, peer) = reporting("github", "acme/orders");
    world.write("fail-step", "");
    let (_, _, body) = reported(&world, &peer, 3, "authorization");
    assert_eq!(body["conclusion"], "failure");
    let title = body["output"]["title"].as_str().unwrap();
    assert!(title.starts_with("./load: ") && title.contains("the table is missing"), "{title}");
    assert!(body["output"]["summary"].as_str().unwrap().contains("- image: `r.example.com/orders@sha256:"), "{body:#}");
}

#[test]
fn success_is_a_status_at_gitlab() {
    let (world, peer) = reporting("gitlab", "data/orders");
    let commit = world.git("app", &["rev-parse", "HEAD"]);
    let (path, token, body) = reported(&world, &peer, 0, "private-token");
    assert_eq!((path, token.as_str()), (format!("/projects/data%2Forders/statuses/{commit}"), "forge-secret"));
    assert_eq!((&body["state"], &body["name"]), (&"success".into(), &"terrace: ./load in staging".into()));
    assert!(body["description"].as_str().unwrap().starts_with("deployed: run "), "{body:#}");
}

#[test]
fn failure_is_a_status_with_its_reason_at_gitlab() {
    let (world, peer) = reporting("gitlab", "data/orders");
    world.write("fail-step", "");
    let (_, _, body) = reported(&world, &peer, 3, "private-token");
    assert_eq!(body["state"], "failed");
    assert!(body["description"].as_str().unwrap().contains("the table is missing"), "{body:#}");
}
