//! Renames spans for collectors: the log's short names become those of OpenTelemetry's conventions, and terrace's own
//! names begin with `terrace.`.

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// The operation of a span or a record.
pub(super) const OPERATION: &str = "terrace.operation.id";
/// The error of a span.
const ERROR: &str = "error.type";
const METHOD: &str = "http.request.method";
const PATH: &str = "url.path";
const ROUTE: &str = "http.route";
const STATUS: &str = "http.response.status_code";
const KIND: &str = "terrace.operation.kind";
const OPERATION_STATUS: &str = "terrace.operation.status";
const PROVIDER_CALL: &str = "terrace.provider.call";
const TYPE: &str = "terrace.resource.type";

/// Paths of frequent probes of the server, which have no spans.
const PROBES: [&str; 4] = ["/health", "/live", "/ready", "/metrics"];
/// Known methods: callers may invent others.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// The span to send; `None` for spans that are not sent.
pub(super) fn convert_span(mut span: SpanData) -> Option<SpanData> {
    match &*span.name {
        "call" => call(&mut span)?,
        "operation" => operation(&mut span),
        "provider call" => provider_call(&mut span),
        "http" => request(&mut span),
        _ => {}
    }
    Some(span)
}

/// Renames a call of the server.
fn call(span: &mut SpanData) -> Option<()> {
    let names =
        [("id", "terrace.request.id"), ("method", METHOD), ("path", PATH), ("route", ROUTE), ("status", STATUS)];
    rename(span, &names);
    if text(span, PATH).is_some_and(|path| PROBES.iter().any(|probe| path.trim_end_matches('/').ends_with(probe))) {
        return None;
    }
    span.span_kind = SpanKind::Server;
    let method = method(span);
    span.name = match text(span, ROUTE) {
        Some(route) => format!("{method} {route}").into(),
        None => method.into(),
    };
    // Client errors are not failures of the server.
    let failed = number(span, STATUS).filter(|status| *status >= 500);
    end(span, failed.map(|status| status.to_string()));
    Some(())
}

/// Renames an operation.
fn operation(span: &mut SpanData) {
    let names = [
        ("id", OPERATION),
        ("kind", KIND),
        ("stack", "terrace.stack"),
        ("component", "terrace.component"),
        ("status", OPERATION_STATUS),
    ];
    rename(span, &names);
    span.span_kind = SpanKind::Consumer;
    span.name = format!("operation {}", text(span, KIND).unwrap_or_default()).into();
    let failed = text(span, OPERATION_STATUS).filter(|status| status == "failed");
    end(span, failed);
}

/// Renames a call of a provider.
fn provider_call(span: &mut SpanData) {
    let names = [
        ("instance", "terrace.provider"),
        ("ty", TYPE),
        ("what", PROVIDER_CALL),
        ("address", "terrace.resource.address"),
        ("result", ERROR),
    ];
    rename(span, &names);
    span.span_kind = SpanKind::Client;
    let (call_name, ty) = (text(span, PROVIDER_CALL).unwrap_or_default(), text(span, TYPE).unwrap_or_default());
    span.name = format!("{call_name} {ty}").trim_end().to_owned().into();
    let failed = text(span, ERROR).filter(|result| result != "ok");
    span.attributes.retain(|it| it.key.as_str() != ERROR);
    end(span, failed);
}

/// Renames an HTTP request of a provider.
fn request(span: &mut SpanData) {
    let names = [("host", "server.address"), ("method", METHOD), ("path", "url.template"), ("status", STATUS)];
    rename(span, &names);
    span.attributes.retain(|it| it.key.as_str() != "took_ms");
    span.span_kind = SpanKind::Client;
    let (method, path) = (method(span), text(span, "url.template").unwrap_or_default());
    span.name = format!("{method} {path}").trim_end().to_owned().into();
    let failed = number(span, STATUS).filter(|status| *status >= 400);
    end(span, failed.map(|status| status.to_string()));
}

fn rename(span: &mut SpanData, names: &[(&str, &'static str)]) {
    for attribute in &mut span.attributes {
        if let Some((_, name)) = names.iter().find(|(short, _)| *short == attribute.key.as_str()) {
            attribute.key = (*name).into();
        }
    }
}

/// The method for the span's name and its attribute.
fn method(span: &mut SpanData) -> String {
    let method = text(span, METHOD).unwrap_or_default();
    if METHODS.contains(&method.as_str()) {
        return method;
    }
    span.attributes.retain(|it| it.key.as_str() != METHOD);
    span.attributes.push(KeyValue::new(METHOD, "_OTHER"));
    "HTTP".to_owned()
}

/// Sets the status and the error. Log records of errors do not make a span fail.
fn end(span: &mut SpanData, failed: Option<String>) {
    span.status = match failed {
        Some(what) => {
            span.attributes.push(KeyValue::new(ERROR, what));
            Status::error("")
        }
        None => Status::Unset,
    };
}

fn value<'s>(span: &'s SpanData, name: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|it| it.key.as_str() == name).map(|it| &it.value)
}

fn text(span: &SpanData, name: &str) -> Option<String> {
    value(span, name).map(|value| value.as_str().into_owned())
}

fn number(span: &SpanData, name: &str) -> Option<i64> {
    match value(span, name)? {
        Value::I64(number) => Some(*number),
        other => other.as_str().parse().ok(),
    }
}
