//! The server: headers and tokens; and its control by tests.

use crate::api::{REGISTER, VALIDATE, answer};
use crate::world::{Validation, World};
use serde_json::{Value as Json, json};
use std::ops::Deref;
use std::sync::Mutex;
use terrace_test_listening::strict::{Api, Call, Incoming, Outcome, Server, fault};
use terrace_test_listening::{decode, lock, pairs};

/// The data of the platform.
#[derive(Debug, Default)]
pub struct Witboost(Mutex<World>);

/// A platform with the environments `development` and `production`, running until it is dropped.
#[derive(Debug, Clone)]
pub struct StandIn(Server<Witboost>);

impl Deref for StandIn {
    type Target = Server<Witboost>;

    fn deref(&self) -> &Server<Witboost> {
        &self.0
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
        let stand_in = Self(Server::start());
        stand_in.permit(&[REGISTER, VALIDATE]);
        stand_in
    }

    /// Replaces the permissions of the token: `register` and `validate`.
    pub fn permit(&self, permissions: &[&str]) {
        let permissions = permissions.iter().map(|text| (*text).to_owned()).collect();
        lock(&self.api().0).access_tokens.insert(Self::TOKEN.to_owned(), permissions);
    }

    /// Revokes the token.
    pub fn revoke(&self) {
        lock(&self.api().0).access_tokens.clear();
    }

    /// A JWT, as a session of a person has one.
    #[must_use]
    pub fn jwt(&self) -> String {
        lock(&self.api().0).issue(Self::TOKEN, std::time::Duration::from_secs(300))
    }

    /// Adds a data product to the catalog.
    pub fn add_product(&self, name: &str) {
        lock(&self.api().0).products.insert(name.to_owned());
    }

    /// Has the platform refuse to replace an adapter.
    pub fn keep_adapters(&self) {
        lock(&self.api().0).keeps_adapters = true;
    }

    /// Sets the results of validations.
    pub fn set_results(&self, results: Json) {
        lock(&self.api().0).results = Some(results);
    }

    /// The registered adapters, by id and environment.
    #[must_use]
    pub fn adapters(&self) -> Vec<Json> {
        lock(&self.api().0).adapters.values().cloned().collect()
    }

    /// The received validations.
    #[must_use]
    pub fn validations(&self) -> Vec<Validation> {
        lock(&self.api().0).validations.clone()
    }
}

impl Api for Witboost {
    const LIMITED: (u16, &'static str) = (429, "Too many requests");

    fn carry_out(&self, incoming: &Incoming) -> Outcome {
        if incoming.header("user-agent").is_empty() || incoming.header("accept") != "application/json" {
            return Err(fault(406, "no User-Agent, or another Accept than application/json"));
        }
        let Incoming { method, uri, body, .. } = incoming;
        if method == "POST" && incoming.header("content-type") != "application/json" {
            return Err(fault(415, "the body is not JSON"));
        }
        let bearer = incoming.header("authorization").strip_prefix("Bearer ");
        let body = serde_json::from_slice(body).map_err(|_| fault(400, "the body is not JSON"))?;
        let path: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = pairs(uri.query().unwrap_or_default()).collect();
        let call = Call { method: method.as_str(), path: &path, query, body, page_size: 0, invalid: 422 };
        answer(&mut lock(&self.0), bearer, &call)
    }

    fn refusal(message: &str) -> Json {
        json!({"error": {"name": "Error", "message": message}})
    }

    fn expire(&self) {
        lock(&self.0).expire();
    }
}
