//! Witboost's API for specific provisioners, version 2.5.0.

mod bodies;
mod calls;

use crate::answer::Refusal;
use crate::auth::{Scope, guarded};
use crate::serve::Shared;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
pub(crate) use bodies::{AclInfo, Info, ProvisioningRequest, ReverseProvisioningRequest, ValidationResult};
use std::sync::Arc;

/// The paths of the API, as they are under any prefix.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let reading = Router::new()
        .route("/v2/validate/{token}/status", get(calls::validation_status))
        .route("/v1/provision/{token}/status", get(calls::status))
        .route("/v1/reverse-provisioning/{token}/status", get(calls::reverse_status));
    let planning = Router::new()
        .route("/v1/validate", post(calls::validate))
        .route("/v2/validate", post(calls::validate_later))
        .route("/v1/reverse-provisioning", post(calls::reverse));
    let applying = Router::new()
        .route("/v1/provision", post(calls::provision))
        .route("/v1/provision/{token}", delete(calls::terminate))
        .route("/v1/unprovision", post(calls::unprovision))
        .route("/v1/updateacl", post(calls::update_acl));
    let guarded = |scope, routes| guarded(shared, scope, routes, Refusal::into_response);
    guarded(Scope::Read, reading).merge(guarded(Scope::Plan, planning)).merge(guarded(Scope::Apply, applying))
}
