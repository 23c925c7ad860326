//! A server of a strict API: it applies faults, and records calls and complaints.

use super::{Outcome, ReceivedCall, Refusal, refused};
use crate::{ANY, Listening, lock, lost};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::Value as Json;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

/// One fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status; the call has no effect.
    Status(u16),
    /// This status with an HTML page, as a proxy before the API answers; the call has no effect.
    Page(u16),
    /// Drops the connection; the call has no effect.
    LostBefore,
    /// Drops the connection after the call took effect.
    LostAfter,
    /// The rate limit, with `Retry-After` in seconds; the call has no effect.
    Limited(u64),
    /// The rate limit, which ends at this time in seconds since 1970; the call has no effect.
    UsedUp(i64),
    /// All tokens expire before the call.
    Expired,
}

/// The faults of a stand-in; the line of a call is its `METHOD path`.
pub type Faults = crate::Faults<Fault, ()>;
/// Received calls and faults.
pub type Traffic = crate::Traffic<ReceivedCall, Fault, ()>;

/// A received request.
#[derive(Debug)]
pub struct Incoming {
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Incoming {
    /// A header that is text; empty without it.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The API of a vendor, with its data.
pub trait Api: Default + Send + Sync + 'static {
    /// The type of the bodies.
    const CONTENT_TYPE: &'static str = "application/json";
    /// Headers of each answer that no rate limit refuses.
    const HEADERS: &'static [(&'static str, &'static str)] = &[];
    /// The status and the message of a call over the rate limit.
    const LIMITED: (u16, &'static str);

    /// Carries out a call.
    ///
    /// # Errors
    /// When the API refuses it.
    fn carry_out(&self, incoming: &Incoming) -> Outcome;

    /// The body of a refusal.
    fn refusal(message: &str) -> Json;

    /// Ends the lifetime of all tokens.
    ///
    /// # Panics
    /// When the tokens of the API do not expire.
    fn expire(&self) {
        panic!("the tokens of this API do not expire");
    }
}

/// Work before a call whose line has a text.
type Before = (String, Box<dyn FnOnce() + Send>);

struct State<A> {
    api: A,
    complaints: Mutex<Vec<String>>,
    before: Mutex<Vec<Before>>,
    traffic: Traffic,
}

/// A server of an API, running until its last clone is dropped. It dereferences to its [`Traffic`].
pub struct Server<A> {
    url: String,
    state: Arc<State<A>>,
    // Serves until it is dropped.
    listening: Arc<Listening>,
}

impl<A> Clone for Server<A> {
    fn clone(&self) -> Self {
        Self { url: self.url.clone(), state: Arc::clone(&self.state), listening: Arc::clone(&self.listening) }
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.url)
    }
}

impl<A> Deref for Server<A> {
    type Target = Traffic;

    fn deref(&self) -> &Traffic {
        &self.state.traffic
    }
}

impl<A: Api> Server<A> {
    /// Starts a server.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        let listening = Listening::new();
        let state: Arc<State<A>> = Arc::new(State {
            api: A::default(),
            complaints: Mutex::default(),
            before: Mutex::default(),
            traffic: Traffic::default(),
        });
        let shared = Arc::clone(&state);
        let url = listening.on(ANY, |_| Router::new().fallback(receive::<A>).with_state(shared));
        Self { url, state, listening: Arc::new(listening) }
    }

    /// Does work before the next call whose line contains a text, as another client may. The works of a call are done in
    /// separate calls, in their order.
    pub fn before_call(&self, line: &str, work: impl FnOnce() + Send + 'static) {
        lock(&self.state.before).push((line.to_owned(), Box::new(work)));
    }

    /// The API.
    pub fn api(&self) -> &A {
        &self.state.api
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The refused calls that a correct client does not make, since the last use of this method.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.state.complaints))
    }
}

async fn receive<A: Api>(
    Shared(state): Shared<Arc<State<A>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _at_once = state.traffic.enter();
    let incoming = Incoming { method, uri, headers, body };
    let line = format!("{} {}", incoming.method, incoming.uri.path());
    let number = state.traffic.next_number();
    let work = {
        let mut before = lock(&state.before);
        let position = before.iter().position(|(text, _)| line.contains(text.as_str()));
        position.map(|position| before.remove(position).1)
    };
    if let Some(work) = work {
        work();
    }
    let taken = state.traffic.fault(|faults| faults.take(number, &line)).await;
    let is_lost = matches!(taken, Some(Fault::LostBefore | Fault::LostAfter));
    let outcome = match taken {
        Some(Fault::LostBefore) => None,
        Some(Fault::Status(status) | Fault::Page(status)) => Some(Err(refused(status, "on purpose"))),
        Some(Fault::Limited(_) | Fault::UsedUp(_)) => Some(Err(refused(A::LIMITED.0, A::LIMITED.1))),
        Some(Fault::Expired) => {
            state.api.expire();
            Some(state.api.carry_out(&incoming))
        }
        Some(Fault::LostAfter) | None => Some(state.api.carry_out(&incoming)),
    };
    let (status, json) = match outcome {
        None => (0, Json::Null),
        Some(Ok((status, json))) => (status, json),
        Some(Err(Refusal { status, message, is_fault })) => {
            if is_fault {
                lock(&state.complaints).push(format!("{line}: {message}"));
            }
            (status, A::refusal(&message))
        }
    };
    let Incoming { method, uri, body, .. } = incoming;
    let (method, path) = (method.to_string(), uri.path().to_owned());
    let body = String::from_utf8_lossy(&body).into_owned();
    // A lost call has no status.
    let received_status = if is_lost { 0 } else { status };
    state.traffic.received().push(ReceivedCall { method, path, body, status: received_status });
    if is_lost {
        return lost();
    }
    let response = Response::builder().status(status);
    let response = match taken {
        Some(Fault::Page(_)) => {
            return built(response.header("content-type", "text/html"), "<html><body>Sign in</body></html>".to_owned());
        }
        Some(Fault::Limited(seconds)) => response.header("retry-after", seconds),
        Some(Fault::UsedUp(reset)) => response.header("x-ratelimit-remaining", 0).header("x-ratelimit-reset", reset),
        _ => A::HEADERS.iter().fold(response, |response, (name, value)| response.header(*name, *value)),
    };
    built(response.header("content-type", A::CONTENT_TYPE), json.to_string())
}

fn built(response: axum::http::response::Builder, body: String) -> Response {
    response.body(Body::from(body)).expect("a response")
}
