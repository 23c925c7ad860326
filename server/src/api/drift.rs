//! Drift: scans and their findings.

use super::json_body::OptionalJsonBody;
use super::operations::{self, Operation};
use super::page::{Page, PageQuery, Params};
use super::plans::Begun;
use super::problem::Problem;
use super::stacks::known;
use crate::auth::{Action, Caller, Resource};
use crate::drift_scan::Scan;
use crate::shared::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// The findings of the newest scan of a stack.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Drift {
    pub(crate) stack: String,
    /// The operation of the scan.
    pub(crate) operation: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// `queued`, `running`, `completed`, `failed` …
    pub(crate) status: String,
    /// Resources with drift, with the differences; absent unless the scan completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) drifted: Option<Vec<serde_json::Value>>,
    /// Errors of reading: there may be more drift.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
}

/// The scope of a scan.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewScan {
    /// `name@environment`; all stacks if absent.
    pub(crate) stack: Option<String>,
}

/// Lists the findings of the newest scan of each stack.
#[utoipa::path(get, path = "/drift", operation_id = "list_drift", tag = "drift", params(PageQuery),
    responses((status = 200, body = Page<Drift>)))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Drift>>, Problem> {
    let Page { items, next } =
        page.of(caller.visible(shared.scannable_stacks().await?, Caller::sees), ToString::to_string)?;
    let mut scans = Vec::with_capacity(items.len());
    for stack in items {
        scans.extend(shared.newest_scan(&stack).await?.map(drift));
    }
    Ok(Json(Page { items: scans, next }))
}

/// Returns the findings of the newest scan of a stack.
#[utoipa::path(get, path = "/stacks/{stack}/drift", operation_id = "show_drift", tag = "drift",
    params(("stack" = String, Path)),
    responses((status = 200, body = Drift),
        (status = 404, description = "the stack was never scanned", body = Problem)))]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(stack): Path<String>,
) -> Result<Json<Drift>, Problem> {
    let stack = known(&shared, &caller, &stack).await?;
    let scan = shared.newest_scan(&stack).await?;
    let scan = scan.ok_or_else(|| Problem::not_found(format!("`{stack}` was never scanned for drift")))?;
    Ok(Json(drift(scan)))
}

/// Scans for drift, with one operation for each stack. Without a body: all stacks within the caller's limits.
#[utoipa::path(post, path = "/drift", operation_id = "look_for_drift", tag = "drift", request_body = Option<NewScan>,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Vec<Begun>), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, description = "another call used that idempotency key", body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    OptionalJsonBody(body): OptionalJsonBody<NewScan>,
) -> Result<Response, Problem> {
    let NewScan { stack } = body;
    let stacks = match stack {
        Some(name) => {
            let stack = known(&shared, &caller, &name).await?;
            caller.check(Action::Drift, false, &[Resource::Stack(&stack)])?;
            vec![stack]
        }
        None => caller.visible(shared.scannable_stacks().await?, |caller, stack| caller.may(Action::Drift, stack)),
    };
    let Some((first, others)) = stacks.split_first() else {
        return Ok((StatusCode::ACCEPTED, Json(Vec::<Begun>::new())).into_response());
    };
    // The first request gets the key of the call, and lists all stacks, so that a reused key is detected.
    let other_stacks = if caller.has_key() { others } else { &[] };
    let mut begun = vec![Begun { operation: shared.queue_scan(&caller, first, other_stacks).await? }];
    for stack in others {
        let caller = caller.with_key_part(&stack.to_string());
        begun.push(Begun { operation: shared.queue_scan(&caller, stack, &[]).await? });
    }
    Ok((StatusCode::ACCEPTED, Json(begun)).into_response())
}

fn drift(scan: Scan) -> Drift {
    let Scan { stack, operation, findings } = scan;
    let Operation { id, status, started_at, .. } = operations::operation(operation);
    let (drifted, unread) = match findings {
        Some(findings) => (Some(findings.drifted), findings.unread),
        None => (None, Vec::new()),
    };
    Drift { stack: stack.to_string(), operation: id, status, at: started_at, drifted, unread }
}
