//! Sign-in to a server with the device grant, against a small issuer.

use super::queued::Queued;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;
use terrace_tests::issuer::{APPLICATION_SECRET, CLIENT, Issuer, Poll, SECRET, Shape, USER_CODE};
use terrace_tests::served::Served;
use terrace_tests::{Project, Ran, Running};

/// A server that trusts an issuer, and a user.
struct World {
    issuer: Issuer,
    server: Served,
    queued: Queued,
    home: TempDir,
}

impl World {
    fn new(shape: Shape) -> Self {
        let issuer = Issuer::start(shape);
        let sign_in = match shape {
            Shape::Google => {
                format!("{{clientId: {CLIENT}, publicClientSecret: {SECRET}, token: id, scopes: [openid]}}")
            }
            Shape::OpenId | Shape::GitHub => format!("{{clientId: {CLIENT}}}"),
        };
        Self::with(issuer, &format!(", signIn: {sign_in}"))
    }

    fn with(issuer: Issuer, more: &str) -> Self {
        let auth = format!("mode: oidc, issuer: '{}', audience: terrace{more}", issuer.url());
        Self::with_auth(issuer, Queued::new(), &auth)
    }

    /// A server that trusts an application at GitHub.
    fn with_github(roles: &str) -> Self {
        let issuer = Issuer::start(Shape::GitHub);
        let url = issuer.url();
        let auth = format!(
            "mode: github, url: '{url}', clientId: {CLIENT}, clientSecret: {APPLICATION_SECRET}, roles: {{{roles}}}"
        );
        Self::with_auth(issuer, Queued::with_cluster("1"), &auth)
    }

    fn with_auth(issuer: Issuer, queued: Queued, auth: &str) -> Self {
        queued.project.write("terrace.yaml", format!("server: {{auth: {{{auth}}}}}\n"));
        let caches = queued.caches.path().display().to_string();
        let server = Served::start_with(&queued.project, &[], &[("XDG_CACHE_HOME", caches.as_str())]);
        Self { issuer, server, queued, home: tempfile::tempdir().unwrap() }
    }

    fn start(&self, words: &[&str]) -> Running {
        let mut command = self.queued.command(words);
        command.current_dir(self.home.path()).env("TERRACE_SERVER", self.server.url());
        command.env("XDG_CONFIG_HOME", self.home.path());
        self.queued.project.start(command)
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.start(words).finish()
    }

    fn login(&self) -> Ran {
        self.run(&["pipelines", "login"])
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("terrace/sign-ins.json")
    }

    fn refreshes(&self) -> usize {
        self.issuer.forms("/token").iter().filter(|form| form["grant_type"] == "refresh_token").count()
    }
}

#[test]
fn user_signs_in_with_a_code_and_out_again() {
    let world = World::new(Shape::OpenId);
    world.run(&["pipelines", "list"]).with_code(4).prints("the server needs a token");
    world.run(&["doctor"]).with_code(1).prints("fail  server of pipelines: the server needs a token");
    world.issuer.behaviour().polls = [Poll::Pending].into();
    let signed_in = world.login().done();
    signed_in.prints(&format!("open {}/activate in a browser, and enter the code {USER_CODE}", world.issuer.url()));
    assert_eq!(signed_in.stdout, format!("signed in to {}\n", world.server.url()));
    assert_eq!(world.issuer.forms("/device")[0]["scope"], "openid offline_access");
    assert_eq!(world.issuer.forms("/token").len(), 2, "one poll was too early");
    let mode = |path: &PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&world.file()), mode(&world.home.path().join("terrace"))), (0o600, 0o700));
    world.run(&["pipelines", "list"]).done().prints("./quick");
    assert_eq!(world.refreshes(), 0, "the token is valid");
    world.run(&["doctor"]).done().prints("ok    server of pipelines: ").prints("answers, and accepts the token");
    world.queued.run(&["doctor"]).prints("ok    sign-in of people: ").prints("/device starts it");
    // The variable has priority.
    let mut command = world.queued.command(&["pipelines", "list"]);
    command.env("TERRACE_SERVER", world.server.url()).env("TERRACE_TOKEN", "another-token");
    command.env("XDG_CONFIG_HOME", world.home.path());
    let refused = world.queued.project.start(command).finish().with_code(4);
    refused
        .prints("the token is not a JWT")
        .prints("correct or unset TERRACE_TOKEN, which has priority over a sign-in");
    // The audit log has the user and the issuer.
    let usage = world.queued.run(&["audit", "usage"]).done().stdout;
    let last = usage.lines().rfind(|line| line.contains("\"done\"")).unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["user"], &last["auth_provider"]), (&json!("ada"), &json!(world.issuer.url())));
    assert!(last["client_version"].as_str().unwrap().starts_with("terrace/"), "{last}");
    // Other users of the machine must not read the tokens.
    std::fs::set_permissions(world.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    world.run(&["pipelines", "list"]).with_code(1).prints("are open to other users of this machine: ");
    std::fs::set_permissions(world.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let signed_out = world.run(&["pipelines", "logout"]).done();
    assert_eq!(signed_out.stdout, format!("signed out of {}\n", world.server.url()));
    assert_eq!(world.issuer.forms("/revoke")[0]["token"], "refresh-1");
    assert!(!std::fs::read_to_string(world.file()).unwrap().contains("refresh-1"));
    world.run(&["pipelines", "list"]).with_code(4).prints("the server needs a token");
    world.run(&["pipelines", "logout"]).done().prints("not signed in to ");
}

#[test]
fn user_signs_in_with_google() {
    let world = World::new(Shape::Google);
    world.issuer.behaviour().polls = [Poll::Pending].into();
    world.login().done().prints(USER_CODE);
    world.run(&["pipelines", "list"]).done().prints("./quick");
}

#[test]
fn user_signs_in_with_github_and_runs_a_pipeline() {
    let world = World::with_github("acme: read, acme/data-engineers: apply");
    world.queued.run(&["doctor"]).prints("ok    issuer of tokens: ");
    world.issuer.behaviour().polls = [Poll::Denied].into();
    world.login().with_code(4).prints("it was denied in the browser");
    // A person without a role.
    world.issuer.behaviour().github.login = "Eve".to_owned();
    world.login().with_code(4).prints("the token of `Eve` has no role of this server");
    assert!(!world.file().exists());
    {
        let github = &mut world.issuer.behaviour().github;
        github.login = "Ada".to_owned();
        github.organisations = vec![("one", "active"), ("two", "active"), ("Acme", "active")];
        github.teams = vec![("one", "a"), ("two", "b"), ("Acme", "data-engineers")];
    }
    world.issuer.behaviour().polls = [Poll::Pending].into();
    let signed_in = world.login().done();
    signed_in.prints(&format!("/activate in a browser, and enter the code {USER_CODE}"));
    assert_eq!(signed_in.stdout, format!("signed in to {}\n", world.server.url()));
    assert_eq!(world.issuer.forms("/login/device/code")[0]["scope"], "read:org");
    world.run(&["pipelines", "run", "./quick"]).done().prints("./quick: SUCCESS");
    let usage = world.queued.run(&["audit", "usage"]).done().stdout;
    let mut entries = usage.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let run = entries.rfind(|entry| entry["user"] == "Ada" && entry["outcome"] == "accepted").unwrap();
    assert_eq!((&run["auth_provider"], &run["org"]), (&json!(world.issuer.url()), &json!("acme")), "{run}");
    let signed_out = world.run(&["pipelines", "logout"]).done();
    signed_out
        .prints("warning: the tokens stay valid until you revoke them at their issuer: terrace cannot revoke tokens");
}

#[test]
fn expiring_tokens_of_github_are_renewed() {
    let world = World::with_github("\"@ada\": apply");
    world.issuer.behaviour().github.login = "ada".to_owned();
    world.issuer.behaviour().lifetime = Some(1);
    world.login().done();
    assert!(!world.issuer.forms("/login/device/code")[0].contains_key("scope"), "people need no scope");
    world.run(&["pipelines", "list"]).done().prints("./quick");
    let renewal = world.issuer.forms("/login/oauth/access_token").pop().unwrap();
    assert_eq!(renewal["grant_type"], "refresh_token");
}

#[test]
fn refused_sign_in_stores_nothing() {
    let world = World::new(Shape::OpenId);
    for (poll, words) in [
        (Poll::Denied, "the issuer refuses the sign-in: it was denied in the browser"),
        (Poll::Expired, "the code of the sign-in has expired"),
    ] {
        world.issuer.behaviour().polls = [poll].into();
        world.login().with_code(4).prints(words);
        assert!(!world.file().exists());
    }
    // Tokens that the server does not accept are not stored.
    world.issuer.behaviour().claims = json!({"aud": "another"});
    let refused = world.login().with_code(4);
    refused.prints("the server does not accept the token: ").prints("check `server.auth` with `terrace doctor`");
    world.issuer.behaviour().claims = json!({"roles": []});
    world.login().with_code(4).prints("has no role of this server");
    assert!(!world.file().exists());
}

#[test]
fn slow_down_makes_polls_slower() {
    let world = World::new(Shape::OpenId);
    world.issuer.behaviour().polls = [Poll::SlowDown].into();
    let begun = std::time::Instant::now();
    world.login().done();
    assert!(begun.elapsed().as_secs() >= 6, "{:?}", begun.elapsed());
}

#[test]
fn expired_tokens_are_renewed_once_by_commands_at_the_same_time() {
    let world = World::new(Shape::OpenId);
    world.issuer.behaviour().lifetime = Some(1);
    world.login().done();
    // Each refresh token is valid once: commands that used the same one would fail.
    let commands: Vec<Running> = (0..4).map(|_| world.start(&["pipelines", "list"])).collect();
    for command in commands {
        command.finish().done().prints("./quick");
    }
    assert_eq!(world.refreshes(), 4);
    world.issuer.behaviour().lifetime = Some(600);
    world.run(&["pipelines", "list"]).done();
    world.run(&["pipelines", "list"]).done();
    assert_eq!(world.refreshes(), 5, "the new token is stored");
    // The issuer forgot the refresh token.
    world.issuer.behaviour().lifetime = Some(1);
    world.login().done();
    let text = std::fs::read_to_string(world.file()).unwrap();
    std::fs::write(world.file(), text.replace("\"refresh-", "\"old-")).unwrap();
    let refused = world.run(&["pipelines", "list"]).with_code(4);
    refused.prints("the stored sign-in cannot be used: the issuer refuses the sign-in: invalid_grant");
    refused.prints("sign in with `terrace pipelines login --server ");
    // Without a refresh token, the sign-in ends with its token.
    let text = std::fs::read_to_string(world.file()).unwrap();
    let mut content: serde_json::Value = serde_json::from_str(&text).unwrap();
    content["servers"][world.server.url()].as_object_mut().unwrap().remove("refresh_token");
    std::fs::write(world.file(), content.to_string()).unwrap();
    world.run(&["pipelines", "list"]).with_code(4).prints("the sign-in has expired");
}

#[test]
fn wrong_issuer_is_refused_before_a_code_is_shown() {
    let world = World::new(Shape::OpenId);
    world.issuer.behaviour().named = Some("https://evil.example.com".to_owned());
    let refused = world.login().with_code(1);
    refused.prints("belongs to the issuer `https://evil.example.com`");
    assert!(!refused.stderr.contains(USER_CODE) && world.issuer.forms("/device").is_empty(), "{refused}");
    // A server without a client for people.
    let world = World::with(Issuer::start(Shape::OpenId), "");
    world.login().with_code(1).prints("this server names no issuer").prints("set TERRACE_TOKEN");
    // A client that the issuer does not know.
    let world = World::with(Issuer::start(Shape::OpenId), ", signIn: {clientId: other}");
    world.login().with_code(4).prints("the issuer refuses the sign-in: invalid_client");
}

#[test]
fn sign_in_settings_are_checked_with_their_place() {
    for (settings, words) in [
        ("{}", "`clientId`"),
        ("{clientId: a, tokenUrl: 'https://a/t'}", "names one address of the issuer, and not the other"),
        ("{clientId: a, tokenUrl: 'http://a/t', deviceAuthorizationUrl: 'https://a/d'}", "`tokenUrl` cannot be called"),
        ("{clientId: a, token: both}", "`token`"),
        ("{clientID: a}", "clientID"),
    ] {
        let project = Project::new();
        let auth = format!("{{mode: oidc, issuer: 'https://login.example.com', audience: a, signIn: {settings}}}");
        project.write("terrace.yaml", format!("server:\n  auth: {auth}\n"));
        project.run(["serve", "--bind", "127.0.0.1:0"]).with_code(1).prints(words).prints("terrace.yaml:2:");
    }
}
