//! Traces of calls and operations (W3C Trace Context). An operation continues the trace of its call, in any process.

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::store::{OperationStatus, RequestEnd};
use tracing::Span;
use uuid::Uuid;

/// The headers with a position in a trace.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// A position in a trace, as headers name it; empty without tracing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TracePosition(BTreeMap<String, String>);

impl TracePosition {
    /// The position of a caller.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let named = |name: &str| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
        Self(TRACE_HEADERS.into_iter().filter_map(named).collect())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(feature = "otlp")]
mod by_opentelemetry {
    use super::{Span, TracePosition};
    use opentelemetry::global::get_text_map_propagator;
    use opentelemetry::propagation::{Extractor, Injector};
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    impl Extractor for TracePosition {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.get(name).map(String::as_str)
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(String::as_str).collect()
        }
    }

    impl Injector for TracePosition {
        fn set(&mut self, name: &str, value: String) {
            if !value.is_empty() {
                self.0.insert(name.to_owned(), value);
            }
        }
    }

    impl TracePosition {
        /// The position of a span.
        pub(crate) fn of_span(span: &Span) -> Self {
            let mut position = Self::default();
            get_text_map_propagator(|propagator| propagator.inject_context(&span.context(), &mut position));
            position
        }

        /// Makes a span that was not entered yet a child of this position.
        pub(crate) fn set_as_parent_of(&self, span: &Span) {
            // Without tracing there is no parent.
            let _ = span.set_parent(get_text_map_propagator(|propagator| propagator.extract(self)));
        }
    }
}

#[cfg(not(feature = "otlp"))]
impl TracePosition {
    /// The position of a span: empty without tracing.
    pub(crate) fn of_span(_: &Span) -> Self {
        Self::default()
    }

    /// Does nothing without tracing.
    pub(crate) fn set_as_parent_of(&self, _: &Span) {}
}

/// The identification of a request in traces, from its call to its worker. It is stored beside the request, and is not
/// part of its digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TraceContext {
    /// The position of the call.
    #[serde(skip_serializing_if = "TracePosition::is_none")]
    call: TracePosition,
    stack: String,
    /// Empty for the whole stack.
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
}

impl TraceContext {
    /// The identification of a request made in the current span.
    pub(crate) fn current(stack: &StackId, component: &str) -> Self {
        Self {
            call: TracePosition::of_span(&Span::current()),
            stack: stack.to_string(),
            component: component.to_owned(),
        }
    }

    /// The span of the operation.
    pub(crate) fn span(&self, operation: Uuid, kind: &str) -> Span {
        let non_empty = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let span = tracing::info_span!(
            "operation",
            id = %operation,
            kind,
            stack = non_empty(&self.stack),
            component = non_empty(&self.component),
            status = tracing::field::Empty,
        );
        self.call.set_as_parent_of(&span);
        span
    }
}

/// Records the end of an operation in its span.
pub(crate) fn ended(span: &Span, end: &RequestEnd, took: Duration) {
    let (status, seconds) = (end.status.word(), took.as_secs_f64());
    span.in_scope(|| match end.status {
        OperationStatus::Failed => tracing::warn!(status, seconds, summary = end.summary, "ended"),
        _ => tracing::info!(status, seconds, "ended"),
    });
    // After the log line, which contains the status already.
    span.record("status", status);
}
