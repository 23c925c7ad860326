//! Witboost's API for custom URL pickers, version 0.1.0: forms let people choose among existing tables, topics,
//! warehouses and the like. The lists come from lookups of providers, which `server.pickers` names.
//!
//! Read in this order: [`picker`] (the configuration and its check), `list` (from a lookup to a list), `cache`, `calls` and
//! `answers` (the calls and their bodies).

mod answers;
pub(crate) mod cache;
mod calls;
mod list;
pub mod picker;

use crate::auth::{Action, guarded};
use crate::docs::{describe_answers, describe_tokens, require_scope};
use crate::shared::Shared;
use answers::Failed;
use axum::Router;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The path before the name of a picker, if the path names it.
const NAMED: &str = "/pickers/{picker}";

/// The head of the description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Custom URL picker",
        version = "0.1.0",
        description = "Lists of existing objects for Witboost's forms. The same paths exist under `/pickers/NAME`, which \
                       chooses the picker.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(answers::Errors))
)]
struct Head;

fn calls() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(calls::list)).routes(routes!(calls::validate))
}

/// The paths of the API, also below the name of a picker.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let (routes, _) = calls().split_for_parts();
    let routes = guarded(shared, Action::Pick, routes, |refusal| -> Response { Failed::from(refusal).into_response() });
    Router::new().nest(NAMED, routes.clone()).merge(routes)
}

/// The description of the API: OpenAPI 3.1.
pub(crate) fn description() -> Description {
    let calls = require_scope(Action::Pick.scope(), calls().into_openapi());
    let mut description = Head::openapi().merge_from(calls);
    let common_statuses = [
        ("400", "the request is invalid, or a selected object does not exist"),
        ("401", "the caller is unknown"),
        ("403", "the caller may not do that"),
        ("413", "the body is too long"),
        ("500", "the objects cannot be listed"),
        ("503", "unavailable: try again later"),
    ];
    describe_answers(&mut description, &common_statuses, "application/json", |_| "PickerErrors");
    describe_tokens(&mut description);
    description
}

#[cfg(test)]
mod tests;
