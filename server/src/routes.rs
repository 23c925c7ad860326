//! All paths.

use crate::answer::{Refusal, panic_refusal};
use crate::auth::{Admission, FOREIGN_HOST, is_for_this_machine};
use crate::common_layers::with_common_layers;
use crate::push_hooks::PushHooks;
use crate::settings::ServerSettings;
use crate::shared::Shared;
use crate::tables::Pages;
use crate::{api, docs, operate, pickers, push_audit, witboost};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tower::ServiceExt;

/// The path at which coordinators expect the API, besides `/`.
const BASE: &str = "/datamesh.specificprovisioner";
/// The first names of the server's own paths, which a prefix must not shadow.
const OWN: [&str; 12] = [
    "v1",
    "v2",
    "api",
    "pickers",
    "databases",
    "hooks",
    "docs",
    "health",
    "live",
    "ready",
    "metrics",
    "datamesh.specificprovisioner",
];

/// Checks a prefix: a path with names of letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// When it cannot be served, with the reason.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    let is_name = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let mut parts = prefix.strip_prefix('/').into_iter().flat_map(|path| path.split('/')).peekable();
    match parts.peek() {
        Some(first) if OWN.contains(first) => Err(format!("`/{first}` is used by the server itself")),
        None => Err("it is not a path".to_owned()),
        Some(_) => match parts.all(is_name) {
            true => Ok(()),
            false => Err("it is not a path".to_owned()),
        },
    }
}

/// The APIs at `/`, Witboost's also at its base path and under each prefix, with their probes and pages.
pub(crate) fn routes(
    shared: &Arc<Shared>,
    (pages, hooks): (Option<Pages>, Option<PushHooks>),
    has_operations: bool,
) -> Router<Arc<Shared>> {
    let settings = &shared.settings;
    let mut routes = Router::new()
        .merge(api::router(shared))
        .merge(witboost::router(shared))
        .nest(BASE, witboost::router(shared))
        .merge(pickers::router(shared))
        .layer(map_response(private));
    if has_operations {
        routes = routes.merge(open_routes(matches!(shared.admission, Admission::ThisMachine), settings));
    }
    if let Some(pages) = pages {
        routes = routes.merge(pages.routes());
    }
    if let Some(hooks) = hooks {
        routes = routes.merge(hooks.routes().layer(from_fn_with_state(Arc::clone(shared), push_audit::record)));
    }
    for prefix in &settings.prefixes {
        routes = routes.nest(prefix, witboost::router(shared).layer(map_response(private)));
    }
    finish(routes, settings)
}

/// The routes without tokens, for a listener of their own: health, metrics and the descriptions of the APIs.
pub(crate) fn operations(shared: &Arc<Shared>, is_for_this_machine: bool) -> Router<Arc<Shared>> {
    finish(open_routes(is_for_this_machine, &shared.settings), &shared.settings)
}

/// Probes, metrics and descriptions: at `/`, and below each path of the API.
fn open_routes(is_for_this_machine: bool, settings: &ServerSettings) -> Router<Arc<Shared>> {
    let probes = || operate::router().layer(map_response(private));
    let below = bases(settings).map(|base| docs::router_below(base).merge(Router::new().nest(base, probes())));
    let routes = below.fold(probes().merge(docs::router()), Router::merge);
    // The APIs check the host themselves, and answer in their own form.
    if is_for_this_machine { routes.layer(from_fn(check_host)) } else { routes }
}

/// The paths of Witboost's API besides `/`.
fn bases(settings: &ServerSettings) -> impl Iterator<Item = &str> {
    std::iter::once(BASE).chain(settings.prefixes.iter().map(String::as_str))
}

fn finish(routes: Router<Arc<Shared>>, settings: &ServerSettings) -> Router<Arc<Shared>> {
    let routes =
        routes.fallback(|| async { Refusal::NoPath }).method_not_allowed_fallback(|| async { Refusal::NoMethod });
    with_common_layers(routes.layer(map_response(typed)), settings.body_limit, || panic_refusal().into_response())
}

/// Routes that also accept calls whose path ends in a slash. Pages keep their slashes: their links are relative.
pub(crate) fn with_slashes(routes: Router, settings: &ServerSettings) -> Router {
    let bases: Arc<[String]> = bases(settings).map(str::to_owned).collect();
    Router::new().fallback_service(routes.map_request(move |request| without_slash(request, &bases)))
}

/// The first names of the paths of calls.
const CALLS: [&str; 8] = ["v1", "v2", "api", "pickers", "health", "live", "ready", "metrics"];

fn without_slash(mut request: Request, bases: &[String]) -> Request {
    let path = request.uri().path();
    let below = bases.iter().find_map(|base| path.strip_prefix(base.as_str())).unwrap_or(path);
    let is_call = below.split('/').nth(1).is_some_and(|first| CALLS.contains(&first));
    let Some(plain) = path.strip_suffix('/').filter(|_| is_call) else { return request };
    let plain = match request.uri().query() {
        Some(query) => format!("{plain}?{query}"),
        None => plain.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = plain.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// Refuses calls under a foreign host name: another site can point its own name here and read the answer (DNS
/// rebinding).
async fn check_host(request: Request, next: Next) -> Response {
    match is_for_this_machine(&request) {
        true => next.run(request).await,
        false => Refusal::ForeignOrigin(FOREIGN_HOST).into_response(),
    }
}

/// Keeps an answer out of caches.
async fn private(mut answer: Response) -> Response {
    answer.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Prevents browsers from guessing another content type.
async fn typed(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    answer
}
