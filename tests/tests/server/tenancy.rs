//! Tenant limits: every route for every scope, inside and outside the limits of a token.

use crate::server::requests::{product, project};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use terrace_tests::served::{Answer, Served, request};
use terrace_tests::{Project, Running, until};

const SCOPES: [&str; 4] = ["read", "plan", "apply", "admin"];
const READ: usize = 0;
const PLAN: usize = 1;
const APPLY: usize = 2;
const ADMIN: usize = 3;
const INSIDE: &str = "finance";
const OUTSIDE: &str = "quuxdom";
const OTHER_ENVIRONMENT: &str = "quuxenv";

/// The response to a caller that has the scope.
#[derive(Clone, Copy, PartialEq)]
enum Answered {
    /// A list without the objects outside the limits.
    List,
    /// 404 outside the limits, as for a missing object.
    Missing,
    /// 400 in Witboost's API, which has no 404 for tokens.
    MissingToken,
    /// 403 for a body that names an object outside the limits.
    Refused,
    /// 403 for every caller with a domain limit, because the route concerns no data product.
    AlwaysRefused,
}
use Answered::{AlwaysRefused, List, Missing, MissingToken, Refused};

/// Every route with its required scope and its response. `{id}` is an id of the kind in the last field.
const ROUTES: [(&str, &str, usize, Answered, &str); 46] = [
    ("GET", "/api/v1/stacks", READ, List, ""),
    ("GET", "/api/v1/operations", READ, List, ""),
    ("GET", "/api/v1/drift", READ, List, ""),
    ("GET", "/api/v1/leases", READ, List, ""),
    ("GET", "/api/v1/environments", READ, List, ""),
    ("GET", "/api/v1/stacks/{stack}/components", READ, Missing, ""),
    ("GET", "/api/v1/stacks/{stack}/resources", READ, Missing, ""),
    ("GET", "/api/v1/stacks/{stack}/history/{address}", READ, Missing, ""),
    ("GET", "/api/v1/stacks/{stack}/drift", READ, Missing, ""),
    ("GET", "/api/v1/stacks/{stack}/components/{component}/acl", READ, Missing, ""),
    ("GET", "/api/v1/operations/{id}", READ, Missing, "provision"),
    ("GET", "/api/v1/operations/{id}/logs", READ, Missing, "provision"),
    ("GET", "/api/v1/operations/{id}/events", READ, Missing, "provision"),
    ("GET", "/api/v1/plans/{id}", READ, Missing, "plan"),
    ("GET", "/api/v1/environments/{environment}/blueprints", READ, Missing, ""),
    ("GET", "/api/v1/environments/{environment}/providers", READ, Missing, ""),
    ("GET", "/api/v1/pipelines", READ, AlwaysRefused, ""),
    ("GET", "/api/v1/pipelines/runs", READ, AlwaysRefused, ""),
    ("GET", "/api/v1/pipelines/runs/{id}", READ, AlwaysRefused, "none"),
    ("GET", "/api/v1/pipelines/runs/{id}/logs", READ, AlwaysRefused, "none"),
    ("GET", "/api/v1/pipelines/runs/{id}/events", READ, AlwaysRefused, "none"),
    ("GET", "/api/v1/pipelines/pods", READ, AlwaysRefused, ""),
    ("GET", "/api/v1/pipelines/databases", READ, AlwaysRefused, ""),
    ("GET", "/api/v1/pipelines/databases/{name}", READ, AlwaysRefused, ""),
    ("GET", "/v1/provision/{token}/status", READ, MissingToken, "provision"),
    ("GET", "/v2/validate/{token}/status", READ, MissingToken, "validate"),
    ("GET", "/v1/reverse-provisioning/{token}/status", READ, MissingToken, "none"),
    ("POST", "/v1/validate", PLAN, Refused, ""),
    ("POST", "/v2/validate", PLAN, Refused, ""),
    ("POST", "/v1/reverse-provisioning", PLAN, AlwaysRefused, ""),
    ("POST", "/v1/resources", PLAN, AlwaysRefused, ""),
    ("POST", "/v1/resources/validate", PLAN, AlwaysRefused, ""),
    ("POST", "/api/v1/plans", PLAN, Refused, ""),
    ("POST", "/api/v1/drift", PLAN, Missing, ""),
    ("POST", "/api/v1/plans/{id}/apply", APPLY, Missing, "plan"),
    ("POST", "/api/v1/operations/{id}/cancel", APPLY, Missing, "provision"),
    ("POST", "/api/v1/pipelines/runs", APPLY, AlwaysRefused, ""),
    ("POST", "/api/v1/pipelines/runs/{id}/cancel", APPLY, AlwaysRefused, "none"),
    ("POST", "/api/v1/pipelines/databases/{name}/extend", APPLY, AlwaysRefused, ""),
    ("POST", "/api/v1/pipelines/databases/{name}/stop", APPLY, AlwaysRefused, ""),
    ("PUT", "/api/v1/stacks/{stack}/components/{component}/acl", APPLY, Missing, ""),
    ("POST", "/v1/updateacl", APPLY, Refused, ""),
    ("DELETE", "/v1/provision/{token}", APPLY, MissingToken, "provision"),
    ("POST", "/v1/provision", APPLY, Refused, ""),
    ("POST", "/v1/unprovision", APPLY, Refused, ""),
    ("DELETE", "/api/v1/leases/{id}", ADMIN, Missing, "lease"),
];

fn digest(token: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(token))
}

/// Returns a configured token. Callers send its name.
fn token(name: &str, scopes: &str, limits: &str) -> String {
    let limits = if limits.is_empty() { String::new() } else { format!(", limits: {{{limits}}}") };
    format!("{{name: {name}, sha256: '{}', scopes: [{scopes}]{limits}}}", digest(name))
}

/// Starts a server with these tokens, and with the environments `test` and `quuxenv`.
fn serve(project: &Project, tokens: &[String], more: &str) -> Served {
    project.write(
        "terrace.yaml",
        format!(
            "environments: {{test: {{}}, quuxenv: {{}}}}\nserver: {{{more}auth: {{mode: token, minimumTokenLength: 1, tokens: [{}]}}}}\n",
            tokens.join(", ")
        ),
    );
    Served::start(project, &[])
}

fn call(server: &Served, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    server.call_with(method, path, body, &[("authorization", bearer.as_str())])
}

fn of(domain: &str) -> String {
    product(&["a"]).replace("finance", domain)
}

fn stack(domain: &str) -> String {
    format!("{domain}.cash.0@test")
}

/// Returns the final status of an operation.
fn ended(server: &Served, id: &str) -> String {
    let mut status = String::new();
    until("the operation ends", || {
        let shown = call(server, "root", "GET", &format!("/api/v1/operations/{id}"), "").json();
        shown["status"].as_str().unwrap().clone_into(&mut status);
        !["queued", "running"].contains(&status.as_str())
    });
    status
}

/// The operations of a data product by kind.
struct Operations {
    ids: BTreeMap<&'static str, String>,
}

fn make(server: &Served, domain: &str) -> Operations {
    let body = request("DATAPRODUCT_DESCRIPTOR", &of(domain), false);
    let provision = call(server, "root", "POST", "/v1/provision", &body).body;
    assert_eq!(ended(server, &provision), "completed");
    let validate = call(server, "root", "POST", "/v2/validate", &body).body;
    ended(server, &validate);
    let plan = call(server, "root", "POST", "/api/v1/plans", &json!({"descriptor": of(domain)}).to_string()).json();
    let plan = plan["id"].as_str().unwrap().to_owned();
    let scan = call(server, "root", "POST", "/api/v1/drift", &json!({"stack": stack(domain)}).to_string()).json();
    ended(server, scan[0]["operation"].as_str().unwrap());
    Operations { ids: BTreeMap::from([("provision", provision), ("validate", validate), ("plan", plan)]) }
}

/// Starts a command that holds the lease of a stack of the domain until its gate opens.
fn hold(project: &Project, domain: &str) -> Running {
    project.make_gate(&format!("gate-{domain}"));
    let text = of(domain).replace(":cash:", ":held:").replace("{name: a}", &format!("{{name: {domain}}}"));
    project.write(&format!("{domain}.yaml"), text);
    let words = ["apply", &format!("{domain}.yaml"), "--auto-approve"];
    let running = project.start(project.command(words));
    until("the command is at work", || project.has(&format!("started-{domain}")));
    running
}

/// Returns the lease of the held command. Leases of requests that ran before end at any moment.
fn lease(server: &Served, domain: &str) -> String {
    let leases = call(server, "root", "GET", "/api/v1/leases", "").json();
    let all = leases["items"].as_array().unwrap();
    let own =
        all.iter().find(|lease| lease["stack"].as_str().unwrap().starts_with(&format!("{domain}.held."))).unwrap();
    own["id"].as_str().unwrap().to_owned()
}

fn body(path: &str, domain: &str) -> String {
    match path {
        "/v1/updateacl" => {
            json!({"refs": ["user:ada"], "provisionInfo": {"request": with_selected(domain)}}).to_string()
        }
        "/api/v1/plans" => json!({"descriptor": of(domain)}).to_string(),
        "/api/v1/pipelines/runs" => json!({"pipeline_id": "./noise"}).to_string(),
        path if path.ends_with("/extend") => json!({"by": "1h"}).to_string(),
        "/api/v1/drift" => json!({"stack": stack(domain)}).to_string(),
        "/v1/reverse-provisioning" => json!({"useCaseTemplateId": "x", "environment": "test"}).to_string(),
        "/v1/resources" => "{}".to_owned(),
        "/v1/resources/validate" => json!({"selectedObjects": []}).to_string(),
        path if path.ends_with("/acl") => {
            json!({"principals": ["user:ada"], "descriptor": with_selected(domain)}).to_string()
        }
        path if path.starts_with("/v") => request("DATAPRODUCT_DESCRIPTOR", &of(domain), false),
        _ => String::new(),
    }
}

fn with_selected(domain: &str) -> String {
    crate::server::requests::with_selected("a", &["a"]).replace("finance", domain)
}

/// Returns the routes of all API descriptions.
fn described(server: &Served) -> Vec<(String, String)> {
    let mut routes = Vec::new();
    for description in ["/api/v1/openapi.json", "/docs/specific-provisioner.json", "/docs/custom-url-picker.json"] {
        let description = server.call("GET", description, "").json();
        for (path, item) in description["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            routes.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
        }
    }
    routes.sort();
    routes
}

#[test]
fn every_route_respects_the_limits_of_every_scope() {
    let project = project();
    with_access(&project);
    let limits = format!("environments: [test], domains: [{INSIDE}]");
    let tokens: Vec<String> =
        SCOPES.iter().map(|scope| token(scope, scope, &limits)).chain([token("root", "admin", "")]).collect();
    let picker = "pickers: {p: {lookup: sqlite_tables, environment: test, arguments: {path: x}}}, ";
    let server = serve(&project, &tokens, picker);
    let mut listed: Vec<(String, String)> =
        ROUTES.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    listed.sort();
    assert_eq!(described(&server), listed, "a route has no expectation here");
    let made = [(INSIDE, make(&server, INSIDE)), (OUTSIDE, make(&server, OUTSIDE))];
    let held = [INSIDE, OUTSIDE].map(|domain| (domain, hold(&project, domain)));
    for (method, template, needed, answered, kind) in ROUTES {
        for (has, scope) in SCOPES.iter().enumerate() {
            for (domain, made) in &made {
                let is_inside = *domain == INSIDE;
                let id = match kind {
                    "" => String::new(),
                    "lease" if has < needed => "x".to_owned(),
                    "lease" => lease(&server, domain),
                    kind => made.ids.get(kind).cloned().unwrap_or_else(|| made.ids["provision"].clone()),
                };
                let with = |stack: &str, environment: &str, id: &str| {
                    let path = template.replace("{stack}", stack).replace("{environment}", environment);
                    let path = path.replace("{component}", "a").replace("{address}", "a%2Flocal_command.made");
                    path.replace("{id}", id).replace("{token}", id).replace("{name}", "x")
                };
                let path = with(&stack(domain), if is_inside { "test" } else { OTHER_ENVIRONMENT }, &id);
                let answer = call(&server, scope, method, &path, &body(template, domain));
                let place = format!("{method} {path} {scope}: {answer:?}");
                assert!(answer.status != 401 && answer.status < 500, "{place}");
                if has < needed {
                    assert_eq!(answer.status, 403, "{place}");
                    continue;
                }
                match (answered, is_inside) {
                    (List, _) => {
                        assert_eq!(answer.status, 200, "{place}");
                        assert!(!answer.body.contains(OUTSIDE), "{place}");
                        assert!(answer.body.contains(INSIDE) || template.ends_with("/environments"), "{place}");
                    }
                    (AlwaysRefused, _) | (Refused, false) => {
                        assert_eq!(answer.status, 403, "{place}");
                        assert!(!answer.body.contains(OUTSIDE) && !answer.body.contains("finance"), "{place}");
                    }
                    (Missing | MissingToken, false) => {
                        assert_eq!(answer.status, if answered == Missing { 404 } else { 400 }, "{place}");
                        // The response equals the response for an id that never existed.
                        let never = "01890000-0000-7000-8000-000000000000";
                        let bogus = (stack("missing"), "nowhere", never);
                        let other = with(&bogus.0, bogus.1, bogus.2);
                        let other = call(&server, scope, method, &other, &body(template, "missing"));
                        let output_of = |answer: &Answer, names: [&str; 3]| {
                            names.iter().fold(answer.body.clone(), |body, name| match name.is_empty() {
                                true => body,
                                false => body.replace(name, "NAME"),
                            })
                        };
                        assert_eq!(other.status, answer.status, "{place}\n{other:?}");
                        assert_eq!(
                            output_of(&answer, [&stack(domain), OTHER_ENVIRONMENT, &id]),
                            output_of(&other, [&bogus.0, bogus.1, if id.is_empty() { "" } else { never }]),
                            "{place}"
                        );
                    }
                    (Missing | MissingToken | Refused, true) => {
                        let is_of_none = kind == "none";
                        assert_eq!(answer.status >= 400 && answer.status != 409, is_of_none, "{place}");
                    }
                }
            }
        }
    }
    // The calls changed nothing outside the limits.
    for (domain, running) in held {
        project.open_gate(&format!("gate-{domain}"));
        drop(running.finish());
    }
    let listed = call(&server, "root", "GET", "/api/v1/operations?limit=1000", "").json();
    for operation in listed["items"].as_array().unwrap() {
        let is_of_caller = SCOPES.contains(&operation["actor"].as_str().unwrap());
        assert!(!(is_of_caller && operation["stacks"].to_string().contains(OUTSIDE)), "{operation}");
    }
}

/// Adds access lists to the project's blueprint.
fn with_access(project: &Project) {
    let text = project.read("blueprints/thing.yaml");
    let acl =
        "acl:\n  resources:\n    - {type: local_value, name: acl, config: {input: '${{ json(acl.principals) }}'}}\n";
    project.write("blueprints/thing.yaml", format!("{text}{acl}"));
}

#[test]
fn descriptor_cannot_bypass_a_limit() {
    let project = project();
    let limits = format!("environments: [test], domains: [{INSIDE}]");
    let server = serve(&project, &[token("ci", "apply", &limits), token("root", "admin", "")], "");
    let own = of(INSIDE);
    let texts = [
        own.replace("domain: finance", "domain: quuxdom"),
        own.replace("environment: test", "environment: quuxenv"),
        own.replace("environment: test", "environment: nowhere"),
        of(OUTSIDE),
        of("finance.eu"),
    ];
    for text in &texts {
        for path in ["/v1/validate", "/v2/validate", "/v1/provision", "/v1/unprovision"] {
            let answer = call(&server, "ci", "POST", path, &request("DATAPRODUCT_DESCRIPTOR", text, false));
            assert_eq!(answer.status, 403, "{path} {text}\n{answer:?}");
            assert!(!answer.body.contains("quux"), "{answer:?}");
        }
        let answer = call(&server, "ci", "POST", "/api/v1/plans", &json!({"descriptor": text}).to_string());
        assert_eq!(answer.status, 403, "{text}\n{answer:?}");
    }
    let mixed = own.replace("urn:dmb:cmp:finance:cash:0:a", "urn:dmb:cmp:quuxdom:cash:0:a");
    let mixed = call(&server, "ci", "POST", "/v1/provision", &request("DATAPRODUCT_DESCRIPTOR", &mixed, false));
    assert!(matches!(mixed.status, 400 | 403), "{mixed:?}");
    let elsewhere = json!({"descriptor": own, "environment": "quuxenv"}).to_string();
    assert_eq!(call(&server, "ci", "POST", "/api/v1/plans", &elsewhere).status, 403);
    // The error for a missing environment lists only environments within the limits.
    let nowhere = request("DATAPRODUCT_DESCRIPTOR", &own.replace("environment: test\n", ""), false);
    let answer = call(&server, "ci", "POST", "/v1/provision", &nowhere);
    assert!(answer.status == 400 && answer.body.contains("test") && !answer.body.contains("quuxenv"), "{answer:?}");
}

#[test]
fn picker_needs_a_token_without_limits_within_its_environment() {
    let project = project();
    let tokens = [
        token("test", "plan", "environments: [test]"),
        token("other", "plan", "environments: ['no*']"),
        token("stacks", "plan", "environments: [test], stacks: ['*']"),
        token("domains", "plan", "environments: [test], domains: ['*']"),
        token("free", "plan", ""),
    ];
    let picker = |name: &str, environment: &str| {
        format!("{name}: {{lookup: sqlite_tables, environment: {environment}, parameters: [path]}}")
    };
    let pickers = format!("pickers: {{{}, {}}}, ", picker("open", "test"), picker("hidden", OTHER_ENVIRONMENT));
    let server = serve(&project, &tokens, &pickers);
    let body = json!({"path": "none.db", "selectedObjects": [], "queryParameters": {"path": "none.db"}}).to_string();
    let ask = |token: &str, path: &str| call(&server, token, "POST", path, &body);
    for call in ["/v1/resources", "/v1/resources/validate"] {
        for path in [format!("/pickers/open{call}"), format!("{call}?picker=open")] {
            for token in ["test", "free"] {
                let answer = ask(token, &path);
                assert!(answer.status == 400 && answer.body.contains("no database"), "{token} {path} {answer:?}");
            }
            for token in ["other", "stacks", "domains"] {
                let answer = ask(token, &path);
                assert!(answer.status == 403 && !answer.body.contains("open"), "{token} {path} {answer:?}");
            }
        }
        // A picker of another environment is unknown to the caller.
        let unknown = |name: &str| ask("test", &format!("/pickers/{name}{call}"));
        let (hidden, never) = (unknown("hidden"), unknown("never"));
        assert_eq!((hidden.status, never.status), (400, 400), "{hidden:?} {never:?}");
        assert_eq!(hidden.body.replace("hidden", "never"), never.body);
        assert!(never.body.contains("`open`"), "{never:?}");
        // The only usable picker needs no name.
        assert!(ask("test", call).body.contains("no database"));
        assert!(ask("free", call).body.contains("choose a picker with `picker`: `hidden`, `open`"));
    }
}

#[test]
fn consent_to_data_loss_needs_a_separate_scope() {
    let project = project();
    let tokens = [
        token("applier", "apply", ""),
        token("consenter", "apply, data-loss", ""),
        token("planner", "plan, data-loss", ""),
        token("root", "admin", ""),
    ];
    let server = serve(&project, &tokens, "");
    make(&server, INSIDE);
    let removes = request("DATAPRODUCT_DESCRIPTOR", &of(INSIDE), true);
    for path in ["/v1/provision", "/v1/unprovision"] {
        let refused = call(&server, "applier", "POST", path, &removes);
        assert!(refused.status == 403 && refused.body.contains("`data-loss`"), "{path}: {refused:?}");
        assert_eq!(call(&server, "planner", "POST", path, &removes).status, 403, "{path}");
    }
    for allowed in [
        json!({"descriptor": of(INSIDE), "destroy": true, "remove_data": true}),
        json!({"descriptor": of(INSIDE).replace(":cash:", ":new:"), "allow_data_loss": ["a/local_command.made"]}),
    ] {
        let plan = |token| call(&server, token, "POST", "/api/v1/plans", &allowed.to_string());
        assert_eq!(plan("applier").status, 403);
        let made = plan("planner");
        assert_eq!(made.status, 200, "{made:?}");
        // The apply loses data.
        let path = format!("/api/v1/plans/{}/apply", made.json()["id"].as_str().unwrap());
        let refused = call(&server, "applier", "POST", &path, "");
        assert!(refused.status == 403 && refused.body.contains("`data-loss`"), "{refused:?}");
        assert_ne!(call(&server, "consenter", "POST", &path, "").status, 403);
    }
    assert_eq!(call(&server, "applier", "POST", "/v1/validate", &removes).status, 200);
    for token in ["consenter", "root"] {
        assert_eq!(call(&server, token, "POST", "/v1/unprovision", &removes).status, 202, "{token}");
    }
}

#[test]
fn actions_narrow_a_scope() {
    let project = project();
    let tokens = [token("planner", "admin", "actions: [plan, apply]"), token("root", "admin", "")];
    let server = serve(&project, &tokens, "");
    let body = request("DATAPRODUCT_DESCRIPTOR", &of(INSIDE), false);
    for path in ["/v1/provision", "/v1/unprovision", "/v1/validate"] {
        assert_eq!(call(&server, "planner", "POST", path, &body).status, 403, "{path}");
    }
    let plan = |more: Json| {
        let mut plan = json!({"descriptor": of(INSIDE)});
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = call(&server, "planner", "POST", "/api/v1/plans", &plan.to_string());
        assert_eq!(made.status, 200, "{made:?}");
        let path = format!("/api/v1/plans/{}/apply", made.json()["id"].as_str().unwrap());
        call(&server, "planner", "POST", &path, "")
    };
    let applied = plan(json!({}));
    assert_eq!(applied.status, 202, "{applied:?}");
    ended(&server, applied.json()["operation"].as_str().unwrap());
    assert_eq!(plan(json!({"destroy": true})).status, 403, "the plan unprovisions");
    assert_eq!(call(&server, "planner", "GET", "/api/v1/stacks", "").status, 200);
}

#[test]
fn token_limited_to_stacks_uses_pipelines_if_it_names_them() {
    let project = project();
    project.write("pipeline-spec.yaml", "noise: {pipeline: [{run: noise}]}\n");
    let tokens = [
        token("named", "apply", "stacks: [pipelines]"),
        token("here", "apply", "stacks: ['pipelines@test']"),
        token("elsewhere", "apply", "stacks: ['pipelines@quuxenv']"),
        token("products", "apply", "stacks: ['finance.*']"),
        token("reader", "read", ""),
        token("starter", "apply", "actions: [cancel]"),
    ];
    let server = serve(&project, &tokens, "");
    let listed = |token: &str| call(&server, token, "GET", "/api/v1/pipelines", "").status;
    // The server uses the settings of its first environment.
    assert_eq!(["named", "here", "elsewhere", "products"].map(listed), [200, 200, 403, 403]);
    assert_eq!(call(&server, "reader", "GET", "/api/v1/pipelines", "").json()["items"][0]["pipeline_id"], "./noise");
    for token in ["reader", "starter"] {
        let body = json!({"pipeline_id": "./noise"}).to_string();
        assert_eq!(call(&server, token, "POST", "/api/v1/pipelines/runs", &body).status, 403, "{token}");
    }
}

#[test]
fn caller_gets_at_most_its_share_of_the_queue() {
    let project = project();
    project.make_gate("gate-a");
    let tokens = [
        token("few", "apply", "queue: {waiting: 1}"),
        token("one", "apply", "queue: {running: 1}"),
        token("usual", "apply", ""),
        token("root", "admin", ""),
    ];
    let server = serve(&project, &tokens, "queue: {max: 5}, workers: 2, ");
    let ask = |token: &str, name: &str| {
        let text = of(INSIDE).replace(":cash:", &format!(":{name}:"));
        call(&server, token, "POST", "/v1/provision", &request("DATAPRODUCT_DESCRIPTOR", &text, false))
    };
    // Both workers are busy, so all other requests wait.
    let first = ask("one", "first");
    until("it is at work", || project.has("started-a"));
    let second = ask("one", "second");
    assert_eq!((first.status, second.status), (202, 202));
    let shown = |id: &str| call(&server, "root", "GET", &format!("/api/v1/operations/{id}"), "").json();
    assert_eq!(ask("few", "x").status, 202, "another caller's goes before");
    until("the other worker is at work", || {
        shown(&second.body)["status"] == "queued"
            && call(&server, "root", "GET", "/metrics", "").body.contains("terrace_queue_requests 1\n")
    });
    assert_eq!(ask("few", "y").status, 202);
    let refused = ask("few", "z");
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"), "{refused:?}");
    assert!(refused.body.contains("`few` may have 1 request waiting (`limits.queue.waiting`)"), "{refused:?}");
    // Two requests wait. A caller without a limit leaves a fifth of the queue to others.
    let answers: Vec<Answer> = (0..5).map(|n| ask("usual", &format!("n{n}"))).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [202, 202, 202, 503, 503], "the queue is full: {answers:?}");
    drop(server);
    let project = self::project();
    project.make_gate("gate-a");
    let server =
        serve(&project, &[token("usual", "apply", ""), token("other", "apply", "")], "queue: {max: 5}, workers: 1, ");
    let ask = |token: &str, name: &str| {
        let text = of(INSIDE).replace(":cash:", &format!(":{name}:"));
        call(&server, token, "POST", "/v1/provision", &request("DATAPRODUCT_DESCRIPTOR", &text, false))
    };
    assert_eq!(ask("usual", "first").status, 202);
    until("it is at work", || project.has("started-a"));
    let answers: Vec<Answer> = (0..6).map(|n| ask("usual", &format!("n{n}"))).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [202, 202, 202, 202, 429, 429]);
    assert!(answers[5].body.contains("`server.queue.perCaller`"), "{answers:?}");
    assert_eq!(ask("other", "last").status, 202);
    server.kill();
}

#[test]
fn metrics_have_no_stack_names_if_callers_have_limits() {
    let project = project();
    let tokens = [token("ci", "read", "domains: [finance]"), token("root", "admin", "")];
    let server = serve(&project, &tokens, "");
    make(&server, OUTSIDE);
    let figures = |token: &str| call(&server, token, "GET", "/metrics", "").body;
    assert!(figures("root").contains("stack=\"quuxdom.cash.0@test\""), "{}", figures("root"));
    // The server counts an operation after its end is visible.
    until("the operation is counted", || figures("root").contains("terrace_operations_total"));
    for token in ["ci", "nobody"] {
        let figures = figures(token);
        assert!(figures.contains("terrace_operations_total") && !figures.contains("quuxdom.cash"), "{figures}");
        let ready = call(&server, token, "GET", "/ready", "").body;
        assert!(ready.contains("provider") && !ready.contains("quuxenv"), "{ready}");
    }
    assert!(call(&server, "root", "GET", "/ready", "").body.contains("quuxenv: "));
}

#[test]
fn operation_list_stops_after_a_bounded_number_of_hidden_ones() {
    let project = project();
    let limits = format!("domains: [{INSIDE}]");
    let server = serve(&project, &[token("ci", "read", &limits), token("root", "admin", "")], "");
    let provision = |domain: &str| {
        let body = request("DATAPRODUCT_DESCRIPTOR", &of(domain), false);
        let id = call(&server, "root", "POST", "/v1/provision", &body).body;
        assert_eq!(ended(&server, &id), "completed");
        id
    };
    let own = provision(INSIDE);
    provision(OUTSIDE);
    // Copies the last operation 5,000 times.
    let state = rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
    state
        .execute_batch(
            "WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 5000)
             INSERT INTO operation (id, kind, actor, status, started_at, ended_at, summary)
             SELECT randomblob(16), kind, actor, status, started_at, ended_at, summary FROM operation, more
             WHERE sequence = (SELECT max(sequence) FROM operation);
             INSERT INTO operation_stack (operation, position, stack)
             SELECT sequence, 0, (SELECT id FROM stack WHERE name LIKE 'quuxdom%') FROM operation
             WHERE NOT EXISTS (SELECT 1 FROM operation_stack WHERE operation = sequence);",
        )
        .unwrap();
    let (mut pages, mut after) = (0, String::new());
    let found = loop {
        let page = call(&server, "ci", "GET", &format!("/api/v1/operations?limit=1{after}"), "").json();
        assert!(!page.to_string().contains(OUTSIDE), "{page}");
        pages += 1;
        match page["items"][0]["id"].as_str() {
            Some(id) => break id.to_owned(),
            None => after = format!("&after={}", page["next"].as_str().unwrap()),
        }
    };
    assert_eq!((found, pages), (own, 3));
    // A caller without limits gets the operation on the first page.
    let page = call(&server, "root", "GET", "/api/v1/operations?limit=1", "").json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["next"], page["items"][0]["id"]);
}
