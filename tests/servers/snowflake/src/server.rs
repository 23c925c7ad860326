//! A running stand-in, and its control by tests.

use crate::account::Account;
use crate::auth::Keys;
use crate::execute::{Session, execute};
use crate::faults::{Fault, SnowflakeFaults};
use crate::http::{State, router};
use std::ops::Deref;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;
use terrace_test_listening::{ANY, Listening, lock};

/// The account.
pub(crate) const ACCOUNT: &str = "TEST";

/// The URL of a bridge to fakesnow, for all stand-ins of a process.
const MIRROR: &str = "TERRACE_FAKESNOW";

/// A received statement.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// Its number, from 1; a repeated request has the same.
    pub number: usize,
    /// The text.
    pub sql: String,
    /// The request's id.
    pub request: String,
    /// The role.
    pub role: String,
    /// The session parameter `QUERY_TAG`.
    pub query_tag: String,
    /// The time of the request.
    pub at: Instant,
    /// The HTTP status of the response; 0 without a response.
    pub status: u16,
    /// The code of the response.
    pub code: String,
    /// Whether the request was repeated.
    pub is_retry: bool,
}

impl ReceivedCall {
    /// Whether the statement could change anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let word = self.sql.split_whitespace().next().unwrap_or_default().to_uppercase();
        !matches!(word.as_str(), "SHOW" | "DESC" | "DESCRIBE" | "SELECT")
    }
}

/// Received statements, their counters and faults. A [`StandIn`] dereferences to it.
pub type Traffic = terrace_test_listening::Traffic<ReceivedCall, Fault, SnowflakeFaults>;

/// A stand-in, running until it is dropped. Its account has the user `TERRACE` with the token `secret`, the warehouse
/// `WH`, and the role `TERRACE_ROLE`, which may create databases and roles.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    pub(crate) state: Arc<State>,
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
        let state = Arc::new(State::named(uuid::Uuid::now_v7().to_string()));
        *state.account() = Account::new();
        let url = listening.on(address, |_| router(Arc::clone(&state)));
        let stand_in = Self { url, state, _listening: listening };
        stand_in.with_usual_account();
        match std::env::var_os(MIRROR).and_then(|url| url.into_string().ok()) {
            Some(url) => stand_in.with_mirror(&url),
            None => stand_in,
        }
    }

    fn with_usual_account(&self) {
        self.add_user("TERRACE");
        self.add_token("TERRACE", "PROGRAMMATIC_ACCESS_TOKEN", "secret");
        self.add_warehouse("WH");
        for sql in [
            "CREATE ROLE TERRACE_ROLE",
            "GRANT CREATE DATABASE ON ACCOUNT TO ROLE TERRACE_ROLE",
            "GRANT CREATE ROLE ON ACCOUNT TO ROLE TERRACE_ROLE",
            "GRANT USAGE ON WAREHOUSE WH TO ROLE TERRACE_ROLE WITH GRANT OPTION",
            "GRANT ROLE TERRACE_ROLE TO USER TERRACE",
        ] {
            self.sql(sql);
        }
    }

    /// Its URL: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a user.
    pub fn add_user(&self, name: &str) {
        self.state.account().users.insert(name.to_owned());
    }

    /// Adds a warehouse.
    pub fn add_warehouse(&self, name: &str) {
        self.state.account().warehouses.insert(name.to_owned(), None);
    }

    /// Adds a warehouse that a role owns.
    pub fn add_warehouse_of(&self, name: &str, owner: &str) {
        self.state.account().warehouses.insert(name.to_owned(), Some(owner.to_owned()));
    }

    /// Adds a row access policy to a view.
    pub fn add_policy(&self, policy: &str, view: [&str; 3]) {
        let on = (crate::account::Kind::View, view.map(str::to_owned).to_vec());
        self.state.account().policies.push((policy.to_owned(), on));
    }

    /// Accepts a token of a kind for a user.
    pub fn add_token(&self, user: &str, kind: &str, token: &str) {
        self.keys().tokens.insert((kind.to_owned(), token.to_owned()), user.to_owned());
    }

    /// Accepts tokens of a user that are signed with the private key of this public one (PKCS#1 in DER).
    pub fn add_key(&self, user: &str, public: &[u8]) {
        self.keys().keys.insert(user.to_owned(), public.to_owned());
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.state.keys)
    }

    /// Runs a statement outside terrace, as the account's administrator; returns the rows.
    ///
    /// # Panics
    /// When the statement fails.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.sql_as("ACCOUNTADMIN", sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same as another role.
    ///
    /// # Errors
    /// The code and the message.
    pub fn sql_as(&self, role: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let mut account = self.state.account();
        let session = Session { user: "ADMIN".to_owned(), role: role.to_owned(), warehouse: Some("WH".to_owned()) };
        let done = crate::grammar::parse(sql).and_then(|statement| {
            // The tests' administrator may do everything.
            match role {
                "ACCOUNTADMIN" => execute_as_owner(&mut account, &session, sql, statement),
                _ => execute(&mut account, &session, statement),
            }
        });
        drop(account);
        let done = done.and_then(|rows| self.state.mirrored(sql).map(|()| rows));
        done.map(|rows| rows.rows).map_err(|error| format!("{} {}", error.code, error.message))
    }

    /// Takes the statements, and returns the texts of those that could change anything, without repetitions.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        let received = self.take_calls();
        received.into_iter().filter(|it| it.is_write() && !it.is_retry).map(|it| it.sql).collect()
    }

    /// The names of all databases, schemas, tables, views, tags, roles and grants.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        self.state.account().inventory()
    }

    /// The same; forwards every accepted statement to a bridge to fakesnow, where a difference fails it.
    #[must_use]
    pub fn with_mirror(self, url: &str) -> Self {
        *lock(&self.state.mirror) = Some(url.to_owned());
        self
    }
}

/// Executes as the owner of the changed object.
fn execute_as_owner(
    account: &mut Account,
    session: &Session,
    sql: &str,
    statement: crate::grammar::Statement,
) -> crate::error::Outcome<crate::execute::Rows> {
    let first = execute(account, session, statement);
    let Err(error) = first else { return first };
    // Tries every role: one of them is the owner.
    let roles: Vec<String> = account.roles.keys().cloned().collect();
    for role in roles {
        let session = Session { role, ..session.clone() };
        if let Ok(rows) = execute(account, &session, crate::grammar::parse(sql)?) {
            return Ok(rows);
        }
    }
    Err(error)
}
