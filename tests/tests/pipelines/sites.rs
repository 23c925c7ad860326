//! Static sites end to end: `terrace serve` serves applied sites on their own address, and no other files.

use std::io::{Read, Write};
use std::net::TcpStream;
use terrace_tests::served::Served;
use terrace_tests::{Project, snapshot};

const STACK: &str = "resources:\n  - type: pipelines_static_site\n    name: site\n    config: {name: weekly}\n";

fn project() -> Project {
    let project = Project::with_stack(STACK);
    for (path, text) in [
        ("data/index.html", "<h1>Hello</h1>"),
        ("data/list/index.html", "<h1>List</h1>"),
        ("public/404.html", "<h1>Not here</h1>"),
        ("public/style.css", "h1 { color: red }"),
        ("templates/page.html", "{{ secret }}"),
        ("secret.txt", "secret"),
    ] {
        project.write(path, text);
    }
    project
}

/// Returns the address of the sites.
fn address(served: &Served) -> String {
    let output = served.stderr();
    let (_, rest) = output.split_once("sites on http://").unwrap();
    rest.split("/sites/").next().unwrap().to_owned()
}

/// Sends a request line that no client would send, and returns the response.
fn raw(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn site_is_served_after_apply_and_changes_at_once() {
    let project = project();
    let served = Served::start(&project, &["--sites", "127.0.0.1:0"]);
    let address = address(&served);
    assert!(raw(&address, "/sites/weekly/").starts_with("HTTP/1.1 404"));
    let applied = project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    applied.prints("Syncing Static Website to Storage").prints("data/index.html > ");
    let page = raw(&address, "/sites/weekly/");
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("<h1>Hello</h1>"), "{page}");
    assert!(raw(&address, "/sites/weekly/list").contains("location: ./list/"));
    assert!(raw(&address, "/sites/weekly/list/").ends_with("<h1>List</h1>"));
    let missing = raw(&address, "/sites/weekly/none");
    assert!(missing.starts_with("HTTP/1.1 404") && missing.ends_with("<h1>Not here</h1>"), "{missing}");
    project.write("data/index.html", "<h1>Changed</h1>");
    project.apply().done();
    assert!(raw(&address, "/sites/weekly/").ends_with("<h1>Changed</h1>"));
    project.assert_settled("stack.yaml", &[]);
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    assert!(raw(&address, "/sites/weekly/").starts_with("HTTP/1.1 404"));
}

#[test]
fn request_line_cannot_leave_a_site() {
    let project = project();
    project.apply().done();
    let served = Served::start(&project, &["--sites", "127.0.0.1:0"]);
    let address = address(&served);
    for path in [
        "/sites/weekly/../../../secret.txt",
        "/sites/weekly/%2e%2e/%2e%2e/secret.txt",
        "/sites/weekly/..%2f..%2f..%2fsecret.txt",
        "/sites/weekly//etc/passwd",
        "/sites/weekly/..%5c..%5csecret.txt",
        "/sites/weekly/index.html%00.txt",
        "/sites/weekly/templates/page.html",
        "/sites/weekly/site.json",
        "/sites/../site.json",
        "/sites/weekly%2f..%2f..",
        "//sites/weekly/",
        "/sites/%2e/",
    ] {
        let answer = raw(&address, path);
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(
            !answer.contains("secret") && !answer.contains("root:") && !answer.contains("sha256"),
            "{path}: {answer}"
        );
    }
    // The API has another address, and it does not serve sites.
    assert!(raw(&address, "/health").starts_with("HTTP/1.1 404"));
    assert_eq!(served.call("GET", "/sites/weekly/", "").status, 404);
}

#[test]
fn sites_are_public_only_with_an_explicit_setting() {
    let project = project();
    snapshot!(project.run(["serve", "--sites", "0.0.0.0:0"]), @"
    exit: 1
    --- stderr
    error: `0.0.0.0:0` is reachable from other machines, and sites need no token

    hint: make them public with `server: {sites: {public: true}}`, or bind to 127.0.0.1
    ");
    project.write(
        "terrace.yaml",
        "environments: {local: {overlay: embedded}}\nserver: {sites: {bind: '0.0.0.0:0', public: true}}\n",
    );
    project.apply().done();
    let served = Served::start(&project, &[]);
    let port = address(&served).rsplit(':').next().unwrap().to_owned();
    let page = raw(&format!("127.0.0.1:{port}"), "/sites/weekly/");
    assert!(page.ends_with("<h1>Hello</h1>"), "{page}");
}
