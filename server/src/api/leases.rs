//! Leases: which operation works on which component.

use super::page::{Page, PageQuery, Params};
use super::problem::Problem;
use crate::auth::{Action, Caller, Resource};
use crate::operation_log::OperationLog;
use crate::shared::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use terrace_engine::address::owner_in_words;
use terrace_engine::store::LeaseInfo;
use utoipa::ToSchema;
use uuid::Uuid;

/// A held lease.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Lease {
    pub(crate) id: String,
    pub(crate) stack: String,
    /// Empty for resources of the stack itself.
    pub(crate) component: String,
    /// The process that holds it.
    pub(crate) holder: String,
    pub(crate) operation: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: Timestamp,
    /// When the lease expires unless it is renewed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires: Timestamp,
}

/// Lists the held leases.
#[utoipa::path(get, path = "/leases", operation_id = "list_leases", tag = "state", params(PageQuery),
    responses((status = 200, body = Page<Lease>)))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Lease>>, Problem> {
    let leases = caller.visible(shared.store.leases().await?, |caller, lease| caller.sees(&lease.stack));
    let leases = leases.into_iter().map(|lease| {
        let LeaseInfo { id, stack, component, holder, operation, since, expires } = lease;
        Lease { id, stack: stack.to_string(), component: component.into(), holder, operation, since, expires }
    });
    Ok(Json(page.of(leases, |lease| lease.id.clone())?))
}

/// Breaks a lease: the state ignores further writes of its holder.
#[utoipa::path(delete, path = "/leases/{id}", operation_id = "take_away", tag = "state", params(("id" = String, Path)),
    responses((status = 204, description = "the lease is released"), (status = 404, body = Problem)))]
pub(super) async fn break_lease(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found(format!("there is no lease `{id}`"));
    let lease = shared.store.leases().await?.into_iter().find(|lease| lease.id == id);
    let lease = caller.filter_visible(lease, |caller, lease| caller.sees(&lease.stack)).ok_or_else(unknown)?;
    caller.check(Action::Unlock, false, &[Resource::Stack(&lease.stack)])?;
    caller.note_operation(lease.operation);
    if !shared.store.break_lease(&id).await? {
        return Err(unknown());
    }
    let by = caller.name_or("anonymous");
    let LeaseInfo { stack, component, holder, operation, .. } = lease;
    tracing::warn!(%operation, lease = id, %stack, %component, holder, by, "broke a lease");
    // The log of the operation then shows why it stopped.
    let of = owner_in_words(&stack, &component);
    let log = OperationLog { store: Arc::clone(&shared.store), operation };
    log.line("WARN", "lease", &format!("{by} broke the lease of {of}")).await;
    Ok(StatusCode::NO_CONTENT)
}
