//! An open instance and its helpers for tests.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;
use terrace_provider::wrap::Limits;
use terrace_provider::{
    Attempt, Attributes, Finding, Found, LostCall, Observed, PlannedChange, ProviderError, Recorded, ResourceType,
    Settings, conformance,
};
use terrace_provider_hasura::HasuraProvider;
use terrace_test_hasura::{Mapper, StandIn};

pub(crate) const SOURCE: &str = "hasura_source";
pub(crate) const TABLE: &str = "hasura_table";
pub(crate) const PERMISSION: &str = "hasura_select_permission";
pub(crate) const ROLE: &str = "hasura_role";
pub(crate) const BINDING: &str = "hasura_role_binding";

/// A provider without variables and without a cached export: tests change objects outside terrace.
pub(crate) fn provider() -> HasuraProvider {
    HasuraProvider::with_variables(BTreeMap::new()).with_export_max_age(Duration::ZERO)
}

pub(crate) fn attributes(json: Json) -> Attributes {
    conformance::attributes(&json).unwrap()
}

/// The settings of an instance for the test server.
pub(crate) fn settings(stand_in: &StandIn) -> Settings {
    let values = json!({"url": stand_in.url(), "adminSecret": "secret", "roleMapper": {"url": stand_in.mapper_url()}});
    conformance::settings_with(&values, &json!({})).unwrap()
}

/// A test server with two databases.
pub(crate) fn stand_in(mapper: Mapper) -> StandIn {
    let stand_in = StandIn::start(mapper);
    for view in ["ORDERS", "ITEMS", "RETURNS"] {
        stand_in.add_table("SALES", "ORDERS_1", view, &["ID", "NAME", "PRICE"], &[]);
    }
    stand_in.add_table("shop", "public", "orders", &["id", "name"], &["id"]);
    stand_in.add_table("shop", "public", r"it's \ all", &["id"], &[]);
    stand_in
}

/// A Snowflake source.
pub(crate) fn source(name: &str) -> Json {
    json!({"name": name, "kind": "snowflake", "password": "top secret", "connection": {
        "host": "a1.snowflakecomputing.com", "user": "HASURA", "role": "READER", "warehouse": "WH", "database": "SALES",
        "schema": "ORDERS_1"}})
}

/// A PostgreSQL source.
pub(crate) fn postgres(name: &str) -> Json {
    json!({"name": name, "kind": "postgres",
        "configuration": {"connection_info": {"pool_settings": {"max_connections": 5}}},
        "secretConfiguration": {"connection_info": {"database_url": "postgres://u:hidden%20word@db:5432/shop"}}})
}

pub(crate) fn table(source: &str, name: &str, prefix: &str) -> Json {
    json!({"source": source, "table": [name], "customName": format!("{prefix}name"), "apolloFederation": true,
        "rootFields": {"select": format!("{prefix}select"), "selectAggregate": format!("{prefix}aggregate")},
        "comment": format!("Access to the {name} table")})
}

pub(crate) fn permission(source: &str, name: &str, role: &str) -> Json {
    json!({"source": source, "table": [name], "role": role})
}

pub(crate) fn role(id: &str) -> Json {
    json!({"roleId": id, "componentId": format!("urn:dmb:cmp:sales:{id}"), "rootFields": [format!("{id}_select")]})
}

/// The address of all objects of tests.
const ADDRESS: &str = "shop@test:port/hasura.a";

/// An open instance.
pub(crate) struct Instance(conformance::Instance<HasuraProvider>);

impl Deref for Instance {
    type Target = conformance::Instance<HasuraProvider>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Instance {
    pub(crate) async fn of(stand_in: &StandIn) -> Self {
        Self::with(provider(), &settings(stand_in)).await
    }

    pub(crate) async fn with(provider: HasuraProvider, settings: &Settings) -> Self {
        Self::limited(provider, settings, Limits { retries: 0, ..Limits::default() }).await
    }

    pub(crate) async fn limited(provider: HasuraProvider, settings: &Settings, limits: Limits) -> Self {
        Self(conformance::Instance::open(provider, settings, limits, ADDRESS).await.unwrap())
    }

    pub(crate) fn ty(&self, name: &str) -> &ResourceType {
        self.resource_type(name).unwrap()
    }

    pub(crate) async fn find(
        &self,
        ty: &str,
        config: &Json,
        prior: Option<&Recorded>,
        is_lost: bool,
    ) -> Result<Found, ProviderError> {
        let PlannedChange { mut planned, private, .. } = self.plan(ty, None, config).await?;
        planned.extend(attributes(config.clone()));
        let lost_call = is_lost.then(|| LostCall {
            operation: self.call().operation,
            step: self.call().step,
            timeout: Duration::from_secs(1),
            age: Duration::from_secs(2),
        });
        let identity = self.ty(ty).identity_of(&planned).unwrap_or_default();
        let prior = prior.cloned();
        let attempt = Attempt { address: ADDRESS.to_owned(), identity, planned, private, prior, lost_call };
        self.session.find(self.ty(ty), &attempt).await
    }

    pub(crate) async fn findings(&self, ty: &str, config: &Json) -> Vec<Finding> {
        let planned = self.plan(ty, None, config).await.unwrap().planned;
        match self.session.validate_remote(self.ty(ty), &planned) {
            Some(findings) => findings.await,
            None => Vec::new(),
        }
    }

    /// The attributes that a plan for a recorded object changes.
    pub(crate) async fn changes(&self, ty: &str, prior: &Recorded, config: &Json) -> Vec<String> {
        let mut changes = self.0.changes(ty, prior, config).await.unwrap();
        // A row has no write-only attributes.
        changes.retain(|name| self.ty(ty).attributes.get(name).is_none_or(|attribute| !attribute.write_only));
        changes
    }

    /// The second plan is empty, before and after a read.
    pub(crate) async fn assert_settled(&self, ty: &str, prior: &Recorded, config: &Json) {
        assert_eq!(self.unsettled(ty, prior, config).await.unwrap(), [] as [String; 0]);
    }
}

/// The row of an object.
pub(crate) fn recorded(planned: &Attributes, observed: Observed) -> Recorded {
    conformance::recorded(ADDRESS, planned, observed)
}

/// The row in the form of an error message.
pub(crate) fn path_of(error: &ProviderError) -> String {
    match &error.kind {
        terrace_provider::ErrorKind::InvalidInput { path: Some(path) } => path.to_string(),
        other => format!("({})", other.code()),
    }
}
