//! The native API under `/api/v1`: plans, what is recorded, operations, configuration. Its description is made from the
//! code.

mod acl;
mod drift;
mod environments;
mod leases;
mod operations;
mod page;
mod plans;
mod problem;
mod sent;
mod stacks;

use crate::auth::{Scope, guarded};
use crate::serve::Shared;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use problem::Problem;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi as Description, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where the API is.
const BASE: &str = "/api/v1";

/// What holds for all of it.
#[derive(OpenApi)]
#[openapi(info(
    title = "terrace",
    version = "1",
    description = "Plans, what is recorded, operations and configuration. Errors are problem details (RFC 9457).",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Head;

/// The routes by the scope that they need, and their description.
fn parts() -> [(Scope, OpenApiRouter<Arc<Shared>>); 4] {
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
        .routes(routes!(drift::show));
    let planning = OpenApiRouter::new().routes(routes!(plans::create)).routes(routes!(drift::create));
    let applying = OpenApiRouter::new()
        .routes(routes!(plans::apply))
        .routes(routes!(operations::cancel))
        .routes(routes!(acl::set));
    let administering = OpenApiRouter::new().routes(routes!(leases::take_away));
    [(Scope::Read, reading), (Scope::Plan, planning), (Scope::Apply, applying), (Scope::Admin, administering)]
}

/// The description of the API: OpenAPI 3.1.
#[must_use]
pub fn description() -> Description {
    let parts = parts().into_iter().map(|(_, part)| part.into_openapi());
    // One path may be in several parts: its calls are put together.
    let all = parts.reduce(Description::merge_from).unwrap_or_default();
    let mut description = Head::openapi().nest(BASE, all);
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        operations.into_iter().filter_map(Option::as_mut).for_each(describe_errors);
    }
    description
}

/// Errors look alike everywhere; some can come from any call.
fn describe_errors(operation: &mut Operation) {
    let anywhere = [
        ("400", "what was sent is wrong"),
        ("401", "who calls is not known"),
        ("403", "who calls may not do that"),
        ("413", "what was sent is too long"),
        ("500", "the server cannot"),
    ];
    let responses = &mut operation.responses.responses;
    for (status, told) in anywhere {
        let response = || RefOr::T(ResponseBuilder::new().description(told).build());
        responses.entry(status.to_owned()).or_insert_with(response);
    }
    let problem = || Content::new(Some(Ref::from_schema_name("Problem")));
    for (status, response) in responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            response.content = [("application/problem+json".to_owned(), RefOr::T(problem()))].into_iter().collect();
        }
    }
}

/// The API, and its description at `/api/v1/openapi.json`.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let description = Arc::new(description());
    let mut all = Router::new().route("/openapi.json", get(move || describe(Arc::clone(&description))));
    for (scope, part) in parts() {
        let (routes, _) = part.split_for_parts();
        all = all.merge(guarded(shared, scope, routes, |refusal| Problem::from(refusal).into_response()));
    }
    Router::new().nest(BASE, all.fallback(nothing))
}

async fn describe(description: Arc<Description>) -> Response {
    Json(description.as_ref()).into_response()
}

async fn nothing() -> Problem {
    Problem::not_found("there is no such path: `/api/v1/openapi.json` lists those that there are")
}
