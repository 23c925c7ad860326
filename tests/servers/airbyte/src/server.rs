//! A stand-in that runs, and what a test does with it.

use crate::faults::Faults;
use crate::http::{State, lock, router};
use serde_json::Value as Json;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;
use terrace_test_listening::{ANY, Listening};

/// The workspace that every stand-in has.
pub const WORKSPACE: &str = "11111111-1111-4111-8111-111111111111";
/// The id and the secret of the client that is given tokens.
pub const CLIENT: (&str, &str) = ("terrace", "client-secret");
/// The definition of the source for files.
pub const DEFINITION_FILE: &str = "778daa7c-feaf-4db6-96f3-70fd645acc77";
/// The definition of the destination Snowflake.
pub const DEFINITION_SNOWFLAKE: &str = "424892c4-daac-4491-b35d-c6688ba547ba";

/// A call that came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its number, from 1.
    pub number: usize,
    /// `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The body.
    pub body: String,
    /// The status of the answer; 0 where none was sent.
    pub status: u16,
    /// When it came.
    pub at: Instant,
}

impl Seen {
    /// Whether it could change anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self.path.starts_with("/api/v1/") {
            true => self.path.ends_with("/create") || self.path.ends_with("/delete"),
            false => self.method != "GET",
        }
    }
}

/// A stand-in, as long as it is not dropped. It has the workspace [`WORKSPACE`], lets in who has the token `secret`, the
/// tokens of [`CLIENT`] or the password of `airbyte`, and lets who has the token `reader` look.
pub struct StandIn {
    url: String,
    state: Arc<State>,
    // What answers, as long as this is there.
    _listening: Listening,
}

impl std::fmt::Debug for StandIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StandIn({})", self.url)
    }
}

impl StandIn {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(ANY)
    }

    /// Starts one on an address.
    ///
    /// # Panics
    /// When it is taken.
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
        let state = served.expect("it was asked for its routes");
        lock(&state.tokens).extend([("secret".to_owned(), false), ("reader".to_owned(), true)]);
        lock(&state.world).workspaces.insert(WORKSPACE.to_owned(), "Data products".to_owned());
        Self { url, state, _listening: listening }
    }

    /// Where it is: `http://127.0.0.1:4711`.
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

    /// Makes tokens that were given out unknown.
    pub fn forget_tokens(&self) {
        lock(&self.state.tokens).retain(|token, _| !token.starts_with("access-token-"));
    }

    /// How many tokens were given out.
    #[must_use]
    pub fn tokens_given(&self) -> usize {
        self.state.tokens_given.load(Ordering::SeqCst)
    }

    /// Makes a source or a destination behind everybody's back; its id.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn make(&self, is_source: bool, body: &Json) -> String {
        let made = lock(&self.state.world).create_actor(is_source, body);
        let made = made.unwrap_or_else(|problem| panic!("{}", problem.body));
        let name = if is_source { "sourceId" } else { "destinationId" };
        made[name].as_str().unwrap().to_owned()
    }

    /// Makes a connection behind everybody's back; its id.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn connect(&self, body: &Json) -> String {
        let made = lock(&self.state.world).create_connection(body);
        made.unwrap_or_else(|problem| panic!("{}", problem.body))["connectionId"].as_str().unwrap().to_owned()
    }

    /// Changes a source, a destination or a connection behind everybody's back.
    ///
    /// # Panics
    /// When it cannot be changed so.
    #[track_caller]
    pub fn patch(&self, id: &str, body: &Json) {
        let mut world = lock(&self.state.world);
        let done = match world.actors.get(id).map(|actor| actor.connector.is_source) {
            Some(is_source) => world.change_actor(is_source, id, body, true),
            None => world.patch_connection(id, body),
        };
        done.unwrap_or_else(|problem| panic!("{}", problem.body));
    }

    /// Makes a source or a destination so many seconds older than it is.
    pub fn age(&self, name: &str, seconds: i64) {
        for actor in lock(&self.state.world).actors.values_mut().filter(|it| it.name == name) {
            actor.created_at -= seconds;
        }
    }

    /// Removes a source, a destination or a connection behind everybody's back, if it is there.
    pub fn remove(&self, id: &str) {
        let mut world = lock(&self.state.world);
        let _ = match world.actors.get(id).map(|actor| actor.connector.is_source) {
            Some(is_source) => world.delete_actor(is_source, id),
            None => world.delete_connection(id),
        };
    }

    /// The id of what has that name, of all that is there.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<String> {
        let world = lock(&self.state.world);
        let actors = world.actors.iter().filter(|(_, it)| !it.is_deleted && it.name == name).map(|(id, _)| id);
        let connections = world.connections.iter().filter(|(_, it)| !it.is_deleted && it.name == name);
        actors.chain(connections.map(|(id, _)| id)).next().cloned()
    }

    /// A source or a destination as it is, with its secrets.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn configuration(&self, id: &str) -> Json {
        lock(&self.state.world).actors[id].configuration.clone()
    }

    /// A connection as it is read.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn connection(&self, id: &str) -> Json {
        lock(&self.state.world).shown_connection(id)
    }

    /// Carries out a call of the Config API, as an earlier provisioner does.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn config_api(&self, path: &[&str], body: &Json) -> Json {
        let done = lock(&self.state.world).config_api(path, body);
        done.unwrap_or_else(|problem| panic!("{}", problem.body))
    }

    /// Says that a connection was synced.
    ///
    /// # Panics
    /// When there is none.
    pub fn sync(&self, connection: &str) {
        let body = serde_json::json!({"connectionId": connection, "jobType": "sync"});
        let done = lock(&self.state.world).create_job(&body);
        done.unwrap_or_else(|problem| panic!("{}", problem.body));
    }

    /// What goes wrong from now on.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.state.faults)
    }

    /// What came since the last time.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.state.seen))
    }

    /// What came since the last time and could change anything: `POST /sources`.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        let seen = self.take_seen();
        let writes = seen.iter().filter(|it| it.is_write());
        writes.map(|it| format!("{} {}", it.method, it.path.trim_start_matches("/api/public/v1"))).collect()
    }

    /// Starts counting anew.
    pub fn reset_count(&self) {
        self.state.count.store(0, Ordering::SeqCst);
        self.state.most.store(0, Ordering::SeqCst);
    }

    /// How many calls came since then.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::SeqCst)
    }

    /// The most calls that were answered at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// The names of all that is there.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        lock(&self.state.world).inventory()
    }
}
