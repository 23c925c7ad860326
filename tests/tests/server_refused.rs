//! What is said of calls that are refused, and of what fails: by the field that is wrong, with what to do about it, in the
//! words of whoever calls.

use crate::server::{meaning, messages, product, project};
use crate::server_request::{ACL, access, with_port};
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use terrace_tests::served::{Answer, Served, request};

const COMPONENT: &str = "COMPONENT_DESCRIPTOR";
const PLANS: &str = "/api/v1/plans";

#[test]
fn a_key_that_cannot_be_read_is_refused_and_an_empty_one_is_none() {
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
fn one_key_is_for_one_scan_of_drift() {
    let project = project();
    let server = Served::start(&project, &[]);
    let other = product(&["b"]).replace("finance:cash", "finance:other");
    for text in [product(&["a"]), other] {
        assert_eq!(server.ended(&server.ask("/v1/provision", &text))["status"], "COMPLETED");
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
fn a_plan_says_its_errors_in_every_form() {
    let project = project();
    project.write("terrace.yaml", "environments: {test: {}}\nserver: {stacks: true}\n");
    let server = Served::start(&project, &[]);
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: site}\nresources:\n\
                 - {type: local_file, provider: local.nope, name: page, config: {path: page.html, content: hello}}\n";
    let body = json!({"descriptor": stack}).to_string();
    let (problem, hint) = ("there is no `local` instance `local.nope`", "there are: `local`");
    for form in ["application/json", "text/markdown", "text/plain"] {
        let told = server.call_with("POST", PLANS, &body, &[("accept", form)]);
        assert!(told.content_type.starts_with(form), "{told:?}");
        // Markdown has signs of its own before them.
        let body = told.body.replace('\\', "");
        let (_, rest) = body.split_once(problem).unwrap_or_else(|| panic!("{told:?}"));
        assert!(rest.contains(hint), "{told:?}");
    }
}

#[test]
fn a_plan_has_the_form_that_is_wanted_most() {
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
fn who_has_access_is_a_list_also_where_that_is_nobody() {
    let (project, product) = with_port();
    let server = Served::start(&project, &[]);
    let made = server.ended(&server.ask("/v1/provision", &product));
    assert!(made["status"] == "COMPLETED" && made["info"].get("aclInfo").is_none(), "nobody said: {made}");
    let set = |refs: &[&str]| {
        let token = server.call("POST", "/v1/updateacl", &access(&product, refs, "{}")).body;
        server.ended(&token)
    };
    assert_eq!(set(&["user:ada"])["info"]["aclInfo"], json!([{"identity": "user:ada", "locked": false}]));
    let nobody = set(&[]);
    assert_eq!((&nobody["status"], &nobody["info"]["aclInfo"]), (&json!("COMPLETED"), &json!([])), "{nobody}");
}

/// The field that is told, and what is said of it.
fn told(answer: &Answer) -> (String, Json) {
    assert_eq!(answer.status, 400, "{answer:?}");
    let told = answer.json();
    (told["inputErrorField"].as_str().unwrap_or_default().to_owned(), told)
}

#[test]
fn what_may_be_left_out_may_be_null() {
    let project = project();
    let server = Served::start(&project, &[]);
    let body = json!({"useCaseTemplateId": "x", "environment": "test", "params": null, "catalogInfo": null});
    let (field, whole) = told(&server.call("POST", "/v1/reverse-provisioning", &body.to_string()));
    assert_eq!(field, "useCaseTemplateId", "it is read: {whole}");
    let body = json!({"descriptor": product(&["a"]), "descriptorKind": null, "removeData": null});
    assert_eq!(server.call("POST", "/v1/validate", &body.to_string()).body, r#"{"valid":true}"#);
}
