//! Access to every path, for callers of every scope.

use terrace_tests::served::{Answer, Served, request};
use terrace_tests::{Project, until};

/// Every call with its required scope.
const CALLS: [(&str, &str, usize); 10] = [
    ("POST", "/v1/reverse-provisioning", PLAN),
    ("GET", "/v1/reverse-provisioning/x/status", READ),
    ("POST", "/v1/validate", PLAN),
    ("POST", "/v2/validate", PLAN),
    ("GET", "/v2/validate/x/status", READ),
    ("POST", "/v1/provision", APPLY),
    ("GET", "/v1/provision/x/status", READ),
    ("DELETE", "/v1/provision/x", APPLY),
    ("POST", "/v1/unprovision", APPLY),
    ("POST", "/v1/updateacl", APPLY),
];
/// The calls of pickers, which exist at the root and below the name of a picker.
const PICKERS: [&str; 2] = ["/v1/resources", "/v1/resources/validate"];
/// The scopes, and the SHA-256 of `SCOPE-secret-0123456789`.
const SCOPES: [(&str, &str); 4] = [
    ("read", "f83d8b58e7bd3f15415cdb05ea71fdb10fb96abf9a8517cadb238a49f26d29a7"),
    ("plan", "16dbdea5e1240577064bbaf4e279ab0b40d22d0ba2970c9915f4300d75c07065"),
    ("apply", "52ce1262272a471cc5c843cebd15d087fb5de66f7fa19450d2eb751294789140"),
    ("admin", "a7cd7d05af04b66c8920d7fa96841f5c084c569f171ef670f48e2524708c367f"),
];
const READ: usize = 0;
const PLAN: usize = 1;
const APPLY: usize = 2;
const ADMIN: usize = 3;

fn server() -> (Project, Served) {
    server_with("")
}

/// Starts the server with further settings.
fn server_with(settings: &str) -> (Project, Served) {
    let project = Project::new();
    let token =
        |(scope, digest): &(&str, &str)| format!("{{name: the {scope}er, sha256: '{digest}', scopes: [{scope}]}}");
    let tokens = SCOPES.iter().map(token).collect::<Vec<_>>().join(", ");
    project.write(
        "terrace.yaml",
        format!("server: {{{settings}prefixes: [/kafka-adapter], auth: {{mode: token, tokens: [{tokens}]}}}}\n"),
    );
    let server = Served::start(&project, &[]);
    (project, server)
}

/// Calls of the native API with their required scopes. The list must have every path of the API description.
const NATIVE: [(&str, &str, usize); 34] = [
    ("GET", "/stacks", READ),
    ("GET", "/stacks/{stack}/components", READ),
    ("GET", "/stacks/{stack}/resources", READ),
    ("GET", "/stacks/{stack}/history/{address}", READ),
    ("GET", "/stacks/{stack}/drift", READ),
    ("GET", "/stacks/{stack}/components/{component}/acl", READ),
    ("PUT", "/stacks/{stack}/components/{component}/acl", APPLY),
    ("GET", "/operations", READ),
    ("GET", "/operations/{id}", READ),
    ("GET", "/operations/{id}/logs", READ),
    ("GET", "/operations/{id}/events", READ),
    ("POST", "/operations/{id}/cancel", APPLY),
    ("POST", "/plans", PLAN),
    ("GET", "/plans/{id}", READ),
    ("POST", "/plans/{id}/apply", APPLY),
    ("GET", "/drift", READ),
    ("POST", "/drift", PLAN),
    ("GET", "/leases", READ),
    ("DELETE", "/leases/{id}", ADMIN),
    ("GET", "/environments", READ),
    ("GET", "/environments/{environment}/blueprints", READ),
    ("GET", "/environments/{environment}/providers", READ),
    ("GET", "/pipelines", READ),
    ("GET", "/pipelines/databases", READ),
    ("GET", "/pipelines/databases/{name}", READ),
    ("POST", "/pipelines/databases/{name}/extend", APPLY),
    ("POST", "/pipelines/databases/{name}/stop", APPLY),
    ("GET", "/pipelines/pods", READ),
    ("GET", "/pipelines/runs", READ),
    ("POST", "/pipelines/runs", APPLY),
    ("GET", "/pipelines/runs/{id}", READ),
    ("POST", "/pipelines/runs/{id}/cancel", APPLY),
    ("GET", "/pipelines/runs/{id}/events", READ),
    ("GET", "/pipelines/runs/{id}/logs", READ),
];

fn called(server: &Served, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    server.call_with(method, path, "{}", &headers)
}

#[test]
fn every_call_needs_a_token_of_its_scope_on_every_base_path() {
    let (_project, server) = server();
    for (method, path, needed) in CALLS {
        for prefix in ["", "/datamesh.specificprovisioner", "/kafka-adapter"] {
            let path = format!("{prefix}{path}");
            for wrong in [
                None,
                Some("Bearer"),
                Some("Bearer nobodys"),
                Some("Basic apply-secret-0123456789"),
                Some("apply-secret-0123456789"),
            ] {
                let answer = called(&server, method, &path, wrong);
                assert_eq!(answer.status, 401, "{method} {path} {wrong:?}: {answer:?}");
            }
            for (has, (scope, _)) in SCOPES.iter().enumerate() {
                let answer = called(&server, method, &path, Some(&format!("Bearer {scope}-secret-0123456789")));
                assert_eq!(answer.status == 403, has < needed, "{method} {path} {scope}: {answer:?}");
                assert_ne!(answer.status, 401, "{method} {path} {scope}: {answer:?}");
            }
        }
    }
    let answer = called(&server, "POST", "/v1/provision", Some("bearer plan-secret-0123456789"));
    assert_eq!(answer.json()["error"], "the token of `the planer` has the scope `plan`, and this call needs `apply`");
}

#[test]
fn every_picker_needs_a_token_that_plans() {
    let (_project, server) = server();
    for path in PICKERS.into_iter().flat_map(|path| [path.to_owned(), format!("/pickers/a{path}")]) {
        let unknown = called(&server, "POST", &path, None);
        assert_eq!(unknown.status, 401, "{path}: {unknown:?}");
        assert!(
            unknown.json()["errors"][0].is_string() && unknown.header("www-authenticate") == "Bearer",
            "{unknown:?}"
        );
        for (has, (scope, _)) in SCOPES.iter().enumerate() {
            let answer = called(&server, "POST", &path, Some(&format!("Bearer {scope}-secret-0123456789")));
            assert_eq!(answer.status, if has < PLAN { 403 } else { 400 }, "{path} {scope}: {answer:?}");
            assert!(answer.json()["errors"].is_array(), "{path} {scope}: {answer:?}");
        }
    }
}

#[test]
fn every_native_call_needs_a_token_of_its_scope() {
    let (_project, server) = server();
    let description = called(&server, "GET", "/api/v1/openapi.json", None).json();
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
        let path = path.strip_prefix("/api/v1").unwrap();
        described.extend(methods.filter(|method| method != "PARAMETERS").map(|method| (method, path.to_owned())));
    }
    let mut listed: Vec<(String, String)> =
        NATIVE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    described.sort();
    listed.sort();
    assert_eq!(described, listed);
    for (method, path, needed) in NATIVE {
        let path = format!("/api/v1{}", path.replace(['{', '}'], ""));
        assert_eq!(called(&server, method, &path, None).status, 401, "{method} {path}");
        for (has, (scope, _)) in SCOPES.iter().enumerate() {
            let answer = called(&server, method, &path, Some(&format!("Bearer {scope}-secret-0123456789")));
            assert_eq!(answer.status == 403, has < needed, "{method} {path} {scope}: {answer:?}");
            assert_ne!(answer.status, 401, "{method} {path} {scope}: {answer:?}");
            if answer.status >= 400 {
                assert_eq!(answer.content_type, "application/problem+json", "{method} {path}: {answer:?}");
            }
        }
    }
}

#[test]
fn operation_names_its_caller() {
    let (project, server) = server();
    let text = "id: urn:dmb:dp:a:b:0\nname: B\ndomain: a\nversion: 0.1.0\nkind: dataproduct\nenvironment: local\n\
                specific: {}\ncomponents: []\n";
    let body = request("DATAPRODUCT_DESCRIPTOR", text, false);
    let answer =
        server.call_with("POST", "/v1/unprovision", &body, &[("authorization", "Bearer apply-secret-0123456789")]);
    assert_eq!(answer.status, 202, "{answer:?}");
    let listed = project.run(["operations", "list"]).done().stdout;
    assert!(listed.contains("the applyer"), "{listed}");
}

#[test]
fn plain_stack_needs_scope_apply_even_for_plans() {
    let (project, server) = server_with("stacks: true, ");
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: a}\nresources:\n  - {type: local_command, name: c, \
                 adopt: ifExists, config: {create: [sh, -c, 'echo {}'], find: [sh, -c, 'touch ran; echo null']}}\n";
    let plan = serde_json::json!({"descriptor": stack, "environment": "local"}).to_string();
    let validation = request("DATAPRODUCT_DESCRIPTOR", stack, false);
    for (path, body) in [("/api/v1/plans", &plan), ("/v1/validate", &validation), ("/v2/validate", &validation)] {
        let answer = |scope: &str| {
            server.call_with("POST", path, body, &[("authorization", &format!("Bearer {scope}-secret-0123456789"))])
        };
        let refused = answer("plan");
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
        assert!(refused.body.contains("this call needs `apply`"), "{path}: {refused:?}");
        assert!(!project.has("ran"), "{path}");
        assert!(answer("apply").status < 300, "{path}: {:?}", answer("apply"));
    }
}

#[test]
fn cross_site_call_is_refused_without_authentication() {
    let project = Project::new();
    let server = Served::start(&project, &[]);
    let status = |method: &str, path: &str, headers: &[(&str, &str)]| {
        server.call_with(method, path, r#"{"descriptor": "id: a"}"#, headers).status
    };
    let own = ("sec-fetch-site", "same-origin");
    let other = ("origin", "https://pages.example.com");
    for path in ["/v1/validate", "/v1/provision", "/api/v1/plans"] {
        assert_ne!(status("POST", path, &[]), 403, "{path}");
        assert_ne!(status("POST", path, &[own, ("content-type", "application/json")]), 403, "{path}");
        for headers in [[("sec-fetch-site", "cross-site")], [("sec-fetch-site", "same-site")], [other]] {
            assert_eq!(status("POST", path, &headers), 403, "{path} {headers:?}");
        }
        assert_eq!(status("POST", path, &[own, ("host", "pages.example.com:8091")]), 403, "{path}");
    }
    let response = server.call_with("GET", "/api/v1/stacks", "", &[("host", "pages.example.com")]);
    assert_eq!(response.status, 403);
    assert!(response.json()["detail"].as_str().unwrap().contains("configure `server.auth`"), "{response:?}");
    assert_eq!(server.call("GET", "/api/v1/stacks", "").status, 200);
    // With tokens, any host name is accepted. With `mode: none`, the configuration accepts every caller and every host
    // name.
    let (_project, server) = self::server();
    assert_eq!(server.call_with("GET", "/health", "", &[("host", "a.example.com")]).status, 200);
    let project = Project::new();
    project.write("terrace.yaml", "server: {auth: {mode: none}}\n");
    let server = Served::start(&project, &[]);
    assert_eq!(server.call_with("GET", "/api/v1/stacks", "", &[("host", "a.example.com")]).status, 200);
    assert_eq!(server.call_with("POST", "/v1/validate", "{}", &[other]).status, 403);
}

#[test]
fn server_for_other_machines_needs_access_control() {
    let project = Project::new();
    let error = project.run(["serve", "--bind", "0.0.0.0:0"]).with_code(1).stderr;
    assert!(error.contains("`0.0.0.0:0` is reachable from other machines"), "{error}");
    project.write("terrace.yaml", "server: {bind: '0.0.0.0:0', auth: {mode: none}}\n");
    let server = project.start(project.command(["serve"]));
    server.wait_for_stderr("serving on http://0.0.0.0:");
}

#[test]
fn short_token_is_refused_unless_the_configuration_allows_it() {
    let project = Project::new();
    // Digests of `a`, and of 19 characters.
    let (letter, usual) = (
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        "4848db7118fcd45f30903497c39ef3266c768a92744b20e6f0a5ef375e32d6b4",
    );
    let write = |more: &str| {
        let token = |name: &str, digest: &str| format!("{{name: {name}, sha256: {digest}, scopes: [admin]}}");
        let tokens = format!("[{}, {}]", token("short", letter), token("usual", usual));
        project.write("terrace.yaml", format!("server: {{auth: {{mode: token, tokens: {tokens}{more}}}}}\n"));
    };
    let status =
        |server: &Served, token: &str| called(server, "GET", "/api/v1/stacks", Some(&format!("Bearer {token}"))).status;
    write("");
    let server = Served::start(&project, &[]);
    assert_eq!((status(&server, "a"), status(&server, "tok-read-0123456789")), (401, 200));
    for logged in ["refused a token that is too short", "a token is short"] {
        until("it is logged", || server.stderr().contains(logged));
    }
    drop(server);
    write(", minimumTokenLength: 1");
    let server = Served::start(&project, &[]);
    assert_eq!((status(&server, "a"), status(&server, "b")), (200, 401));
    drop(server);
    write(", minimumTokenLength: 22");
    let server = Served::start(&project, &[]);
    assert_eq!(status(&server, "tok-read-0123456789"), 401);
    drop(server);
    write(", minimumTokenLength: 0");
    project.run(["serve"]).with_code(1).prints("expected a whole number from 1 to 1024");
}
