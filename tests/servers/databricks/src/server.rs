//! A stand-in that runs, and what a test does with it.

use crate::api::{self, Request};
use crate::faults::Faults;
use crate::http::{Outside, State, router};
use crate::world::{METASTORE, World};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;
use terrace_test_listening::{ANY, Listening};

/// Who terrace is in the workspace.
pub(crate) const DEPLOYER: &str = "terrace@example.com";
/// The administrator in whose name tests do things behind everybody's back.
pub(crate) const ADMINISTRATOR: &str = "admin@example.com";

/// A call that came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its number, from 1.
    pub number: usize,
    /// `GET`, `POST` …
    pub method: String,
    /// The path, decoded.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The body; null where there was none.
    pub body: Json,
    /// When it came.
    pub at: Instant,
    /// The status of the answer; 0 where none was sent.
    pub status: u16,
    /// The code of the error.
    pub code: String,
}

impl Seen {
    /// Whether it could change anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }
}

/// A stand-in, as long as it is not dropped. Its workspace has the user `terrace@example.com` with the token `secret`, the
/// same rights for the service principal of the client `terrace-client` with the secret `client-secret`, a metastore, the
/// warehouse `WH`, the cluster `databricks-cluster` and a few people and groups.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    pub(crate) state: Arc<State>,
    // What answers, as long as this is there.
    listening: Listening,
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
        self.state
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert("terrace-client".to_owned(), "client-secret".to_owned());
        self.entitle("users", &["workspace-access"]);
        for who in [DEPLOYER, "terrace-client"] {
            self.entitle(who, &["allow-cluster-create"]);
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
            "spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_D4ds_v5",
        }));
        for (path, kind) in [("/Shared", "DIRECTORY"), ("/Users", "DIRECTORY")] {
            api::workspace::add(&mut world, path, kind);
        }
    }

    /// Where it is: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it is besides: as if another workspace had the same metastore, for whoever asks nothing of the workspace itself.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn other_door(&self) -> String {
        self.listening.on(ANY, |_| router(Arc::clone(&self.state)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.state.world()
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.state.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a user.
    pub fn add_user(&self, name: &str) {
        let mut world = self.world();
        let id = world.id().to_string();
        world.users.push(json!({"id": id, "userName": name, "displayName": name, "active": true}));
    }

    /// Makes a group; there may be several of one name.
    pub fn add_group(&self, name: &str) {
        let mut world = self.world();
        let id = world.id().to_string();
        world.groups.push(json!({"id": id, "displayName": name}));
    }

    /// Makes a service principal.
    pub fn add_service_principal(&self, name: &str, application: &str) {
        let mut world = self.world();
        let id = world.id().to_string();
        world
            .service_principals
            .push(json!({"id": id, "displayName": name, "applicationId": application, "active": true}));
    }

    /// Puts somebody into a group.
    pub fn add_member(&self, group: &str, who: &str) {
        self.world().members.insert((group.to_owned(), who.to_owned()));
    }

    /// Says what somebody, or a group, is entitled to: `allow-cluster-create`; that alone.
    pub fn entitle(&self, who: &str, entitlements: &[&str]) {
        let mut world = self.world();
        let World { users, groups, service_principals, .. } = &mut *world;
        let values: Vec<Json> = entitlements.iter().map(|it| json!({"value": it})).collect();
        for it in users.iter_mut().chain(groups).chain(service_principals) {
            if [&it["userName"], &it["displayName"], &it["applicationId"]].iter().any(|name| **name == who) {
                it["entitlements"] = json!(values);
            }
        }
    }

    /// Lets somebody in by a token.
    pub fn add_token(&self, who: &str, token: &str) {
        self.tokens().insert(token.to_owned(), who.to_owned());
    }

    /// Takes all tokens away that OAuth gave out.
    pub fn expire_tokens(&self) {
        self.tokens().retain(|token, _| !token.starts_with("oauth-"));
    }

    /// Makes a warehouse in a state such as `STOPPED`.
    pub fn add_warehouse(&self, name: &str, state: &str) {
        let mut world = self.world();
        let id = format!("wh{}", world.id());
        world.warehouses.push(json!({"id": id, "name": name, "state": state, "cluster_size": "X-Small"}));
    }

    /// Makes a table, with catalog and schema where they are missing; columns are names with types such as `decimal(10,2)`.
    pub fn add_table(&self, full_name: &str, columns: &[(&str, &str)]) {
        api::tables::add(&mut self.world(), full_name, columns);
    }

    /// Puts something into a schema: of the kind `volumes`, `functions` or `models`.
    pub fn add_to_schema(&self, kind: &str, full_name: &str) {
        let it = json!({"name": full_name.rsplit('.').next(), "full_name": full_name});
        self.world().others.insert((kind.to_owned(), full_name.to_owned()), it);
    }

    /// Gives a table a primary key, whose columns hold a value in every row.
    ///
    /// # Panics
    /// When there is no such table.
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

    /// Makes a table that a pipeline owns.
    ///
    /// # Panics
    /// When there is no such pipeline.
    pub fn add_pipeline_table(&self, pipeline: &str, full_name: &str) {
        self.add_table(full_name, &[("id", "int")]);
        let mut world = self.world();
        world.pipelines.get_mut(pipeline).expect("a pipeline").tables.insert(full_name.to_lowercase());
    }

    /// Gives a repository branches and tags, each with the commit that it is at.
    pub fn add_remote(&self, url: &str, reference: &str, head: &str) {
        self.world().remotes.entry(url.to_owned()).or_default().insert(reference.to_owned(), head.to_owned());
    }

    /// Lets others say whose a token is that is not known here: by the token, by the token for the management of Azure and by
    /// the id of the resource that came along. Nothing where they do not know it either.
    ///
    /// # Errors
    /// Of the question: why whoever has the token may not enter.
    pub fn let_in(
        &self,
        whose: impl Fn(&str, Option<&str>, Option<&str>) -> Result<Option<String>, String> + Send + Sync + 'static,
    ) {
        *self.state.outside.lock().unwrap_or_else(PoisonError::into_inner) = Some(Outside(Arc::new(whose)));
    }

    /// Takes everybody away but the groups that every workspace has, as in a workspace that has just been made.
    pub fn forget_people(&self) {
        let mut world = self.world();
        world.users.clear();
        world.service_principals.clear();
        world.groups.retain(|it| ["admins", "users"].iter().any(|name| it["displayName"] == *name));
    }

    /// Grants a privilege on the metastore, which another workspace of the account may do before this one has it.
    pub fn grant_on_metastore(&self, principal: &str, privilege: &str) {
        let mut world = self.world();
        let granted = world.grants.entry(("metastore".to_owned(), METASTORE.to_owned())).or_default();
        granted.entry(principal.to_owned()).or_default().insert(privilege.to_owned());
    }

    /// Gives the metastore back to the workspace.
    pub fn attach_metastore(&self) {
        self.world().has_metastore = true;
    }

    /// Gives the workspace another metastore, in which everything has the same names.
    pub fn assign_metastore(&self, id: &str) {
        self.world().other_metastore = Some(id.to_owned());
    }

    /// Takes the metastore away from the workspace.
    pub fn detach_metastore(&self) {
        self.world().has_metastore = false;
    }

    /// Does something behind everybody's back, as an administrator: `("POST", "/api/2.2/jobs/update", …)`.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: Json) -> Json {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// The code and the message.
    pub fn try_call(&self, method: &str, path: &str, body: Json) -> Result<Json, String> {
        self.try_call_as(ADMINISTRATOR, method, path, body)
    }

    /// Does something in the name of somebody else.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn call_as(&self, who: &str, method: &str, path: &str, body: Json) -> Json {
        self.try_call_as(who, method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_call_as(&self, who: &str, method: &str, path: &str, body: Json) -> Result<Json, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let done = Request::new(method, path, query, body, who.to_owned())
            .and_then(|request| api::call(&mut self.world(), &request, 0));
        done.map_err(|error| format!("{} {}", error.code, error.message))
    }

    /// Lets somebody else make the same call with another body just before the next one of its kind.
    pub fn race(&self, method: &str, path: &str, body: Json) {
        self.faults().races.push((format!("{method} {path}"), body));
    }

    /// Runs a statement behind everybody's back.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn sql(&self, text: &str) {
        let done = crate::sql::run(&mut self.world(), ADMINISTRATOR, text);
        done.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// Permits no statement any more that has that text in it.
    pub fn deny_sql(&self, text: &str) {
        self.world().denied_sql.push(text.to_owned());
    }

    /// Lets nobody run a job as that service principal any more.
    pub fn deny_run_as(&self, application: &str) {
        self.world().denied_run_as.push(application.to_owned());
    }

    /// What goes wrong from now on.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.state.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came since the last time.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.seen())
    }

    /// What came since the last time and could change anything: `POST /api/2.2/jobs/create`.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        let seen = self.take_seen();
        seen.into_iter().filter(Seen::is_write).map(|it| format!("{} {}", it.method, it.path)).collect()
    }

    /// Starts counting anew.
    pub fn reset_count(&self) {
        self.state.reset();
    }

    /// How many calls came since then.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.counted()
    }

    /// The most calls that were answered at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.most_at_once()
    }

    /// One line for everything that is there: jobs, pipelines, objects of the workspace, catalogs, tables, grants, lists.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        self.world().inventory()
    }
}
