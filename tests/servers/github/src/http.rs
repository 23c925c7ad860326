//! The server: headers, tokens, rate limits and faults; and its control by tests.

use crate::api::{Caller, answer};
use crate::world::{Comment, Issue, Pull, Review, World};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The secondary rate limit, with `Retry-After` in seconds; the call has no effect.
    Limited(u64),
    /// The primary rate limit, which ends at this time in seconds; the call has no effect.
    UsedUp(i64),
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

/// A stand-in with the repository `acme/products`, running until it is dropped. The token `job-token` is that of a job: the
/// account `github-actions[bot]` with all permissions that a job may have.
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
    /// The token of a job.
    pub const TOKEN: &str = "job-token-of-the-test";
    /// The account of this token.
    pub const ACCOUNT: &str = "github-actions[bot]";
    /// The permissions of this token.
    pub const PERMISSIONS: [&str; 5] =
        ["contents: read", "pull-requests: write", "issues: write", "checks: write", "statuses: write"];

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
        stand_in.permit(&Self::PERMISSIONS);
        stand_in
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Replaces the permissions of the job's token.
    pub fn permit(&self, permissions: &[&str]) {
        let permissions: BTreeSet<String> = permissions.iter().map(|text| (*text).to_owned()).collect();
        let caller = Caller { login: Self::ACCOUNT.to_owned(), permissions, is_app: true };
        lock(&self.state.tokens).insert(Self::TOKEN.to_owned(), caller);
    }

    /// Makes the job's token one of an app with this account, such as `plans[bot]`.
    pub fn install(&self, login: &str) {
        lock(&self.state.tokens).get_mut(Self::TOKEN).expect("the token of the job").login = login.to_owned();
    }

    /// Revokes the job's token.
    pub fn revoke(&self) {
        lock(&self.state.tokens).clear();
    }

    /// The refused calls that a correct client does not make, since the last use of this method.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.state.complaints))
    }

    /// Gives an account a role: `read`, `triage`, `write`, `maintain` or `admin`.
    pub fn add_user(&self, login: &str, role: &'static str) {
        lock(&self.state.world).users.insert(login.to_owned(), role);
    }

    /// Adds an account to a team of the organization.
    pub fn add_member(&self, team: &str, login: &str) {
        lock(&self.state.world).teams.entry(team.to_owned()).or_default().insert(login.to_owned());
    }

    /// Opens a pull request, and returns its number.
    #[must_use]
    pub fn open(&self, author: &str, head: &str, base: &str, is_fork: bool) -> u64 {
        let mut world = lock(&self.state.world);
        let number = world.next();
        let pull = Pull {
            number,
            author: author.to_owned(),
            head: head.to_owned(),
            base: base.to_owned(),
            branch: "main".to_owned(),
            is_fork,
            merged: None,
            commits: Vec::new(),
        };
        world.pulls.insert(number, pull);
        number
    }

    /// Changes a pull request.
    ///
    /// # Panics
    /// When the pull request does not exist.
    pub fn change(&self, number: u64, change: impl FnOnce(&mut Pull)) {
        change(lock(&self.state.world).pulls.get_mut(&number).expect("a pull request"));
    }

    /// Adds a comment, and returns its number.
    pub fn comment(&self, author: &str, pull: u64, text: &str) -> u64 {
        let mut world = lock(&self.state.world);
        let id = world.next();
        world.comments.push(Comment { id, pull, author: author.to_owned(), text: text.to_owned(), edited: None });
        id
    }

    /// Changes a comment some seconds after its creation, as a person may.
    ///
    /// # Panics
    /// When the comment does not exist.
    pub fn edit_comment(&self, id: u64, text: &str, seconds: i64) {
        let mut world = lock(&self.state.world);
        let comment = world.comments.iter_mut().find(|comment| comment.id == id).expect("a comment");
        (comment.text, comment.edited) = (text.to_owned(), Some(seconds));
    }

    /// Changes the text of the last review, as a person may.
    ///
    /// # Panics
    /// Without a review.
    pub fn edit_review(&self, text: &str) {
        let mut world = lock(&self.state.world);
        let review = world.reviews.last_mut().expect("a review");
        (review.text, review.edited) = (text.to_owned(), Some(60));
    }

    /// Deletes all comments.
    pub fn delete_comments(&self) {
        lock(&self.state.world).comments.clear();
    }

    /// Adds a review with the state `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED` or `DISMISSED`.
    pub fn review(&self, author: &str, pull: u64, state: &'static str, text: &str) {
        let review = Review { pull, author: author.to_owned(), state, text: text.to_owned(), edited: None };
        lock(&self.state.world).reviews.push(review);
    }

    /// The comments of a pull request.
    #[must_use]
    pub fn comments(&self, pull: u64) -> Vec<Comment> {
        lock(&self.state.world).comments.iter().filter(|comment| comment.pull == pull).cloned().collect()
    }

    /// All check runs, as they were posted.
    #[must_use]
    pub fn checks(&self) -> Vec<Json> {
        lock(&self.state.world).checks.clone()
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

    /// Opens an issue as an account.
    pub fn open_issue(&self, author: &str, title: &str, text: &str, label: &str) {
        let mut world = lock(&self.state.world);
        let number = world.next();
        let (author, title, text) = (author.to_owned(), title.to_owned(), text.to_owned());
        world
            .issues
            .insert(number, Issue { number, author, title, text, labels: vec![label.to_owned()], is_open: true });
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
        Some(Fault::Limited(_)) => Some(Err(refused(403, "You have exceeded a secondary rate limit"))),
        Some(Fault::UsedUp(_)) => Some(Err(refused(403, "API rate limit exceeded for installation ID 1"))),
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
            (status, json!({"message": message, "documentation_url": "https://docs.github.com/rest"}))
        }
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    state.traffic.received().push(ReceivedCall { method: method.to_string(), path, body, status });
    if status == 0 {
        return lost();
    }
    let mut response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    response = match fault {
        Some(Fault::Limited(seconds)) => response.header("retry-after", seconds),
        Some(Fault::UsedUp(reset)) => response.header("x-ratelimit-remaining", 0).header("x-ratelimit-reset", reset),
        _ => response.header("x-ratelimit-remaining", 4000),
    };
    response.body(Body::from(json.to_string())).unwrap()
}

fn carry_out(state: &State, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Outcome {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api
    if header("user-agent").is_empty() {
        return Err(fault(403, "Request forbidden by administrative rules: no User-Agent"));
    }
    if header("accept") != "application/vnd.github+json" || header("x-github-api-version") != "2022-11-28" {
        return Err(fault(415, "Accept or X-GitHub-Api-Version"));
    }
    let token = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let caller = lock(&state.tokens).get(token).cloned().ok_or_else(|| refused(401, "Bad credentials"))?;
    let body = match body.is_empty() {
        true => Json::Null,
        false => serde_json::from_slice(body).map_err(|_| fault(400, "Problems parsing JSON"))?,
    };
    let path: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = pairs(uri.query().unwrap_or_default()).collect();
    answer(
        &mut lock(&state.world),
        &caller,
        &Call { method: method.as_str(), path: &path, query, body, page_size: 30, invalid: 422 },
    )
}
