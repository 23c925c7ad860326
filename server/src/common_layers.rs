//! The common parts of every call: ID, span in the log, metrics, limit of the body.

use crate::trace_context::TracePosition;
use crate::{drain_body, metrics};
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;
use tracing::field::Empty;
use uuid::Uuid;

/// The header with the ID of a call, for callers, proxies and the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest ID of a caller that the server accepts, in bytes.
const LONGEST_ID: usize = 128;

/// Adds the common layers of every call. `on_panic` answers a call that panicked.
pub(crate) fn with_common_layers<S>(routes: Router<S>, body_limit: usize, on_panic: fn() -> Response) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    routes
        .layer(from_fn(metrics::count))
        .layer(CatchPanicLayer::custom(move |_| on_panic()))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_request(()).on_response(answered).on_failure(()))
        .layer(from_fn(identify))
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(from_fn(drain_body::drain))
}

/// Gives a call its ID, unless it has one, and returns it in the answer.
async fn identify(mut request: Request, next: Next) -> Response {
    let is_id = |id: &&HeaderValue| (1..=LONGEST_ID).contains(&id.len()) && id.to_str().is_ok();
    let given = request.headers().get(&REQUEST_ID).filter(is_id);
    let id = match given {
        Some(id) => Some(id.clone()),
        None => HeaderValue::from_str(&Uuid::now_v7().to_string()).ok(),
    };
    let Some(id) = id else { return next.run(request).await };
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn span(request: &Request) -> Span {
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let (method, path) = (request.method(), request.uri().path());
    let span = tracing::info_span!("call", %id, %method, path, route = Empty, status = Empty);
    // The call becomes a part of the caller's trace.
    TracePosition::of_headers(request.headers()).set_as_parent_of(&span);
    span
}

fn answered(response: &Response, took: Duration, span: &Span) {
    let status = response.status().as_u16();
    tracing::debug!(status, seconds = took.as_secs_f64(), "answered");
    // After the log line, which contains the status already.
    if let Some(route) = response.extensions().get::<MatchedPath>() {
        span.record("route", route.as_str());
    }
    span.record("status", i64::from(status));
}
