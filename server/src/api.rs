//! The native API under `/api/v1`: plans, state, operations, configuration, data pipelines. Its description is generated from the code.

mod accept;
mod acl;
mod drift;
mod environments;
mod event_stream;
mod json_body;
mod leases;
mod operations;
pub(crate) mod page;
mod pipelines;
mod plans;
pub(crate) mod problem;
mod sign_in;
mod stacks;

use crate::answer::{Refusal, panic_refusal};
use crate::auth::{Action, guarded};
use crate::docs::{describe_answers, describe_tokens, require_scope};
use crate::shared::Shared;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use problem::Problem;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The path of the API.
const BASE: &str = "/api/v1";

/// The head of the description.
#[derive(OpenApi)]
#[openapi(info(
    title = "terrace",
    version = "1",
    description = "Plans, state, operations, configuration and data pipelines. Errors are problem details (RFC 9457).",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Head;

/// The routes by action, with their description.
fn parts() -> [(Action, OpenApiRouter<Arc<Shared>>); 9] {
    let reading = OpenApiRouter::new()
        .routes(routes!(stacks::list))
        .routes(routes!(stacks::components))
        .routes(routes!(stacks::resources))
        .routes(routes!(stacks::history))
        .routes(routes!(operations::list))
        .routes(routes!(operations::show))
        .routes(routes!(operations::logs))
        .routes(routes!(operations::events))
        .routes(routes!(leases::list))
        .routes(routes!(environments::list))
        .routes(routes!(environments::blueprints))
        .routes(routes!(environments::providers))
        .routes(routes!(plans::show))
        .routes(routes!(acl::show))
        .routes(routes!(drift::list))
        .routes(routes!(drift::show))
        .routes(routes!(pipelines::list))
        .routes(routes!(pipelines::runs::list))
        .routes(routes!(pipelines::runs::show))
        .routes(routes!(pipelines::runs::logs))
        .routes(routes!(pipelines::runs::events))
        .routes(routes!(pipelines::pods))
        .routes(routes!(pipelines::databases::list))
        .routes(routes!(pipelines::databases::show));
    let databases =
        OpenApiRouter::new().routes(routes!(pipelines::databases::extend)).routes(routes!(pipelines::databases::stop));
    [
        (Action::Read, reading),
        (Action::Plan, OpenApiRouter::new().routes(routes!(plans::create))),
        (Action::Drift, OpenApiRouter::new().routes(routes!(drift::create))),
        (Action::Apply, OpenApiRouter::new().routes(routes!(plans::apply))),
        (
            Action::Cancel,
            OpenApiRouter::new().routes(routes!(operations::cancel)).routes(routes!(pipelines::runs::cancel)),
        ),
        (Action::Run, OpenApiRouter::new().routes(routes!(pipelines::runs::start))),
        (Action::Database, databases),
        (Action::UpdateAcl, OpenApiRouter::new().routes(routes!(acl::set))),
        (Action::Unlock, OpenApiRouter::new().routes(routes!(leases::break_lease))),
    ]
}

/// The description of the API: OpenAPI 3.1.
#[must_use]
pub fn description() -> Description {
    let parts = parts().into_iter().map(|(action, part)| require_scope(action.scope(), part.into_openapi()));
    // One path may be in several parts: merging combines its calls.
    let all = parts.reduce(Description::merge_from).unwrap_or_default();
    let mut description = Head::openapi().nest(BASE, all);
    let common_statuses = [
        ("400", "the request is invalid"),
        ("401", "the caller is unknown"),
        ("403", "the caller may not do that"),
        ("413", "the body is too long"),
        ("429", "the caller has its maximum of waiting requests"),
        ("500", "internal error"),
        ("503", "unavailable: try again later"),
    ];
    describe_answers(&mut description, &common_statuses, "application/problem+json", |_| "Problem");
    describe_tokens(&mut description);
    description
}

/// The routes of the API.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let mut all = Router::new();
    for (action, part) in parts() {
        let (routes, _) = part.split_for_parts();
        all = all.merge(guarded(shared, action, routes, refused));
    }
    let all = all.route("/sign-in", get(sign_in::show));
    let all = all.fallback(|| async { refused(Refusal::NoPath) });
    let all = all.method_not_allowed_fallback(|| async { refused(Refusal::NoMethod) });
    let all = Router::new().nest(BASE, all.layer(CatchPanicLayer::custom(|_| refused(panic_refusal()))));
    // Nested routes do not match the base with a slash.
    all.route(&format!("{BASE}/"), any(|| async { refused(Refusal::NoPath) }))
}

fn refused(refusal: Refusal) -> Response {
    Problem::from(refusal).into_response()
}
