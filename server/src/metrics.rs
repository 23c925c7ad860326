//! Metrics of the server. The providers' SDK counts provider calls.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Recorder, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use metrics_util::layers::FanoutBuilder;
use std::time::Duration;
use terrace_engine::store::{AuditOutcome, OperationStatus, ServerStore, Usage};
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
const PIPELINES_ACTIONS: &str = "terrace_pipelines_actions_total";
const PIPELINES_RUNS: &str = "terrace_pipelines_runs_total";
const PIPELINES_SECONDS: &str = "terrace_pipelines_run_seconds";
const PIPELINES_ROWS: &str = "terrace_pipelines_rows_total";

/// The least lifetime of drift metrics: scans take some time, too.
const LEAST: Duration = Duration::from_secs(600);

/// Histogram buckets for durations of milliseconds to minutes, in seconds.
pub const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// A recorder that receives all metrics as well.
pub type ExtraRecorder = Box<dyn Recorder + Send + Sync>;

/// Errors of the start of collection.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The settings of `/metrics` are wrong.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Another part of the process collects metrics already.
    #[error("another part of the process collects metrics already")]
    Collected,
}

/// Collects the metrics of the whole process from this call on.
///
/// The findings of a scan are shown until the scan after the next is due, on any server.
///
/// # Errors
/// When another part of the process collects metrics already.
pub(crate) fn collect(
    drift_every: Option<Duration>,
    extra: Option<ExtraRecorder>,
) -> Result<PrometheusHandle, MetricsError> {
    let ttl = drift_every.map(|every| every.saturating_mul(2).max(LEAST));
    let recorder = PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::GAUGE, ttl)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    let all = FanoutBuilder::default().add_recorder(recorder);
    let all = extra.into_iter().fold(all, FanoutBuilder::add_recorder);
    metrics::set_global_recorder(all.build()).map_err(|_| MetricsError::Collected)?;
    describe_histogram!(HTTP_SECONDS, "Duration of calls, by path, method and status.");
    describe_histogram!(CALL_SECONDS, "Duration of provider calls, by instance, type, call and result.");
    describe_counter!(OPERATIONS, "Ended operations, by kind and status.");
    describe_histogram!(OPERATION_SECONDS, "Duration of operations, by kind.");
    describe_counter!(STEPS, "Applied steps, by result.");
    describe_gauge!(QUEUE, "Requests waiting for their first worker.");
    describe_gauge!(LEASES, "Held leases.");
    describe_gauge!(DRIFT, "Resources with drift in the last scan, by stack.");
    describe_gauge!(CONNECTIONS, "Open connections of the listener that changed last.");
    describe_counter!(
        REFUSED,
        "Refused connections: `max` and `max_per_address` are limits, `accept` is a lack of file descriptors."
    );
    describe_counter!(
        CLOSED,
        "Connections that the server closed: `idle`, `unread` (the answer), `body` (did not arrive) or `evicted`."
    );
    describe_gauge!(STREAMS, "Open event streams.");
    describe_counter!(PIPELINES_ACTIONS, "Actions of data pipelines, by action and outcome.");
    describe_counter!(PIPELINES_RUNS, "Ended runs that callers requested, by outcome.");
    describe_histogram!(PIPELINES_SECONDS, "Duration of these runs, by outcome.");
    describe_counter!(PIPELINES_ROWS, "Rows of these runs.");
    Ok(handle)
}

/// Sets the number of open connections.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn connections(open: usize) {
    gauge!(CONNECTIONS).set(open as f64);
}

/// Counts a refused connection.
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// Counts a connection that the server closed.
pub(crate) fn closed(reason: &'static str) {
    counter!(CLOSED, "reason" => reason).increment(1);
}

/// Counts an action of data pipelines.
pub(crate) fn count_pipelines_action(action: &str, outcome: AuditOutcome) {
    counter!(PIPELINES_ACTIONS, "action" => action.to_owned(), "outcome" => outcome.word()).increment(1);
}

/// Counts the end of a requested run.
pub(crate) fn count_run_end(usage: &Usage, outcome: AuditOutcome) {
    counter!(PIPELINES_RUNS, "outcome" => outcome.word()).increment(1);
    if let Some(duration) = usage.duration_ms.map(Duration::from_millis) {
        histogram!(PIPELINES_SECONDS, "outcome" => outcome.word()).record(duration.as_secs_f64());
    }
    counter!(PIPELINES_ROWS).increment(usage.rows.unwrap_or_default());
}

/// Sets the number of open event streams.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn streams(open: usize) {
    gauge!(STREAMS).set(open as f64);
}

/// Counts the current leases and waiting requests.
pub(crate) async fn record_gauges(store: &dyn ServerStore) {
    match (store.waiting().await, store.leases().await) {
        (Ok(waiting), Ok(leases)) => set_gauges(waiting, leases.len()),
        (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "cannot count the queue"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn set_gauges(waiting: usize, leases: usize) {
    gauge!(QUEUE).set(waiting as f64);
    gauge!(LEASES).set(leases as f64);
}

/// Sets the number of a stack's resources that differ from the state.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn drifted(stack: &str, resources: usize) {
    gauge!(DRIFT, "stack" => stack.to_owned()).set(resources as f64);
}

/// The metrics without those that name stacks.
pub(crate) fn without_stacks(text: &str) -> String {
    let is_shown = |line: &&str| !line.contains("stack=\"");
    text.lines().filter(is_shown).flat_map(|line| [line, "\n"]).collect()
}

/// Counts an ended operation, with its duration.
pub(crate) fn ended(kind: &str, status: OperationStatus, began: Instant) {
    count_ended(kind, status);
    histogram!(OPERATION_SECONDS, "kind" => kind.to_owned()).record(began.elapsed().as_secs_f64());
}

/// Counts an ended operation, without its duration.
pub(crate) fn count_ended(kind: &str, status: OperationStatus) {
    counter!(OPERATIONS, "kind" => kind.to_owned(), "status" => status.word()).increment(1);
}

/// Counts applied and failed steps.
pub(crate) fn steps(done: usize, failed: usize) {
    counter!(STEPS, "result" => "done").increment(done as u64);
    counter!(STEPS, "result" => "failed").increment(failed as u64);
}

/// The methods that are counted separately. A caller may invent others, and the process keeps each name forever.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD];

/// Counts a call. The answer carries the counted path for its span.
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
