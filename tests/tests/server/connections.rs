//! Slow callers: the server closes their connections and gives the places to others.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

fn served(connections: &str, more: &str) -> (Project, Served) {
    let project = Project::new();
    project.write("terrace.yaml", format!("server: {{connections: {{{connections}}}{more}}}\n"));
    let server = Served::start(&project, &[]);
    (project, server)
}

/// Waits until the metrics have this line.
fn wait_for_metric(server: &Served, line: &str) {
    until(line, || server.call("GET", "/metrics", "").body.contains(line));
}

/// Reads until the server closes the connection.
fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn connection_is_closed_if_its_caller_reads_no_answer() {
    let (_project, server) = served("writeTimeout: 300ms", "");
    let call = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // More than the buffers of both ends hold.
    let unread: Vec<TcpStream> = (0..5).map(|_| server.begin(&call.repeat(40))).collect();
    wait_for_metric(&server, "terrace_http_connections_closed_total{reason=\"unread\"} 5");
    wait_for_metric(&server, "terrace_http_connections 1");
    drop(unread);
    // A caller that reads gets the whole response.
    let reading = server.begin(&call.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    assert!(rest(&reading).len() > 1_000_000);
}

#[test]
fn connection_is_closed_if_no_request_arrives() {
    let (_project, server) = served("headTimeout: 300ms", "");
    let call = "GET /health HTTP/1.1\r\nhost: localhost\r\n";
    for (begun, is_answered) in [
        ("", false),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", false),
        (call, false),
        (&format!("{call}\r\n"), true),
    ] {
        assert_eq!(rest(&server.begin(begun)).contains("200 OK"), is_answered, "{begun:?}");
    }
    // A request that arrives header by header is closed too.
    let trickle = server.begin(call);
    let mut sending = trickle.try_clone().unwrap();
    let sender = thread::spawn(move || {
        while sending.write_all(b"x: y\r\n").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(!rest(&trickle).contains("200 OK"));
    trickle.shutdown(Shutdown::Both).ok();
    sender.join().unwrap();
}

#[test]
fn request_is_answered_if_its_body_does_not_arrive() {
    let (_project, server) = served("bodyTimeout: 300ms", "");
    let head = "POST /v1/validate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let call = format!("{head}content-length: 9000000\r\n\r\n{{");
    let answer = rest(&server.begin(&call));
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("the body did not arrive in time"), "{answer}");
    let trickle = server.begin(&call);
    let mut sending = trickle.try_clone().unwrap();
    let sender = thread::spawn(move || {
        while sending.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(rest(&trickle).starts_with("HTTP/1.1 400 "));
    trickle.shutdown(Shutdown::Both).ok();
    sender.join().unwrap();
    wait_for_metric(&server, "terrace_http_connections_closed_total{reason=\"body\"} 2");
}

#[test]
fn connection_is_closed_if_its_tls_handshake_does_not_end() {
    let project = Project::new();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    project.write("server.key", signing_key.serialize_pem());
    project.write("server.pem", cert.pem());
    let tls = "tls: {cert: server.pem, key: server.key}";
    project.write("terrace.yaml", format!("server: {{connections: {{headTimeout: 300ms}}, {tls}}}\n"));
    let server = Served::start(&project, &[]);
    for begun in ["", "\x16\x03\x01\x02"] {
        assert_eq!(rest(&server.begin(begun)), "");
    }
}

#[test]
fn new_connection_evicts_a_silent_one_at_the_limit() {
    let (_project, server) = served("max: 4, maxPerAddress: 3", "");
    let silent: Vec<TcpStream> = (0..3).map(|_| server.begin("GET /health HT")).collect();
    // These connections had no time to send anything.
    let refused = rest(&server.begin(""));
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 5"), "{refused}");
    let call = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    until("a connection is evicted", || {
        answer = rest(&server.begin(call));
        answer.starts_with("HTTP/1.1 200 ")
    });
    assert!(answer.contains("terrace_http_connections_refused_total{reason=\"max_per_address\"} "), "{answer}");
    wait_for_metric(&server, "terrace_http_connections_closed_total{reason=\"evicted\"} ");
    assert!(server.stderr().contains("refusing connections"), "{}", server.stderr());
    drop(silent);
}

#[test]
fn server_accepts_again_after_descriptors_are_free() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {connections: {max: 120, maxPerAddress: 120, headTimeout: 60s}}\n");
    let server = Served::start_with_files(&project, 128);
    let silent: Vec<TcpStream> = (0..150).map(|_| server.begin("")).collect();
    until("the lack is logged", || server.stderr().contains("cannot accept connections"));
    drop(silent);
    until("its end is logged", || {
        assert_eq!(server.call("GET", "/health", "").status, 200);
        server.stderr().contains("accepting connections again")
    });
    assert_eq!(server.stderr().matches("cannot accept connections").count(), 1, "{}", server.stderr());
}

#[test]
fn limit_above_the_open_file_limit_is_refused() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {connections: {max: 4294967295}}\n");
    let ran = project.run(["serve", "--bind", "127.0.0.1:0"]).with_code(1);
    ran.prints("`server.connections.max` is 4294967295, and this process may open").prints("`ulimit -n`");
    for (setting, expected) in [
        ("max: 0", "expected a whole number from 1"),
        ("headTimeout: 1ms", "expected a duration of at least 100ms"),
        ("writeTimeout: 3", "expected a duration of at least 100ms"),
        ("maximum: 3", "maximum"),
    ] {
        project.write("terrace.yaml", format!("server: {{connections: {{{setting}}}}}\n"));
        project.run(["serve", "--bind", "127.0.0.1:0"]).with_code(1).prints(expected);
    }
}

#[test]
fn event_streams_are_limited_and_released() {
    let (project, server) = served("maxStreams: 2", ", stacks: true");
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: slow}\nresources:\n  - type: local_command\n    \
                 name: c\n    config: {create: [sh, -c, 'until [ -e go ]; do sleep 0.05; done; echo \"{}\"']}\n";
    let operation = server.submit("/v1/provision", stack);
    let path = format!("/api/v1/operations/{operation}/events");
    let follow = || {
        let call = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let mut stream = server.begin(&call);
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (stream, String::from_utf8_lossy(&status).into_owned())
    };
    let open: Vec<_> = (0..2).map(|_| follow()).collect();
    assert!(open.iter().all(|(_, status)| status == "HTTP/1.1 200"));
    let refused = server.call("GET", &path, "");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
    wait_for_metric(&server, "terrace_http_event_streams 2");
    drop(open);
    until("a stream is given back", || follow().1 == "HTTP/1.1 200");
    project.write("go", "");
    assert_eq!(server.wait_for_end(&operation)["status"], "COMPLETED");
}
