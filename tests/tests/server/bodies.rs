//! Unreadable bodies and paths: each is refused in the format of its API, and no operation begins.

use crate::server::requests::{product, project, with_selected};
use serde_json::json;
use terrace_tests::served::{Answer, Served, request};

const NATIVE: &str = "/api/v1/plans";

/// Checks the error format: problem details in the native API, `errors` in the coordinator's.
fn is_refused(answer: &Answer, path: &str, status: u16) {
    assert_eq!(answer.status, status, "{path}: {answer:?}");
    let error = answer.json();
    if path.starts_with("/api/") {
        assert_eq!((answer.content_type.as_str(), &error["status"]), ("application/problem+json", &json!(status)));
    } else {
        assert_eq!(answer.content_type, "application/json");
        assert!(error["userMessage"].is_string(), "{answer:?}");
    }
}

#[test]
fn body_is_read_up_to_its_limit() {
    let project = project();
    project.write("terrace.yaml", "environments: {test: {}}\nserver: {bodyLimit: 3MB}\n");
    let server = Served::start(&project, &[]);
    let with_comment = |bytes: usize| format!("{}# {}\n", product(&["a"]), "x".repeat(bytes));
    let fits = server.call("POST", "/v1/validate", &request("DATAPRODUCT_DESCRIPTOR", &with_comment(2_500_000), false));
    assert_eq!((fits.status, fits.body.as_str()), (200, r#"{"valid":true}"#));
    for path in ["/v1/validate", "/v1/provision", "/v1/updateacl", "/v1/reverse-provisioning", NATIVE] {
        let body = request("DATAPRODUCT_DESCRIPTOR", &with_comment(3_500_000), false);
        let answer = server.call_with("POST", path, body, &[("expect", "100-continue")]);
        is_refused(&answer, path, 413);
        assert!(answer.body.contains("bytes: at most 3000000 are allowed"), "{answer:?}");
    }
    assert_eq!(project.run(["operations", "list"]).done().stdout, "");
}

#[test]
fn body_that_is_not_text_is_refused() {
    let project = project();
    let server = Served::start(&project, &[]);
    for path in ["/v1/validate", "/v2/validate", "/v1/unprovision", "/v1/reverse-provisioning", NATIVE] {
        for body in [&b"{\"descriptor\": \"\xff\xfe\"}"[..], b"", b"\0\0\0\0", b"[[[[[[[["] {
            is_refused(&server.call_with("POST", path, body, &[]), path, 400);
        }
        let deep = "[".repeat(100_000);
        is_refused(&server.call("POST", path, &deep), path, 400);
    }
    assert_eq!(project.run(["operations", "list"]).done().stdout, "");
}

#[test]
fn path_that_is_not_text_is_refused() {
    let server = Served::start(&project(), &[]);
    for path in ["/v1/provision/%ff/status", "/v2/validate/%c3%28/status", "/api/v1/stacks/%ff/resources"] {
        is_refused(&server.call("GET", path, ""), path, 400);
    }
}

#[test]
fn body_must_be_an_object_and_not_a_list() {
    let project = project();
    let server = Served::start(&project, &[]);
    let descriptor = product(&["a"]);
    let listed = json!(["DATAPRODUCT_DESCRIPTOR", descriptor, false, null]);
    for path in ["/v1/validate", "/v2/validate", "/v1/provision", "/v1/unprovision"] {
        is_refused(&server.call("POST", path, &listed.to_string()), path, 400);
    }
    let native = json!([descriptor, false, false, null, [], {}]);
    let access = json!({"refs": [], "provisionInfo": [descriptor]});
    let reverse = json!(["urn:dmb:utm:thing:0.0.0", "test", {}, {}]);
    for (path, body) in [(NATIVE, native), ("/v1/updateacl", access), ("/v1/reverse-provisioning", reverse)] {
        let answer = server.call("POST", path, &body.to_string());
        is_refused(&answer, path, 400);
        assert!(answer.body.contains("a JSON object"), "{answer:?}");
    }
    let answer = server.call("POST", NATIVE, &json!({"descriptor": descriptor}).to_string());
    assert_eq!(answer.status, 200, "{answer:?}\n{}", server.stderr());
}

/// The message has no internal type names and no sent values.
#[test]
fn field_of_the_wrong_type_is_reported_by_path_with_the_expected_type() {
    let project = project();
    let server = Served::start(&project, &[]);
    let native = |body: &str, expected: &str| {
        let answer = server.call("POST", NATIVE, body);
        is_refused(&answer, NATIVE, 400);
        assert_eq!(answer.json()["detail"], format!("{expected} (see `/docs` for the body of this call)"));
    };
    native(r#"{"descriptor": 7}"#, "`descriptor` is a whole number, and has to be text in double quotes");
    native(r#"{"descriptor": "", "destroy": "s3cret"}"#, "`destroy` is text, and has to be `true` or `false`");
    native(
        r#"{"descriptor": "", "components": ["a", null]}"#,
        "`components[1]` is `null`, and has to be text in double quotes",
    );
    native(r#"{"descriptor": "", "variables": []}"#, "`variables` is a list, and has to be a JSON object");
    native("{}", "`descriptor` is missing");
    native("{\"descriptor\": ", "the body is not JSON: it ends too early, at line 1, column 15");
    native("", "the body is empty: expected JSON");
    let unknown = server.call("POST", NATIVE, r#"{"descriptor": "", "nope": 1}"#);
    assert!(unknown.body.contains("unknown field `nope`: expected `descriptor`"), "{unknown:?}");
    let scan = server.call("POST", "/api/v1/drift", r#"{"stack": 1}"#);
    is_refused(&scan, "/api/v1/drift", 400);
    assert!(scan.body.contains("`stack` is a whole number, and has to be text"), "{scan:?}");

    let witboost = |path: &str, body: &str, expected: &str| {
        let answer = server.call("POST", path, body);
        is_refused(&answer, path, 400);
        let (problem, solution) = (&answer.json()["userMessage"], &answer.json()["moreInfo"]["solutions"][0]);
        assert_eq!(problem, expected);
        assert!(solution.as_str().unwrap().starts_with("send JSON with "), "{answer:?}");
    };
    let removes = r#"{"descriptor": "", "removeData": "s3cret"}"#;
    for path in ["/v1/validate", "/v2/validate", "/v1/provision", "/v1/unprovision"] {
        witboost(path, removes, "`removeData` is text, and has to be `true` or `false`");
        witboost(path, "{}", "`descriptor` is missing");
    }
    let access = r#"{"refs": [], "provisionInfo": {"request": {}}}"#;
    witboost("/v1/updateacl", access, "`provisionInfo.request` is a JSON object, and has to be text in double quotes");
    witboost("/v1/updateacl", r#"{"refs": [], "provisionInfo": {}}"#, "`provisionInfo.request` is missing");
    assert_eq!(project.run(["operations", "list"]).done().stdout, "");
}

#[test]
fn unknown_descriptor_kind_is_refused_by_its_field() {
    let project = project();
    let server = Served::start(&project, &[]);
    for descriptor in [product(&["a"]), with_selected("a", &["a"])] {
        let answer = server.send("/v1/provision", "NOPE", &descriptor);
        assert_eq!((answer.status, &answer.json()["inputErrorField"]), (400, &json!("descriptorKind")), "{answer:?}");
        let kinds = "COMPONENT_DESCRIPTOR, DATAPRODUCT_DESCRIPTOR, DATAPRODUCT_DESCRIPTOR_WITH_RESULTS";
        assert!(answer.body.contains(kinds), "{answer:?}");
        // `validate` answers an invalid request with a verdict.
        let verdict = server.send("/v1/validate", "NOPE", &descriptor);
        assert_eq!((verdict.status, &verdict.json()["valid"]), (200, &json!(false)), "{verdict:?}");
    }
}

#[test]
fn misspelt_field_is_refused_and_unknown_field_is_ignored() {
    let project = project();
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &product(&["a"])))["status"], "COMPLETED");
    let unprovision = |field: &str| {
        let body = json!({"descriptorKind": "DATAPRODUCT_DESCRIPTOR", "descriptor": product(&["a"]), field: true});
        server.call("POST", "/v1/unprovision", &body.to_string())
    };
    for slip in ["removedata", "remove_data", "removeDta"] {
        let refused = unprovision(slip);
        assert_eq!((refused.status, &refused.json()["inputErrorField"]), (400, &json!(slip)), "{refused:?}");
        assert!(refused.body.contains("did you mean `removeData`?"), "{refused:?}");
    }
    assert!(project.has("made-a"));
    assert_eq!(unprovision("requestedBy").status, 202);
}

#[test]
fn product_without_components_is_refused_and_removes_nothing() {
    let project = project();
    let server = Served::start(&project, &[]);
    let text = product(&["a"]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &text))["status"], "COMPLETED");
    let (product, _) = text.split_once("components:").unwrap();
    for components in ["components: []", "components:", "components: null", "", "component: [{}]"] {
        let text = format!("{product}{components}\n");
        let judged = server.send("/v1/validate", "DATAPRODUCT_DESCRIPTOR", &text);
        assert_eq!((judged.status, &judged.json()["valid"]), (200, &json!(false)), "{components}: {judged:?}");
        let refused = server.send("/v1/provision", "DATAPRODUCT_DESCRIPTOR", &text);
        assert!(refused.status == 400 && refused.body.contains("components"), "{components}: {refused:?}");
    }
    assert!(project.has("made-a"));
    // A plan of it is allowed, because the caller reviews it before the apply.
    let body = json!({"descriptor": format!("{product}components: []\n")}).to_string();
    let made = server.call_with("POST", NATIVE, body, &[("accept", "text/plain")]);
    assert!(made.status == 200 && made.body.contains("1 to destroy"), "{made:?}");
}
