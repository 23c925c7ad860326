//! A running stand-in, and its control by tests.

use crate::faults::{AirbyteFaults, Fault};
use crate::http::{State, router};
use serde_json::Value as Json;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use terrace_test_listening::{ANY, Listening, lock};

/// The workspace of every stand-in.
pub const WORKSPACE: &str = "11111111-1111-4111-8111-111111111111";
/// Id and secret of the client that may get tokens.
pub const CLIENT: (&str, &str) = ("terrace", "client-secret");
/// The definition of the source for files.
pub const DEFINITION_FILE: &str = "778daa7c-feaf-4db6-96f3-70fd645acc77";
/// The definition of the destination Snowflake.
pub const DEFINITION_SNOWFLAKE: &str = "424892c4-daac-4491-b35d-c6688ba547ba";

/// A received call.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// Its number, from 1.
    pub number: usize,
    /// `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The body.
    pub body: String,
    /// The status of the response; 0 without a response.
    pub status: u16,
    /// The time of the call.
    pub at: Instant,
}

impl ReceivedCall {
    /// Whether the call could change anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self.path.starts_with("/api/v1/") {
            true => self.path.ends_with("/create") || self.path.ends_with("/delete"),
            false => self.method != "GET",
        }
    }
}

/// Received calls, their counters and faults. A [`StandIn`] dereferences to it.
pub type Traffic = terrace_test_listening::Traffic<ReceivedCall, Fault, AirbyteFaults>;

/// A stand-in, running until it is dropped. It has the workspace [`WORKSPACE`], and accepts the token `secret`, the
/// tokens of [`CLIENT`] and the password of `airbyte`. The token `reader` may only read.
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
    /// Starts a stand-in on a free port.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(ANY)
    }

    /// Starts a stand-in on an address.
    ///
    /// # Panics
    /// When the address is in use.
    #[must_use]
    pub fn start_on(address: &str) -> Self {
        let listening = Listening::new();
        let mut served = None;
        let url = listening.on(address, |url| {
            let state = Arc::new(State { url: url.to_owned(), ..State::default() });
            let routes = router(Arc::clone(&state));
            served = Some(state);
            routes
        });
        let state = served.expect("the server has its routes");
        lock(&state.tokens).extend([("secret".to_owned(), false), ("reader".to_owned(), true)]);
        lock(&state.world).workspaces.insert(WORKSPACE.to_owned(), "Data products".to_owned());
        Self { url, state, _listening: listening }
    }

    /// Its URL: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a workspace.
    pub fn add_workspace(&self, id: &str, name: &str) {
        lock(&self.state.world).workspaces.insert(id.to_owned(), name.to_owned());
    }

    /// Removes a workspace.
    pub fn remove_workspace(&self, id: &str) {
        lock(&self.state.world).workspaces.remove(id);
    }

    /// Revokes the tokens that it issued.
    pub fn forget_tokens(&self) {
        lock(&self.state.tokens).retain(|token, _| !token.starts_with("access-token-"));
    }

    /// The number of issued tokens.
    #[must_use]
    pub fn tokens_given(&self) -> usize {
        self.state.tokens_given.load(Ordering::SeqCst)
    }

    /// Creates a source or a destination outside terrace; returns its id.
    ///
    /// # Panics
    /// When the body is invalid.
    #[track_caller]
    pub fn make(&self, is_source: bool, body: &Json) -> String {
        let made = lock(&self.state.world).create_actor(is_source, body);
        let made = made.unwrap_or_else(|problem| panic!("{}", problem.body));
        let name = if is_source { "sourceId" } else { "destinationId" };
        made[name].as_str().unwrap().to_owned()
    }

    /// Creates a connection outside terrace; returns its id.
    ///
    /// # Panics
    /// When the body is invalid.
    #[track_caller]
    pub fn connect(&self, body: &Json) -> String {
        let made = lock(&self.state.world).create_connection(body);
        made.unwrap_or_else(|problem| panic!("{}", problem.body))["connectionId"].as_str().unwrap().to_owned()
    }

    /// Changes a source, a destination or a connection outside terrace.
    ///
    /// # Panics
    /// When the change is invalid.
    #[track_caller]
    pub fn patch(&self, id: &str, body: &Json) {
        let mut world = lock(&self.state.world);
        let done = match world.actors.get(id).map(|actor| actor.connector.is_source) {
            Some(is_source) => world.change_actor(is_source, id, body, true),
            None => world.patch_connection(id, body),
        };
        done.unwrap_or_else(|problem| panic!("{}", problem.body));
    }

    /// Sets the creation time of a source or a destination this many seconds back.
    pub fn age(&self, name: &str, seconds: i64) {
        for actor in lock(&self.state.world).actors.values_mut().filter(|it| it.name == name) {
            actor.created_at -= seconds;
        }
    }

    /// Removes a source, a destination or a connection outside terrace, if it exists.
    pub fn remove(&self, id: &str) {
        let mut world = lock(&self.state.world);
        let _ = match world.actors.get(id).map(|actor| actor.connector.is_source) {
            Some(is_source) => world.delete_actor(is_source, id),
            None => world.delete_connection(id),
        };
    }

    /// The id of an existing source, destination or connection.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<String> {
        let world = lock(&self.state.world);
        let actors = world.actors.iter().filter(|(_, it)| !it.is_deleted && it.name == name).map(|(id, _)| id);
        let connections = world.connections.iter().filter(|(_, it)| !it.is_deleted && it.name == name);
        actors.chain(connections.map(|(id, _)| id)).next().cloned()
    }

    /// The configuration of a source or a destination, with its secrets.
    ///
    /// # Panics
    /// When it does not exist.
    #[must_use]
    pub fn configuration(&self, id: &str) -> Json {
        lock(&self.state.world).actors[id].configuration.clone()
    }

    /// The API's form of a connection.
    ///
    /// # Panics
    /// When it does not exist.
    #[must_use]
    pub fn connection(&self, id: &str) -> Json {
        lock(&self.state.world).shown_connection(id)
    }

    /// Makes a call of the Config API, as an earlier provisioner does.
    ///
    /// # Panics
    /// When the call is refused.
    #[track_caller]
    pub fn config_api(&self, path: &[&str], body: &Json) -> Json {
        let done = lock(&self.state.world).config_api(path, body);
        done.unwrap_or_else(|problem| panic!("{}", problem.body))
    }

    /// Records a sync of a connection.
    ///
    /// # Panics
    /// When the connection does not exist.
    pub fn sync(&self, connection: &str) {
        let body = serde_json::json!({"connectionId": connection, "jobType": "sync"});
        let done = lock(&self.state.world).create_job(&body);
        done.unwrap_or_else(|problem| panic!("{}", problem.body));
    }

    /// Takes the calls, and returns those that could change anything: `POST /sources`.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        let received = self.take_calls();
        let writes = received.iter().filter(|it| it.is_write());
        writes.map(|it| format!("{} {}", it.method, it.path.trim_start_matches("/api/public/v1"))).collect()
    }

    /// The names of all existing objects.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        lock(&self.state.world).inventory()
    }
}
