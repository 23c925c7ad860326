//! Calls of the webhooks of forges in the usage log.

use crate::audit::{Head, UNKNOWN};
use crate::metrics;
use crate::shared::Shared;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use terrace_engine::store::{AuditEntry, AuditOutcome};

/// The actor of a call that proves to come from the forge.
const FORGE: &str = "webhook";

/// Records a call before its answer, unless it only tests the webhook.
pub(crate) async fn record(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let head = Head::of(&request);
    let answer = next.run(request).await;
    let (actor, outcome) = match answer.status() {
        StatusCode::NO_CONTENT => return answer,
        StatusCode::ACCEPTED => (FORGE, AuditOutcome::Accepted),
        StatusCode::NOT_FOUND => (FORGE, AuditOutcome::Failed),
        StatusCode::UNAUTHORIZED => (UNKNOWN, AuditOutcome::Refused),
        _ => (UNKNOWN, AuditOutcome::Failed),
    };
    let usage = head.usage();
    let action = usage.as_ref().map(|usage| usage.action.clone()).unwrap_or_default();
    metrics::count_pipelines_action(&action, outcome);
    shared.audit.record(AuditEntry { usage, ..head.entry(actor, &action, outcome, answer.status()) }).await;
    answer
}
