//! What a server tells of itself: its log as text or JSON, by levels that can change, and traces and logs by OTLP.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message;
use serde_json::Value as Json;
use terrace_tests::served::Served;
use terrace_tests::{Peer, Project, until};

const PRODUCT: &str = "id: urn:dmb:dp:a:b:0\nname: B\ndomain: a\nversion: 0.1.0\nkind: dataproduct\nenvironment: local\n\
                       specific: {}\ncomponents:\n- {id: 'urn:dmb:cmp:a:b:0:s', name: S, kind: storage, version: 0.0.0, \
                       specific: {}, dataContract: {schema: [{name: ID, dataType: INT}]}}\n";

/// The lines of a log that is JSON.
fn lines(log: &str) -> Vec<Json> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn the_log_is_json_where_the_configuration_says_so_and_names_operations() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {log: {format: json}}\n");
    let server = Served::start(&project, &[]);
    let token = server.ask("/v1/provision", PRODUCT);
    assert_eq!(server.ended(&token)["status"], "COMPLETED");
    until("the end is logged", || server.told().contains("\"ended\""));
    let lines = lines(&server.told());
    let ended = lines.iter().find(|line| line["fields"]["message"] == "ended").unwrap();
    assert_eq!((&ended["level"], &ended["fields"]["status"]), (&"INFO".into(), &"completed".into()), "{ended}");
    assert_eq!((&ended["span"]["id"], &ended["span"]["kind"]), (&token.into(), &"provision".into()), "{ended}");
}

#[test]
fn levels_are_read_again_when_the_server_is_told_to() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {log: {level: warn}}\n");
    // Outliving a terminal is no reason not to read them.
    let server = Served::start_by_nohup(&project);
    let ask = |id: &str| {
        let _ = server.call_with("GET", "/health", "", &[("x-request-id", id)]);
    };
    ask("first");
    project.write("terrace.yaml", "server: {log: {level: 'warn,terrace_server=debug'}}\n");
    server.hang_up();
    // Once it holds, calls are logged, each with its id.
    until("calls are logged", || {
        ask("second");
        server.told().contains("second")
    });
    // What is wrong changes nothing.
    project.write("terrace.yaml", "server: {log: {level: loud}}\n");
    server.hang_up();
    until("the mistake is told", || server.told().contains("terrace.yaml:1:23"));
    until("calls are logged still", || {
        ask("third");
        server.told().contains("third")
    });
    let ran = server.stop();
    assert_eq!(ran.code, 0);
    assert!(!ran.stderr.contains("first"), "{}", ran.stderr);
}

#[test]
fn a_variable_goes_before_the_configuration() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {log: {level: error}}\n");
    let server = Served::start_with(&project, &[], &[("TERRACE_LOG", "debug")]);
    let _ = server.call_with("GET", "/health", "", &[("x-request-id", "the-one")]);
    until("it is logged", || server.told().contains("the-one"));
}

fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|it| it.key == name)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn a_collector_gets_traces_and_logs() {
    let collector = Peer::start(|_, _| (200, String::new()));
    let project = Project::new();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of-the-test"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
    ];
    let server = Served::start_with(&project, &[], &variables);
    let traced = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let body = terrace_tests::served::request("DATAPRODUCT_DESCRIPTOR", PRODUCT, false);
    let token = server.call_with("POST", "/v1/provision", body, &traced).body;
    assert_eq!(server.ended(&token)["status"], "COMPLETED");
    // What was not sent yet is sent at the end.
    let ran = server.stop();
    assert_eq!(ran.code, 0, "{ran:?}");
    let heard = collector.heard();
    assert!(heard.iter().all(|call| call.headers["x-key"] == "of-the-test"));
    let traces: Vec<_> = heard.iter().filter(|call| call.path == "/v1/traces").collect();
    let sent =
        traces.iter().flat_map(|call| ExportTraceServiceRequest::decode(call.body.clone()).unwrap().resource_spans);
    let sent: Vec<_> = sent.collect();
    let resource = &sent[0].resource.as_ref().unwrap().attributes;
    assert_eq!(text(resource, "service.name"), Some("terrace"));
    assert_eq!(text(resource, "deployment.environment"), Some("test"));
    let spans: Vec<_> = sent.iter().flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans).collect();
    let operation = spans.iter().find(|span| span.name == "operation").unwrap();
    assert_eq!(text(&operation.attributes, "id"), Some(token.as_str()));
    let made = spans.iter().find(|it| it.name == "provider call" && text(&it.attributes, "what") == Some("create"));
    let made = made.unwrap();
    assert_eq!(text(&made.attributes, "ty"), Some("sqlite_database"), "{made:?}");
    assert_eq!(made.trace_id, operation.trace_id, "a call of a provider is a part of its operation");
    let call =
        spans.iter().find(|it| it.name == "call" && text(&it.attributes, "path") == Some("/v1/provision")).unwrap();
    assert_eq!(call.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31], "the caller's trace goes on");
    let logs = heard.iter().filter(|call| call.path == "/v1/logs");
    let logs = logs.flat_map(|call| ExportLogsServiceRequest::decode(call.body.clone()).unwrap().resource_logs);
    let records: Vec<_> = logs.flat_map(|it| it.scope_logs).flat_map(|it| it.log_records).collect();
    let ended = records
        .iter()
        .find(|it| matches!(&it.body.as_ref().unwrap().value, Some(Value::StringValue(text)) if text == "ended"));
    assert_eq!(ended.unwrap().trace_id, operation.trace_id);
}

#[test]
fn a_protocol_that_is_not_spoken_is_refused() {
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let ran = Project::new().run_with(&variables, ["serve", "--bind", "127.0.0.1:0"]).with_code(1);
    ran.says("`OTEL_EXPORTER_OTLP_PROTOCOL` is `grpc`, which is not spoken here").says("http/protobuf");
}

#[test]
fn a_collector_that_is_away_keeps_nothing_from_working() {
    let gone = { Peer::start(|_, _| (500, String::new())).url.clone() };
    let project = Project::new();
    let server = Served::start_with(&project, &["--drain", "1s"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", gone.as_str())]);
    let token = server.ask("/v1/provision", PRODUCT);
    assert_eq!(server.ended(&token)["status"], "COMPLETED");
    assert_eq!(server.stop().code, 0);
}
