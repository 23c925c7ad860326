//! `/docs`: the descriptions of both APIs, to read and to try, all of it in the binary.

use crate::serve::Shared;
use crate::{api, witboost};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use utoipa::openapi::{Content, OpenApi as Description, Ref, RefOr, ResponseBuilder};
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

/// Where the description of the native API is.
const NATIVE: &str = "/api/v1/openapi.json";
/// Where that of Witboost's is.
const WITBOOST: &str = "/docs/specific-provisioner.json";

/// The pages, and what they show.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let described = [Url::with_primary("terrace", NATIVE, true), Url::new("specific provisioner", WITBOOST)];
    // By default the pages ask a server on the internet whether a description is valid.
    let pages = SwaggerUi::new("/docs").config(Config::new(described).validator_url("none"));
    Router::new()
        .route(NATIVE, told(api::description()))
        .route("/", get(|| async { Redirect::temporary("/docs/") }))
        .route(WITBOOST, told(witboost::description()))
        .merge(Router::from(pages))
}

fn told(description: Description) -> axum::routing::MethodRouter<Arc<Shared>> {
    let description = Arc::new(description);
    get(move || describe(Arc::clone(&description)))
}

async fn describe(description: Arc<Description>) -> Response {
    Json(description.as_ref()).into_response()
}

/// A status that any call may have, and what it says.
pub(crate) type Anywhere = (&'static str, &'static str);

/// Errors look alike everywhere: each call has those that can come from any, and all have bodies of that type, by the schema
/// that their status has.
pub(crate) fn describe_errors(
    description: &mut Description,
    anywhere: &[Anywhere],
    content_type: &str,
    schema_of: impl Fn(&str) -> &'static str,
) {
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().filter_map(Option::as_mut) {
            let responses = &mut operation.responses.responses;
            for (status, told) in anywhere {
                let response = || RefOr::T(ResponseBuilder::new().description(*told).build());
                responses.entry((*status).to_owned()).or_insert_with(response);
            }
            for (status, response) in responses {
                if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
                    let body = RefOr::T(Content::new(Some(Ref::from_schema_name(schema_of(status)))));
                    response.content = [(content_type.to_owned(), body)].into_iter().collect();
                }
            }
        }
    }
}
