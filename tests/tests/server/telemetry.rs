//! Telemetry of the server: its log as text or JSON, with levels that can change, and traces and logs over OTLP.

use crate::server::requests::with_selected;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use terrace_tests::served::Served;
use terrace_tests::{Peer, Project, until};

const PRODUCT: &str = "id: urn:dmb:dp:a:b:0\nname: B\ndomain: a\nversion: 0.1.0\nkind: dataproduct\nenvironment: local\n\
                       specific: {}\ncomponents:\n- {id: 'urn:dmb:cmp:a:b:0:s', name: S, kind: storage, version: 0.0.0, \
                       specific: {}, dataContract: {schema: [{name: ID, dataType: INT}]}}\n";

/// Parses the lines of a JSON log.
fn lines(log: &str) -> Vec<Json> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn log_is_json_if_configured_and_names_operations() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {log: {format: json}}\n");
    let server = Served::start(&project, &[]);
    let token = server.submit("/v1/provision", PRODUCT);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    until("the end is logged", || server.stderr().contains("\"ended\""));
    let lines = lines(&server.stderr());
    let ended = lines.iter().find(|line| line["fields"]["message"] == "ended").unwrap();
    assert_eq!((&ended["level"], &ended["fields"]["status"]), (&"INFO".into(), &"completed".into()), "{ended}");
    assert_eq!((&ended["span"]["id"], &ended["span"]["kind"]), (&token.into(), &"provision".into()), "{ended}");
}

#[test]
fn every_log_line_is_json_if_configured() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {log: {format: json}}\n");
    let server = Served::start_with(&project, &[], &[("TERRACE_LOG", "inof,terrace=info")]);
    assert!(server.stderr().contains("inof"), "{}", server.stderr());
    project.write("terrace.yaml", "server: {log: {level: loud}}\n");
    server.hang_up();
    until("the mistake is logged", || server.stderr().contains("terrace.yaml:1:23"));
    let ran = server.stop();
    let records = lines(&ran.stderr);
    assert_eq!(records.len(), ran.stderr.lines().count(), "{}", ran.stderr);
    for (level, text) in [
        ("INFO", "serving on http://"),
        ("ERROR", "terrace.yaml:1:23"),
        ("INFO", "stopped by SIGTERM: waiting for running steps to end"),
    ] {
        let has_text = |line: &&Json| line["fields"]["message"].as_str().unwrap().contains(text);
        assert_eq!(records.iter().find(has_text).unwrap()["level"], level, "{}", ran.stderr);
    }
    assert!(records.iter().all(|line| line["timestamp"].is_string() && line["target"].is_string()), "{}", ran.stderr);
}

#[test]
fn levels_are_reloaded_on_hang_up() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {log: {level: warn}}\n");
    // `nohup` does not prevent the reload.
    let server = Served::start_by_nohup(&project);
    let ask = |id: &str| {
        let _ = server.call_with("GET", "/health", "", &[("x-request-id", id)]);
    };
    ask("first");
    project.write("terrace.yaml", "server: {log: {level: 'warn,terrace_server=debug'}}\n");
    server.hang_up();
    // With the new level, calls are logged with their id.
    until("calls are logged", || {
        ask("second");
        server.stderr().contains("second")
    });
    // An invalid configuration changes nothing.
    project.write("terrace.yaml", "server: {log: {level: loud}}\n");
    server.hang_up();
    until("the mistake is logged", || server.stderr().contains("terrace.yaml:1:23"));
    until("calls are logged still", || {
        ask("third");
        server.stderr().contains("third")
    });
    let ran = server.stop();
    assert_eq!(ran.code, 0);
    assert!(!ran.stderr.contains("first"), "{}", ran.stderr);
}

#[test]
fn variable_overrides_the_configuration() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {log: {level: error}}\n");
    let server = Served::start_with(&project, &[], &[("TERRACE_LOG", "debug")]);
    let _ = server.call_with("GET", "/health", "", &[("x-request-id", "the-one")]);
    until("it is logged", || server.stderr().contains("the-one"));
}

/// A collector and the calls it received.
struct Collector(Peer);

impl Collector {
    fn start() -> Self {
        Self(Peer::start(|_, _| (200, String::new())))
    }

    /// Starts a server that exports to this collector without delay.
    fn served(&self, project: &Project, more: &[&str]) -> Served {
        self.served_with(project, more, &[])
    }

    /// Starts it with more variables.
    fn served_with(&self, project: &Project, more: &[&str], variables: &[(&str, &str)]) -> Served {
        let at_once = [("OTEL_BSP_SCHEDULE_DELAY", "20"), ("OTEL_BLRP_SCHEDULE_DELAY", "20")];
        let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", self.0.url.as_str())];
        Served::start_with(project, more, &[&at_once[..], &endpoint, variables].concat())
    }

    fn resources_of_spans(&self) -> Vec<ResourceSpans> {
        let calls = self.0.calls().into_iter().filter(|call| call.path == "/v1/traces");
        calls.flat_map(|call| ExportTraceServiceRequest::decode(call.body).unwrap().resource_spans).collect()
    }

    fn spans(&self) -> Vec<Span> {
        self.resources_of_spans().into_iter().flat_map(|it| it.scope_spans).flat_map(|it| it.spans).collect()
    }

    /// Returns the spans with this name.
    fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    fn records(&self) -> Vec<LogRecord> {
        let calls = self.0.calls().into_iter().filter(|call| call.path == "/v1/logs");
        let logs = calls.flat_map(|call| ExportLogsServiceRequest::decode(call.body).unwrap().resource_logs);
        logs.flat_map(|it| it.scope_logs).flat_map(|it| it.log_records).collect()
    }

    /// Returns the records with this text.
    fn with_text(&self, wanted: &str) -> Vec<LogRecord> {
        let has_text = |record: &LogRecord| matches!(&record.body.as_ref().unwrap().value, Some(Value::StringValue(text)) if text == wanted);
        self.records().into_iter().filter(has_text).collect()
    }
}

/// Returns an attribute as text.
fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    match attributes.iter().find(|it| it.key == name)?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns all attributes of a span, by name.
fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let names = span.attributes.iter().map(|it| it.key.as_str());
    names.map(|name| (name, text(&span.attributes, name).unwrap_or_default())).collect()
}

fn status(span: &Span) -> StatusCode {
    span.status.as_ref().map_or(StatusCode::Unset, opentelemetry_proto::tonic::trace::v1::Status::code)
}

/// The trace context of a caller: the header, the trace id and the span id.
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: [u8; 16] =
    [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c];
const SPAN: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];

/// Provisions a descriptor within the caller's trace, and returns the token.
fn submit_traced(server: &Served, descriptor: &str) -> String {
    let body = terrace_tests::served::request("DATAPRODUCT_DESCRIPTOR", descriptor, false);
    let headers = [("traceparent", CALLER), ("tracestate", "vendor=kept"), ("x-request-id", "the-call")];
    server.call_with("POST", "/v1/provision", body, &headers).body
}

#[test]
fn collector_gets_traces_and_logs() {
    let collector = Collector::start();
    let project = Project::new();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.0.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of-the-test"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
    ];
    let server = Served::start_with(&project, &[], &variables);
    let token = submit_traced(&server, PRODUCT);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    // The server sends the rest at shutdown.
    let ran = server.stop();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(collector.0.calls().iter().all(|call| call.headers["x-key"] == "of-the-test"));
    let sent = collector.resources_of_spans();
    let resource = &sent[0].resource.as_ref().unwrap().attributes;
    assert_eq!(text(resource, "service.name").as_deref(), Some("terrace"));
    assert_eq!(text(resource, "deployment.environment").as_deref(), Some("test"));
    let version = project.run(["version", "--json"]).json();
    assert_eq!(text(resource, "service.version").as_deref(), version["version"].as_str());

    let [call] = &collector.named("POST /v1/provision")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!((call.kind(), status(call)), (SpanKind::Server, StatusCode::Unset));
    assert_eq!((&call.trace_id[..], &call.parent_span_id[..]), (&TRACE[..], &SPAN[..]), "the caller's trace goes on");
    assert_eq!(call.trace_state, "vendor=kept");
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "202"),
        ("http.route", "/v1/provision"),
        ("terrace.request.id", "the-call"),
        ("url.path", "/v1/provision"),
    ];
    assert_eq!(attributes(call), expected.map(|(name, value)| (name, value.to_owned())).into());

    let [operation] = &collector.named("operation provision")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!((operation.kind(), status(operation)), (SpanKind::Consumer, StatusCode::Unset));
    assert_eq!((&operation.trace_id, &operation.parent_span_id), (&call.trace_id, &call.span_id));
    assert_eq!(operation.trace_state, "vendor=kept");
    let expected = [
        ("terrace.operation.id", token.as_str()),
        ("terrace.operation.kind", "provision"),
        ("terrace.operation.status", "completed"),
        ("terrace.stack", "a.b.0@local"),
    ];
    assert_eq!(attributes(operation), expected.map(|(name, value)| (name, value.to_owned())).into());

    let [made] = &collector.named("create sqlite_database")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!((made.kind(), status(made)), (SpanKind::Client, StatusCode::Unset));
    assert_eq!((&made.trace_id, &made.parent_span_id), (&operation.trace_id, &operation.span_id));
    let attributes = attributes(made);
    let names: Vec<&str> = attributes.keys().copied().collect();
    let expected = ["terrace.provider", "terrace.provider.call", "terrace.resource.address", "terrace.resource.type"];
    assert_eq!(names, expected);
    assert_eq!(
        (attributes["terrace.provider"].as_str(), attributes["terrace.provider.call"].as_str()),
        ("sqlite", "create")
    );
    assert!(
        attributes["terrace.resource.address"].starts_with("shared@local:shared/sqlite_database["),
        "{attributes:?}"
    );

    let [ended] = &collector.with_text("ended")[..] else { panic!("{:?}", collector.records()) };
    assert_eq!(ended.trace_id, operation.trace_id);
    assert_eq!((text(&ended.attributes, "terrace.operation.id"), &*ended.severity_text), (Some(token), "INFO"));
}

#[test]
fn polled_paths_are_not_traced_and_only_server_errors_are_failures() {
    let collector = Collector::start();
    let project = Project::new();
    let server = collector.served(&project, &[]);
    for path in ["/health", "/live", "/ready", "/metrics", "/v1/provision/none/status", "/none"] {
        let _ = server.call("GET", path, "");
    }
    let _ = server.call("BREW", "/v1/provision", "");
    assert_eq!(server.stop().code, 0);
    let output = collector.spans().iter().map(|span| (span.name.clone(), status(span))).collect::<Vec<_>>();
    let expected = ["GET /v1/provision/{token}/status", "GET", "HTTP /v1/provision"];
    assert_eq!(output, expected.map(|name| (name.to_owned(), StatusCode::Unset)));
    let other = attributes(&collector.spans()[2])["http.request.method"].clone();
    assert_eq!(other, "_OTHER");
}

#[test]
fn failed_operation_has_a_failed_span() {
    let collector = Collector::start();
    let project = crate::server::requests::project();
    project.write("make.sh", "cat > /dev/null\necho no room >&2\nexit 1\n");
    let server = collector.served(&project, &[]);
    let token = server.submit("/v1/provision", &with_selected("a", &["a"]));
    assert_eq!(server.wait_for_end(&token)["status"], "FAILED");
    let ran = server.stop();
    let [operation] = &collector.named("operation provision")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!(status(operation), StatusCode::Error);
    let output = attributes(operation);
    let name = |name: &str| output.get(name).map(String::as_str);
    assert_eq!((name("terrace.component"), name("error.type")), (Some("a"), Some("failed")), "{output:?}");
    let [made] = &collector.named("create local_command")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!(status(made), StatusCode::Error);
    assert!(attributes(made).contains_key("error.type"), "{made:?}");
    let [ended] = &collector.with_text("ended")[..] else { panic!("{:?}", collector.records()) };
    assert_eq!((text(&ended.attributes, "terrace.operation.id"), &*ended.severity_text), (Some(token), "WARN"));
    let line = ran.stderr.lines().find(|line| line.contains("ended")).unwrap();
    assert!(line.contains(" WARN ") && line.contains("1 failed"), "{line}");
}

#[test]
fn resumed_operation_continues_the_trace_of_its_call() {
    let collector = Collector::start();
    let project = crate::server::requests::project();
    // Requests are sealed.
    project.write("state.key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    project.write("terrace.yaml", "encryption: {keyFile: state.key}\nenvironments: {test: {}}\n");
    project.make_gate("gate-a");
    let server = collector.served(&project, &["--workers", "1"]);
    let first = submit_traced(&server, &with_selected("a", &["a", "b"]));
    until("it runs", || project.has("started-a"));
    let waiting = submit_traced(&server, &with_selected("b", &["a", "b"]));
    // A repeated request gets the same token, and does not change the trace.
    assert_eq!(server.submit("/v1/provision", &with_selected("b", &["a", "b"])), waiting);
    until("both calls are exported", || collector.named("POST /v1/provision").len() == 3);
    server.kill();
    project.open_gate("gate-a");
    drop(server);
    let server = collector.served(&project, &[]);
    for token in [&first, &waiting] {
        assert_eq!(server.wait_for_end(token)["status"], "COMPLETED");
    }
    assert_eq!(server.stop().code, 0);
    let calls: Vec<_> = collector.named("POST /v1/provision").into_iter().filter(|it| it.trace_id == TRACE).collect();
    let calls: Vec<_> = calls.into_iter().map(|it| it.span_id).collect();
    let operations = collector.named("operation provision");
    assert_eq!(operations.len(), 2, "{operations:?}");
    for operation in operations {
        assert_eq!(operation.trace_id, TRACE);
        assert!(calls.contains(&operation.parent_span_id), "{operation:?} {calls:?}");
        assert_eq!(operation.trace_state, "vendor=kept");
    }
}

#[test]
fn unsupported_protocol_is_refused() {
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
    let ran = Project::new().run_with(&variables, ["serve", "--bind", "127.0.0.1:0"]).with_code(1);
    ran.prints("`OTEL_EXPORTER_OTLP_PROTOCOL` is `http/json`, which is not supported").prints("http/protobuf");
}

#[test]
fn unreachable_collector_blocks_nothing_and_is_logged_once() {
    let is_back = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_back);
    let status = move || if answers.load(Ordering::SeqCst) { 200 } else { 503 };
    let collector = Collector(Peer::start(move |_, _| (status(), String::new())));
    let project = Project::new();
    let server = collector.served(&project, &[]);
    let sent = |path: &str| collector.0.calls().iter().filter(|call| call.path == path).count();
    // Repeated exports fail.
    for round in 1..4 {
        let token = server.submit("/v1/provision", PRODUCT);
        assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
        until("both are tried", || sent("/v1/traces") >= round && sent("/v1/logs") >= round);
    }
    let lost = |output: &str| {
        output.lines().filter(|line| line.contains("does not arrive")).map(str::to_owned).collect::<Vec<_>>()
    };
    until("it is reported", || lost(&server.stderr()).len() == 2);
    is_back.store(true, Ordering::SeqCst);
    let back = |output: &str| output.matches("arrives again").count();
    until("the recovery is logged", || {
        let _ = server.submit("/v1/provision", PRODUCT);
        back(&server.stderr()) == 2
    });
    let ran = server.stop();
    assert_eq!((ran.code, lost(&ran.stderr).len(), back(&ran.stderr)), (0, 2, 2), "{}", ran.stderr);
    assert!(lost(&ran.stderr).iter().all(|line| line.contains(" WARN ")), "{}", ran.stderr);
    assert!(!ran.stderr.contains("some OpenTelemetry data was not sent"), "{}", ran.stderr);
}

#[test]
fn lost_telemetry_is_counted_at_shutdown() {
    let gone = { Peer::start(|_, _| (500, String::new())).url.clone() };
    let project = Project::new();
    let server = Served::start_with(&project, &["--drain", "1s"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", gone.as_str())]);
    let token = server.submit("/v1/provision", PRODUCT);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    let ran = server.stop();
    let output = ran.stderr.lines().filter(|line| line.contains("some OpenTelemetry data was not sent"));
    // Traces, metrics and logs.
    assert_eq!((ran.code, output.filter(|line| line.contains("lost=")).count()), (0, 3), "{}", ran.stderr);
}

#[test]
fn service_name_comes_from_variables() {
    let project = Project::new();
    for (own, among, name) in [
        ("mesh", "service.name=other", "mesh"),
        ("", "a=b, service.name=other", "other"),
        ("", "peer.service.name=other", "terrace"),
    ] {
        let collector = Collector::start();
        let names = [("OTEL_SERVICE_NAME", own), ("OTEL_RESOURCE_ATTRIBUTES", among)];
        let server = collector.served_with(&project, &[], &names);
        submit_traced(&server, PRODUCT);
        let resource = || collector.resources_of_spans().into_iter().next()?.resource;
        until("it is reported", || resource().is_some());
        assert_eq!(text(&resource().unwrap().attributes, "service.name").as_deref(), Some(name), "{own:?} {among:?}");
    }
}

#[test]
fn export_is_compressed_if_configured() {
    let project = Project::new();
    let collector = Collector::start();
    let server = collector.served_with(&project, &[], &[("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")]);
    submit_traced(&server, PRODUCT);
    until("it is reported", || !collector.0.calls().is_empty());
    for call in collector.0.calls() {
        assert_eq!((&*call.headers["content-encoding"], &call.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
    }
}

/// Path and message of each call to a collector.
type GrpcCalls = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector that speaks gRPC.
struct GrpcCollector {
    url: String,
    calls: GrpcCalls,
    _runtime: tokio::runtime::Runtime,
}

impl GrpcCollector {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = GrpcCalls::default();
        let received = Arc::clone(&calls);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let received = Arc::clone(&received);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer_grpc(request, respond, Arc::clone(&received)));
                    }
                });
            }
        });
        Self { url, calls, _runtime: runtime }
    }

    /// Returns the messages to a service.
    fn messages<M: Message + Default>(&self, service: &str) -> Vec<M> {
        let calls = self.calls.lock().unwrap();
        let of_service = calls.iter().filter(|(path, _)| path.contains(service));
        // A flag and the length come first.
        of_service.map(|(_, message)| M::decode(&message[5..]).unwrap()).collect()
    }
}

async fn answer_grpc(
    request: axum::http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<axum::body::Bytes>,
    calls: GrpcCalls,
) {
    let (parts, mut body) = request.into_parts();
    let mut message = Vec::new();
    while let Some(Ok(part)) = body.data().await {
        message.extend_from_slice(&part);
        let _ = body.flow_control().release_capacity(part.len());
    }
    calls.lock().unwrap().push((parts.uri.path().to_owned(), message));
    let head = axum::http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut answer = respond.send_response(head, false).unwrap();
    answer.send_data(axum::body::Bytes::from_static(&[0; 5]), false).unwrap();
    answer.send_trailers([("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect()).unwrap();
}

#[test]
fn collector_gets_traces_metrics_and_logs_by_grpc() {
    let collector = GrpcCollector::start();
    let project = Project::new();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let server = Served::start_with(&project, &[], &variables);
    let token = server.submit("/v1/provision", PRODUCT);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    let ran = server.stop();
    assert!(ran.code == 0 && !ran.stderr.contains("some OpenTelemetry data was not sent"), "{ran:?}");
    let traces = collector.messages::<ExportTraceServiceRequest>("TraceService");
    let spans = traces.iter().flat_map(|it| &it.resource_spans).flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans);
    assert!(spans.into_iter().any(|span| span.name == "operation provision"), "{traces:?}");
    let logs = collector.messages::<ExportLogsServiceRequest>("LogsService");
    assert!(!logs.is_empty(), "no logs");
    let figures = collector.messages::<ExportMetricsServiceRequest>("MetricsService");
    let figures = figures.iter().flat_map(|it| &it.resource_metrics).flat_map(|it| &it.scope_metrics);
    let names: Vec<&str> = figures.flat_map(|it| &it.metrics).map(|figure| figure.name.as_str()).collect();
    for name in ["terrace_operations_total", "terrace_http_request_seconds", "terrace_leases"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}

#[test]
fn exporters_are_chosen_per_signal() {
    let collector = Collector::start();
    let project = Project::new();
    let variables = [
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
    ];
    let server = collector.served_with(&project, &[], &variables);
    let token = server.submit("/v1/provision", PRODUCT);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    let ran = server.stop();
    assert!(ran.code == 0 && ran.stdout.contains("operation provision"), "{ran:?}");
    let paths: std::collections::BTreeSet<String> = collector.0.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/v1/logs".to_owned()].into());
}

#[test]
fn unknown_exporter_is_logged_as_a_warning() {
    let project = Project::new();
    let server = Served::start_with(&project, &[], &[("OTEL_TRACES_EXPORTER", "jaeger")]);
    until("the warning is logged", || {
        server.stderr().contains("`OTEL_TRACES_EXPORTER` names `jaeger`, which is not supported")
    });
}
