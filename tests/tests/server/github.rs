//! Callers with tokens of an application at GitHub, and answers of GitHub that admit no caller.

use serde_json::Value as Json;
use terrace_tests::issuer::{APPLICATION_SECRET, CLIENT, Issuer, Shape};
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

/// The scope that shows organisations and teams.
const SCOPE: &str = "read:org";
/// The answer while tokens cannot be checked.
const LATER: &str = "the server cannot check tokens of GitHub now: try again later";

/// GitHub, and a server with an application there.
struct World {
    issuer: Issuer,
    server: Served,
    project: Project,
}

impl World {
    fn new(more: &str) -> Self {
        Self::with_secret(APPLICATION_SECRET, more)
    }

    fn with_secret(secret: &str, more: &str) -> Self {
        let issuer = Issuer::start(Shape::GitHub);
        let project = Project::new();
        let auth = format!("mode: github, url: '{}', clientId: {CLIENT}, clientSecret: {secret}", issuer.url());
        project.write("terrace.yaml", format!("server: {{auth: {{{auth}, {more}}}}}\n"));
        let server = Served::start(&project, &[]);
        issuer.behaviour().github.login = "Ada".to_owned();
        Self { issuer, server, project }
    }

    /// A token of an application.
    fn token(&self, application: &str) -> String {
        self.issuer.behaviour().github.issue(application, SCOPE)
    }

    /// Status and detail of a changing call of a plan that does not exist.
    fn call(&self, token: &str) -> (u16, String) {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let answer = self.server.call_with("POST", "/api/v1/plans/0/apply", "", &headers);
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    }

    fn refused(&self, token: &str, status: u16, why: &str) {
        let (found, detail) = self.call(token);
        assert!(found == status && detail.contains(why), "{found} {detail}");
    }
}

#[test]
fn roles_of_people_organisations_and_teams_are_compared_without_case() {
    let world = World::new("roles: {\"@ADA\": plan, Acme: read, acme/Data-Engineers: apply}");
    let person = world.token(CLIENT);
    world.refused(&person, 403, "the token of `Ada` has the scope `plan`, and this call needs `apply`");
    world.issuer.behaviour().github.organisations = vec![("one", "active"), ("acme", "pending"), ("two", "active")];
    world.issuer.behaviour().github.login = "Bob".to_owned();
    world.refused(&world.token(CLIENT), 403, "the token of `Bob` has no role of this server");
    world.issuer.behaviour().github.organisations.push(("ACME", "active"));
    world.refused(&world.token(CLIENT), 403, "the token of `Bob` has the scope `read`");
    let teams = vec![("one", "data-engineers"), ("two", "b"), ("one", "c"), ("acme", "data-engineers")];
    world.issuer.behaviour().github.teams = teams;
    // 404: the caller is authorised, and the plan does not exist.
    assert_eq!(world.call(&world.token(CLIENT)).0, 404);
    // All callers see how to sign in.
    let offer = world.server.call("GET", "/api/v1/sign-in", "");
    assert_eq!(offer.json()["scopes"], Json::from(vec![SCOPE]));
    assert!(offer.body.contains("/login/device/code") && !offer.body.contains(APPLICATION_SECRET), "{offer:?}");
}

#[test]
fn token_of_another_application_is_refused() {
    let world = World::new("roles: {\"@ada\": apply}");
    let foreign = "the token does not belong to the application of this server at GitHub";
    world.refused(&world.token("another-application"), 401, foreign);
    world.refused("ghp_apersonalaccesstoken", 401, foreign);
    world.refused(&"a".repeat(2000), 401, "the token does not have the form of a token of GitHub");
    assert_eq!(world.call(&world.token(CLIENT)).0, 404);
}

#[test]
fn token_without_the_scope_of_roles_is_refused() {
    let world = World::new("roles: {acme: apply}");
    let token = world.issuer.behaviour().github.issue(CLIENT, "");
    world.refused(&token, 401, "it needs the scope `read:org`");
}

#[test]
fn revoked_token_is_refused_after_the_cache_time() {
    let roles = "roles: {\"@ada\": apply}";
    let (kept, short) = (World::new(&format!("{roles}, cache: 1h")), World::new(&format!("{roles}, cache: 1s")));
    let tokens = [&kept, &short].map(|world| world.token(CLIENT));
    for (world, token) in [&kept, &short].into_iter().zip(&tokens) {
        assert_eq!(world.call(token).0, 404);
        world.issuer.behaviour().github.revoke();
    }
    until("the revoked token is refused", || short.call(&tokens[1]).0 == 401);
    assert_eq!(kept.call(&tokens[0]).0, 404, "the answer is younger than an hour");
}

#[test]
fn failing_or_limiting_github_admits_no_caller() {
    for status in [500, 403, 429] {
        let world = World::new("roles: {\"@ada\": apply}");
        let token = world.token(CLIENT);
        world.issuer.behaviour().github.fault = Some(status);
        assert_eq!(world.call(&token), (503, LATER.to_owned()), "{status}");
        until("it is logged", || world.server.stderr().contains("tokens of GitHub cannot be checked"));
    }
}

#[test]
fn known_token_is_not_admitted_while_github_is_away() {
    let world = World::new("roles: {\"@ada\": apply}, cache: 1s");
    let token = world.token(CLIENT);
    assert_eq!(world.call(&token).0, 404);
    world.issuer.behaviour().github.fault = Some(502);
    until("the answer is old", || world.call(&token) == (503, LATER.to_owned()));
}

#[test]
fn wrong_secret_is_reported_to_the_operator() {
    let world = World::with_secret("another-secret", "roles: {\"@ada\": apply}");
    let why = "GitHub does not accept `clientId` and `clientSecret` of `server.auth`";
    let doctor = world.project.run(["doctor"]).with_code(1);
    doctor.prints(&format!("fail  issuer of tokens: {why}")).prints("correct `url`, `clientId` and `clientSecret`");
    assert_eq!(world.server.call("GET", "/ready", "").status, 503);
    assert_eq!(world.call(&world.token(CLIENT)), (503, LATER.to_owned()));
    until("it is logged", || world.server.stderr().contains(why));
    assert!(!world.server.stderr().contains("another-secret"), "{}", world.server.stderr());
}

#[test]
fn settings_are_checked_with_their_place() {
    let rest = "clientId: a, clientSecret: b";
    for (settings, words, place) in [
        (format!("{rest}, roles: {{}}"), "`auth` refuses every caller: it has no `roles`", 2),
        (rest.to_owned(), "`auth` refuses every caller: it has no `roles`", 2),
        (format!("{rest},\n    roles: {{/data: read}}"), "`/data` names no person, organisation or team", 3),
        (format!("{rest},\n    roles: {{\"@acme/data\": read}}"), "`@acme/data` names no person", 3),
        (format!("{rest},\n    roles: {{acme: write}}"), "scope `write`", 3),
        (
            format!("{rest},\n    roles: {{acme: {{scopes: [apply], limits: {{domains: {{claim: a}}}}}}}}"),
            "`domains` cannot name a claim here",
            3,
        ),
        (format!("{rest}, url: 'http://github.example.com', roles: {{acme: read}}"), "`http://` to another machine", 2),
        (format!("{rest}, url: 'https://github.example.com/api/v3', roles: {{acme: read}}"), "more than a host", 2),
        (format!("{rest}, url: 'https://ada:s3cret@github.example.com', roles: {{acme: read}}"), "more than a host", 2),
        (format!("{rest}, url: 'https://api.github.com', roles: {{acme: read}}"), "it is not the address of a site", 2),
        ("clientId: '', clientSecret: b, roles: {acme: read}".to_owned(), "`clientId` is empty", 2),
        (format!("{rest}, cache: 2h, roles: {{acme: read}}"), "expected a duration from 1s to 1h", 2),
        ("clientId: a, roles: {acme: read}".to_owned(), "`auth` needs `clientSecret`", 2),
        ("clientId: a, clientSecret: [s3cret], roles: {acme: read}".to_owned(), "`clientSecret` is not text", 2),
    ] {
        let project = Project::new();
        project.write("terrace.yaml", format!("server:\n  auth: {{mode: github, {settings}}}\n"));
        let refused = project.run(["serve", "--bind", "127.0.0.1:0"]).with_code(1);
        refused.prints(words).prints(&format!("terrace.yaml:{place}:"));
        assert!(!refused.stderr.contains("s3cret"), "{refused}");
    }
}
