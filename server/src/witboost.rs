//! Witboost's API for specific provisioners, version 2.5.0.

mod bodies;
mod calls;
mod misspelt_fields;

use crate::answer::{Invalid, Refusal, SystemError};
use crate::auth::{Action, guarded};
use crate::docs::{describe_answers, describe_tokens, require_scope};
use crate::shared::Shared;
use axum::Router;
use axum::response::IntoResponse;
pub(crate) use bodies::{AclInfo, Info, ProvisioningRequest, ReverseProvisioningRequest, ValidationResult};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The head of the description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Specific provisioner",
        version = "2.5.0",
        description = "Calls of a Witboost coordinator. The same paths exist under `/datamesh.specificprovisioner` and \
                       under the configured prefixes.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Invalid, SystemError))
)]
struct Head;

/// The routes by action, with their description.
fn parts() -> [(Action, OpenApiRouter<Arc<Shared>>); 7] {
    let reading = OpenApiRouter::new()
        .routes(routes!(calls::validation_status))
        .routes(routes!(calls::status))
        .routes(routes!(calls::reverse_status));
    let validating = OpenApiRouter::new().routes(routes!(calls::validate)).routes(routes!(calls::validate_later));
    [
        (Action::Read, reading),
        (Action::Validate, validating),
        (Action::Reverse, OpenApiRouter::new().routes(routes!(calls::reverse))),
        (Action::Provision, OpenApiRouter::new().routes(routes!(calls::provision))),
        (Action::Cancel, OpenApiRouter::new().routes(routes!(calls::terminate))),
        (Action::Unprovision, OpenApiRouter::new().routes(routes!(calls::unprovision))),
        (Action::UpdateAcl, OpenApiRouter::new().routes(routes!(calls::update_acl))),
    ]
}

/// The paths of the API, as they are under any prefix.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    parts().into_iter().fold(Router::new(), |all, (action, part)| {
        let (routes, _) = part.split_for_parts();
        all.merge(guarded(shared, action, routes, Refusal::into_response))
    })
}

/// The description of the API: OpenAPI 3.1.
pub(crate) fn description() -> Description {
    let parts = parts().into_iter().map(|(action, part)| require_scope(action.scope(), part.into_openapi()));
    let mut description = parts.fold(Head::openapi(), Description::merge_from);
    let common_statuses = [
        ("400", "the request is invalid"),
        ("401", "the caller is unknown"),
        ("403", "the caller may not do that"),
        ("413", "the body is too long"),
        ("422", "another call used that idempotency key"),
        ("429", "the caller has its maximum of waiting requests"),
        ("500", "internal error"),
        ("503", "unavailable: try again later"),
    ];
    let schema_of = |status: &str| if status == "400" { "RequestValidationError" } else { "SystemError" };
    describe_answers(&mut description, &common_statuses, "application/json", schema_of);
    describe_tokens(&mut description);
    description
}
