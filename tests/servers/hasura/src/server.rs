//! A running stand-in, and its control by tests.

use crate::databases::Table;
use crate::faults::{Fault, HasuraFaults};
use crate::http::{State, hasura, role_mapper};
use crate::metadata::shown;
use crate::roles::Mapper;
use serde_json::Value as Json;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;
use terrace_test_listening::{ANY, Listening, lock};

/// A received request.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// Its number, from 1.
    pub number: usize,
    /// A short form: the commands (`bulk[snowflake_track_table]`), or method and path (`PUT /v1/roles`).
    pub line: String,
    /// The raw body.
    pub body: String,
    /// Whether the request could change anything.
    pub is_write: bool,
    /// The time of the request.
    pub at: Instant,
    /// The HTTP status of the response; 0 without a response.
    pub status: u16,
}

/// Received requests, their counters and faults. A [`StandIn`] dereferences to it.
pub type Traffic = terrace_test_listening::Traffic<ReceivedCall, Fault, HasuraFaults>;

/// A stand-in of both servers, running until it is dropped. Its secret is `secret`; it has no data.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    mapper_url: String,
    state: Arc<State>,
    // Serves until it is dropped.
    _listening: Listening,
}

impl Deref for StandIn {
    type Target = Traffic;

    fn deref(&self) -> &Traffic {
        &self.state.traffic
    }
}

impl StandIn {
    /// Starts a stand-in on free ports, with the given kind of role mapper.
    ///
    /// # Panics
    /// When no ports are free.
    #[must_use]
    pub fn start(mapper: Mapper) -> Self {
        Self::start_on(ANY, ANY, mapper)
    }

    /// Starts a stand-in on two addresses.
    ///
    /// # Panics
    /// When an address is in use.
    #[must_use]
    pub fn start_on(address: &str, mapper_address: &str, mapper: Mapper) -> Self {
        let listening = Listening::new();
        let state = Arc::new(State::with_secret("secret"));
        state.roles().mapper = mapper;
        let url = listening.on(address, |_| hasura(Arc::clone(&state)));
        let mapper_url = listening.on(mapper_address, |_| role_mapper(Arc::clone(&state)));
        Self { url, mapper_url, state, _listening: listening }
    }

    /// Hasura's URL: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the role mapper.
    #[must_use]
    pub fn mapper_url(&self) -> &str {
        &self.mapper_url
    }

    /// Adds a table or view to a database.
    pub fn add_table(&self, database: &str, schema: &str, name: &str, columns: &[&str], key: &[&str]) {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let table = Table { columns: owned(columns), key: owned(key) };
        self.state.databases().tables.insert((database.to_owned(), schema.to_owned(), name.to_owned()), table);
    }

    /// Removes a table from a database.
    pub fn drop_table(&self, database: &str, schema: &str, name: &str) {
        self.state.databases().tables.remove(&(database.to_owned(), schema.to_owned(), name.to_owned()));
    }

    /// Sets an environment variable of Hasura.
    pub fn set_variable(&self, name: &str, value: &str) {
        self.state.databases().variables.insert(name.to_owned(), value.to_owned());
    }

    /// Sets the password that databases require.
    pub fn set_password(&self, password: &str) {
        self.state.databases().password = Some(password.to_owned());
    }

    /// Lets Hasura answer every query, without the role mapper.
    pub fn allow_all_queries(&self) {
        self.state.is_open.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Sets the token that the role mapper requires.
    pub fn set_token(&self, token: &str) {
        *lock(&self.state.token) = Some(token.to_owned());
    }

    /// Adds a dependent object to a table.
    pub fn add_dependant(&self, source: &str, table: &Json, dependant: &str) {
        let mut metadata = self.state.metadata();
        let source = metadata.sources.iter_mut().find(|it| it.name == source).expect("the source");
        let tracked = source.tables.iter_mut().find(|it| it.name == *table).expect("the table");
        tracked.dependants.push(dependant.to_owned());
    }

    /// Makes a request of the metadata API outside terrace.
    ///
    /// # Panics
    /// When the request is refused.
    #[track_caller]
    pub fn metadata(&self, request: &Json) -> Json {
        self.try_metadata(request).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same for a request that may be refused.
    ///
    /// # Errors
    /// The error response.
    pub fn try_metadata(&self, request: &Json) -> Result<Json, Json> {
        self.state.carry_out(request).map_err(|why| why.body())
    }

    /// Makes a request of the role mapper outside terrace.
    pub fn mapper(&self, method: &str, path: &[&str], body: &Json) -> (u16, Json) {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        self.state.roles().answer(method, &path, body)
    }

    /// Takes the requests, and returns the lines of those that could change anything.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        self.take_calls().into_iter().filter(|it| it.is_write).map(|it| it.line).collect()
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// One line for each source, table, permission, role and member.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        inventory(&self.state)
    }
}

pub(crate) fn inventory(state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for source in &state.metadata().sources {
        lines.push(format!("source {} {} {}", source.name, source.kind, source.configuration));
        for table in &source.tables {
            let (name, of) = (shown(&table.name), &source.name);
            let configuration = Json::Object(table.configuration.clone());
            lines.push(format!("table {of}.{name} {configuration} {}", table.apollo.clone().unwrap_or_default()));
            for permission in &table.permissions {
                let body = Json::Object(permission.body.clone());
                lines.push(format!("select {of}.{name} {} {body}", permission.role));
            }
        }
    }
    for (id, role) in &state.roles().roles {
        lines.push(format!("role {id} {} {:?}", role.component, role.fields));
        lines.push(format!("members {id} {:?} {:?}", role.users, role.groups));
    }
    lines.sort();
    lines
}
