//! An open instance and its helpers for tests.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_provider::wrap::{Limits, guarded};
use terrace_provider::{
    Attempt, Attributes, Call, Finding, Found, LostCall, Observed, Partial, Planned, PlannedChange, Progress,
    ProposedChange, Provider, ProviderError, Recorded, ResourceType, Session, Settings, Value, conformance,
};
use terrace_provider_hasura::HasuraProvider;
use terrace_test_hasura::{Mapper, StandIn};
use tokio_util::sync::CancellationToken;

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
    match Value::from(json) {
        Value::Map(entries) => entries,
        other => panic!("attributes are a map, not {other:?}"),
    }
}

/// The settings of an instance for the test server.
pub(crate) fn settings(stand_in: &StandIn) -> Settings {
    let mut settings = conformance::settings(std::path::Path::new("."));
    settings.values = attributes(json!({
        "url": stand_in.url(), "adminSecret": "secret", "roleMapper": {"url": stand_in.mapper_url()},
    }));
    settings
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

/// Keeps the reports of calls.
#[derive(Default)]
pub(crate) struct Reports(pub(crate) Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Progress for Reports {
    fn message(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    async fn partial(&self, _partial: Partial) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// An open instance.
pub(crate) struct Instance {
    pub(crate) provider: HasuraProvider,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) reports: Arc<Reports>,
}

impl Instance {
    pub(crate) async fn of(stand_in: &StandIn) -> Self {
        Self::with(provider(), &settings(stand_in)).await
    }

    pub(crate) async fn with(provider: HasuraProvider, settings: &Settings) -> Self {
        let session = guarded(&provider, settings, Limits { retries: 0, ..Limits::default() }).await.unwrap();
        Self { provider, session, reports: Arc::default() }
    }

    pub(crate) fn ty(&self, name: &str) -> &ResourceType {
        self.provider.schema().resource(name).unwrap()
    }

    pub(crate) fn call(&self) -> Call {
        Call {
            address: "shop@test:port/hasura.a".to_owned(),
            operation: "operation".to_owned(),
            step: "1".to_owned(),
            timeout: Duration::from_secs(20),
            removes_data: false,
            cancel: CancellationToken::new(),
            progress: Arc::clone(&self.reports) as Arc<dyn Progress>,
        }
    }

    pub(crate) async fn plan(
        &self,
        ty: &str,
        prior: Option<&Recorded>,
        config: &Json,
    ) -> Result<PlannedChange, ProviderError> {
        let config = attributes(config.clone());
        let change =
            ProposedChange { address: "a", prior, config: &config, must_replace: false, changed_write_only: &[] };
        self.session.plan(self.ty(ty), &change).await
    }

    pub(crate) async fn create(&self, ty: &str, config: &Json) -> Result<Recorded, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(ty, None, config).await?;
        let planned = Planned { attributes: planned, private };
        let observed = self.session.create(self.ty(ty), &self.call(), &planned).await?;
        Ok(recorded(self.ty(ty), &planned.attributes, observed))
    }

    pub(crate) async fn update(&self, ty: &str, prior: &Recorded, config: &Json) -> Result<Recorded, ProviderError> {
        let PlannedChange { planned, private, replace_paths, .. } = self.plan(ty, Some(prior), config).await?;
        assert!(replace_paths.is_empty(), "{replace_paths:?}");
        let planned = Planned { attributes: planned, private };
        let observed = self.session.update(self.ty(ty), &self.call(), prior, &planned).await?;
        Ok(recorded(self.ty(ty), &planned.attributes, observed))
    }

    pub(crate) async fn read(&self, ty: &str, prior: &Recorded) -> Result<Option<Recorded>, ProviderError> {
        let observed = self.session.read(self.ty(ty), prior).await?;
        Ok(observed.map(|observed| recorded(self.ty(ty), &prior.attributes, observed)))
    }

    pub(crate) async fn delete(&self, ty: &str, prior: &Recorded) -> Result<(), ProviderError> {
        self.session.delete(self.ty(ty), &self.call(), prior).await
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
            operation: "operation".to_owned(),
            step: "1".to_owned(),
            timeout: Duration::from_secs(1),
            age: Duration::from_secs(2),
        });
        let identity = self.ty(ty).identity_of(&planned).unwrap_or_default();
        let prior = prior.cloned();
        let attempt = Attempt { address: "a".to_owned(), identity, planned, private, prior, lost_call };
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
        let plan = self.plan(ty, Some(prior), config).await.unwrap();
        assert!(plan.replace_paths.is_empty(), "{:?}", plan.replace_paths);
        let known = self.ty(ty).attributes.0.iter().filter(|attribute| !attribute.write_only);
        let differs = known.filter(|attribute| {
            let of = |attributes: &Attributes| attributes.get(attribute.name).cloned().unwrap_or_default();
            let (before, after) = (of(&prior.attributes), of(&plan.planned));
            !(after.is_same_as(&before) || after.is_null() && before.is_null())
        });
        differs.map(|attribute| attribute.name.to_owned()).collect()
    }

    /// The second plan is empty, before and after a read.
    pub(crate) async fn assert_settled(&self, ty: &str, prior: &Recorded, config: &Json) {
        let read = self.read(ty, prior).await.unwrap().unwrap();
        for prior in [prior, &read] {
            assert_eq!(self.changes(ty, prior, config).await, [] as [String; 0], "{prior:?}");
        }
    }
}

/// The row of an object.
pub(crate) fn recorded(ty: &ResourceType, planned: &Attributes, observed: Observed) -> Recorded {
    let is_stored = |name: &String| ty.attributes.get(name).is_some_and(|attribute| !attribute.write_only);
    let mut attributes: Attributes = planned
        .iter()
        .filter(|(name, value)| !value.has_unknown() && is_stored(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    attributes.extend(observed.attributes);
    attributes.retain(|_, value| !value.is_null());
    Recorded { address: "a".to_owned(), identity: observed.identity, attributes, private: observed.private }
}

/// The row in the form of an error message.
pub(crate) fn path_of(error: &ProviderError) -> String {
    match &error.kind {
        terrace_provider::ErrorKind::InvalidInput { path: Some(path) } => path.to_string(),
        other => format!("({})", other.code()),
    }
}
