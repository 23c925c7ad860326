//! A stand-in that runs, and what a test does with it.

use crate::databases::Table;
use crate::faults::Faults;
use crate::http::{State, hasura, role_mapper};
use crate::metadata::shown;
use crate::roles::Mapper;
use crate::traffic::Seen;
use serde_json::Value as Json;
use std::sync::{Arc, MutexGuard, PoisonError};
use terrace_test_listening::{ANY, Listening};

/// A stand-in of both servers, as long as it is not dropped. Its secret is `secret`, and it has nothing.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    mapper_url: String,
    state: Arc<State>,
    // What answers, as long as this is there.
    _listening: Listening,
}

impl StandIn {
    /// Starts one on free ports, with a role mapper of that kind.
    ///
    /// # Panics
    /// When there are none to be had.
    #[must_use]
    pub fn start(mapper: Mapper) -> Self {
        Self::start_on(ANY, ANY, mapper)
    }

    /// Starts one on two addresses.
    ///
    /// # Panics
    /// When one of them is taken.
    #[must_use]
    pub fn start_on(address: &str, mapper_address: &str, mapper: Mapper) -> Self {
        let listening = Listening::new();
        let state = Arc::new(State::with_secret("secret"));
        state.roles().mapper = mapper;
        let url = listening.on(address, |_| hasura(Arc::clone(&state)));
        let mapper_url = listening.on(mapper_address, |_| role_mapper(Arc::clone(&state)));
        Self { url, mapper_url, state, _listening: listening }
    }

    /// Where Hasura is: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the role mapper is.
    #[must_use]
    pub fn mapper_url(&self) -> &str {
        &self.mapper_url
    }

    /// Puts a table or view into a database.
    pub fn add_table(&self, database: &str, schema: &str, name: &str, columns: &[&str], key: &[&str]) {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let table = Table { columns: owned(columns), key: owned(key) };
        self.state.databases().tables.insert((database.to_owned(), schema.to_owned(), name.to_owned()), table);
    }

    /// Takes a table out of a database.
    pub fn drop_table(&self, database: &str, schema: &str, name: &str) {
        self.state.databases().tables.remove(&(database.to_owned(), schema.to_owned(), name.to_owned()));
    }

    /// Sets a variable of Hasura's process.
    pub fn set_variable(&self, name: &str, value: &str) {
        self.state.databases().variables.insert(name.to_owned(), value.to_owned());
    }

    /// Databases let nobody in without that password.
    pub fn set_password(&self, password: &str) {
        self.state.databases().password = Some(password.to_owned());
    }

    /// Hasura answers queries of whoever asks, without asking the role mapper.
    pub fn open_to_all(&self) {
        self.state.is_open.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// The role mapper asks for a token.
    pub fn set_token(&self, token: &str) {
        *self.state.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.to_owned());
    }

    /// Gives a table something that depends on it.
    pub fn add_dependant(&self, source: &str, table: &Json, dependant: &str) {
        let mut metadata = self.state.metadata();
        let source = metadata.sources.iter_mut().find(|it| it.name == source).expect("the source");
        let tracked = source.tables.iter_mut().find(|it| it.name == *table).expect("the table");
        tracked.dependants.push(dependant.to_owned());
    }

    /// Carries out a request of the metadata API behind everybody's back.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn metadata(&self, request: &Json) -> Json {
        self.try_metadata(request).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same, where it may be refused.
    ///
    /// # Errors
    /// What is answered then.
    pub fn try_metadata(&self, request: &Json) -> Result<Json, Json> {
        self.state.carry_out(request).map_err(|why| why.body())
    }

    /// Asks the role mapper behind everybody's back.
    pub fn mapper(&self, method: &str, path: &[&str], body: &Json) -> (u16, Json) {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        self.state.roles().answer(method, &path, body)
    }

    /// What goes wrong from now on.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.state.traffic.faults()
    }

    /// What came since the last time.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.traffic.seen())
    }

    /// The lines of what came since the last time and could change anything.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        self.take_seen().into_iter().filter(|it| it.is_write).map(|it| it.line).collect()
    }

    /// Starts counting anew.
    pub fn reset_count(&self) {
        self.state.traffic.reset();
    }

    /// How many requests came since then.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.traffic.count()
    }

    /// The most requests that were answered at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.traffic.most_at_once()
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Everything that is there, a line each: sources, tables, permissions, roles and who has them.
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
