//! The server behind a proxy, with or without the proxy's path prefix, and bodies that are too long.

use crate::server::requests::project;
use std::io::{Read, Write};
use terrace_tests::served::Served;

fn served() -> Served {
    let project = project();
    project.write("terrace.yaml", "environments: {test: {}}\nserver: {prefixes: [/my-prov, /a/b]}\n");
    Served::start(&project, &[])
}

/// Resolves a redirect as a browser does.
fn followed(path: &str, location: &str) -> String {
    assert!(!location.starts_with('/') && !location.contains("://"), "{path} leads to {location}");
    let folder = path.rsplit_once('/').unwrap().0;
    format!("{folder}/{}", location.trim_start_matches("./"))
}

#[test]
fn pages_and_probes_are_found_under_a_kept_prefix() {
    let server = served();
    for base in ["", "/my-prov", "/a/b", "/datamesh.specificprovisioner"] {
        for probe in ["/health", "/live", "/ready", "/metrics"] {
            let status = server.call("GET", &format!("{base}{probe}"), "").status;
            // No providers are configured here.
            assert!(status == 200 || probe == "/ready" && status == 503, "{base}{probe}: {status}");
        }
        let page = server.call("GET", &format!("{base}/docs/"), "");
        assert!(page.status == 200 && page.content_type.starts_with("text/html"), "{base}: {page:?}");
        let described = server.call("GET", &format!("{base}/docs/specific-provisioner.json"), "");
        assert_eq!(described.json()["servers"][0]["url"], "../", "{base}");
        for path in [format!("{base}/docs"), format!("{base}/"), base.to_owned()] {
            if path.is_empty() {
                continue;
            }
            let answer = server.begin(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
            let head = text(answer);
            let location = head
                .lines()
                .find_map(|line| line.strip_prefix("location: "))
                .unwrap_or_else(|| panic!("{path}: {head}"));
            assert_eq!(followed(&path, location), format!("{base}/docs/"), "{path}");
        }
    }
    let config = server.call("GET", "/docs/swagger-initializer.js", "").body;
    assert!(config.contains("../api/v1/openapi.json") && config.contains("\"specific-provisioner.json\""), "{config}");
    assert_eq!(server.call("GET", "/none", "").status, 404);
}

fn text(mut stream: std::net::TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn trailing_slash_makes_no_difference() {
    let server = served();
    let body =
        terrace_tests::served::request("DATAPRODUCT_DESCRIPTOR", &crate::server::requests::product(&["a"]), false);
    for path in ["/v1/validate/", "/my-prov/v1/validate/", "/datamesh.specificprovisioner/v1/validate/"] {
        let answer = server.call("POST", path, &body);
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"valid":true}"#), "{path}");
    }
    for path in ["/health/", "/my-prov/health/", "/api/v1/stacks/", "/api/v1/stacks/?limit=1"] {
        assert_eq!(server.call("GET", path, "").status, 200, "{path}");
    }
    assert_eq!(server.call("GET", "/v1/provision/none/status/", "").status, 400);
}

#[test]
fn caller_that_sends_everything_before_reading_gets_the_413() {
    let project = project();
    project.write("terrace.yaml", "environments: {test: {}}\nserver: {bodyLimit: 1MB}\n");
    let server = Served::start(&project, &[]);
    let long = vec![b'a'; 30 << 20];
    for path in ["/v1/validate", "/api/v1/plans"] {
        for head in [format!("content-length: {}", long.len()), "transfer-encoding: chunked".to_owned()] {
            let mut stream = server.begin(&format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}\r\nconnection: close\r\n\r\n"
            ));
            if head.starts_with("transfer") {
                write!(stream, "{:x}\r\n", long.len()).unwrap();
            }
            stream.write_all(&long).unwrap_or_else(|error| panic!("{path}: {head}: {error}"));
            if head.starts_with("transfer") {
                stream.write_all(b"\r\n0\r\n\r\n").unwrap();
            }
            let answer = text(stream);
            assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {head}: {answer}");
        }
    }
}
