//! A strict server for `PUT`: it requires a token, a length, a valid digest, and that data packages name only existing
//! files. It records requests, and fails on demand.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use terrace_test_listening::{ANY, Listening};

/// Token that the server accepts.
pub(crate) const TOKEN: &str = "let-me-in-4711";

/// Fault at the next request for a file with this suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It closes the connection in the middle of the body.
    Cut,
    /// It requests a retry.
    Busy,
    /// It rejects the file.
    Refused,
    /// Its storage is full.
    Full,
    /// It rejects the token.
    Expired,
    /// It stores the file, but sends no response.
    Unanswered,
    /// It waits until the test continues it.
    Wait,
}

#[derive(Default)]
struct ServerState {
    files: BTreeMap<String, (Vec<u8>, String)>,
    /// Method and path, in order.
    requests: Vec<String>,
    faults: Vec<(String, Fault)>,
    is_released: bool,
    wrong: Vec<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<ServerState>,
    released: Condvar,
}

/// The server, which ends on drop.
pub(crate) struct PutServer {
    shared: Arc<Shared>,
    pub(crate) url: String,
    _listening: Listening,
}

impl PutServer {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listening = Listening::new();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let url = listening.on(ANY, |_| routes);
        Self { shared, url, _listening: listening }
    }

    /// Path and content of each file.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let state = self.shared.state.lock().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        state.files.iter().map(|(path, (bytes, _))| (path.clone(), text(bytes))).collect()
    }

    /// Number of requests with this method for paths with this suffix.
    pub(crate) fn count_requests(&self, method: &str, path: &str) -> usize {
        let state = self.shared.state.lock().unwrap();
        state
            .requests
            .iter()
            .filter(|request| request.starts_with(&format!("{method} ")) && request.ends_with(path))
            .count()
    }

    /// Paths of `PUT` requests, in order.
    pub(crate) fn put(&self) -> Vec<String> {
        let state = self.shared.state.lock().unwrap();
        state.requests.iter().filter_map(|request| request.strip_prefix("PUT ")).map(str::to_owned).collect()
    }

    pub(crate) fn fails(&self, path: &str, fault: Fault) {
        self.shared.state.lock().unwrap().faults.push((path.to_owned(), fault));
    }

    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().is_released = true;
        self.shared.released.notify_all();
    }

    /// Clears the recorded requests.
    pub(crate) fn forget(&self) {
        self.shared.state.lock().unwrap().requests.clear();
    }

    /// Changes a file directly; without a text, removes it.
    pub(crate) fn tamper(&self, path: &str, text: Option<&str>) {
        let mut state = self.shared.state.lock().unwrap();
        match text {
            Some(text) => state.files.insert(path.to_owned(), (text.into(), tag(text.as_bytes()))),
            None => state.files.remove(path),
        };
    }

    pub(crate) fn tamper_all(&self) {
        self.shared.state.lock().unwrap().files.clear();
    }

    /// Asserts that no request was invalid.
    pub(crate) fn assert_well_used(&self) {
        let state = self.shared.state.lock().unwrap();
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
    }
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", base16ct::lower::encode_string(&Sha256::digest(bytes)))
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let fault = {
        let mut state = shared.state.lock().unwrap();
        state.requests.push(format!("{} {path}", head.method));
        let fits = |fault: &(String, Fault)| path.ends_with(&fault.0) && head.method == Method::PUT;
        state.faults.iter().position(fits).map(|position| state.faults.remove(position).1)
    };
    if head.headers.get(header::AUTHORIZATION).is_none_or(|token| *token != format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match fault {
        Some(Fault::Busy) => return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")]).into_response(),
        Some(Fault::Refused) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Some(Fault::Full) => return StatusCode::INSUFFICIENT_STORAGE.into_response(),
        Some(Fault::Expired) => return StatusCode::UNAUTHORIZED.into_response(),
        Some(Fault::Cut) => std::panic::resume_unwind(Box::new("cut")),
        Some(Fault::Wait) => {
            let shared = Arc::clone(&shared);
            let waiting = tokio::task::spawn_blocking(move || {
                let state = shared.state.lock().unwrap();
                drop(shared.released.wait_while(state, |state| !state.is_released).unwrap());
            });
            waiting.await.unwrap();
        }
        _ => {}
    }
    match head.method {
        Method::PUT => {
            let answer = put(&shared, &path, &head.headers, body).await;
            if fault == Some(Fault::Unanswered) {
                std::panic::resume_unwind(Box::new("cut"))
            }
            answer
        }
        Method::DELETE => {
            shared.state.lock().unwrap().files.remove(&path);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::GET | Method::HEAD => match shared.state.lock().unwrap().files.get(&path) {
            Some((bytes, tag)) => ([(header::ETAG, tag.clone())], bytes.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn put(shared: &Shared, path: &str, headers: &HeaderMap, body: Body) -> Response {
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let mut state = shared.state.lock().unwrap();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut refuse = |why: String| {
        state.wrong.push(format!("{path}: {why}"));
        StatusCode::BAD_REQUEST.into_response()
    };
    if text("content-length").parse() != Ok(bytes.len()) {
        return refuse("the length is missing".to_owned());
    }
    if text("repr-digest") != format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&bytes))) {
        return refuse("the digest does not match".to_owned());
    }
    if text("content-type").is_empty() {
        return refuse("the type is missing".to_owned());
    }
    if let Some(folder) = path.strip_suffix("datapackage.json") {
        let package: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let resources = package["resources"].as_array().cloned().unwrap_or_default();
        let named: Vec<String> =
            resources.iter().map(|resource| format!("{folder}{}", resource["path"].as_str().unwrap())).collect();
        if let Some(missing) = named.iter().find(|path| !state.files.contains_key(*path)) {
            state.wrong.push(format!("{path} names {missing}, which does not exist"));
            return StatusCode::CONFLICT.into_response();
        }
    }
    let tag = tag(&bytes);
    state.files.insert(path.to_owned(), (bytes.to_vec(), tag.clone()));
    (StatusCode::CREATED, [(header::ETAG, tag)]).into_response()
}
