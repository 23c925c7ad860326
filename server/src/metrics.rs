//! The figures of the server, by their names. Those of provider calls are counted where the calls are made.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Recorder, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use metrics_util::layers::FanoutBuilder;
use std::time::Duration;
use terrace_engine::store::{OperationStatus, ServerStore};
use terrace_provider::wrap::CALL_SECONDS;
use tokio::time::Instant;

const HTTP_SECONDS: &str = "terrace_http_request_seconds";
const OPERATIONS: &str = "terrace_operations_total";
const OPERATION_SECONDS: &str = "terrace_operation_seconds";
const STEPS: &str = "terrace_steps_total";
const QUEUE: &str = "terrace_queue_requests";
const LEASES: &str = "terrace_leases";
const DRIFT: &str = "terrace_drifted_resources";
const CONNECTIONS: &str = "terrace_http_connections";
const REFUSED: &str = "terrace_http_connections_refused_total";
const CLOSED: &str = "terrace_http_connections_closed_total";
const STREAMS: &str = "terrace_http_event_streams";

/// The least time that figures of drift hold: scans take some time, too.
const LEAST: Duration = Duration::from_secs(600);

/// Bounds of what takes milliseconds to minutes, in seconds.
pub const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// A recorder that gets all figures, too.
pub type MoreFigures = Box<dyn Recorder + Send + Sync>;

/// Figures cannot be collected.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// The settings of `/metrics` are wrong.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Something else in the process collects figures already.
    #[error("something else in the process collects figures already")]
    Collected,
}

/// Collects figures from here on, those of the whole process.
///
/// What a scan found holds until the next but one is due, by whichever server that is made.
///
/// # Errors
/// When something else collects them already.
pub(crate) fn collect(
    drift_every: Option<Duration>,
    more: Option<MoreFigures>,
) -> Result<PrometheusHandle, FiguresError> {
    let holds = drift_every.map(|every| every.saturating_mul(2).max(LEAST));
    let recorder = PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::GAUGE, holds)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    let all = FanoutBuilder::default().add_recorder(recorder);
    let all = more.into_iter().fold(all, FanoutBuilder::add_recorder);
    metrics::set_global_recorder(all.build()).map_err(|_| FiguresError::Collected)?;
    describe_histogram!(HTTP_SECONDS, "How long calls took, by path, method and status.");
    describe_histogram!(
        CALL_SECONDS,
        "How long calls of providers took, by instance, type, what was called and result."
    );
    describe_counter!(OPERATIONS, "Operations that ended, by kind and status.");
    describe_histogram!(OPERATION_SECONDS, "How long operations were worked on, by kind.");
    describe_counter!(STEPS, "Steps that were applied, by result.");
    describe_gauge!(QUEUE, "Requests that wait for their first worker.");
    describe_gauge!(LEASES, "Leases that are held.");
    describe_gauge!(DRIFT, "Resources that differed from what is recorded when they were looked at last, by stack.");
    describe_gauge!(CONNECTIONS, "Open connections of the listener that changed last.");
    describe_counter!(
        REFUSED,
        "Connections that were refused: `max` and `max_per_address` are limits, `accept` is a lack of file descriptors."
    );
    describe_counter!(
        CLOSED,
        "Connections that the server closed: `idle`, `unread` (the answer), `body` (did not come) or `evicted`."
    );
    describe_gauge!(STREAMS, "Open streams of events.");
    Ok(handle)
}

/// The open connections.
#[expect(clippy::cast_precision_loss, reason = "far from the numbers that are not exact any more")]
pub(crate) fn connections(open: usize) {
    gauge!(CONNECTIONS).set(open as f64);
}

/// A connection was refused.
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// The server closed a connection.
pub(crate) fn closed(reason: &'static str) {
    counter!(CLOSED, "reason" => reason).increment(1);
}

/// The open streams of events.
#[expect(clippy::cast_precision_loss, reason = "far from the numbers that are not exact any more")]
pub(crate) fn streams(open: usize) {
    gauge!(STREAMS).set(open as f64);
}

/// Counts the leases and the requests that wait now.
pub(crate) async fn count_held(store: &dyn ServerStore) {
    match (store.waiting().await, store.leases().await) {
        (Ok(waiting), Ok(leases)) => held(waiting, leases.len()),
        (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "the queue cannot be counted"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far from the numbers that are not exact any more")]
fn held(waiting: usize, leases: usize) {
    gauge!(QUEUE).set(waiting as f64);
    gauge!(LEASES).set(leases as f64);
}

/// So many resources of a stack differ from the state.
#[expect(clippy::cast_precision_loss, reason = "far from the numbers that are not exact any more")]
pub(crate) fn drifted(stack: &str, resources: usize) {
    gauge!(DRIFT, "stack" => stack.to_owned()).set(resources as f64);
}

/// The figures without those that name stacks.
pub(crate) fn without_stacks(figures: &str) -> String {
    let is_shown = |line: &&str| !line.contains("stack=\"");
    figures.lines().filter(is_shown).flat_map(|line| [line, "\n"]).collect()
}

/// An operation ended.
pub(crate) fn ended(kind: &str, status: OperationStatus, began: Instant) {
    counted(kind, status);
    histogram!(OPERATION_SECONDS, "kind" => kind.to_owned()).record(began.elapsed().as_secs_f64());
}

/// An operation ended, however long it was worked on.
pub(crate) fn counted(kind: &str, status: OperationStatus) {
    counter!(OPERATIONS, "kind" => kind.to_owned(), "status" => status.word()).increment(1);
}

/// Steps of an operation were applied, or failed.
pub(crate) fn steps(done: usize, failed: usize) {
    counter!(STEPS, "result" => "done").increment(done as u64);
    counter!(STEPS, "result" => "failed").increment(failed as u64);
}

/// The methods that are told from each other: a caller may make up others, and each name is kept for good.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD];

/// Counts a call. Its answer has the path that it was counted by, for its span.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let path = matched.as_ref().map_or("other", MatchedPath::as_str).to_owned();
    let method = METHODS.iter().find(|known| *known == request.method()).map_or("other", Method::as_str);
    let mut response = next.run(request).await;
    matched.and_then(|matched| response.extensions_mut().insert(matched));
    let status = response.status().as_u16().to_string();
    histogram!(HTTP_SECONDS, "path" => path, "method" => method.to_owned(), "status" => status)
        .record(began.elapsed().as_secs_f64());
    response
}
