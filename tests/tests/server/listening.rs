//! Connections and pages of the server: TLS with certificate renewal, call ids, unknown paths, and the pages at
//! `/docs`.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::io::Read;
use terrace_provider::value::OtherFormat;
use terrace_tests::served::Served;
use terrace_tests::{Project, repository, shared, until};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Writes a new certificate for this machine and returns it.
fn certify(project: &Project) -> String {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    project.write("server.key", signing_key.serialize_pem());
    project.write("server.pem", cert.pem());
    cert.pem()
}

/// Returns whether the server shows this certificate.
fn trusts(server: &Served, certificate: &str) -> bool {
    let certificate = Certificate::from_pem(certificate.as_bytes()).unwrap();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    agent.get(format!("{}/health", server.url())).call().is_ok()
}

#[test]
fn certificate_is_renewed_at_runtime() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {tls: {cert: server.pem, key: server.key}}\n");
    let first = certify(&project);
    let server = Served::start(&project, &[]);
    assert!(server.url().starts_with("https://"), "{}", server.url());
    assert!(trusts(&server, &first));
    let second = certify(&project);
    assert!(!trusts(&server, &second));
    server.hang_up();
    until("the new certificate holds", || trusts(&server, &second));
    assert!(!trusts(&server, &first));
    // A certificate that does not match its key is not used.
    let (certificate, key) = (project.read("server.pem"), project.read("server.key"));
    let _ = certify(&project);
    project.write("server.pem", &certificate);
    server.hang_up();
    until("the mistake is logged", || server.stderr().contains("keeping the old one"));
    assert!(trusts(&server, &second));
    project.write("server.key", &key);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn unusable_certificate_is_reported_before_the_server_starts() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {tls: {cert: server.pem, key: server.key}}\n");
    project.run(["serve"]).with_code(1).prints("server.pem`: No such file or directory");
    project.write("server.pem", "abc");
    project.run(["serve"]).with_code(1).prints("server.pem` contains no certificate");
    project.run(["doctor"]).with_code(1).prints("fail  server certificate: `").prints("contains no certificate");
    let _ = certify(&project);
    project.run(["doctor"]).done().prints("ok    server certificate: ").prints("server.pem, with its key");
    project.write("server.key", "abc");
    let ran = project.run(["serve"]).with_code(1);
    ran.prints("server.key` contains no private key").prints("name two PEM files in `server.tls`");
    let key = {
        certify(&project);
        project.read("server.key")
    };
    let _ = certify(&project);
    project.write("server.key", key);
    project.run(["serve"]).with_code(1).prints("cannot be used together");
    project.write("terrace.yaml", "server: {tls: {cert: server.pem}}\n");
    project.run(["serve"]).with_code(1).prints("`key`");
}

#[test]
fn call_keeps_its_id_or_gets_one() {
    let server = Served::start(&Project::new(), &[]);
    let id = |given: Option<&str>| {
        let call = ureq::get(format!("{}/health", server.url()));
        let call = match given {
            Some(given) => call.header("x-request-id", given),
            None => call,
        };
        call.call().unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id(Some("mine")), "mine");
    let (one, other) = (id(None), id(None));
    assert!(one != other && one.len() == 36, "{one} {other}");
    assert_ne!(id(Some(&"x".repeat(200))), "x".repeat(200));
    assert_eq!(id(Some("")).len(), 36, "an empty id counts as missing");
}

#[test]
fn slow_call_is_answered_in_the_format_of_its_api() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {timeout: 1s}\n");
    let server = Served::start(&project, &[]);
    for (path, kind) in [("/v1/validate", "application/json"), ("/api/v1/plans", "application/problem+json")] {
        // The body never ends, so the server ends the connection.
        let head = "host: localhost\r\ncontent-type: application/json\r\ncontent-length: 10";
        let mut half = server.begin(&format!("POST {path} HTTP/1.1\r\n{head}\r\n\r\n{{"));
        let mut answer = String::new();
        half.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("it took longer than 1 s"), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.to_lowercase().contains(&format!("content-type: {kind}")), "{answer}");
    }
}

#[test]
fn unknown_path_is_answered_in_the_format_of_its_api() {
    let server = Served::start(&Project::new(), &[]);
    for (method, path, status) in [
        ("GET", "/v3/validate", 404),
        ("GET", "/datamesh.specificprovisioner/x", 404),
        ("GET", "/v1/provision", 405),
        ("PUT", "/datamesh.specificprovisioner/v1/validate", 405),
    ] {
        let answer = server.call(method, path, "");
        assert_eq!((answer.status, answer.content_type.as_str()), (status, "application/json"), "{path}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    for (method, path, status) in [("GET", "/api/v1/x", 404), ("DELETE", "/api/v1/stacks", 405)] {
        let answer = server.call(method, path, "");
        assert_eq!((answer.status, answer.content_type.as_str()), (status, "application/problem+json"), "{path}");
        assert_eq!(answer.json()["status"], status);
    }
}

#[test]
fn documentation_pages_load_nothing_from_other_sites() {
    let server = Served::start(&Project::new(), &[]);
    let page = server.call("GET", "/docs/", "");
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html"));
    // The content security policy forbids it too.
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("http"), "{policy}");
    let elsewhere =
        |text: &str| ["src=\"http", "href=\"http", "src=\"//", "href=\"//"].iter().any(|it| text.contains(it));
    assert!(!elsewhere(&page.body), "{}", page.body);
    let named = page.body.split(['"', '\'']).filter_map(|part| part.strip_prefix("./"));
    let named: Vec<&str> = named.filter(|name| name.ends_with(".js") || name.ends_with(".css")).collect();
    assert!(!named.is_empty());
    for name in named {
        assert_eq!(server.call("GET", &format!("/docs/{name}"), "").status, 200, "{name}");
    }
    let settings = server.call("GET", "/docs/swagger-initializer.js", "").body;
    for (url, path) in [
        ("../api/v1/openapi.json", "/api/v1/openapi.json"),
        ("specific-provisioner.json", "/docs/specific-provisioner.json"),
        ("custom-url-picker.json", "/docs/custom-url-picker.json"),
    ] {
        assert!(settings.contains(&format!("\"{url}\"")), "{settings}");
        assert!(server.call("GET", path, "").json()["openapi"].is_string());
    }
    // By default, such pages call a validator on the internet.
    assert!(settings.contains("\"validatorUrl\": \"none\""), "{settings}");
}

#[test]
fn description_of_witboosts_api_has_its_paths_and_required_fields() {
    let server = Served::start(&Project::new(), &[]);
    let ours = server.call("GET", "/docs/specific-provisioner.json", "").json();
    insta::assert_json_snapshot!("specific_provisioner", OtherFormat(&ours));
    let Some(path) = shared("witboost/openapi/specific-provisioner-2.5.0.yaml") else { return };
    let text = std::fs::read_to_string(repository().join(path)).unwrap();
    let paths = text.lines().filter_map(|line| line.strip_prefix("  /")).filter_map(|line| line.strip_suffix(':'));
    let mut paths: Vec<String> = paths.map(|path| format!("/{path}")).collect();
    let mut found: Vec<String> = ours["paths"].as_object().unwrap().keys().cloned().collect();
    paths.sort();
    found.sort();
    assert_eq!(found, paths);
}
