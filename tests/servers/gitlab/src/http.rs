//! The server: headers, tokens, rate limits and faults; and its control by tests.

use crate::api::{Caller, answer};
use crate::world::{Issue, MergeRequest, Note, World};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use terrace_test_listening::strict::{Call, Outcome, ReceivedCall, Refusal, fault, refused};
use terrace_test_listening::{ANY, Listening, decode, lock, lost, pairs};

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status; the call has no effect.
    Status(u16),
    /// Drops the connection; the call has no effect.
    LostBefore,
    /// Drops the connection after the call took effect.
    LostAfter,
    /// The rate limit, with `Retry-After` in seconds; the call has no effect.
    Limited(u64),
}

/// The faults of a stand-in; the line of a call is its `METHOD path`.
pub type Faults = terrace_test_listening::Faults<Fault, ()>;
/// Received calls and faults. A [`StandIn`] dereferences to it.
pub type Traffic = terrace_test_listening::Traffic<ReceivedCall, Fault, ()>;

#[derive(Default)]
struct State {
    world: Mutex<World>,
    tokens: Mutex<BTreeMap<String, Caller>>,
    complaints: Mutex<Vec<String>>,
    traffic: Traffic,
}

/// A stand-in with the project 42, running until it is dropped. The token `project-token` is an access token of the account
/// `project_42_bot` with the scope `api`; the token `job-token` of a job may call nothing that terrace needs.
pub struct StandIn {
    url: String,
    state: Arc<State>,
    // Serves until it is dropped.
    _listening: Listening,
}

impl std::fmt::Debug for StandIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StandIn({})", self.url)
    }
}

impl Deref for StandIn {
    type Target = Traffic;

    fn deref(&self) -> &Traffic {
        &self.state.traffic
    }
}

impl StandIn {
    /// The access token of the project.
    pub const TOKEN: &str = "project-token-of-the-test";
    /// The token of a job.
    pub const JOB_TOKEN: &str = "job-token-of-the-test";
    /// The account of the access token.
    pub const ACCOUNT: &str = "project_42_bot";

    /// Starts a stand-in.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        let listening = Listening::new();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let url = listening.on(ANY, |_| Router::new().fallback(receive).with_state(shared));
        let stand_in = Self { url, state, _listening: listening };
        stand_in.permit(true);
        stand_in
    }

    /// The URL of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/api/v4", self.url)
    }

    /// Lets the access token write (scope `api`), or only read (scope `read_api`).
    pub fn permit(&self, may_write: bool) {
        let caller = Caller { name: Self::ACCOUNT.to_owned(), may_write };
        lock(&self.state.tokens).insert(Self::TOKEN.to_owned(), caller);
    }

    /// Revokes the access token.
    pub fn revoke(&self) {
        lock(&self.state.tokens).clear();
    }

    /// The refused calls that a correct client does not make, since the last use of this method.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.state.complaints))
    }

    /// Gives an account an access level: 20 for a reporter, 30 for a developer, 40 for a maintainer.
    pub fn add_member(&self, name: &str, level: u64) {
        lock(&self.state.world).members.insert(name.to_owned(), level);
    }

    /// Gives an account an access level in a group.
    pub fn add_group_member(&self, group: &str, name: &str, level: u64) {
        lock(&self.state.world).groups.entry(group.to_owned()).or_default().insert(name.to_owned(), level);
    }

    /// Opens a merge request, and returns its number.
    #[must_use]
    pub fn open(&self, author: &str, head: &str, base: &str, is_fork: bool) -> u64 {
        let mut world = lock(&self.state.world);
        let iid = world.next();
        let request = MergeRequest {
            iid,
            author: author.to_owned(),
            head: head.to_owned(),
            base: base.to_owned(),
            branch: "main".to_owned(),
            is_fork,
            merged: None,
            squash: None,
            commits: Vec::new(),
        };
        world.requests.insert(iid, request);
        iid
    }

    /// Changes a merge request.
    ///
    /// # Panics
    /// When the merge request does not exist.
    pub fn change(&self, iid: u64, change: impl FnOnce(&mut MergeRequest)) {
        change(lock(&self.state.world).requests.get_mut(&iid).expect("a merge request"));
    }

    /// Adds a note, and returns its number.
    pub fn comment(&self, author: &str, request: u64, text: &str) -> u64 {
        let mut world = lock(&self.state.world);
        let id = world.next();
        let (author, text) = (author.to_owned(), text.to_owned());
        world.notes.push(Note { id, request, author, text, is_edited: false, is_system: false });
        id
    }

    /// Adds a note that GitLab writes for an account about an event.
    pub fn system_note(&self, author: &str, request: u64, text: &str) {
        let id = self.comment(author, request, text);
        let mut world = lock(&self.state.world);
        world.notes.iter_mut().filter(|note| note.id == id).for_each(|note| note.is_system = true);
    }

    /// Changes a note as its author may.
    ///
    /// # Panics
    /// When the note does not exist.
    pub fn edit_comment(&self, id: u64, text: &str) {
        let mut world = lock(&self.state.world);
        let note = world.notes.iter_mut().find(|note| note.id == id).expect("a note");
        (note.text, note.is_edited) = (text.to_owned(), true);
    }

    /// Deletes all notes.
    pub fn delete_comments(&self) {
        lock(&self.state.world).notes.clear();
    }

    /// The notes of a merge request.
    #[must_use]
    pub fn comments(&self, request: u64) -> Vec<Note> {
        lock(&self.state.world).notes.iter().filter(|note| note.request == request).cloned().collect()
    }

    /// All commit statuses, as they were posted.
    #[must_use]
    pub fn statuses(&self) -> Vec<Json> {
        lock(&self.state.world).statuses.clone()
    }

    /// All issues.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        lock(&self.state.world).issues.values().cloned().collect()
    }
}

async fn receive(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _at_once = state.traffic.enter();
    let (number, path) = (state.traffic.next_number(), uri.path().to_owned());
    let fault = state.traffic.fault(|faults| faults.take(number, &format!("{method} {path}"))).await;
    let outcome = match fault {
        Some(Fault::LostBefore) => None,
        Some(Fault::Status(status)) => Some(Err(refused(status, "on purpose"))),
        Some(Fault::Limited(_)) => Some(Err(refused(429, "Retry later"))),
        Some(Fault::LostAfter) => {
            drop(carry_out(&state, &method, &uri, &headers, &body));
            None
        }
        None => Some(carry_out(&state, &method, &uri, &headers, &body)),
    };
    let (status, json) = match outcome {
        None => (0, Json::Null),
        Some(Ok((status, json))) => (status, json),
        Some(Err(Refusal { status, message, is_fault })) => {
            if is_fault {
                lock(&state.complaints).push(format!("{method} {path}: {message}"));
            }
            (status, json!({ "message": message }))
        }
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    state.traffic.received().push(ReceivedCall { method: method.to_string(), path, body, status });
    if status == 0 {
        return lost();
    }
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some(Fault::Limited(seconds)) = fault {
        response = response.header("retry-after", seconds);
    }
    response.body(Body::from(json.to_string())).unwrap()
}

fn carry_out(state: &State, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Outcome {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // https://docs.gitlab.com/api/rest/authentication/
    let token = header("private-token");
    if token.is_empty() && header("job-token") == StandIn::JOB_TOKEN {
        // https://docs.gitlab.com/ci/jobs/ci_job_token/#job-token-access
        return Err(refused(403, "403 Forbidden: a job token cannot call this endpoint"));
    }
    let caller = lock(&state.tokens).get(token).cloned().ok_or_else(|| refused(401, "401 Unauthorized"))?;
    let body = match body.is_empty() {
        true => Json::Null,
        false => serde_json::from_slice(body).map_err(|_| fault(400, "400 Bad request: JSON"))?,
    };
    let path: Vec<String> = uri
        .path()
        .strip_prefix("/api/v4")
        .unwrap_or("/")
        .split('/')
        .filter(|part| !part.is_empty())
        .map(decode)
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = pairs(uri.query().unwrap_or_default()).collect();
    answer(
        &mut lock(&state.world),
        &caller,
        &Call { method: method.as_str(), path: &path, query, body, page_size: 20, invalid: 400 },
    )
}
