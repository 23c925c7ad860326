//! A test's own database and session, with helpers that act like the engine.

use std::sync::Arc;
use std::time::Duration;
use terrace_provider::call::NoProgress;
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, ErrorKind, Found, LostCall, Observed, Planned, PlannedChange, Private,
    ProposedChange, Provider, ProviderError, Recorded, ResourceType, Session, Settings, Value,
};
use terrace_provider_postgres::PostgresProvider;
use terrace_state::contract::cluster::Cluster;
use terrace_store::record::{refreshed, storable};

pub(crate) struct Harness {
    pub(crate) cluster: &'static Cluster,
    /// The test's own database, with the schema `s`.
    pub(crate) database: String,
    pub(crate) session: Arc<dyn Session>,
    provider: PostgresProvider,
    client: tokio_postgres::Client,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::on(Cluster::shared()).await
    }

    pub(crate) async fn on(cluster: &'static Cluster) -> Self {
        let url = cluster.database().await;
        let database = url.split("/").nth(3).unwrap().split('?').next().unwrap().to_owned();
        let client = cluster.connect(&database).await;
        client.batch_execute("CREATE SCHEMA s").await.unwrap();
        let provider = PostgresProvider::new();
        let session = connect(&provider, &cluster.url("postgres")).await;
        Self { cluster, database, session, provider, client }
    }

    /// The same with another session, like a new process.
    pub(crate) async fn with_new_session(self) -> Self {
        let session = connect(&self.provider, &self.cluster.url("postgres")).await;
        Self { session, ..self }
    }

    /// A call of the test's own operation: tests share a server.
    pub(crate) fn call(&self, step: &str) -> Call {
        Call {
            address: "demo@local:a".to_owned(),
            operation: self.database.clone(),
            step: step.to_owned(),
            timeout: Duration::from_secs(60),
            removes_data: false,
            cancel: tokio_util::sync::CancellationToken::new(),
            progress: Arc::new(NoProgress),
        }
    }

    pub(crate) fn provider(&self) -> &PostgresProvider {
        &self.provider
    }

    pub(crate) fn ty(&self, name: &str) -> &ResourceType {
        self.provider.schema().resource(name).unwrap()
    }

    /// Attributes from JSON, with the test's database in place of `$db`.
    pub(crate) fn attributes(&self, json: &str) -> Attributes {
        let json = json.replace("$db", &self.database);
        let value = Value::from(serde_json::from_str::<serde_json::Value>(&json).unwrap());
        value.as_map().unwrap().clone()
    }

    pub(crate) async fn plan(
        &self,
        ty: &str,
        prior: Option<&Observed>,
        config: &str,
    ) -> Result<PlannedChange, ProviderError> {
        self.plan_of(ty, prior, &self.attributes(config)).await
    }

    pub(crate) async fn plan_of(
        &self,
        ty: &str,
        prior: Option<&Observed>,
        config: &Attributes,
    ) -> Result<PlannedChange, ProviderError> {
        let prior = prior.map(recorded);
        let change = ProposedChange {
            address: "a",
            prior: prior.as_ref(),
            config,
            must_replace: false,
            changed_write_only: &[],
        };
        self.session.plan(self.ty(ty), &change).await
    }

    pub(crate) async fn create(&self, ty: &str, config: &str) -> Result<Observed, ProviderError> {
        self.create_by(ty, &self.attributes(config), &self.call("step-1")).await
    }

    pub(crate) async fn create_by(
        &self,
        ty: &str,
        config: &Attributes,
        call: &Call,
    ) -> Result<Observed, ProviderError> {
        let plan = self.plan_of(ty, None, config).await?;
        let planned = Planned { attributes: plan.planned, private: plan.private };
        let observed = self.session.create(self.ty(ty), call, &planned).await?;
        Ok(self.stored(ty, &planned.attributes, observed))
    }

    pub(crate) async fn update(&self, ty: &str, prior: &Observed, config: &str) -> Result<Observed, ProviderError> {
        self.update_with(ty, prior, config, &[]).await
    }

    /// The same with changed write-only attributes.
    pub(crate) async fn update_with(
        &self,
        ty: &str,
        prior: &Observed,
        config: &str,
        changed_write_only: &[String],
    ) -> Result<Observed, ProviderError> {
        let (before, config) = (recorded(prior), self.attributes(config));
        let change = ProposedChange {
            address: "a",
            prior: Some(&before),
            config: &config,
            must_replace: false,
            changed_write_only,
        };
        let plan = self.session.plan(self.ty(ty), &change).await?;
        assert!(plan.replace_paths.is_empty(), "{:?}", plan.replace_paths);
        let planned = Planned { attributes: plan.planned, private: plan.private };
        let observed = self.session.update(self.ty(ty), &self.call("step-2"), &recorded(prior), &planned).await?;
        Ok(self.stored(ty, &planned.attributes, observed))
    }

    /// Creates an object and asserts that a second plan is empty.
    pub(crate) async fn create_settled(&self, ty: &str, config: &str) -> Observed {
        let observed = self.create(ty, config).await.unwrap_or_else(|error| panic!("{config}: {error:?}"));
        self.assert_settled(ty, &observed, config).await;
        observed
    }

    /// Updates an object and asserts the same.
    pub(crate) async fn update_settled(&self, ty: &str, prior: &Observed, config: &str) -> Observed {
        let observed = self.update(ty, prior, config).await.unwrap_or_else(|error| panic!("{config}: {error:?}"));
        self.assert_settled(ty, &observed, config).await;
        observed
    }

    /// Asserts that a read and a second plan change nothing.
    pub(crate) async fn assert_settled(&self, ty: &str, prior: &Observed, config: &str) {
        let read = self.read(ty, prior).await.unwrap();
        assert_eq!(read.attributes, prior.attributes, "drift right after the call");
        let plan = self.plan(ty, Some(&read), config).await.unwrap();
        let is_write_only = |name: &str| self.ty(ty).attributes.get(name).is_some_and(|it| it.write_only);
        let planned: Attributes = plan.planned.into_iter().filter(|(name, _)| !is_write_only(name)).collect();
        assert_eq!(planned, read.attributes, "the second plan is not empty");
        assert_eq!(plan.data_loss, None);
        assert!(plan.replace_paths.is_empty());
    }

    pub(crate) async fn read(&self, ty: &str, prior: &Observed) -> Option<Observed> {
        let read = self.session.read(self.ty(ty), &recorded(prior)).await.unwrap()?;
        // Attributes that the provider does not return stay as recorded.
        Some(Observed { attributes: refreshed(self.ty(ty), &prior.attributes, &read), ..read })
    }

    pub(crate) async fn delete(&self, ty: &str, prior: &Observed) -> Result<(), ProviderError> {
        self.session.delete(self.ty(ty), &self.call("step-3"), &recorded(prior)).await
    }

    pub(crate) async fn import(&self, ty: &str, id: &str) -> Option<Observed> {
        let found = self.session.import(self.ty(ty), &id.replace("$db", &self.database)).await.unwrap()?;
        Some(Observed { attributes: storable(self.ty(ty), &Attributes::default(), &found), ..found })
    }

    pub(crate) async fn count(&self, ty: &str, prior: &Observed) -> DataAmount {
        self.session.count_data(self.ty(ty), &recorded(prior)).await.unwrap()
    }

    pub(crate) async fn lookup(&self, name: &str, arguments: &str) -> Result<Attributes, ProviderError> {
        self.session.lookup(name, &self.attributes(arguments)).await
    }

    /// Searches for the object of a lost create of that step; without a step, for an object to adopt.
    pub(crate) async fn find(&self, ty: &str, config: &str, step: Option<&str>) -> Found {
        self.find_with(ty, config, step, Private::default()).await
    }

    pub(crate) async fn find_with(&self, ty: &str, config: &str, step: Option<&str>, private: Private) -> Found {
        let planned = self.plan(ty, None, config).await.unwrap().planned;
        let attempt = Attempt {
            address: "a".to_owned(),
            identity: self.ty(ty).identity_of(&planned).unwrap(),
            planned: planned.clone(),
            private,
            prior: None,
            lost_call: step.map(|step| LostCall {
                operation: self.database.clone(),
                step: step.to_owned(),
                timeout: Duration::from_secs(1),
                age: Duration::from_secs(2),
            }),
        };
        let stored = |found: Observed| {
            let attributes = storable(self.ty(ty), &planned, &found);
            Observed { attributes, ..found }
        };
        match self.session.find(self.ty(ty), &attempt).await.unwrap() {
            Found::Own(found) => Found::Own(stored(found)),
            Found::Foreign(found) => Found::Foreign(stored(found)),
            other => other,
        }
    }

    /// Runs SQL in the test's database without the provider.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = sql.replace("$db", &self.database);
        self.client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first column of a query's rows, as text.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        let rows = self.client.simple_query(&sql.replace("$db", &self.database)).await.unwrap();
        let row = |message: tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        };
        rows.into_iter().filter_map(row).collect()
    }

    /// The row as the engine records it. Refuses results that differ from the plan.
    fn stored(&self, ty: &str, planned: &Attributes, observed: Observed) -> Observed {
        let attributes = storable(self.ty(ty), planned, &observed);
        for (name, value) in planned {
            let is_write_only = self.ty(ty).attributes.get(name).is_some_and(|it| it.write_only);
            if !value.has_unknown() && !is_write_only {
                assert!(observed.attributes.contains_key(name), "`{name}` is missing");
                assert_eq!(attributes.get(name), Some(value), "`{name}` differs from the plan");
            }
        }
        let extra = attributes.keys().find(|name| !planned.contains_key(*name));
        assert_eq!(extra, None, "unplanned attributes: {observed:?}");
        Observed { attributes, ..observed }
    }
}

async fn connect(provider: &PostgresProvider, url: &str) -> Arc<dyn Session> {
    provider.connect(&settings(&[("url", url)])).await.unwrap()
}

pub(crate) fn settings(values: &[(&str, &str)]) -> Settings {
    Settings {
        instance: "postgres".to_owned(),
        environment: "local".to_owned(),
        project_folder: std::env::temp_dir(),
        sandbox: Default::default(),
        sources: Default::default(),
        values: values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
    }
}

pub(crate) fn recorded(observed: &Observed) -> Recorded {
    Recorded {
        address: "a".to_owned(),
        identity: observed.identity.clone(),
        attributes: observed.attributes.clone(),
        private: observed.private.clone(),
    }
}

/// The attribute of an error.
pub(crate) fn place(error: &ProviderError) -> String {
    let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
    path.to_string()
}

/// The texts at a key in the items of a list.
pub(crate) fn texts(observed: &Observed, list: &str, key: &str) -> Vec<String> {
    let items = observed.attributes.get(list).and_then(Value::as_list).unwrap();
    items.iter().map(|item| item.get(key).and_then(Value::as_str).unwrap_or("-").to_owned()).collect()
}
