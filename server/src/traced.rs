//! The traces that calls and operations are parts of (W3C Trace Context): an operation goes on with that of the call that asked
//! for it, whichever process works on it.

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::store::{OperationStatus, RequestEnd};
use tracing::Span;
use uuid::Uuid;

/// The headers that name a place in a trace.
const NAMED_BY: [&str; 2] = ["traceparent", "tracestate"];

/// A place in a trace, as headers name it; none where nothing is traced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Place(BTreeMap<String, String>);

impl Place {
    /// That of a caller.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let told = |name: &str| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
        Self(NAMED_BY.into_iter().filter_map(told).collect())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(feature = "otlp")]
mod by_opentelemetry {
    use super::{Place, Span};
    use opentelemetry::global::get_text_map_propagator;
    use opentelemetry::propagation::{Extractor, Injector};
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    impl Extractor for Place {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.get(name).map(String::as_str)
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(String::as_str).collect()
        }
    }

    impl Injector for Place {
        fn set(&mut self, name: &str, value: String) {
            if !value.is_empty() {
                self.0.insert(name.to_owned(), value);
            }
        }
    }

    impl Place {
        /// Where a span is.
        pub(crate) fn of_span(span: &Span) -> Self {
            let mut place = Self::default();
            get_text_map_propagator(|propagator| propagator.inject_context(&span.context(), &mut place));
            place
        }

        /// Makes a span that was not entered yet a part of the trace, below this place.
        pub(crate) fn go_on(&self, span: &Span) {
            // Where nothing is traced there is nothing to go on with.
            let _ = span.set_parent(get_text_map_propagator(|propagator| propagator.extract(self)));
        }
    }
}

#[cfg(not(feature = "otlp"))]
impl Place {
    /// Where a span is: nothing is traced.
    pub(crate) fn of_span(_: &Span) -> Self {
        Self::default()
    }

    /// Nothing is traced.
    pub(crate) fn go_on(&self, _: &Span) {}
}

/// What a request is followed by from the call that asked for it to whoever works on it. It is kept beside what is asked, and
/// does not tell one request from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Followed {
    /// Where the call was.
    #[serde(skip_serializing_if = "Place::is_none")]
    call: Place,
    stack: String,
    /// Empty for all of the stack.
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
}

impl Followed {
    /// What is asked here and now.
    pub(crate) fn here(stack: &StackId, component: &str) -> Self {
        Self { call: Place::of_span(&Span::current()), stack: stack.to_string(), component: component.to_owned() }
    }

    /// The span of the operation that it became.
    pub(crate) fn span(&self, operation: Uuid, kind: &str) -> Span {
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let span = tracing::info_span!(
            "operation",
            id = %operation,
            kind,
            stack = said(&self.stack),
            component = said(&self.component),
            status = tracing::field::Empty,
        );
        self.call.go_on(&span);
        span
    }
}

/// Tells in the span of an operation how that ended.
pub(crate) fn ended(span: &Span, end: &RequestEnd, took: Duration) {
    let (status, seconds) = (end.status.word(), took.as_secs_f64());
    span.in_scope(|| match end.status {
        OperationStatus::Failed => tracing::warn!(status, seconds, summary = end.summary, "ended"),
        _ => tracing::info!(status, seconds, "ended"),
    });
    // After the line, which says it by itself.
    span.record("status", status);
}
