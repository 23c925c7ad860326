//! Leases: who works on which component.

use super::page::{Page, PageQuery, Params};
use super::problem::Problem;
use crate::serve::Shared;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use terrace_engine::store::LeaseInfo;
use utoipa::ToSchema;
use uuid::Uuid;

/// A lease that is held.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Lease {
    pub(crate) id: String,
    pub(crate) stack: String,
    /// Empty for what belongs to the stack itself.
    pub(crate) component: String,
    /// Who holds it.
    pub(crate) holder: String,
    pub(crate) operation: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: Timestamp,
    /// When it ends unless it is renewed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires: Timestamp,
}

/// The leases that are held.
#[utoipa::path(get, path = "/leases", operation_id = "list_leases", tag = "state", params(PageQuery),
    responses((status = 200, body = Page<Lease>)))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Lease>>, Problem> {
    let leases = shared.store.leases().await?.into_iter().map(|lease| {
        let LeaseInfo { id, stack, component, holder, operation, since, expires } = lease;
        Lease { id, stack: stack.to_string(), component, holder, operation, since, expires }
    });
    Ok(Json(page.of(leases, |lease| lease.id.clone())?))
}

/// Takes a lease away from whoever holds it: what that one does is not recorded any more.
#[utoipa::path(delete, path = "/leases/{id}", tag = "state", params(("id" = String, Path)),
    responses((status = 204, description = "it is free"), (status = 404, body = Problem)))]
pub(super) async fn take_away(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    match shared.store.break_lease(&id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!("no lease `{id}` is held"))),
    }
}
