//! Endpoints for operators: liveness, readiness and metrics.

use crate::metrics;
use crate::readiness::{Check, Readiness};
use crate::shared::Shared;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long an answer of [`ready`] is reused: frequent probes do not cause as many calls of providers.
const CACHE_TIME: Duration = Duration::from_secs(10);
/// Timeout of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The paths, which need no token: they reveal only readiness and metrics.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let router = Router::new().route("/health", get(health)).route("/live", get(live));
    router.route("/ready", get(ready)).route("/metrics", get(metrics_text))
}

/// `GET /health`: the process answers.
async fn health() -> Response {
    Json(serde_json::json!({"status": "ok"})).into_response()
}

/// `GET /live`: 503 if the store has been silent for longer than the settings allow. A restart may help.
async fn live(State(shared): State<Arc<Shared>>) -> Response {
    match silence(&shared) {
        None => Json(serde_json::json!({"status": "live"})).into_response(),
        Some(problem) => {
            let body = serde_json::json!({"status": "not live", "problem": problem});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// The problem of a store that has been silent for too long.
fn silence(shared: &Shared) -> Option<String> {
    let silence = shared.last_answer.silence();
    (silence >= shared.settings.state_timeout)
        .then(|| format!("the state has not answered for {} s", silence.as_secs()))
}

/// `GET /ready`: 200 if the store accepts writes and the providers of all environments connect, else 503.
async fn ready(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let shows_names = shared.admission.shows_names(&headers).await;
    let mut last = shared.readiness.lock().await;
    let readiness = match &*last {
        Some((at, readiness)) if at.elapsed() < CACHE_TIME => readiness.clone(),
        _ => {
            let readiness = run_checks(&shared).await;
            *last = Some((Instant::now(), readiness.clone()));
            readiness
        }
    };
    let is_ready = readiness.checks.iter().all(|check| check.problem.is_none());
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(if shows_names { readiness } else { readiness.without_names() })).into_response()
}

async fn run_checks(shared: &Shared) -> Readiness {
    // The server accepts no call without a writable store: reading alone is not enough.
    let writable = async {
        let answer = shared.store.check_writable().await;
        shared.last_answer.note(&answer);
        answer
    };
    let mut checks = vec![check("state".to_owned(), writable).await];
    if let Some(problem) = silence(shared) {
        checks.push(Check { name: "answers of the state".to_owned(), problem: Some(problem) });
    }
    if shared.admission.has_issuer() {
        checks.push(check("issuer of tokens".to_owned(), shared.admission.check_issuer()).await);
    }
    for name in shared.environments.names() {
        let Some(env) = shared.environments.get(name) else { continue };
        for instance in env.engine.registry.instance_names() {
            checks.push(check(format!("{name}: {instance}"), env.engine.registry.session(instance)).await);
        }
    }
    let is_ready = checks.iter().all(|check| check.problem.is_none());
    Readiness { status: if is_ready { "ready" } else { "not ready" }, checks }
}

async fn check<T, E: std::fmt::Display>(name: String, work: impl Future<Output = Result<T, E>>) -> Check {
    let problem = match timeout(CHECK_TIMEOUT, work).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => {
            // The error may name hosts and users, and any caller may read this answer.
            tracing::warn!(check = name, %error, "not ready");
            Some("it failed: see the log".to_owned())
        }
        Err(_) => Some(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
    };
    Check { name, problem }
}

/// `GET /metrics`: the metrics in the text format of Prometheus.
async fn metrics_text(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    metrics::record_gauges(shared.store.as_ref()).await;
    let mut text = shared.metrics.render();
    if !shared.admission.shows_names(&headers).await {
        text = metrics::without_stacks(&text);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
