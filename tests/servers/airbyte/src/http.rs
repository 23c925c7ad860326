//! Routes, authorization and faults.

use crate::faults::{self, Fault};
use crate::problem::{
    Outcome, Problem, bad_request, forbidden, method_not_allowed, not_found, too_many, try_again, unauthorized,
};
use crate::server::{CLIENT, ReceivedCall, Traffic, WORKSPACE};
use crate::world::World;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use terrace_test_listening::{decode, lock, lost, pairs};

/// The state of a stand-in.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) url: String,
    pub(crate) world: Mutex<World>,
    /// Accepted tokens; true for a read-only one.
    pub(crate) tokens: Mutex<BTreeMap<String, bool>>,
    pub(crate) tokens_given: AtomicUsize,
    pub(crate) traffic: Traffic,
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
    let _at_once = state.traffic.enter();
    let path = uri.path();
    if path.ends_with("/applications/token") {
        return token(&state, &headers, &body);
    }
    let number = state.traffic.next_number();
    let fault = state.traffic.fault(|faults| faults::take(faults, number, method.as_str(), path)).await;
    let at = Instant::now();
    let mut pause = None;
    let outcome = match fault {
        Some(Fault::LostBefore) => Err(None),
        Some(Fault::TooMany(after)) => {
            pause = after;
            Err(Some(too_many()))
        }
        Some(Fault::Status(status)) => Err(Some(Problem { status, body: Json::Null })),
        Some(Fault::TryAgain) => Err(Some(try_again())),
        _ => execute(&state, &method, &uri, &headers, &body).map_err(Some),
    };
    let outcome = match (fault, outcome) {
        (Some(Fault::LostAfter), _) => Err(None),
        (Some(Fault::StatusAfter(status)), Ok(_)) => Err(Some(Problem { status, body: Json::Null })),
        (_, outcome) => outcome,
    };
    let status = match &outcome {
        Ok((status, _)) => *status,
        Err(Some(problem)) => problem.status,
        Err(None) => 0,
    };
    state.traffic.received().push(ReceivedCall {
        number,
        method: method.to_string(),
        path: path.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        status,
        at,
    });
    let mut response = match outcome {
        Ok((status, json)) => sent(status, &json),
        Err(Some(problem)) => sent(problem.status, &problem.body),
        Err(None) => lost(),
    };
    if let Some(pause) = pause {
        response.headers_mut().insert("retry-after", pause.as_secs().to_string().parse().unwrap());
    }
    response
}

fn sent(status: u16, json: &Json) -> Response {
    let kind = if status < 400 { "application/json" } else { "application/problem+json" };
    let body = if json.is_null() { Body::empty() } else { Body::from(json.to_string()) };
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}

/// <https://reference.airbyte.com/reference/createaccesstoken>
fn token(state: &State, headers: &HeaderMap, body: &Bytes) -> Response {
    let is_form = headers.get("content-type").is_some_and(|it| it.as_bytes().starts_with(b"application/x-www-form"));
    let fields: BTreeMap<String, String> = match is_form {
        true => parameters(&String::from_utf8_lossy(body)),
        false => serde_json::from_slice(body).unwrap_or_default(),
    };
    let is_known = |name: &str, value: &str| fields.get(name).is_some_and(|it| it == value);
    if !is_known("client_id", CLIENT.0) || !is_known("client_secret", CLIENT.1) {
        let problem = unauthorized();
        return sent(problem.status, &problem.body);
    }
    let number = state.tokens_given.fetch_add(1, Ordering::SeqCst) + 1;
    let token = format!("access-token-{number}");
    lock(&state.tokens).insert(token.clone(), false);
    let life = state.traffic.faults().life.unwrap_or(900);
    sent(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": life}))
}

fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::<String, String>::new();
    for (name, value) in pairs(text) {
        // A list is the same name several times, or has commas.
        let entry = all.entry(name).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        entry.push_str(&value);
    }
    all
}

/// True if the caller may only read.
fn check_access(state: &State, headers: &HeaderMap) -> Outcome<bool> {
    let said = headers.get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if let Some(token) = said.strip_prefix("Bearer ") {
        return lock(&state.tokens).get(token).copied().ok_or_else(unauthorized);
    }
    let known = BASE64_STANDARD.encode("airbyte:password");
    match said.strip_prefix("Basic ") == Some(known.as_str()) {
        true => Ok(false),
        false => Err(unauthorized()),
    }
}

fn execute(state: &State, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Outcome<(u16, Json)> {
    let is_read_only = check_access(state, headers)?;
    let segments: Vec<String> = uri.path().split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let json = |body: &Bytes| match body.is_empty() {
        true => Ok(Json::Null),
        false => serde_json::from_slice(body).map_err(|_| bad_request("The body is not JSON")),
    };
    let mut world = lock(&state.world);
    if let ["api", "v1", rest @ ..] = segments.as_slice() {
        let writes = matches!(rest.last(), Some(&("create" | "delete")));
        if writes && is_read_only {
            return Err(forbidden());
        }
        return world.config_api(rest, &json(body)?).map(|json| (200, json));
    }
    let ["api", "public", "v1", rest @ ..] = segments.as_slice() else { return Err(not_found("path", uri.path())) };
    if is_read_only && method != Method::GET {
        return Err(forbidden());
    }
    let query = parameters(uri.query().unwrap_or_default());
    if (method, rest) == (&Method::GET, &["permissions"][..]) {
        known_only(&query, &["userId", "organizationId"])?;
        return Ok((200, permissions(is_read_only)));
    }
    let query = state.traffic.faults().paged(query);
    let url = format!("{}{}", state.url, uri.path());
    let (status, answer) = public(&mut world, method.as_str(), rest, &query, &json(body)?, &url)?;
    Ok((status, state.traffic.faults().with_omissions(answer)))
}

/// Permissions of the caller: <https://reference.airbyte.com/reference/listpermissions>.
fn permissions(is_read_only: bool) -> Json {
    let kind = if is_read_only { "workspace_reader" } else { "workspace_editor" };
    json!({"data": [{
        "permissionId": "22222222-2222-4222-8222-222222222222", "permissionType": kind, "scope": "workspace",
        "scopeId": WORKSPACE, "userId": "33333333-3333-4333-8333-333333333333",
    }]})
}

fn known_only(query: &BTreeMap<String, String>, known: &[&str]) -> Outcome<()> {
    let known: BTreeSet<&str> = known.iter().copied().collect();
    match query.keys().find(|name| !known.contains(name.as_str())) {
        Some(name) => Err(bad_request(format!("Unknown query parameter {name}"))),
        None => Ok(()),
    }
}

fn public(
    world: &mut World,
    method: &str,
    path: &[&str],
    query: &BTreeMap<String, String>,
    body: &Json,
    url: &str,
) -> Outcome<(u16, Json)> {
    let lists = ["workspaceIds", "limit", "offset", "includeDeleted", "tagIds"];
    let allowed: &[&str] = match path {
        ["streams"] => &["sourceId", "destinationId", "ignoreCache"],
        ["jobs"] => &["connectionId", "limit", "offset"],
        _ if method == "GET" => &lists,
        _ => &[],
    };
    known_only(query, allowed)?;
    let kind = |name: &str| name == "sources";
    let json = match (method, path) {
        ("GET", ["health"]) => json!("Successful operation"),
        ("GET", [name @ ("sources" | "destinations")]) => world.list_actors(kind(name), query, url)?,
        ("POST", [name @ ("sources" | "destinations")]) => world.create_actor(kind(name), body)?,
        ("GET", [name @ ("sources" | "destinations"), id]) => {
            world.actor(id, kind(name))?;
            world.shown(id)
        }
        ("PATCH" | "PUT", [name @ ("sources" | "destinations"), id]) => {
            world.change_actor(kind(name), id, body, method == "PATCH")?
        }
        ("DELETE", [name @ ("sources" | "destinations"), id]) => {
            world.delete_actor(kind(name), id)?;
            return Ok((204, Json::Null));
        }
        ("GET", ["connections"]) => world.list_connections(query, url)?,
        ("POST", ["connections"]) => world.create_connection(body)?,
        ("GET", ["connections", id]) => {
            world.connection(id)?;
            world.shown_connection(id)
        }
        ("PATCH", ["connections", id]) => world.patch_connection(id, body)?,
        ("DELETE", ["connections", id]) => {
            world.delete_connection(id)?;
            return Ok((204, Json::Null));
        }
        ("GET", ["streams"]) => world.streams(query)?,
        ("GET", ["workspaces"]) => world.list_workspaces(query, url)?,
        ("GET", ["workspaces", id]) => {
            world.workspace(id)?;
            world.shown_workspace(id)
        }
        ("GET", ["workspaces", id, "definitions", name @ ("sources" | "destinations")]) => {
            world.definitions(id, kind(name))?
        }
        ("GET", ["workspaces", id, "definitions", name @ ("sources" | "destinations"), definition]) => {
            world.definition(id, kind(name), definition)?
        }
        ("GET", ["jobs"]) => world.list_jobs(query, url)?,
        ("POST", ["jobs"]) => world.create_job(body)?,
        (_, ["sources" | "destinations" | "connections" | "workspaces" | "jobs", ..]) => {
            return Err(method_not_allowed());
        }
        _ => return Err(not_found("path", &path.join("/"))),
    };
    Ok((200, json))
}
