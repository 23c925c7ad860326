//! `/docs`: the descriptions of all APIs, to read and to try. The binary contains all pages.

mod describe;

pub(crate) use describe::{describe_answers, describe_tokens, require_scope};

use crate::shared::Shared;
use crate::{api, pickers, witboost};
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use utoipa::openapi::{OpenApi as Description, Server};
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

/// The path of the native API's description.
const NATIVE: &str = "/api/v1/openapi.json";
/// The same path, relative to the pages.
const NATIVE_RELATIVE: &str = "../api/v1/openapi.json";
/// The path of the description of Witboost's API.
const WITBOOST: &str = "/docs/specific-provisioner.json";
/// The same path, relative to the pages in `/docs/`, below any prefix.
const WITBOOST_RELATIVE: &str = "specific-provisioner.json";

/// The path of the description of the pickers' API.
const PICKERS: &str = "/docs/custom-url-picker.json";
/// The same path, relative to the pages.
const PICKERS_RELATIVE: &str = "custom-url-picker.json";

/// The pages and the descriptions that they show.
///
/// Pages and redirects use relative paths, since a proxy may have removed a prefix from the path.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let native = Url::with_primary("terrace", NATIVE_RELATIVE, true);
    Router::new()
        .route(NATIVE, serve_description(api::description(), "../../"))
        .route(PICKERS, serve_description(pickers::description(), "../"))
        .route("/", get(|| async { relative("docs/") }))
        .merge(pages([
            native,
            Url::new("specific provisioner", WITBOOST_RELATIVE),
            Url::new("custom URL picker", PICKERS_RELATIVE),
        ]))
}

/// The pages below the prefix of Witboost's API.
pub(crate) fn router_below(prefix: &str) -> Router<Arc<Shared>> {
    let last = prefix.rsplit('/').next().unwrap_or_default();
    let target = format!("{last}/docs/");
    Router::new()
        .route(prefix, get(move || std::future::ready(relative(&target))))
        .route(&format!("{prefix}/"), get(|| async { relative("docs/") }))
        .nest(prefix, pages([Url::with_primary("specific provisioner", WITBOOST_RELATIVE, true)]))
}

fn pages<const N: usize>(urls: [Url<'static>; N]) -> Router<Arc<Shared>> {
    // By default the pages send a description to a validator on the internet.
    let pages = SwaggerUi::new("/docs").config(Config::new(urls).validator_url("none"));
    Router::new()
        .route(WITBOOST, serve_description(witboost::description(), "../"))
        .merge(Router::from(pages).layer(map_response(confine)).layer(map_response(make_redirect_relative)))
}

fn relative(path: &str) -> Response {
    Redirect::temporary(path).into_response()
}

/// Makes the redirect from `/docs` to `/docs/` relative.
async fn make_redirect_relative(mut page: Response) -> Response {
    let headers = page.headers_mut();
    if headers.get(header::LOCATION).is_some_and(|place| place.as_bytes().ends_with(b"/docs/")) {
        headers.insert(header::LOCATION, HeaderValue::from_static("docs/"));
    }
    page
}

/// Keeps the pages from loading from, or sending to, any other server. Scripts set their styles.
async fn confine(mut page: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    page
}

/// A description with the relative path to the root of its paths.
fn serve_description(mut description: Description, root: &str) -> axum::routing::MethodRouter<Arc<Shared>> {
    description.servers = Some(vec![Server::new(root)]);
    let description = Arc::new(description);
    get(move || describe(Arc::clone(&description)))
}

async fn describe(description: Arc<Description>) -> Response {
    Json(description.as_ref()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;
    use std::collections::BTreeSet;

    /// The calls of a description: method, path and details.
    fn calls(description: &Description) -> Vec<(String, String, Json)> {
        let description = serde_json::to_value(description).unwrap();
        let paths = description["paths"].as_object().unwrap().clone();
        let calls = |(path, item): (String, Json)| {
            let item = item.as_object().unwrap().clone();
            item.into_iter().map(move |(method, call)| (method, path.clone(), call))
        };
        paths.into_iter().flat_map(calls).collect()
    }

    fn parameters(call: &Json) -> Vec<(&str, &str)> {
        let all = call["parameters"].as_array().into_iter().flatten();
        all.map(|one| (one["in"].as_str().unwrap(), one["name"].as_str().unwrap())).collect()
    }

    #[test]
    fn parameters_have_the_place_where_they_are_sent() {
        for (method, path, call) in
            [api::description(), witboost::description(), pickers::description()].iter().flat_map(calls)
        {
            let of_path = parameters(&call).into_iter().filter(|(place, _)| *place == "path").map(|(_, name)| name);
            let mut of_path: Vec<&str> = of_path.collect();
            let parts = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            let mut parts: Vec<&str> = parts.collect();
            of_path.sort_unstable();
            parts.sort_unstable();
            assert_eq!(of_path, parts, "{method} {path}");
        }
        let native = calls(&api::description());
        let (_, _, listing) = native.iter().find(|(_, path, _)| path == "/api/v1/operations").unwrap();
        let queries: Vec<_> = ["stack", "kind", "status", "limit", "after"].map(|name| ("query", name)).into();
        assert_eq!(parameters(listing), queries);
    }

    #[test]
    fn operation_ids_are_unique() {
        for description in [api::description(), witboost::description(), pickers::description()] {
            let calls = calls(&description);
            let names: BTreeSet<&str> = calls.iter().filter_map(|(_, _, call)| call["operationId"].as_str()).collect();
            assert_eq!(names.len(), calls.len(), "{names:?}");
        }
    }

    #[test]
    fn each_call_and_each_answer_has_a_description() {
        for (method, path, call) in
            [api::description(), witboost::description(), pickers::description()].iter().flat_map(calls)
        {
            let summary = call["summary"].as_str().unwrap_or_default();
            assert!(summary.ends_with('.') && !summary.starts_with('`'), "{method} {path}: {summary}");
            for (status, answer) in call["responses"].as_object().unwrap() {
                let text = answer["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{method} {path}: {status}");
            }
        }
    }

    #[test]
    fn calls_that_start_an_operation_accept_an_idempotency_key() {
        let mut keyed = Vec::new();
        for (method, path, call) in
            [api::description(), witboost::description(), pickers::description()].iter().flat_map(calls)
        {
            if parameters(&call).contains(&("header", "Idempotency-Key")) {
                assert!(call["responses"]["422"].is_object(), "{method} {path}");
                keyed.push(format!("{method} {path}"));
            }
        }
        keyed.sort();
        let expected = [
            "post /api/v1/drift",
            "post /api/v1/pipelines/runs",
            "post /api/v1/plans",
            "post /api/v1/plans/{id}/apply",
            "post /v1/provision",
            "post /v1/reverse-provisioning",
            "post /v1/unprovision",
            "post /v1/updateacl",
            "post /v2/validate",
            "put /api/v1/stacks/{stack}/components/{component}/acl",
        ];
        assert_eq!(keyed, expected);
    }
}
