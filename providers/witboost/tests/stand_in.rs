//! A stand-in adapter, strict about requests, with configurable answers.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// A prepared answer: status, headers, body.
pub(crate) type PreparedAnswer = (u16, Vec<(&'static str, &'static str)>, String);

/// Configures the answers.
#[derive(Clone)]
pub(crate) struct Behavior {
    /// Tokens are in quotes.
    pub(crate) quoted: bool,
    /// The adapter works before it answers, and has no tokens.
    pub(crate) sync: bool,
    /// Number of status answers with `RUNNING`.
    pub(crate) running_answers: usize,
    /// Work fails, with the reason in this field: `result` or `logs`.
    pub(crate) fails_in: Option<&'static str>,
    /// The adapter supports the second version of validation.
    pub(crate) has_v2: bool,
    /// Errors of every validation.
    pub(crate) errors: Vec<&'static str>,
    /// Prepared answers to the next changing calls.
    pub(crate) prepared_answers: VecDeque<PreparedAnswer>,
    /// Prepared statuses of the next requests about tokens.
    pub(crate) token_statuses: VecDeque<u16>,
    /// The answer to the next changing call is lost after its effect.
    pub(crate) loses_answer: bool,
    /// The accepted bearer token.
    pub(crate) bearer: Option<&'static str>,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            quoted: false,
            sync: false,
            running_answers: 1,
            fails_in: None,
            has_v2: true,
            errors: Vec::new(),
            prepared_answers: VecDeque::new(),
            token_statuses: VecDeque::new(),
            loses_answer: false,
            bearer: None,
        }
    }
}

/// Accepted work.
#[derive(Clone)]
enum Work {
    Provision(String, Json),
    Unprovision(String),
    UpdateAcl(String, Vec<String>),
    Validate,
}

struct Running {
    work: Work,
    left: usize,
}

/// State of the adapter.
#[derive(Default)]
pub(crate) struct AdapterState {
    pub(crate) behavior: Behavior,
    /// Descriptors by component.
    pub(crate) components: BTreeMap<String, Json>,
    /// Principals with access, by component.
    pub(crate) acl: BTreeMap<String, Vec<String>>,
    /// The changing calls: `provision a`, `unprovision a true`, `updateacl a user:x`.
    pub(crate) log: Vec<String>,
    /// All other requests.
    pub(crate) reads: Vec<String>,
    running: BTreeMap<String, Running>,
}

impl AdapterState {
    /// Takes the calls since the last call of this method.
    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// Restarts the adapter: objects are kept, running work is forgotten.
    pub(crate) fn restart(&mut self) {
        self.running.clear();
    }

    fn do_work(&mut self, work: &Work) {
        match work {
            Work::Provision(id, descriptor) => drop(self.components.insert(id.clone(), descriptor.clone())),
            Work::Unprovision(id) => {
                self.components.remove(id);
                self.acl.remove(id);
            }
            Work::UpdateAcl(id, refs) => drop(self.acl.insert(id.clone(), refs.clone())),
            Work::Validate => {}
        }
    }

    /// Ends work, and returns its status.
    fn finish(&mut self, work: &Work) -> Json {
        let log = |level: &str, message: &str| json!({"timestamp": "2026-01-01T00:00:00Z", "level": level, "message": message});
        if let Work::Validate = work {
            return json!({"status": "COMPLETED", "info": {"publicInfo": self.verdict()}});
        }
        if let Some(place) = self.behavior.fails_in {
            let logs = if place == "logs" { vec![log("ERROR", "no quota is left")] } else { Vec::new() };
            let result = if place == "result" { "no quota is left" } else { "" };
            return json!({"status": "FAILED", "result": result, "logs": logs, "more": 1});
        }
        self.do_work(work);
        let info = json!({
            "publicInfo": {"bucket": {"type": "string", "label": "Bucket", "value": "b"}},
            "privateInfo": {"password": "hunter2"},
        });
        json!({"status": "COMPLETED", "result": "", "info": info, "logs": [log("WARNING", "the bucket is old")]})
    }

    fn verdict(&self) -> Json {
        match self.behavior.errors.is_empty() {
            true => json!({"valid": true}),
            false => json!({"valid": false, "error": {"errors": self.behavior.errors}}),
        }
    }
}

/// A running stand-in adapter.
pub(crate) struct StandIn {
    state: Arc<Mutex<AdapterState>>,
    url: String,
}

impl StandIn {
    pub(crate) async fn start(behavior: Behavior) -> Self {
        let state = Arc::new(Mutex::new(AdapterState { behavior, ..AdapterState::default() }));
        let router = Router::new()
            .route("/base/v1/validate", post(validate))
            .route("/base/v2/validate", post(validate_async))
            .route("/base/v2/validate/{token}/status", get(status))
            .route("/base/v1/provision", post(provision))
            .route("/base/v1/provision/{token}/status", get(status))
            .route("/base/v1/unprovision", post(unprovision))
            .route("/base/v1/updateacl", post(update_acl))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { state, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, AdapterState> {
        self.state.lock().unwrap()
    }
}

type Shared = State<Arc<Mutex<AdapterState>>>;

fn refused(field: &str, problem: &str) -> Response {
    let body = json!({
        "errors": [problem], "userMessage": "the request is not valid", "input": "the whole descriptor", "inputErrorField": field,
        "moreInfo": {"problems": [problem], "solutions": ["follow the specification"]},
    });
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

/// Parses a body of exactly the specified fields; returns the component and its descriptor.
fn component_of(body: &Json) -> Result<(String, Json), &'static str> {
    let body = body.as_object().ok_or("body")?;
    let known = ["descriptorKind", "descriptor", "removeData"];
    if body.len() != known.len() || !known.iter().all(|name| body.contains_key(*name)) {
        return Err("body");
    }
    if body["descriptorKind"] != "COMPONENT_DESCRIPTOR" {
        return Err("descriptorKind");
    }
    body["removeData"].as_bool().ok_or("removeData")?;
    descriptor(&body["descriptor"])
}

fn descriptor(text: &Json) -> Result<(String, Json), &'static str> {
    let descriptor: Json = serde_json::from_str(text.as_str().ok_or("descriptor")?).map_err(|_| "descriptor")?;
    let id = descriptor["componentIdToProvision"].as_str().ok_or("componentIdToProvision")?.to_owned();
    let components = descriptor["dataProduct"]["components"].as_array().ok_or("dataProduct.components")?;
    components.iter().find(|component| component["id"] == id.as_str()).ok_or("componentIdToProvision")?;
    Ok((id, descriptor))
}

/// Refuses requests with wrong credentials or headers.
fn refused_early(state: &AdapterState, headers: &HeaderMap) -> Option<Response> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bearer = state.behavior.bearer.map(|token| format!("Bearer {token}"));
    if bearer.is_some_and(|bearer| value(header::AUTHORIZATION) != bearer) {
        return Some(StatusCode::UNAUTHORIZED.into_response());
    }
    let is_accepted =
        value(header::ACCEPT).contains("application/json") && value(header::CONTENT_TYPE) == "application/json";
    (!is_accepted).then(|| StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response())
}

async fn validate(State(state): Shared, headers: HeaderMap, axum::Json(body): axum::Json<Json>) -> Response {
    let mut state = state.lock().unwrap();
    state.reads.push("v1/validate".to_owned());
    if let Some(refused_early) = refused_early(&state, &headers) {
        return refused_early;
    }
    match component_of(&body) {
        Ok(_) => axum::Json(state.verdict()).into_response(),
        Err(field) => axum::Json(json!({"valid": false, "error": {"errors": [field]}})).into_response(),
    }
}

async fn validate_async(State(state): Shared, headers: HeaderMap, axum::Json(body): axum::Json<Json>) -> Response {
    let mut state = state.lock().unwrap();
    state.reads.push("v2/validate".to_owned());
    if !state.behavior.has_v2 {
        return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({"error": "not yet implemented"})))
            .into_response();
    }
    if let Some(refused_early) = refused_early(&state, &headers) {
        return refused_early;
    }
    match component_of(&body) {
        Ok(_) => start_work(&mut state, Work::Validate),
        Err(field) => refused(field, "the value is invalid"),
    }
}

async fn provision(State(state): Shared, headers: HeaderMap, axum::Json(body): axum::Json<Json>) -> Response {
    let mut state = state.lock().unwrap();
    match component_of(&body) {
        Ok((id, descriptor)) => {
            start_change(&mut state, &headers, format!("provision {id}"), Work::Provision(id, descriptor))
        }
        Err(field) => refused(field, "the value is invalid"),
    }
}

async fn unprovision(State(state): Shared, headers: HeaderMap, axum::Json(body): axum::Json<Json>) -> Response {
    let mut state = state.lock().unwrap();
    match component_of(&body) {
        Ok((id, _)) => {
            let text = format!("unprovision {id} {}", body["removeData"]);
            start_change(&mut state, &headers, text, Work::Unprovision(id))
        }
        Err(field) => refused(field, "the value is invalid"),
    }
}

async fn update_acl(State(state): Shared, headers: HeaderMap, axum::Json(body): axum::Json<Json>) -> Response {
    let mut state = state.lock().unwrap();
    let refs = body["refs"].as_array().map(|refs| refs.iter().map(|it| it.as_str().unwrap().to_owned()).collect());
    let info = &body["provisionInfo"];
    match (refs, descriptor(&info["request"]), info["result"].as_str()) {
        (Some(refs), Ok((id, _)), Some(_)) => {
            let refs: Vec<String> = refs;
            let fields = match &body["accessControlFields"] {
                Json::Object(fields) if fields.is_empty() => String::new(),
                fields => format!(" {fields}"),
            };
            let text = format!("updateacl {id} {}{fields}", refs.join(" "));
            start_change(&mut state, &headers, text, Work::UpdateAcl(id, refs))
        }
        _ => refused("provisionInfo", "the value is invalid"),
    }
}

/// Starts changing work, and answers as configured.
fn start_change(state: &mut AdapterState, headers: &HeaderMap, text: String, work: Work) -> Response {
    if let Some(refused_early) = refused_early(state, headers) {
        return refused_early;
    }
    if let Some((status, headers, body)) = state.behavior.prepared_answers.pop_front() {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        return response.body(Body::from(body)).unwrap();
    }
    state.log.push(text);
    if std::mem::take(&mut state.behavior.loses_answer) {
        state.do_work(&work);
        let broken = futures_util::stream::iter([Err::<String, _>(std::io::Error::other("the line is cut"))]);
        return (StatusCode::ACCEPTED, Body::from_stream(broken)).into_response();
    }
    if state.behavior.sync {
        return axum::Json(state.finish(&work)).into_response();
    }
    start_work(state, work)
}

fn start_work(state: &mut AdapterState, work: Work) -> Response {
    let token = format!("token-{}", state.reads.len() + state.log.len());
    state.running.insert(token.clone(), Running { work, left: state.behavior.running_answers });
    let body = if state.behavior.quoted { format!("\"{token}\"") } else { token };
    (StatusCode::ACCEPTED, body).into_response()
}

async fn status(State(state): Shared, Path(token): Path<String>) -> Response {
    let mut state = state.lock().unwrap();
    state.reads.push("status".to_owned());
    if let Some(status) = state.behavior.token_statuses.pop_front() {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let Some(running) = state.running.get_mut(&token) else { return refused("token", "unknown token") };
    if running.left > 0 {
        running.left -= 1;
        return axum::Json(json!({"status": "RUNNING", "result": "", "logs": []})).into_response();
    }
    let work = running.work.clone();
    let status = state.finish(&work);
    axum::Json(status).into_response()
}
