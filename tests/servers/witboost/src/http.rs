//! The server: headers, tokens, rate limits and faults; and its control by tests.

use crate::api::{REGISTER, VALIDATE, answer};
use crate::world::{Validation, World};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value as Json, json};
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
    /// Status 429 with `Retry-After` in seconds; the call has no effect.
    Limited(u64),
    /// All JWTs expire before the call.
    Expired,
}

/// The faults of a stand-in; the line of a call is its `METHOD path`.
pub type Faults = terrace_test_listening::Faults<Fault, ()>;
/// Received calls and faults. A [`StandIn`] dereferences to it.
pub type Traffic = terrace_test_listening::Traffic<ReceivedCall, Fault, ()>;

#[derive(Default)]
struct State {
    world: Mutex<World>,
    complaints: Mutex<Vec<String>>,
    traffic: Traffic,
}

/// A platform with the environments `development` and `production`, running until it is dropped.
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
    /// The access token of a service account with all permissions.
    pub const TOKEN: &str = "wbat-access-token-of-the-test";

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
        stand_in.permit(&[REGISTER, VALIDATE]);
        stand_in
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Replaces the permissions of the token: `register` and `validate`.
    pub fn permit(&self, permissions: &[&str]) {
        let permissions = permissions.iter().map(|text| (*text).to_owned()).collect();
        lock(&self.state.world).access_tokens.insert(Self::TOKEN.to_owned(), permissions);
    }

    /// Revokes the token.
    pub fn revoke(&self) {
        lock(&self.state.world).access_tokens.clear();
    }

    /// A JWT, as a session of a person has one.
    #[must_use]
    pub fn jwt(&self) -> String {
        lock(&self.state.world).issue(Self::TOKEN, std::time::Duration::from_secs(300))
    }

    /// Adds a data product to the catalog.
    pub fn add_product(&self, name: &str) {
        lock(&self.state.world).products.insert(name.to_owned());
    }

    /// Has the platform refuse to replace an adapter.
    pub fn keep_adapters(&self) {
        lock(&self.state.world).keeps_adapters = true;
    }

    /// Sets the results of validations.
    pub fn set_results(&self, results: Json) {
        lock(&self.state.world).results = Some(results);
    }

    /// The registered adapters, by id and environment.
    #[must_use]
    pub fn adapters(&self) -> Vec<Json> {
        lock(&self.state.world).adapters.values().cloned().collect()
    }

    /// The received validations.
    #[must_use]
    pub fn validations(&self) -> Vec<Validation> {
        lock(&self.state.world).validations.clone()
    }

    /// The refused calls that a correct client does not make, since the last use of this method.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.state.complaints))
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
    let taken = state.traffic.fault(|faults| faults.take(number, &format!("{method} {path}"))).await;
    if taken == Some(Fault::Expired) {
        lock(&state.world).expire();
    }
    let outcome = match taken {
        Some(Fault::LostBefore) => None,
        Some(Fault::Status(status)) => Some(Err(refused(status, "on purpose"))),
        Some(Fault::Limited(_)) => Some(Err(refused(429, "Too many requests"))),
        Some(Fault::LostAfter) => {
            drop(carry_out(&state, &method, &uri, &headers, &body));
            None
        }
        Some(Fault::Expired) | None => Some(carry_out(&state, &method, &uri, &headers, &body)),
    };
    let (status, json) = match outcome {
        None => (0, Json::Null),
        Some(Ok((status, json))) => (status, json),
        Some(Err(Refusal { status, message, is_fault })) => {
            if is_fault {
                lock(&state.complaints).push(format!("{method} {path}: {message}"));
            }
            (status, json!({"error": {"name": "Error", "message": message}}))
        }
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    state.traffic.received().push(ReceivedCall { method: method.to_string(), path, body, status });
    if status == 0 {
        return lost();
    }
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some(Fault::Limited(seconds)) = taken {
        response = response.header("retry-after", seconds);
    }
    response.body(Body::from(json.to_string())).unwrap()
}

fn carry_out(state: &State, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Outcome {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("user-agent").is_empty() || header("accept") != "application/json" {
        return Err(fault(406, "no User-Agent, or another Accept than application/json"));
    }
    if method == Method::POST && header("content-type") != "application/json" {
        return Err(fault(415, "the body is not JSON"));
    }
    let bearer = header("authorization").strip_prefix("Bearer ");
    let body = serde_json::from_slice(body).map_err(|_| fault(400, "the body is not JSON"))?;
    let path: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = pairs(uri.query().unwrap_or_default()).collect();
    let call = Call { method: method.as_str(), path: &path, query, body, page_size: 0, invalid: 422 };
    answer(&mut lock(&state.world), bearer, &call)
}
