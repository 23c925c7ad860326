//! `/docs`: the descriptions of both APIs, to read and to try, all of it in the binary.

use crate::auth::Scope;
use crate::serve::Shared;
use crate::{api, witboost};
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Description, Ref, RefOr, ResponseBuilder, Server};
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

/// Where the description of the native API is.
const NATIVE: &str = "/api/v1/openapi.json";
/// The same as the pages find it.
const NATIVE_BESIDE: &str = "../api/v1/openapi.json";
/// Where that of Witboost's is.
const WITBOOST: &str = "/docs/specific-provisioner.json";
/// The same as the pages, which are in `/docs/`, find it below any prefix.
const WITBOOST_BESIDE: &str = "specific-provisioner.json";

/// The pages, and what they show.
///
/// A proxy may have taken a prefix off the path, so that pages and redirects name relative paths only.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let native = Url::with_primary("terrace", NATIVE_BESIDE, true);
    Router::new()
        .route(NATIVE, serving(api::description(), "../../"))
        .route("/", get(|| async { relative("docs/") }))
        .merge(pages([native, Url::new("specific provisioner", WITBOOST_BESIDE)]))
}

/// The pages below a prefix, where Witboost's API is.
pub(crate) fn router_below(prefix: &str) -> Router<Arc<Shared>> {
    let last = prefix.rsplit('/').next().unwrap_or_default();
    let beside = format!("{last}/docs/");
    Router::new()
        .route(prefix, get(move || std::future::ready(relative(&beside))))
        .route(&format!("{prefix}/"), get(|| async { relative("docs/") }))
        .nest(prefix, pages([Url::with_primary("specific provisioner", WITBOOST_BESIDE, true)]))
}

fn pages<const N: usize>(described: [Url<'static>; N]) -> Router<Arc<Shared>> {
    // By default the pages ask a server on the internet whether a description is valid.
    let pages = SwaggerUi::new("/docs").config(Config::new(described).validator_url("none"));
    Router::new()
        .route(WITBOOST, serving(witboost::description(), "../"))
        .merge(Router::from(pages).layer(map_response(confine)).layer(map_response(lead_beside)))
}

fn relative(path: &str) -> Response {
    Redirect::temporary(path).into_response()
}

/// Makes the redirect from `/docs` to `/docs/` relative.
async fn lead_beside(mut page: Response) -> Response {
    let headers = page.headers_mut();
    if headers.get(header::LOCATION).is_some_and(|place| place.as_bytes().ends_with(b"/docs/")) {
        headers.insert(header::LOCATION, HeaderValue::from_static("docs/"));
    }
    page
}

/// Keeps the pages from loading, and from sending to, anything but this server. Their styles are set by scripts.
async fn confine(mut page: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    page
}

/// A description, and the way from it to where its paths begin.
fn serving(mut description: Description, root: &str) -> axum::routing::MethodRouter<Arc<Shared>> {
    description.servers = Some(vec![Server::new(root)]);
    let description = Arc::new(description);
    get(move || describe(Arc::clone(&description)))
}

async fn describe(description: Arc<Description>) -> Response {
    Json(description.as_ref()).into_response()
}

/// By this name descriptions speak of the tokens that callers show.
const TOKEN: &str = "token";

/// The description of calls that need a scope. A server that asks for no tokens takes them without.
pub(crate) fn needing(scope: Scope, mut part: Description) -> Description {
    let items = part.paths.paths.values_mut();
    let calls = items.flat_map(|item| [&mut item.get, &mut item.put, &mut item.post, &mut item.delete]);
    for call in calls.flatten() {
        let token = SecurityRequirement::new(TOKEN, [scope.word()]);
        call.security = Some(vec![token, SecurityRequirement::default()]);
    }
    part
}

/// Says how the tokens are shown that calls need.
pub(crate) fn describe_tokens(description: &mut Description) {
    let told = "Where `server.auth` asks for tokens (RFC 6750): one of those that are configured, or a JWT of the issuer. Each \
                call names the scope that its token has to have at least: read, plan, apply or admin. A token may have limits: \
                a stack, operation, plan, lease or environment outside of them is answered as if it were not there, and a call \
                whose body names one is answered with 403. A body that consents to the loss of data needs the scope data-loss.";
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(told)).build();
    description.components.get_or_insert_default().add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
}

/// A status that any call may have, and what it says.
pub(crate) type Anywhere = (&'static str, &'static str);

/// What a status says where the call itself does not say more.
const USUAL: [Anywhere; 4] = [
    ("200", "what was asked for"),
    ("202", "it is begun"),
    ("404", "there is no such thing"),
    ("422", "another call was made with that idempotency key"),
];

/// Each answer says what it means. Errors look alike everywhere: each call has those that can come from any, and all have bodies
/// of that type, by the schema that their status has.
pub(crate) fn describe_answers(
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
                let RefOr::T(response) = response else { continue };
                if response.description.is_empty() {
                    let told = anywhere.iter().chain(&USUAL).find(|(of, _)| of == status);
                    response.description = told.map(|(_, told)| (*told).to_owned()).unwrap_or_default();
                }
                if status.starts_with(['4', '5']) {
                    let body = RefOr::T(Content::new(Some(Ref::from_schema_name(schema_of(status)))));
                    response.content = [(content_type.to_owned(), body)].into_iter().collect();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;
    use std::collections::BTreeSet;

    /// The calls of a description: method, path and what is said of it.
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
    fn parameters_stand_where_they_are_sent() {
        for (method, path, call) in [api::description(), witboost::description()].iter().flat_map(calls) {
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
    fn no_two_calls_have_one_name() {
        for description in [api::description(), witboost::description()] {
            let calls = calls(&description);
            let names: BTreeSet<&str> = calls.iter().filter_map(|(_, _, call)| call["operationId"].as_str()).collect();
            assert_eq!(names.len(), calls.len(), "{names:?}");
        }
    }

    #[test]
    fn each_call_and_each_answer_says_what_it_means() {
        for (method, path, call) in [api::description(), witboost::description()].iter().flat_map(calls) {
            let summary = call["summary"].as_str().unwrap_or_default();
            assert!(summary.ends_with('.') && !summary.starts_with('`'), "{method} {path}: {summary}");
            for (status, answer) in call["responses"].as_object().unwrap() {
                let told = answer["description"].as_str().unwrap_or_default();
                assert!(!told.is_empty(), "{method} {path}: {status}");
            }
        }
    }

    #[test]
    fn what_begins_something_takes_a_key_and_says_that_it_may_be_taken() {
        let mut keyed = Vec::new();
        for (method, path, call) in [api::description(), witboost::description()].iter().flat_map(calls) {
            if parameters(&call).contains(&("header", "Idempotency-Key")) {
                assert!(call["responses"]["422"].is_object(), "{method} {path}");
                keyed.push(format!("{method} {path}"));
            }
        }
        keyed.sort();
        let expected = [
            "post /api/v1/drift",
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
