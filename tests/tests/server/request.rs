//! Request fields beside the descriptor: access fields, and the last provisioned product.

use crate::server::requests::{product, project, with_selected};
use serde_json::{Value as Json, json};
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

pub(crate) const ACL: &str = "/api/v1/stacks/finance.cash.0@test/components/port/acl";

/// Creates a product with a port that writes the request fields it reads to a file.
pub(crate) fn with_port() -> (Project, String) {
    let project = project();
    project.write(
        "blueprints/port.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nmatch: {kind: outputport}\n\
         specific: {type: object}\nresources:\n  - {type: local_file, name: data, config: {path: latest.txt, content: \
         '${{ json(request.latestEnriched) }}'}}\nacl:\n  resources:\n    - {type: local_file, name: grant, config: \
         {path: grant.txt, content: '${{ json(acl) }}'}}\n",
    );
    project.run(["blueprints", "check", "--env", "test"]).done();
    let product = product(&["a", "port"]).replace("name: port, kind: workload", "name: port, kind: outputport");
    (project, product)
}

/// Returns the same product with the port selected.
fn with_selected_port(product: &str) -> String {
    let product = product.lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!("dataProduct:\n{product}componentIdToProvision: urn:dmb:cmp:finance:cash:0:port\n")
}

pub(crate) fn access(product: &str, refs: &[&str], fields: &str) -> String {
    let provisioned = json!({"request": with_selected_port(product), "result": ""});
    format!(r#"{{"refs": {}, "provisionInfo": {provisioned}, "accessControlFields": {fields}}}"#, json!(refs))
}

pub(crate) fn grant(server: &Served, body: &str) -> Json {
    let answer = server.call("POST", "/v1/updateacl", body);
    assert_eq!(answer.status, 202, "{answer:?}");
    let status = server.wait_for_end(&answer.body);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    status
}

#[test]
fn principal_unknown_to_the_provider_gets_no_access() {
    let (project, product) = with_port();
    let grants = "'${{ json(identities(acl.principals, \"snowflake\")) }}'";
    let blueprint = project.read("blueprints/port.yaml").replace("'${{ json(acl) }}'", grants);
    project.write("blueprints/port.yaml", blueprint);
    let server = Served::start(&project, &[]);
    assert_eq!(
        server.wait_for_end(&server.submit("/v1/provision", &with_selected_port(&product)))["status"],
        "COMPLETED"
    );
    let status = grant(&server, &access(&product, &["user:ada", "robot:x"], "{}"));
    assert_eq!(status["info"]["aclInfo"], json!([{"identity": "user:ada", "locked": false}]), "{status}");
    let log = status["logs"].to_string();
    assert!(log.contains("`robot:x` gets no access to `port`"), "{log}");
    assert_eq!(project.read("grant.txt"), r#"["user:ada"]"#);
    let status = server.wait_for_end(&server.call("POST", "/v1/updateacl", &access(&product, &["robot:x"], "{}")).body);
    assert_eq!((&status["status"], &status["info"]["aclInfo"]), (&json!("FAILED"), &json!([])), "{status}");
}

/// Returns a request with the last provisioned product.
fn with_latest(descriptor: &str, latest: &str) -> String {
    json!({"descriptorKind": "COMPONENT_DESCRIPTOR", "descriptor": descriptor, "removeData": false,
        "latestEnrichedDescriptor": latest})
    .to_string()
}

#[test]
fn access_fields_reach_the_grants_and_are_kept() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &product))["status"], "COMPLETED");
    assert_eq!(server.call("GET", ACL, "").json(), json!({"principals": null, "fields": {}}));
    grant(&server, &access(&product, &["user:ada"], r#"{"why": {"b": 1, "a": 2}, "days": 30}"#));
    let granted = r#"{"fields":{"days":30,"why":{"a":2,"b":1}},"principals":["user:ada"]}"#;
    assert_eq!(project.read("grant.txt"), granted);
    // Later requests of every kind see the fields.
    std::fs::remove_file(project.path("grant.txt")).unwrap();
    let changed = product.replace("specific: {name: port}", "specific: {name: gate}");
    assert_eq!(
        server.wait_for_end(&server.submit("/v1/provision", &with_selected_port(&changed)))["status"],
        "COMPLETED"
    );
    assert_eq!(project.read("grant.txt"), granted);
    project.write("product.yaml", product.as_str());
    project.assert_settled("product.yaml", &[]);
    let shown = project.run(["acl", "show", "port", "--stack", "finance.cash.0@test", "--json"]).done().json();
    let fields = json!({"days": 30, "why": {"a": 2, "b": 1}});
    assert_eq!((&shown["principals"], &shown["fields"]), (&json!(["user:ada"]), &fields));
    let there = server.call("GET", ACL, "").json();
    assert_eq!(there, json!({"principals": ["user:ada"], "fields": fields}));
    // Fields are replaced as a whole, with the principals or alone.
    let before = server.etag(ACL);
    grant(&server, &access(&product, &["user:ada"], r#"{"days": 7}"#));
    assert_eq!(project.read("grant.txt"), r#"{"fields":{"days":7},"principals":["user:ada"]}"#);
    assert_ne!(server.etag(ACL), before);
    let body = json!({"principals": ["user:bob"], "fields": {"days": 1}, "descriptor": with_selected_port(&product)});
    assert_eq!(server.call_with("PUT", ACL, body.to_string(), &[("if-match", &before)]).status, 412);
    let tag = server.etag(ACL);
    let call = |key: &str, body: &Json| {
        server.call_with("PUT", ACL, body.to_string(), &[("if-match", &tag), ("idempotency-key", key)])
    };
    let set = call("mine", &body);
    assert_eq!(set.status, 202, "{set:?}");
    let operation = set.json()["operation"].as_str().unwrap().to_owned();
    assert_eq!(server.wait_for_end(&operation)["status"], "COMPLETED");
    // A caller that lost the response and repeats its request gets no conflict.
    let again = call("mine", &body);
    assert_eq!((again.status, again.json()["operation"].as_str()), (202, Some(&*operation)), "{again:?}");
    assert_eq!(call("another", &body).status, 412);
    let other = json!({"principals": ["user:eve"], "descriptor": with_selected_port(&product)});
    assert_eq!(call("mine", &other).status, 422, "the key is another call's");
    assert_eq!(project.read("grant.txt"), r#"{"fields":{"days":1},"principals":["user:bob"]}"#);
    for nothing in ["null", "{}"] {
        grant(&server, &access(&product, &["user:bob"], nothing));
        assert_eq!(project.read("grant.txt"), r#"{"fields":{},"principals":["user:bob"]}"#);
    }
}

#[test]
fn access_fields_that_are_not_an_object_are_refused_by_name() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &product))["status"], "COMPLETED");
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(70), "]".repeat(70));
    for wrong in ["1", "\"x\"", "[]", "true", &deep] {
        let answer = server.call("POST", "/v1/updateacl", &access(&product, &["user:ada"], wrong));
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.json()["inputErrorField"], "accessControlFields", "{answer:?}");
        let body = access(&product, &["user:ada"], wrong).replacen("\"refs\"", "\"principals\"", 1);
        let body = body.replacen("\"accessControlFields\"", "\"fields\"", 1);
        let mut body: Json = serde_json::from_str(&body).unwrap();
        body["descriptor"] = body["provisionInfo"]["request"].take();
        body.as_object_mut().unwrap().remove("provisionInfo");
        let answer = server.call("PUT", ACL, &body.to_string());
        assert!(answer.status == 400 && answer.body.contains("`fields` "), "{answer:?}");
    }
    assert_eq!(server.call("GET", ACL, "").json()["principals"], Json::Null);
}

#[test]
fn same_access_is_the_same_request_in_any_spelling() {
    let (project, product) = with_port();
    let server = Served::start(&project, &["--workers", "1"]);
    assert_eq!(
        server.wait_for_end(&server.submit("/v1/provision", &with_selected_port(&product)))["status"],
        "COMPLETED"
    );
    project.make_gate("gate-a");
    let busy = server.submit("/v1/provision", &with_selected("a", &["a"]));
    until("it runs", || project.has("started-a"));
    let ask = |fields: &str| {
        let answer = server.call("POST", "/v1/updateacl", &access(&product, &["user:ada"], fields));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body
    };
    let first = ask(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#);
    assert_eq!(ask(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#), first);
    let other = ask(r#"{"a": 1, "b": {"c": 2, "d": 4}}"#);
    assert_ne!(other, first);
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&busy)["status"], "COMPLETED");
    assert_eq!(server.wait_for_end(&first)["status"], "COMPLETED");
    assert_eq!(server.wait_for_end(&other)["status"], "COMPLETED");
    assert!(project.read("grant.txt").contains(r#""d":4"#));
}

#[test]
fn last_provisioned_product_reaches_blueprints_of_queued_requests() {
    let (project, product) = with_port();
    let server = Served::start(&project, &["--workers", "1"]);
    let port = with_selected_port(&product);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &port))["status"], "COMPLETED");
    assert_eq!(project.read("latest.txt"), "null");
    for nothing in ["", " \n", "null"] {
        let answer = server.call("POST", "/v1/provision", &with_latest(&port, nothing));
        assert_eq!(server.wait_for_end(&answer.body)["status"], "COMPLETED", "{answer:?}");
        assert_eq!(project.read("latest.txt"), "null");
    }
    project.make_gate("gate-a");
    let busy = server.submit("/v1/provision", &with_selected("a", &["a"]));
    until("it runs", || project.has("started-a"));
    let latest = "id: urn:dmb:dp:finance:cash:0\ninfo: {latestProvisioningOperation: {status: Failed}}\n";
    let queued = server.call("POST", "/v1/provision", &with_latest(&port, latest));
    assert_eq!(queued.status, 202, "{queued:?}");
    // The last product is not part of the request's identity.
    assert_eq!(server.call("POST", "/v1/provision", &with_latest(&port, "id: x\n")).body, queued.body);
    server.kill();
    drop(server);
    project.open_gate("gate-a");
    until("the program that outlived it has ended", || project.has("made-a"));
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&busy)["status"], "COMPLETED");
    assert_eq!(server.wait_for_end(&queued.body)["status"], "COMPLETED");
    assert_eq!(
        project.read("latest.txt"),
        r#"{"id":"urn:dmb:dp:finance:cash:0","info":{"latestProvisioningOperation":{"status":"Failed"}}}"#
    );
    let gone = server.call("POST", "/v1/unprovision", &with_latest(&port, latest));
    assert_eq!(server.wait_for_end(&gone.body)["status"], "COMPLETED", "{gone:?}");
    assert!(!project.has("latest.txt"));
}

#[test]
fn invalid_latest_descriptor_is_refused_by_name_and_place() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    let port = with_selected_port(&product);
    for (wrong, place) in [("- 1\n", "1:1"), ("a: [1\n", "1:4"), ("dataProduct: x\n", "1:14")] {
        for path in ["/v1/provision", "/v1/unprovision"] {
            let answer = server.call("POST", path, &with_latest(&port, wrong));
            assert_eq!(answer.status, 400, "{answer:?}");
            let output = answer.json();
            assert_eq!(output["inputErrorField"], "latestEnrichedDescriptor", "{output}");
            let place = format!("latestEnrichedDescriptor:{place}");
            assert!(output["errors"][0].as_str().unwrap().starts_with(&place), "{output}");
        }
    }
    let answer = server.call("POST", "/v1/validate", &with_latest(&port, "- 1\n"));
    assert!(answer.status == 200 && answer.body.contains("latestEnrichedDescriptor:1:1"), "{answer:?}");
    // This blueprint does not read it.
    let answer = server.call("POST", "/v1/provision", &with_latest(&with_selected("a", &["a"]), "- 1\n"));
    assert_eq!(server.wait_for_end(&answer.body)["status"], "COMPLETED", "{answer:?}");
}
