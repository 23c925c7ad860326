//! Messages for refused and failed calls: the wrong field and a hint, in terms of the caller.

use crate::server::request::{ACL, access, with_port};
use crate::server::requests::{messages, product, project, with_selected};
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use terrace_tests::served::{Answer, Served, request};

const COMPONENT: &str = "COMPONENT_DESCRIPTOR";
const PLANS: &str = "/api/v1/plans";

#[test]
fn failed_request_has_a_hint_in_result_and_log() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    let answer = server.call("POST", "/v1/updateacl", &access(&product, &["user:ada"], "{}"));
    assert_eq!(answer.status, 202, "{answer:?}");
    let status = server.wait_for_end(&answer.body);
    assert_eq!(status["status"], "FAILED", "{status}");
    assert!(status["result"].as_str().unwrap().ends_with("(provision `port` first)"), "{status}");
    assert!(messages(&status).contains("(provision `port` first)"), "{status}");
}

#[test]
fn native_api_gives_hints() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    let detail = |body: Json| {
        let answer = server.call("POST", PLANS, &body.to_string());
        assert_eq!(answer.status, 400, "{answer:?}");
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let moon = "the environment `nope` is not configured (configured environments: test)";
    assert_eq!(detail(json!({"descriptor": product, "environment": "nope"})), moon);
    let elsewhere = product.replace("environment: test", "environment: nope");
    let output = detail(json!({"descriptor": elsewhere}));
    assert!(output.starts_with("descriptor:") && output.ends_with(moon), "{output}");
    let several = json!({"descriptor": product, "components": ["nope", "neither"]});
    let several = server.call("POST", PLANS, &several.to_string()).json();
    let none = |name: &str| format!("`finance.cash.0` has no component `{name}` (there are: `a`, `port`)");
    assert_eq!(several["errors"], json!([none("neither"), none("nope")]), "{several}");
    let misspelt = product.replace("specific: {name: a}", "specific: {nam: a}");
    let output = server.call("POST", PLANS, &json!({"descriptor": misspelt}).to_string());
    assert!(output.body.contains("(did you mean `name`?"), "{output:?}");

    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &product))["status"], "COMPLETED");
    let output = server.call("PUT", ACL, &json!({"principals": [], "descriptor": elsewhere}).to_string());
    assert!(output.status == 400 && output.json()["detail"].as_str().unwrap().ends_with(moon), "{output:?}");
}

#[test]
fn unreadable_idempotency_key_is_refused_and_empty_is_none() {
    let project = project();
    let server = Served::start(&project, &[]);
    let body = json!({"descriptor": product(&["a"])}).to_string();
    for key in ["", "schlüssel"] {
        for path in [PLANS, "/v1/provision"] {
            let answer = server.call_with("POST", path, &body, &[("idempotency-key", key)]);
            assert!(answer.status == 400 && answer.body.contains("`Idempotency-Key`"), "{key} {path}: {answer:?}");
        }
    }
    assert_eq!(project.run(["operations", "list"]).done().stdout, "");
}

#[test]
fn idempotency_key_is_for_one_drift_scan() {
    let project = project();
    let server = Served::start(&project, &[]);
    let other = product(&["b"]).replace("finance:cash", "finance:other");
    for text in [product(&["a"]), other] {
        assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &text))["status"], "COMPLETED");
    }
    let scan = |key: &str, body: &str| server.call_with("POST", "/api/v1/drift", body, &[("idempotency-key", key)]);
    let one = r#"{"stack": "finance.cash.0@test"}"#;
    let other = r#"{"stack": "finance.other.0@test"}"#;
    let first = scan("one", one);
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(scan("one", one).body, first.body);
    assert_eq!(scan("one", other).status, 422);
    assert_eq!(scan("one", "").status, 422);
    let body = json!({"descriptor": product(&["a"])}).to_string();
    assert_eq!(server.call_with("POST", PLANS, &body, &[("idempotency-key", "one")]).status, 422);
    let all = scan("all", "");
    assert_eq!((all.status, all.json().as_array().unwrap().len()), (202, 2), "{all:?}");
    assert_eq!(scan("all", "").body, all.body);
    assert_eq!((scan("all", one).status, scan("all", other).status), (422, 422));
}

#[test]
fn plan_errors_are_in_every_format() {
    let project = project();
    project.write("terrace.yaml", "environments: {test: {}}\nserver: {stacks: true}\n");
    let server = Served::start(&project, &[]);
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: site}\nresources:\n\
                 - {type: local_file, provider: local.nope, name: page, config: {path: page.html, content: hello}}\n";
    let body = json!({"descriptor": stack}).to_string();
    let (problem, hint) = ("there is no `local` instance `local.nope`", "there are: `local`");
    for form in ["application/json", "text/markdown", "text/plain"] {
        let response = server.call_with("POST", PLANS, &body, &[("accept", form)]);
        assert!(response.content_type.starts_with(form), "{response:?}");
        // Markdown escapes some characters.
        let body = response.body.replace('\\', "");
        let (_, rest) = body.split_once(problem).unwrap_or_else(|| panic!("{response:?}"));
        assert!(rest.contains(hint), "{response:?}");
    }
}

#[test]
fn plan_has_the_most_preferred_accepted_format() {
    let project = project();
    let server = Served::start(&project, &[]);
    let body = json!({"descriptor": product(&["a"])}).to_string();
    for (accept, form) in [
        ("text/markdown;q=0.1, application/json", "application/json"),
        ("text/*", "text/plain"),
        ("text/markdown", "text/markdown"),
        ("text/plain;q=0.5, text/markdown;q=0.4, */*;q=0.1", "text/plain"),
        ("image/png", "application/json"),
    ] {
        let answer = server.call_with("POST", PLANS, &body, &[("accept", accept)]);
        assert!(answer.content_type.starts_with(form), "{accept}: {answer:?}");
    }
}

#[test]
fn access_is_a_list_even_without_principals() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    let made = server.wait_for_end(&server.submit("/v1/provision", &product));
    assert!(made["status"] == "COMPLETED" && made["info"].get("aclInfo").is_none(), "no access was set: {made}");
    let set = |refs: &[&str]| {
        let token = server.call("POST", "/v1/updateacl", &access(&product, refs, "{}")).body;
        server.wait_for_end(&token)
    };
    assert_eq!(set(&["user:ada"])["info"]["aclInfo"], json!([{"identity": "user:ada", "locked": false}]));
    let empty = set(&[]);
    assert_eq!((&empty["status"], &empty["info"]["aclInfo"]), (&json!("COMPLETED"), &json!([])), "{empty}");
}

/// Returns the named field and the whole error.
fn refusal(answer: &Answer) -> (String, Json) {
    assert_eq!(answer.status, 400, "{answer:?}");
    let error = answer.json();
    (error["inputErrorField"].as_str().unwrap_or_default().to_owned(), error)
}

#[test]
fn access_error_names_the_fields_of_its_call() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    let refused = |request: &str| {
        let body = json!({"refs": [], "provisionInfo": {"request": request, "result": ""}});
        refusal(&server.call("POST", "/v1/updateacl", &body.to_string()))
    };
    let (field, whole) = refused(&product);
    assert_eq!(field, "provisionInfo.request.componentIdToProvision", "{whole}");
    assert!(!whole.to_string().contains("DATAPRODUCT_DESCRIPTOR"), "{whole}");
    let elsewhere = with_selected("a", &["a"]).replace("environment: test", "environment: nope");
    assert_eq!(refused(&elsewhere).0, "provisionInfo.request.environment");
    let (field, whole) = refused("id: [");
    assert_eq!(field, "provisionInfo.request");
    assert!(whole["userMessage"].as_str().unwrap().starts_with("provisionInfo.request:1:"), "{whole}");
    assert_eq!(refused(&with_selected("z", &["a"])).0, "provisionInfo.request.componentIdToProvision");
}

#[test]
fn error_names_the_most_specific_known_field() {
    let project = project();
    let server = Served::start(&project, &[]);
    let named = "componentIdToProvision: urn:dmb:cmp:finance:cash:0:a";
    for id in ["null", "''", "urn:dmb:cmp:finance:cash:0:z", "[a]"] {
        let text = with_selected("a", &["a"]).replace(named, &format!("componentIdToProvision: {id}"));
        for path in ["/v1/provision", "/v1/unprovision", "/v2/validate"] {
            let (field, whole) = refusal(&server.send(path, COMPONENT, &text));
            assert_eq!(field, "descriptor.componentIdToProvision", "{path} {id}: {whole}");
        }
    }
    let access = r#"{"refs": ["user:a", 1], "provisionInfo": {"request": "", "result": ""}}"#;
    for (path, body, field) in [
        ("/v1/provision", "{}", "descriptor"),
        ("/v1/provision", r#"{"descriptor": 1}"#, "descriptor"),
        ("/v1/provision", r#"{"descriptor": "", "removeData": "yes"}"#, "removeData"),
        ("/v1/updateacl", r#"{"provisionInfo": {"request": ""}}"#, "refs"),
        ("/v1/updateacl", access, "refs[1]"),
        ("/v1/updateacl", r#"{"refs": [], "provisionInfo": {}}"#, "provisionInfo.request"),
        ("/v1/provision", "[]", ""),
        ("/v1/provision", "{", ""),
    ] {
        let (reported, whole) = refusal(&server.call("POST", path, body));
        assert_eq!(reported, field, "{path} {body}: {whole}");
    }
}

#[test]
fn unreadable_query_is_reported_in_terms_of_the_caller() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &product))["status"], "COMPLETED");
    let refused = |path: &str| {
        let answer = server.call("GET", &format!("/api/v1{path}"), "");
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    for wrong in ["x", "", "-1", "99999999999999999999999"] {
        let expected = "`limit` has to be a whole number that is not negative";
        assert_eq!(refused(&format!("/stacks?limit={wrong}")), expected, "{wrong}");
    }
    assert_eq!(refused("/stacks?limit=1&limit=2"), "`limit` occurs twice: send it once");
    assert_eq!(refused("/stacks?limt=1"), "unknown parameter `limt`: expected `limit` or `after`");
    let filters = "`stack`, `kind`, `status`, `limit`, `after`";
    assert_eq!(refused("/operations?state=x"), format!("unknown parameter `state`: expected {filters}"));
    let resources = "/stacks/finance.cash.0@test/resources?status=nope";
    assert_eq!(refused(resources), "`status` has to be one of `ready`, `tainted`, `retained`");
    let kinds = refused("/operations?kind=nope");
    assert!(
        kinds.starts_with("`nope` is not a kind of operations: expected one of ") && kinds.contains("provision, "),
        "{kinds}"
    );
    let listed = project.run(["operations", "list", "--json"]).done().json();
    for operation in listed.as_array().unwrap() {
        let kind = operation["kind"].as_str().unwrap();
        assert_eq!(server.call("GET", &format!("/api/v1/operations?kind={kind}"), "").status, 200, "{kind}");
    }
}

#[test]
fn unacceptable_body_is_reported_in_terms_of_the_caller() {
    let project = project();
    project.write("terrace.yaml", "environments: {test: {}}\nserver: {bodyLimit: 1KB}\n");
    let server = Served::start(&project, &[]);
    for path in ["/v1/provision", PLANS] {
        let no_text = server.call_with("POST", path, &b"{\"descriptor\": \"\xff\"}"[..], &[]);
        assert!(no_text.status == 400 && no_text.body.contains("the body is not UTF-8"), "{no_text:?}");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        let mut stream = server.begin(&head);
        let body = request(COMPONENT, &"x".repeat(2_000), false);
        write!(stream, "{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("the body is too long"), "{answer}");
    }
}

#[test]
fn every_refusal_has_a_problem_and_a_hint() {
    let project = project();
    let digest = "f83d8b58e7bd3f15415cdb05ea71fdb10fb96abf9a8517cadb238a49f26d29a7";
    let writing = "91e333cba03d3a018e852949bdf06297019557d45da25da20052cb52c1774dc6";
    project.write(
        "terrace.yaml",
        format!(
            "environments: {{test: {{}}}}\nserver: {{bodyLimit: 1KB, auth: {{mode: token, tokens: \
             [{{name: reader, sha256: '{digest}', scopes: [read]}}, {{name: writer, sha256: '{writing}', scopes: [apply]}}]}}}}\n"
        ),
    );
    let server = Served::start(&project, &[]);
    let reader = [("authorization", "Bearer read-secret-0123456789")];
    let long = "x".repeat(2_000);
    let expecting = [("expect", "100-continue")];
    let writer = [expecting[0], ("authorization", "Bearer write-secret-0123456789")];
    for (status, answer) in [
        (401, server.call("POST", "/v1/provision", "{}")),
        (403, server.call_with("POST", "/v1/provision", "{}", &reader)),
        (404, server.call("GET", "/v1/nothing", "")),
        (405, server.call("GET", "/v1/provision", "")),
        (401, server.call_with("POST", "/v1/provision", &long, &expecting)),
        (413, server.call_with("POST", "/v1/provision", &long, &writer)),
    ] {
        let response = answer.json();
        let (problems, solutions) = (&response["moreInfo"]["problems"], &response["moreInfo"]["solutions"]);
        let is_said = |all: &Json| all.as_array().is_some_and(|all| all.len() == 1 && all[0] != "");
        assert!(answer.status == status && is_said(problems) && is_said(solutions), "{answer:?}");
    }
}

#[test]
fn optional_field_can_be_null() {
    let project = project();
    let server = Served::start(&project, &[]);
    let body = json!({"useCaseTemplateId": "x", "environment": "test", "params": null, "catalogInfo": null});
    let (field, whole) = refusal(&server.call("POST", "/v1/reverse-provisioning", &body.to_string()));
    assert_eq!(field, "useCaseTemplateId", "it is read: {whole}");
    let body = json!({"descriptor": product(&["a"]), "descriptorKind": null, "removeData": null});
    assert_eq!(server.call("POST", "/v1/validate", &body.to_string()).body, r#"{"valid":true}"#);
}
