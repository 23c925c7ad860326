//! A running stand-in, and its control by tests.

use crate::api;
use crate::faults::{DatabricksFaults, Fault};
use crate::http::{ExternalCheck, State, router};
use crate::request::Request;
use crate::world::{METASTORE, World};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;
use terrace_test_listening::{ANY, Listening, lock};

/// terrace's user in the workspace.
pub(crate) const DEPLOYER: &str = "terrace@example.com";
/// The administrator who makes calls of tests outside terrace.
pub(crate) const ADMINISTRATOR: &str = "admin@example.com";

/// A received call.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// Its number, from 1.
    pub number: usize,
    /// `GET`, `POST` …
    pub method: String,
    /// The path, decoded.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The body; null without one.
    pub body: Json,
    /// The time of the call.
    pub at: Instant,
    /// The status of the response; 0 without a response.
    pub status: u16,
    /// The code of the error.
    pub code: String,
}

impl ReceivedCall {
    /// Whether the call could change anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }
}

/// Received calls, their counters and faults. A [`StandIn`] dereferences to it.
pub type Traffic = terrace_test_listening::Traffic<ReceivedCall, Fault, DatabricksFaults>;

/// A stand-in, running until it is dropped. Its workspace has the user `terrace@example.com` with the token `secret`,
/// and with the same rights the service principal of the client `terrace-client` with the secret `client-secret`. It
/// has a metastore, the warehouse `WH`, the cluster `databricks-cluster`, and a few users and groups.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    pub(crate) state: Arc<State>,
    // Serves until it is dropped.
    listening: Listening,
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
        let state = Arc::new(State::default());
        let url = listening.on(address, |_| router(Arc::clone(&state)));
        let stand_in = Self { url, state, listening };
        stand_in.with_usual();
        stand_in
    }

    fn with_usual(&self) {
        for user in [DEPLOYER, ADMINISTRATOR, "jane.roe@example.com", "john.doe@example.com"] {
            self.add_user(user);
        }
        for group in ["admins", "users", "dev", "Analysts"] {
            self.add_group(group);
        }
        self.add_service_principal("terrace", "terrace-client");
        self.add_service_principal("runner", "11111111-2222-4333-8444-555555555555");
        self.tokens().insert("secret".to_owned(), DEPLOYER.to_owned());
        lock(&self.state.clients).insert("terrace-client".to_owned(), "client-secret".to_owned());
        self.set_entitlements("users", &["workspace-access"]);
        for who in [DEPLOYER, "terrace-client"] {
            self.set_entitlements(who, &["allow-cluster-create"]);
        }
        self.add_member("admins", ADMINISTRATOR);
        let mut world = self.world();
        world.has_metastore = true;
        world.metastore_owner = ADMINISTRATOR.to_owned();
        let may = [DEPLOYER, "terrace-client"].map(|who| (who.to_owned(), ["CREATE_CATALOG".to_owned()].into()));
        world.grants.insert(("metastore".to_owned(), METASTORE.to_owned()), may.into());
        world.warehouses.push(json!({"id": "abc123", "name": "WH", "state": "RUNNING", "cluster_size": "X-Small"}));
        world.clusters.push(json!({
            "cluster_id": "0612-101010-cluster1", "cluster_name": "databricks-cluster", "state": "RUNNING",
            "spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_D4ds_v5", "cluster_source": "UI",
        }));
        // The list has clusters of runs for 30 days after their end.
        world.clusters.push(json!({
            "cluster_id": "0612-101010-run1", "cluster_name": "job-1-run-1", "state": "TERMINATED", "cluster_source": "JOB",
            "spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_D4ds_v5",
        }));
        for (path, kind) in [("/Shared", "DIRECTORY"), ("/Users", "DIRECTORY")] {
            api::workspace::add(&mut world, path, kind);
        }
    }

    /// Its URL: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A second URL, as of another workspace with the same metastore, for clients that don't use the workspace itself.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start_second_listener(&self) -> String {
        self.listening.on(ANY, |_| router(Arc::clone(&self.state)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.state.world()
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        lock(&self.state.tokens)
    }

    /// Adds a user.
    pub fn add_user(&self, name: &str) {
        let mut world = self.world();
        let id = world.id().to_string();
        world.users.push(json!({"id": id, "userName": name, "displayName": name, "active": true}));
    }

    /// Adds a group; several may have one name.
    pub fn add_group(&self, name: &str) {
        let mut world = self.world();
        let id = world.id().to_string();
        world.groups.push(json!({"id": id, "displayName": name}));
    }

    /// Adds a service principal.
    pub fn add_service_principal(&self, name: &str, application: &str) {
        let mut world = self.world();
        let id = world.id().to_string();
        world
            .service_principals
            .push(json!({"id": id, "displayName": name, "applicationId": application, "active": true}));
    }

    /// Adds a principal to a group.
    pub fn add_member(&self, group: &str, who: &str) {
        self.world().members.insert((group.to_owned(), who.to_owned()));
    }

    /// Sets the entitlements of a principal or a group, such as `allow-cluster-create`.
    pub fn set_entitlements(&self, who: &str, entitlements: &[&str]) {
        let mut world = self.world();
        let World { users, groups, service_principals, .. } = &mut *world;
        let values: Vec<Json> = entitlements.iter().map(|it| json!({"value": it})).collect();
        for it in users.iter_mut().chain(groups).chain(service_principals) {
            if [&it["userName"], &it["displayName"], &it["applicationId"]].iter().any(|name| **name == who) {
                it["entitlements"] = json!(values);
            }
        }
    }

    /// Adds a token of a principal.
    pub fn add_token(&self, who: &str, token: &str) {
        self.tokens().insert(token.to_owned(), who.to_owned());
    }

    /// Revokes all OAuth tokens.
    pub fn expire_tokens(&self) {
        self.tokens().retain(|token, _| !token.starts_with("oauth-"));
    }

    /// Adds a warehouse in a state such as `STOPPED`.
    pub fn add_warehouse(&self, name: &str, state: &str) {
        let mut world = self.world();
        let id = format!("wh{}", world.id());
        world.warehouses.push(json!({"id": id, "name": name, "state": state, "cluster_size": "X-Small"}));
    }

    /// Adds a table, and its catalog and schema if they are missing; columns are names with types such as
    /// `decimal(10,2)`.
    pub fn add_table(&self, full_name: &str, columns: &[(&str, &str)]) {
        api::tables::add(&mut self.world(), full_name, columns);
    }

    /// Adds an object of the kind `volumes`, `functions` or `models` to a schema.
    pub fn add_to_schema(&self, kind: &str, full_name: &str) {
        let it = json!({"name": full_name.rsplit('.').next(), "full_name": full_name});
        self.world().others.insert((kind.to_owned(), full_name.to_owned()), it);
    }

    /// Adds a primary key to a table; its columns become not null.
    ///
    /// # Panics
    /// When the table does not exist.
    pub fn add_primary_key(&self, full_name: &str, columns: &[&str]) {
        let mut world = self.world();
        let table = world.tables.get_mut(full_name).expect("a table");
        table["table_constraints"] = json!([{"primary_key_constraint": {"name": "pk", "child_columns": columns}}]);
        for column in table["columns"].as_array_mut().expect("columns") {
            if columns.iter().any(|name| column["name"] == *name) {
                column["nullable"] = json!(false);
            }
        }
    }

    /// Adds a table that a pipeline owns.
    ///
    /// # Panics
    /// When the pipeline does not exist.
    pub fn add_pipeline_table(&self, pipeline: &str, full_name: &str) {
        self.add_table(full_name, &[("id", "int")]);
        let mut world = self.world();
        world.pipelines.get_mut(pipeline).expect("a pipeline").tables.insert(full_name.to_lowercase());
    }

    /// Adds a branch or tag with its commit to a repository.
    pub fn add_remote(&self, url: &str, reference: &str, head: &str) {
        self.world().remotes.entry(url.to_owned()).or_default().insert(reference.to_owned(), head.to_owned());
    }

    /// Sets an external check of unknown tokens: by the token, the Azure management token and the resource id of the
    /// call. The check returns `None` for a token that it does not know either.
    ///
    /// # Errors
    /// The check fails with the reason why the token has no access.
    pub fn set_token_check(
        &self,
        check: impl Fn(&str, Option<&str>, Option<&str>) -> Result<Option<String>, String> + Send + Sync + 'static,
    ) {
        *lock(&self.state.external_check) = Some(ExternalCheck(Arc::new(check)));
    }

    /// Removes all principals except the groups of every workspace, as in a new workspace.
    pub fn remove_principals(&self) {
        let mut world = self.world();
        world.users.clear();
        world.service_principals.clear();
        world.groups.retain(|it| ["admins", "users"].iter().any(|name| it["displayName"] == *name));
    }

    /// Grants a privilege on the metastore, as another workspace of the account may do before this one has it.
    pub fn grant_on_metastore(&self, principal: &str, privilege: &str) {
        let mut world = self.world();
        let granted = world.grants.entry(("metastore".to_owned(), METASTORE.to_owned())).or_default();
        granted.entry(principal.to_owned()).or_default().insert(privilege.to_owned());
    }

    /// Assigns the metastore to the workspace.
    pub fn attach_metastore(&self) {
        self.world().has_metastore = true;
    }

    /// Assigns another metastore with objects of the same names to the workspace.
    pub fn assign_metastore(&self, id: &str) {
        self.world().other_metastore = Some(id.to_owned());
    }

    /// Detaches the metastore from the workspace.
    pub fn detach_metastore(&self) {
        self.world().has_metastore = false;
    }

    /// Makes a call outside terrace, as an administrator: `("POST", "/api/2.2/jobs/update", …)`.
    ///
    /// # Panics
    /// When the call fails.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: Json) -> Json {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same for a call that may fail.
    ///
    /// # Errors
    /// The code and the message.
    pub fn try_call(&self, method: &str, path: &str, body: Json) -> Result<Json, String> {
        self.try_call_as(ADMINISTRATOR, method, path, body)
    }

    /// Makes a call as a principal.
    ///
    /// # Panics
    /// When the call fails.
    #[track_caller]
    pub fn call_as(&self, who: &str, method: &str, path: &str, body: Json) -> Json {
        self.try_call_as(who, method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_call_as(&self, who: &str, method: &str, path: &str, body: Json) -> Result<Json, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let done = Request::new(method, path, query, body, who.to_owned())
            .and_then(|request| api::call(&mut self.state.world_without_lag(), &request, 0));
        done.map_err(|error| format!("{} {}", error.code, error.message))
    }

    /// Makes a concurrent call with another body just before the next one with this method and path.
    pub fn add_concurrent_call(&self, method: &str, path: &str, body: Json) {
        self.faults().concurrent_calls.push((format!("{method} {path}"), body));
    }

    /// Runs a statement outside terrace.
    ///
    /// # Panics
    /// When the statement fails.
    #[track_caller]
    pub fn sql(&self, text: &str) {
        let done = crate::sql::run(&mut self.state.world_without_lag(), ADMINISTRATOR, text);
        done.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// Refuses all statements that contain a text.
    pub fn deny_sql(&self, text: &str) {
        self.world().denied_sql.push(text.to_owned());
    }

    /// Refuses jobs that run as a service principal.
    pub fn deny_run_as(&self, application: &str) {
        self.world().denied_run_as.push(application.to_owned());
    }

    /// Takes the calls, and returns those that could change anything: `POST /api/2.2/jobs/create`.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        let received = self.take_calls();
        received.into_iter().filter(ReceivedCall::is_write).map(|it| format!("{} {}", it.method, it.path)).collect()
    }

    /// One line for each job, pipeline, workspace object, catalog, table, grant and access list.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        self.world().inventory()
    }
}
