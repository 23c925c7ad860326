//! Both APIs: `POST /v1/metadata` and `GET /healthz` of Hasura, and the routes of the role mapper.

use crate::commands;
use crate::databases::Databases;
use crate::faults::Fault;
use crate::metadata::Metadata;
use crate::refused::Refused;
use crate::roles::Roles;
use crate::server::{ReceivedCall, Traffic};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use terrace_test_listening::{ConcurrencyGuard, decode, lock, lost};

/// The state of a stand-in.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) secret: String,
    /// The token that the role mapper requires, if any.
    pub(crate) token: Mutex<Option<String>>,
    /// True if every request is answered.
    pub(crate) is_open: AtomicBool,
    metadata: Mutex<Metadata>,
    /// The metadata before the last change.
    before: Mutex<Metadata>,
    databases: Mutex<Databases>,
    roles: Mutex<Roles>,
    pub(crate) traffic: Traffic,
}

impl State {
    pub(crate) fn with_secret(secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..Self::default() }
    }

    pub(crate) fn metadata(&self) -> MutexGuard<'_, Metadata> {
        lock(&self.metadata)
    }

    pub(crate) fn databases(&self) -> MutexGuard<'_, Databases> {
        lock(&self.databases)
    }

    pub(crate) fn roles(&self) -> MutexGuard<'_, Roles> {
        lock(&self.roles)
    }

    /// Starts a request: waits its duration and returns its fault.
    async fn begin(
        &self,
        line: &str,
        body: &Bytes,
        is_write: bool,
    ) -> (ReceivedCall, Option<Fault>, ConcurrencyGuard<'_>) {
        let at_once = self.traffic.enter();
        let (number, at) = (self.traffic.next_number(), Instant::now());
        let (line, body) = (line.to_owned(), String::from_utf8_lossy(body).into_owned());
        let received = ReceivedCall { number, line, body, is_write, at, status: 0 };
        let fault = self.traffic.fault(|faults| faults.take(number, &received.line)).await;
        (received, fault, at_once)
    }

    fn end(&self, received: ReceivedCall, status: u16) {
        self.traffic.received().push(ReceivedCall { status, ..received });
    }

    /// Executes a request of the metadata API: all of it or nothing.
    pub(crate) fn carry_out(&self, request: &Json) -> Result<Json, Refused> {
        let databases = self.databases().clone();
        let mut metadata = self.metadata();
        let mut changed = metadata.clone();
        let done = commands::run(&mut changed, &databases, request)?;
        if commands::is_write(request) {
            // The version is compared last; on a mismatch the changes are dropped.
            if let Some(wanted) = request.get("resource_version").filter(|it| !it.is_null())
                && wanted.as_i64() != Some(metadata.version)
            {
                let error = format!("metadata resource version referenced ({wanted}) did not match current version");
                return Err(Refused::new(409, "conflict", error).at("$"));
            }
            changed.version += 1;
            *lock(&self.before) = std::mem::replace(&mut *metadata, changed);
        }
        Ok(done)
    }

    /// Makes the objects that a request changed inconsistent.
    fn break_objects(&self, request: &Json) {
        let requests = request["args"].as_array().cloned().unwrap_or_else(|| vec![request.clone()]);
        let mut metadata = self.metadata();
        for request in requests {
            let args = &request["args"];
            let source = args["source"].as_str().or_else(|| args["name"].as_str()).unwrap_or_default();
            let table = crate::metadata::shown(&args["table"]);
            let of = format!("table {table} in source {source}");
            let (ty, name) = match (args["role"].as_str(), args.get("table")) {
                (Some(role), _) => ("select_permission", format!("select permission for role {role} of {of}")),
                (None, Some(_)) => ("table", of),
                (None, None) => ("source", format!("source {source}")),
            };
            metadata.inconsistent_objects.push((
                ty.to_owned(),
                name,
                "Inconsistent object: the agent does not answer".to_owned(),
            ));
        }
    }
}

/// Hasura.
pub(crate) fn hasura(state: std::sync::Arc<State>) -> Router {
    Router::new()
        .route("/v1/metadata", post(metadata))
        .route("/v2/query", post(metadata))
        .route("/healthz", get(health))
        .route("/v1/graphql", post(graphql))
        .merge(crate::control::routes())
        .with_state(state)
}

/// The role mapper.
pub(crate) fn role_mapper(state: std::sync::Arc<State>) -> Router {
    Router::new().fallback(any(mapper)).with_state(state)
}

fn answer(status: u16, body: &Json) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn too_many(pause: Option<Duration>) -> Response {
    let mut response = answer(429, &json!({"path": "$", "error": "too many requests", "code": "rate-limit-exceeded"}));
    if let Some(pause) = pause {
        response.headers_mut().insert(header::RETRY_AFTER, pause.as_secs().to_string().parse().unwrap());
    }
    response
}

fn unexpected() -> Refused {
    Refused::new(500, "unexpected", "database query error")
}

/// This stand-in runs no queries: the route only shows that it answers.
async fn graphql(Shared(state): Shared<std::sync::Arc<State>>) -> Response {
    let refused = json!({"errors": [{"extensions": {"path": "$", "code": "access-denied"},
        "message": "Authentication hook unauthorized this request"}]});
    let answered = json!({"data": {"__typename": "query_root"}});
    answer(200, if state.is_open.load(Ordering::SeqCst) { &answered } else { &refused })
}

async fn health(Shared(state): Shared<std::sync::Arc<State>>) -> String {
    let databases = state.databases().clone();
    let is_consistent = state.metadata().inconsistent(&databases).is_empty();
    if is_consistent { "OK" } else { "WARN: inconsistent objects in schema" }.to_owned()
}

/// Commands on metadata and on databases behind sources, each at its own URL.
async fn metadata(Shared(state): Shared<std::sync::Arc<State>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let request: Json = serde_json::from_slice(&body).unwrap_or(Json::Null);
    let (line, is_write) = (commands::line(&request), commands::is_write(&request));
    let (received, fault, _at_once) = state.begin(&line, &body, is_write).await;
    let secret = headers.get("x-hasura-admin-secret").and_then(|it| it.to_str().ok());
    if secret != Some(state.secret.as_str()) {
        let error = "invalid \"x-hasura-admin-secret\"/\"x-hasura-access-key\"";
        state.end(received, 401);
        return answer(401, &Refused::new(401, "access-denied", error).at("$").body());
    }
    if request.is_null() {
        state.end(received, 400);
        return answer(400, &Refused::bad("invalid-json", "Error in $: not enough input").at("$").body());
    }
    let is_sql = line.ends_with(commands::RUN_SQL);
    let early = match fault {
        Some(Fault::LostBefore) => Some((0, lost())),
        Some(Fault::TooMany(pause)) => Some((429, too_many(pause))),
        Some(Fault::Unavailable) => Some((503, answer(503, &json!("Service Unavailable")))),
        Some(Fault::Fails) => Some((500, answer(500, &unexpected().body()))),
        Some(Fault::Denied) => {
            let error = "permission denied for table pg_index";
            Some((400, answer(400, &Refused::bad("postgres-error", error).body())))
        }
        _ if is_sql != (uri.path() == "/v2/query") => {
            let error = format!("unknown command \"{line}\" at {}", uri.path());
            Some((400, answer(400, &Refused::parse(error).at("$.type").body())))
        }
        _ => None,
    };
    if let Some((status, response)) = early {
        state.end(received, status);
        return response;
    }
    if fault == Some(Fault::Overtaken) {
        state.metadata().version += 1;
    }
    let stale = {
        let mut faults = state.traffic.faults();
        let is_stale = line == "export_metadata" && faults.stale_exports > 0;
        faults.stale_exports -= usize::from(is_stale);
        is_stale
    };
    let done = match stale {
        true => Ok(lock(&state.before).exported()),
        false => state.carry_out(&request),
    };
    if done.is_ok() && fault == Some(Fault::LeavesInconsistent) {
        state.break_objects(&request);
    }
    let (status, response) = match (&done, fault) {
        (_, Some(Fault::LostAfter)) => (0, lost()),
        (_, Some(Fault::GatewayTimeout)) => (504, answer(504, &json!("Gateway Timeout"))),
        (Ok(done), _) => (200, answer(200, done)),
        (Err(why), _) => (why.status, answer(why.status, &why.body())),
    };
    state.end(received, status);
    response
}

async fn mapper(
    Shared(state): Shared<std::sync::Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let line = format!("{method} {}", uri.path());
    let (received, fault, _at_once) = state.begin(&line, &body, method != Method::GET).await;
    let early = match fault {
        Some(Fault::LostBefore) => Some((0, lost())),
        Some(Fault::TooMany(pause)) => Some((429, too_many(pause))),
        Some(Fault::Unavailable) => Some((503, answer(503, &json!("Service Unavailable")))),
        Some(Fault::Fails) => Some((500, answer(500, &json!({"errors": ["Internal Server Error"]})))),
        _ => None,
    };
    if let Some((status, response)) = early {
        state.end(received, status);
        return response;
    }
    let token = lock(&state.token).clone();
    let given = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    if uri.path() != "/v1/health" && token.is_some_and(|token| given != Some(&format!("Bearer {token}"))) {
        state.end(received, 401);
        return answer(401, &json!({"errors": ["Unauthorized"]}));
    }
    let parts: Vec<String> = uri.path().split('/').skip(1).map(decode).collect();
    let body = serde_json::from_slice(&body).unwrap_or(Json::Null);
    let (status, done) = state.roles().answer(method.as_str(), &parts, &body);
    let (status, response) = match fault {
        Some(Fault::LostAfter) => (0, lost()),
        Some(Fault::GatewayTimeout) => (504, answer(504, &json!("Gateway Timeout"))),
        _ if status == 204 => (204, StatusCode::NO_CONTENT.into_response()),
        _ => (status, answer(status, &done)),
    };
    state.end(received, status);
    response
}
