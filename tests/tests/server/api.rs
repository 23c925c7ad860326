//! The native API: plans, state, operations and access.

use serde_json::{Value as Json, json};
use terrace_provider::value::OtherFormat;
use terrace_tests::served::{Answer, Served};
use terrace_tests::{Project, until};

fn stack(content: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: site}}\nresources:\n\
         - {{type: local_file, name: page, config: {{path: page.html, content: {content}}}}}\n\
         - {{type: local_file, name: key, config: {{path: key.txt, content: hidden, sensitive: true}}}}\n"
    )
}

fn get(server: &Served, path: &str) -> Json {
    let answer = server.call("GET", &format!("/api/v1{path}"), "");
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

fn plan(server: &Served, descriptor: &str, accept: &str) -> Answer {
    let body = json!({"descriptor": descriptor}).to_string();
    server.call_with("POST", "/api/v1/plans", &body, &[("accept", accept)])
}

fn ended(server: &Served, operation: &str) -> Json {
    let mut last = Json::Null;
    until("the operation ends", || {
        last = get(server, &format!("/operations/{operation}"));
        last["ended_at"].is_string()
    });
    last
}

#[test]
fn plan_is_created_shown_and_applied_once_if_unchanged() {
    let project = Project::new();
    project.write(
        "terrace.yaml",
        "encryption: {key: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=}\nserver: {stacks: true}\n",
    );
    let server = Served::start(&project, &[]);
    let made = plan(&server, &stack("one"), "application/json");
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    assert_eq!((&made["status"], &made["plan"]["applyable"]), (&json!("made"), &json!(true)), "{made}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(get(&server, &format!("/plans/{id}")), made);
    let markdown = plan(&server, &stack("one"), "text/markdown");
    assert!(markdown.content_type.starts_with("text/markdown") && markdown.body.contains("2 to add"), "{markdown:?}");
    let command = format!("The full plan: `GET /api/v1/plans/{}`", last_plan(&project));
    assert!(markdown.body.contains(&command), "{markdown:?}");
    let version = project.run(["version", "--format", "json"]).done().json()["version"].clone();
    assert_eq!(made["plan"]["terrace_version"], version, "a plan of the server says another version");
    let text = plan(&server, &stack("one"), "text/plain");
    assert!(text.body.contains("+ local_file.page"), "{text:?}");
    assert!(!project.has("page.html"), "a plan changes nothing");

    let applied = server.call("POST", &format!("/api/v1/plans/{id}/apply"), "");
    assert_eq!(applied.status, 202, "{applied:?}");
    let operation = applied.json()["operation"].as_str().unwrap().to_owned();
    assert_eq!(applied.header("location"), format!("/api/v1/operations/{operation}"));
    let operation = ended(&server, &operation);
    assert_eq!((&operation["status"], &operation["kind"]), (&json!("completed"), &json!("apply")), "{operation}");
    let steps: Vec<&Json> = operation["steps"].as_array().unwrap().iter().map(|step| &step["status"]).collect();
    assert_eq!(steps, ["done", "done"]);
    assert_eq!(project.read("page.html"), "one");
    let plan_now = get(&server, &format!("/plans/{id}"));
    assert_eq!((&plan_now["status"], &plan_now["operation"]), (&json!("applied"), &operation["id"]), "{plan_now}");
    assert_eq!(get(&server, "/operations?kind=plan")["items"][0]["stacks"], json!(["site@local"]));
    assert!(!project.run(["operations", "list"]).done().stdout.contains("plans@"));
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(project.path(&format!(".terrace/{file}"))).unwrap_or_default();
        assert!(!bytes.windows(6).any(|bytes| bytes == b"hidden"), "{file} has a sensitive value");
    }

    // The key identifies a repeated call, even after it has ended. Another call with the key is refused.
    let call = |descriptor: &str| {
        let body = json!({"descriptor": descriptor}).to_string();
        server.call_with("POST", "/api/v1/plans", &body, &[("idempotency-key", "mine")])
    };
    let (keyed, again) = (call(&stack("two")).json(), call(&stack("two")).json());
    assert_eq!(keyed["id"], again["id"]);
    assert_eq!(call(&stack("three")).status, 422);

    // A plan is applied only once.
    let again = server.call("POST", &format!("/api/v1/plans/{id}/apply"), "");
    assert_eq!(again.status, 409, "{again:?}");
    assert!(again.body.contains(&format!("by operation {}", operation["id"].as_str().unwrap())), "{again:?}");
    assert_eq!(get(&server, &format!("/plans/{id}"))["status"], "applied", "it stays applied");
}

#[test]
fn repeated_apply_gets_the_first_answer_after_a_change_of_the_configuration() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {stacks: true}\n");
    let server = Served::start(&project, &[]);
    let page = "{type: local_file, name: page, config: {path: page.html, content: one}}";
    let descriptor =
        format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: site}}\nresources: [{page}]\n");
    let made = plan(&server, &descriptor, "application/json").json();
    let path = format!("/api/v1/plans/{}/apply", made["id"].as_str().unwrap());
    let apply = |server: &Served, key: &str| server.call_with("POST", &path, "", &[("idempotency-key", key)]);
    let first = apply(&server, "mine");
    assert_eq!(first.status, 202, "{first:?}");
    ended(&server, first.json()["operation"].as_str().unwrap());
    drop(server);
    // The server refuses plain stacks now.
    project.write("terrace.yaml", "server: {stacks: false}\n");
    let server = Served::start(&project, &[]);
    assert_eq!(apply(&server, "another").status, 400);
    assert_eq!(apply(&server, "mine").json(), first.json());
}

#[test]
fn cancelled_plan_is_not_applied() {
    let project = crate::server::requests::project();
    project.make_gate("gate-a");
    let server = Served::start(&project, &["--workers", "1"]);
    let works = server.submit("/v1/provision", &crate::server::requests::product(&["a"]));
    until("the worker is at work", || project.has("started-a"));
    let body = json!({"descriptor": crate::server::requests::product(&["b"])}).to_string();
    let id = std::thread::scope(|scope| {
        let call = scope.spawn(|| server.call("POST", "/api/v1/plans", &body));
        let mut id = None;
        until("the plan waits for the worker", || {
            id = get(&server, "/operations?kind=plan")["items"][0]["id"].as_str().map(str::to_owned);
            id.is_some()
        });
        let id = id.unwrap();
        assert_eq!(server.call("POST", &format!("/api/v1/operations/{id}/cancel"), "").status, 202);
        // The call that waits for its plan is answered when the plan ends.
        assert_eq!(call.join().unwrap().json()["status"], "failed");
        id
    });
    let plan = get(&server, &format!("/plans/{id}"));
    assert_eq!((&plan["status"], &plan["problem"]), (&json!("failed"), &json!("stopped before it began")));
    let applied = server.call("POST", &format!("/api/v1/plans/{id}/apply"), "");
    assert_eq!(
        (applied.status, applied.json()["detail"].as_str()),
        (409, Some("the plan failed: there is nothing to apply"))
    );
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&works)["status"], "COMPLETED");
}

#[test]
fn breaker_of_a_lease_is_named_in_the_holders_log() {
    let project = crate::server::requests::project();
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let operation = server.submit("/v1/provision", &crate::server::requests::product(&["a"]));
    until("it is at work", || project.has("started-a"));
    let lease = get(&server, "/leases")["items"][0].clone();
    assert_eq!(lease["operation"], json!(operation));
    let path = format!("/api/v1/leases/{}", lease["id"].as_str().unwrap());
    assert_eq!([server.call("DELETE", &path, "").status, server.call("DELETE", &path, "").status], [204, 404]);
    let log = get(&server, &format!("/operations/{operation}/logs")).to_string();
    assert!(log.contains("anonymous broke the lease of `a` of "), "{log}");
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&operation)["status"], "FAILED");
}

#[test]
fn sensitive_variable_is_not_stored_without_a_key() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {stacks: true}\n");
    let server = Served::start(&project, &[]);
    let descriptor = stack("one") + "variables: {word: {type: string, sensitive: true}}\n";
    let body = json!({"descriptor": descriptor, "variables": {"word": "s3cr3t-word"}}).to_string();
    let answer = server.call("POST", "/api/v1/plans", &body);
    assert_eq!(answer.status, 400, "{answer:?}");
    let problem = "`variables.word` is sensitive, and the server has no state key to seal it";
    assert!(answer.body.contains(problem), "{answer:?}");
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(project.path(&format!(".terrace/{file}"))).unwrap_or_default();
        assert!(!bytes.windows(6).any(|bytes| bytes == b"s3cr3t"), "{file} has it");
    }
}

#[test]
fn stale_plan_names_what_changed() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {stacks: true}\n");
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: site}\nresources:\n  \
                - {type: local_file, name: page, config: {path: page.html, content: one}}\n";
    let server = Served::start(&project, &[]);
    let made = plan(&server, text, "application/json").json();
    project.write("stack.yaml", text);
    project.apply().done();
    let applied = server.call("POST", &format!("/api/v1/plans/{}/apply", made["id"].as_str().unwrap()), "").json();
    let operation = applied["operation"].as_str().unwrap();
    assert_eq!(ended(&server, operation)["status"], "failed");
    let log = get(&server, &format!("/operations/{operation}/logs")).to_string();
    let message = "the plan is stale: its actions about `site@local:local_file.page` have changed";
    assert!(log.contains(message), "{log}");
}

/// Returns the newest plan operation.
fn last_plan(project: &Project) -> String {
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let mut plans = listed.as_array().unwrap().iter().filter(|operation| operation["kind"] == "plan");
    plans.next().unwrap()["operation"].as_str().unwrap().to_owned()
}

#[test]
fn root_links_to_the_documentation() {
    let server = Served::start(&Project::new(), &[]);
    let root = server.call("GET", "/", "");
    assert_eq!(root.status, 200, "{root:?}");
    assert!(root.content_type.starts_with("text/html") && root.body.contains("swagger-ui"), "{root:?}");
}

#[test]
fn descriptor_warnings_are_in_plans_and_verdicts() {
    let project = super::requests::project();
    let server = Served::start(&project, &[]);
    let descriptor =
        super::requests::product(&["a"]).replace("dependsOn: []", "dependsOn: ['urn:dmb:cmp:sales:x:0:y']");
    let warning = "the dependency `urn:dmb:cmp:sales:x:0:y` is outside this data product (an apply of this data product alone does not wait \
                   for it, and expressions cannot read its outputs)";
    let is_warned = |json: &Json| json["warnings"][0].as_str().is_some_and(|text| text.ends_with(warning));
    let verdict = server.send("/v1/validate", "DATAPRODUCT_DESCRIPTOR", &descriptor).json();
    assert!(verdict["valid"] == true && is_warned(&verdict), "{verdict}");
    let token = server.submit("/v2/validate", &descriptor);
    let verdict = server.wait_for_end_at(&format!("/v2/validate/{token}/status"));
    assert!(is_warned(&verdict["info"]["publicInfo"]), "{verdict}");
    let planned = &verdict["info"]["publicInfo"]["plan"];
    assert_eq!((&planned["counts"]["add"], &planned["counts"]["destroy"]), (&json!(1), &json!(0)), "{verdict}");
    let made = plan(&server, &descriptor, "application/json").json();
    let diagnostic = &made["plan"]["terrace"]["diagnostics"][0];
    assert_eq!(
        (&diagnostic["code"], &diagnostic["severity"]),
        (&json!("outside_dependency"), &json!("warning")),
        "{made}"
    );
    let markdown = plan(&server, &descriptor, "text/markdown");
    assert!(markdown.body.contains("is outside this data product"), "{markdown:?}");
    let status = server.wait_for_end(&server.submit("/v1/provision", &descriptor));
    let logged = status["logs"].as_array().unwrap().iter().find(|line| line["level"] == "WARNING").unwrap();
    assert!(logged["message"].as_str().unwrap().ends_with(warning), "{status}");
}

#[test]
fn approved_plan_is_continued_after_a_restart() {
    let project = super::requests::project();
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let descriptor = super::requests::product(&["a", "b"]);
    let made = plan(&server, &descriptor, "application/json").json();
    let path = format!("/api/v1/plans/{}/apply", made["id"].as_str().unwrap());
    let operation = server.call("POST", &path, "").json()["operation"].as_str().unwrap().to_owned();
    until("both are being made", || project.has("started-a") && project.has("made-b"));
    server.kill();
    drop(server);
    project.open_gate("gate-a");
    until("the program that outlived it has ended", || project.has("made-a"));
    let server = Served::start(&project, &[]);
    assert_eq!(ended(&server, &operation)["status"], "completed");
    assert_eq!(super::requests::log(&project), ["a", "b"], "each is made once");
    // A disconnected follower continues after its last event.
    let path = format!("/api/v1/operations/{operation}/events");
    let events = server.call("GET", &path, "");
    let lines = events.body.matches("event: log").count();
    assert!(lines > 1 && events.body.contains(&format!("id: {lines}\n")), "{events:?}");
    let last = (lines - 1).to_string();
    let rest = server.call_with("GET", &path, "", &[("last-event-id", &last)]);
    assert_eq!((rest.body.matches("event: log").count(), rest.body.matches("event: end").count()), (1, 1), "{rest:?}");
}

#[test]
fn state_is_shown_in_pages_without_secrets() {
    let project = Project::new();
    project.write("stack.yaml", stack("one"));
    project.run(["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    project.write("stack.yaml", stack("two"));
    project.run(["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    let server = Served::start(&project, &[]);
    assert_eq!(
        get(&server, "/stacks"),
        json!({"items": [{"stack": "site@local", "name": "site", "environment": "local"}]})
    );
    let first = get(&server, "/stacks/site@local/resources?limit=1");
    let next = first["next"].as_str().unwrap();
    assert_eq!(first["items"][0]["address"], "local_file.key");
    assert_eq!(first["items"][0]["attributes"]["content"], Json::Null, "{first}");
    let second = get(&server, &format!("/stacks/site@local/resources?limit=1&after={next}"));
    assert_eq!((&second["items"][0]["address"], &second["next"]), (&json!("local_file.page"), &Json::Null));
    assert_eq!(second["items"][0]["attributes"]["content"], "two");
    assert_eq!(get(&server, "/stacks/site@local/resources?type=local_value")["items"], json!([]));
    let versions = get(&server, "/stacks/site@local/history/local_file.page");
    let contents: Vec<&Json> =
        versions["items"].as_array().unwrap().iter().map(|it| &it["resource"]["attributes"]["content"]).collect();
    assert_eq!(contents, ["two", "one"]);
    let operations = get(&server, "/operations?kind=apply&stack=site@local&limit=1");
    assert_eq!(operations["items"].as_array().unwrap().len(), 1);
    let id = operations["items"][0]["id"].as_str().unwrap();
    assert_eq!(operations["next"].as_str(), Some(id));
    let other = get(&server, &format!("/operations?kind=apply&after={id}"));
    assert_eq!((other["items"].as_array().unwrap().len(), &other["next"]), (1, &Json::Null));
    let events = server.call("GET", &format!("/api/v1/operations/{id}/events"), "");
    assert!(events.body.contains("event: end\ndata: {\"id\":\""), "{events:?}");
    assert_eq!(get(&server, "/leases"), json!({"items": []}));
    assert_eq!(get(&server, "/environments"), json!({"items": [{"name": "local"}]}));
    let providers = get(&server, "/environments/local/providers");
    assert!(providers["items"].as_array().unwrap().iter().any(|it| it["instance"] == "local"), "{providers}");
    let blueprints = get(&server, "/environments/local/blueprints");
    let storage = blueprints["items"].as_array().unwrap().iter().find(|it| it["name"] == "snowflake-storage").unwrap();
    assert_eq!((&storage["reverses"], &storage["built_in"]), (&json!(true), &json!(true)));
}

#[test]
fn missing_or_invalid_is_a_problem_response() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {stacks: true}\n");
    let server = Served::start(&project, &[]);
    let nowhere = "018f0000-0000-7000-8000-000000000000";
    for (method, path, status) in [
        ("GET", String::new(), 404),
        ("GET", "/".to_owned(), 404),
        ("GET", "/nothing".to_owned(), 404),
        ("GET", "/stacks/site@local/resources".to_owned(), 404),
        ("GET", "/stacks/site/resources".to_owned(), 404),
        ("GET", "/stacks/site@local/history/local_file.a".to_owned(), 404),
        ("GET", "/stacks/site@local/components/a/acl".to_owned(), 404),
        ("GET", format!("/operations/{nowhere}"), 404),
        ("GET", "/operations/x/logs".to_owned(), 404),
        ("POST", format!("/operations/{nowhere}/cancel"), 404),
        ("GET", format!("/plans/{nowhere}"), 404),
        ("POST", "/plans/x/apply".to_owned(), 404),
        ("DELETE", "/leases/1".to_owned(), 404),
        ("GET", "/environments/production/blueprints".to_owned(), 404),
        ("POST", "/plans".to_owned(), 400),
    ] {
        let answer = server.call(method, &format!("/api/v1{path}"), "{}");
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.content_type, "application/problem+json", "{method} {path}: {answer:?}");
        assert_eq!(answer.json()["status"], status);
    }
    let wrong = plan(&server, "kind: Stack\nresourcez: []\n", "application/json");
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let elsewhere = plan(&server, &format!("{}environment: production\n", stack("one")), "application/json");
    assert_eq!(elsewhere.status, 400, "{elsewhere:?}");
    let misspelt = server.call("POST", "/api/v1/plans", r#"{"descriptor": "", "destory": true}"#);
    assert!(misspelt.status == 400 && misspelt.body.contains("unknown field `destory`: expected"), "{misspelt:?}");
    for (limit, why) in [("0", "has to be at least 1"), ("-1", "has to be a whole number that is not negative")] {
        let answer = server.call("GET", &format!("/api/v1/operations?limit={limit}"), "");
        assert!(answer.status == 400 && answer.body.contains(why), "{answer:?}");
    }
    // This descriptor compiles, and its plan fails.
    let failing = stack("'${{ resources.key.nothing }}'");
    let planned = plan(&server, &failing, "application/json").json();
    assert!(planned["problem"].as_str().unwrap().contains("nothing"), "{planned}");
    let id = planned["id"].as_str().unwrap();
    assert_eq!(server.call("POST", &format!("/api/v1/plans/{id}/apply"), "").status, 409);
}

#[test]
fn drift_is_checked_on_request_and_by_schedule() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {drift: {every: 1h}}\n");
    project.write("stack.yaml", stack("one"));
    project.run(["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    let server = Served::start(&project, &[]);
    let found = |count: usize| {
        let answer = server.call("GET", "/api/v1/stacks/site@local/drift", "");
        answer.status == 200 && answer.json()["drifted"].as_array().is_some_and(|drifted| drifted.len() == count)
    };
    until("the schedule looks", || found(0));
    project.write("page.html", "by hand");
    let begun = server.call("POST", "/api/v1/drift", "{}");
    assert_eq!(begun.status, 202, "{begun:?}");
    let operation = ended(&server, begun.json()[0]["operation"].as_str().unwrap());
    assert_eq!((&operation["status"], &operation["actor"]), (&json!("completed"), &json!("anonymous")), "{operation}");
    assert!(found(1));
    let drift = get(&server, "/drift");
    assert_eq!(drift["items"][0]["drifted"][0]["address"], "local_file.page", "{drift}");
    assert!(server.call("GET", "/metrics", "").body.contains("terrace_drifted_resources{stack=\"site@local\"} 1"));
    let scheduled = get(&server, "/operations?kind=drift");
    assert_eq!(scheduled["items"][1]["actor"], "schedule", "{scheduled}");
    assert_eq!(server.call("POST", "/api/v1/drift", r#"{"stack": "nothing@local"}"#).status, 404);
}

#[test]
fn api_describes_itself() {
    let project = Project::new();
    let server = Served::start(&project, &[]);
    let description = get(&server, "/openapi.json");
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_json_snapshot!("openapi", OtherFormat(&description));
}

#[test]
fn plan_request_can_set_environment_and_variables() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {stacks: true}\nenvironments: {test: {}, production: {}}\n");
    let server = Served::start(&project, &[]);
    let descriptor = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: site}\nvariables:\n  text: {type: string}\n\
                      resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: '${{ vars.text }}'}}\n";
    let ask = |more: Json| {
        let mut body = json!({"descriptor": descriptor});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.call("POST", "/api/v1/plans", &body.to_string())
    };
    let made = ask(json!({"environment": "test", "variables": {"text": "hello"}})).json();
    assert_eq!(made["status"], "made", "{made}");
    let applied = server.call("POST", &format!("/api/v1/plans/{}/apply", made["id"].as_str().unwrap()), "").json();
    let path = format!("/api/v1/operations/{}", applied["operation"].as_str().unwrap());
    until("it ends", || server.call("GET", &path, "").json()["status"] == "completed");
    assert_eq!(project.read("a.txt"), "hello");
    assert!(server.call("GET", "/api/v1/stacks", "").body.contains("site@test"));
    for (more, problem) in [
        (json!({"environment": "tset"}), "the environment `tset` is not configured"),
        (json!({"variables": {"text": "a"}}), "the descriptor names no environment"),
        (json!({"environment": "test", "variables": {"txet": "a"}}), "there is no variable `txet`"),
        (json!({"environment": "test", "variables": {"text": [1]}}), "text"),
        (json!({"environment": "test", "variables": {"text": "a"}, "components": ["b"]}), "no component `b`"),
    ] {
        let answer = ask(more);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(problem), "{answer:?}");
    }
}

#[test]
fn each_environment_of_a_server_has_its_own_providers() {
    let project = Project::new();
    project.write(
        "terrace.yaml",
        "environments:\n  first: {overlay: embedded}\n  second: {overlay: embedded, providers: {lake: {type: sqlite}}}\n",
    );
    let served = Served::start_with(&project, &[], &[("TERRACE_ENV", "first")]);
    let instances = |name: &str| served.call("GET", &format!("/api/v1/environments/{name}/providers"), "").body;
    assert!(instances("second").contains("\"lake\"") && !instances("first").contains("\"lake\""));
}
