//! Authorization, counters and faults; then the call itself: `api`.

use crate::api;
use crate::error::ApiError;
use crate::faults::Fault;
use crate::request::Request;
use crate::server::{ADMINISTRATOR, ReceivedCall, Traffic};
use crate::world::World;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use terrace_test_listening::{decode, lock, lost, pairs};

/// Returns the principal of a token.
type TokenCheck = dyn Fn(&str, Option<&str>, Option<&str>) -> Result<Option<String>, String> + Send + Sync;

/// An external check of tokens.
#[derive(Clone)]
pub(crate) struct ExternalCheck(pub(crate) Arc<TokenCheck>);

impl std::fmt::Debug for ExternalCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExternalCheck")
    }
}

/// The state of a stand-in.
#[derive(Debug, Default)]
pub(crate) struct State {
    world: Mutex<World>,
    /// The state before the latest change, and the number of reads that still return it.
    before: Mutex<(World, usize)>,
    /// Principals by token.
    pub(crate) tokens: Mutex<BTreeMap<String, String>>,
    /// Secrets by client id.
    pub(crate) clients: Mutex<BTreeMap<String, String>>,
    /// The check of other tokens.
    pub(crate) external_check: Mutex<Option<ExternalCheck>>,
    pub(crate) traffic: Traffic,
}

impl State {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The state for a change outside terrace. All later reads show it, even if a change of terrace lags.
    pub(crate) fn world_without_lag(&self) -> MutexGuard<'_, World> {
        let world = self.world();
        lock(&self.before).1 = 0;
        world
    }
}

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new().fallback(answer).with_state(state)
}

async fn answer(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    match uri.path() {
        "/.well-known/databricks-config" => {
            return axum::Json(json!({"oidc_endpoint": format!("http://{host}/oidc")})).into_response();
        }
        "/oidc/.well-known/oauth-authorization-server" => {
            let endpoint = |name: &str| format!("http://{host}/oidc/v1/{name}");
            let body = json!({"authorization_endpoint": endpoint("authorize"), "token_endpoint": endpoint("token")});
            return axum::Json(body).into_response();
        }
        "/oidc/v1/token" => return token(&state, &headers, &body),
        _ => {}
    }
    let _at_once = state.traffic.enter();
    let at = Instant::now();
    let number = state.traffic.next_number();
    let path = decode(uri.path());
    let line = format!("{method} {path}");
    let fault = state.traffic.fault(|faults| faults.take(number, &line)).await;
    let query: BTreeMap<_, _> = pairs(uri.query().unwrap_or_default()).collect();
    let json: Result<Json, ApiError> = match body.is_empty() {
        true => Ok(Json::Null),
        false => serde_json::from_slice(&body).map_err(|_| ApiError::malformed("Could not parse request object")),
    };
    let mut received = ReceivedCall {
        number,
        method: method.to_string(),
        path,
        query: query.clone(),
        body: json.clone().unwrap_or_default(),
        at,
        status: 0,
        code: String::new(),
    };
    let response = match fault {
        Some(Fault::LostBefore) => lost(),
        Some(Fault::TooMany(pause)) => {
            let error = ApiError::new(429, "REQUEST_LIMIT_EXCEEDED", "Current request has to be retried later.");
            refused(&mut received, &error, pause)
        }
        Some(Fault::Unavailable) => {
            let error = ApiError::new(
                503,
                "TEMPORARILY_UNAVAILABLE",
                "The service is taking too long to process your request. Please try again later or try a faster operation.",
            );
            refused(&mut received, &error, None)
        }
        Some(Fault::Fails) => refused(&mut received, &ApiError::new(500, "INTERNAL_ERROR", "Internal error"), None),
        Some(Fault::Expired) => refused(&mut received, &unauthorized("Token is expired."), None),
        Some(Fault::LostAfter | Fault::After504) | None => {
            let done = actor(&state, &headers).and_then(|actor| {
                let query = state.traffic.faults().paged(query);
                let request = Request::new(method.as_str(), uri.path(), query, json?, actor)?;
                let answer = carry_out(&state, &request, &line)?;
                Ok(state.traffic.faults().with_faults(answer, method == Method::GET))
            });
            match (done, fault) {
                (_, Some(Fault::LostAfter)) => lost(),
                (_, Some(Fault::After504)) => {
                    received.status = 504;
                    (StatusCode::GATEWAY_TIMEOUT, "upstream request timeout").into_response()
                }
                (Ok(body), _) => {
                    received.status = 200;
                    axum::Json(body).into_response()
                }
                (Err(error), _) => refused(&mut received, &error, None),
            }
        }
    };
    state.traffic.received().push(received);
    response
}

/// Executes a call on the current state, or on the state before the latest change.
fn carry_out(state: &State, request: &Request, line: &str) -> Result<Json, ApiError> {
    let (is_denied, lag, polls) = {
        let faults = state.traffic.faults();
        (faults.denied.iter().any(|it| line.contains(it.as_str())), faults.lag, faults.statement_polls)
    };
    if is_denied {
        return Err(ApiError::denied(format!("{} does not have permission for {line}", request.actor)));
    }
    let mut world = state.world();
    let concurrent_call = {
        let mut faults = state.traffic.faults();
        let at = faults.concurrent_calls.iter().position(|(of, _)| of == line);
        at.map(|at| faults.concurrent_calls.remove(at).1)
    };
    if let Some(body) = concurrent_call {
        let first = Request { body, actor: ADMINISTRATOR.to_owned(), ..request.clone() };
        api::call(&mut world, &first, polls)?;
    }
    if request.method == "GET" {
        let mut before = lock(&state.before);
        // Statements are visible at once.
        if before.1 > 0 && !line.contains("/sql/statements/") {
            before.1 -= 1;
            return api::call(&mut before.0, request, polls);
        }
        return api::call(&mut world, request, polls);
    }
    let old = (lag > 0).then(|| world.clone());
    let done = api::call(&mut world, request, polls);
    if let (Some(old), true) = (old, done.is_ok()) {
        *lock(&state.before) = (old, lag);
    }
    done
}

fn refused(received: &mut ReceivedCall, error: &ApiError, pause: Option<u64>) -> Response {
    received.status = error.status;
    received.code = error.code.to_owned();
    let mut response = (StatusCode::from_u16(error.status).unwrap(), axum::Json(error.body())).into_response();
    if let Some(pause) = pause {
        response.headers_mut().insert(header::RETRY_AFTER, pause.to_string().parse().unwrap());
    }
    response
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(401, "UNAUTHENTICATED", message)
}

/// The principal of the call's token.
fn actor(state: &State, headers: &HeaderMap) -> Result<String, ApiError> {
    let given = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let Some(token) = given.and_then(|it| it.strip_prefix("Bearer ")) else {
        return Err(unauthorized("Credential was not sent or was of an unsupported type for this API."));
    };
    if let Some(known) = lock(&state.tokens).get(token).cloned() {
        return Ok(known);
    }
    let external_check = lock(&state.external_check).clone();
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let (management, resource) =
        (header("x-databricks-azure-sp-management-token"), header("x-databricks-azure-workspace-resource-id"));
    match external_check.map(|external_check| (external_check.0)(token, management, resource)) {
        Some(Ok(Some(known))) => Ok(known),
        Some(Err(why)) => Err(ApiError::denied(why)),
        _ => Err(unauthorized("Invalid access token.")),
    }
}

/// OAuth for service principals: <https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m>.
fn token(state: &State, headers: &HeaderMap, body: &Bytes) -> Response {
    let wrong = |code: &str| (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": code}))).into_response();
    let given = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let pair = given.and_then(|it| it.strip_prefix("Basic ")).and_then(|it| STANDARD.decode(it).ok());
    let pair = pair.and_then(|it| String::from_utf8(it).ok()).unwrap_or_default();
    let Some((id, secret)) = pair.split_once(':') else { return wrong("invalid_client") };
    if lock(&state.clients).get(id).is_none_or(|known| known != secret) {
        return wrong("invalid_client");
    }
    let text = String::from_utf8_lossy(body);
    if !text.contains("grant_type=client_credentials") || !text.contains("scope=all-apis") {
        return (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid_scope"}))).into_response();
    }
    let token = format!("oauth-{}", state.world().id());
    lock(&state.tokens).insert(token.clone(), id.to_owned());
    let life = state.traffic.faults().life.unwrap_or(3600);
    axum::Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": life, "scope": "all-apis"}))
        .into_response()
}
