//! An opened instance, and what tests do with it.

use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_provider::wrap::{Limits, guarded};
use terrace_provider::{
    Attempt, Attributes, Call, Found, LostCall, Observed, Partial, Planned, PlannedChange, Progress, ProposedChange,
    Provider, ProviderError, Recorded, ResourceType, Session, Settings, Value, conformance,
};
use terrace_provider_databricks::DatabricksProvider;
use terrace_test_databricks::StandIn;
use tokio_util::sync::CancellationToken;

/// The address of whatever tests make.
pub(crate) const ADDRESS: &str = "shop@test:area/databricks.a";

pub(crate) fn provider() -> DatabricksProvider {
    DatabricksProvider::new()
}

pub(crate) fn attributes(json: Json) -> Attributes {
    match Value::from(json) {
        Value::Map(entries) => entries,
        other => panic!("attributes are a map, not {other:?}"),
    }
}

/// The settings of an instance for the stand-in.
pub(crate) fn settings(stand_in: &StandIn, more: Json) -> Settings {
    let mut settings = conformance::settings(std::path::Path::new("."));
    settings.values = attributes(json!({"host": stand_in.url(), "token": "secret", "git": {"token": "glpat-usual"}}));
    for (name, value) in attributes(more) {
        match value.is_null() {
            true => drop(settings.values.shift_remove(&name)),
            false => drop(settings.values.insert(name, value)),
        }
    }
    settings
}

/// Keeps what calls report.
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

/// An opened instance.
pub(crate) struct Instance {
    pub(crate) provider: DatabricksProvider,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) cancel: CancellationToken,
}

impl Instance {
    pub(crate) async fn of(stand_in: &StandIn) -> Self {
        Self::with(stand_in, json!({}), Limits { retries: 0, ..Limits::default() }).await
    }

    pub(crate) async fn with(stand_in: &StandIn, more: Json, limits: Limits) -> Self {
        let provider = provider();
        let session = guarded(&provider, &settings(stand_in, more), limits).await.unwrap();
        Self { provider, session, reports: Arc::default(), cancel: CancellationToken::new() }
    }

    pub(crate) fn ty(&self, name: &str) -> &ResourceType {
        self.provider.schema().resource(name).unwrap()
    }

    pub(crate) fn call(&self) -> Call {
        Call {
            address: ADDRESS.to_owned(),
            operation: "operation".to_owned(),
            step: "1".to_owned(),
            timeout: Duration::from_secs(60),
            removes_data: false,
            cancel: self.cancel.clone(),
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

    pub(crate) async fn create(&self, ty: &str, config: Json) -> Result<Recorded, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(ty, None, &config).await?;
        let planned = Planned { attributes: planned, private };
        let observed = self.session.create(self.ty(ty), &self.call(), &planned).await?;
        Ok(recorded(&planned.attributes, observed))
    }

    pub(crate) async fn update(&self, ty: &str, prior: &Recorded, config: Json) -> Result<Recorded, ProviderError> {
        let PlannedChange { planned, private, replace_paths, .. } = self.plan(ty, Some(prior), &config).await?;
        assert!(replace_paths.is_empty(), "{replace_paths:?}");
        let planned = Planned { attributes: planned, private };
        let observed = self.session.update(self.ty(ty), &self.call(), prior, &planned).await?;
        Ok(recorded(&planned.attributes, observed))
    }

    pub(crate) async fn read(&self, ty: &str, prior: &Recorded) -> Result<Option<Recorded>, ProviderError> {
        let observed = self.session.read(self.ty(ty), prior).await?;
        Ok(observed.map(|observed| recorded(&prior.attributes, observed)))
    }

    pub(crate) async fn delete(&self, ty: &str, prior: &Recorded) -> Result<(), ProviderError> {
        self.session.delete(self.ty(ty), &self.call(), prior).await
    }

    pub(crate) async fn find(&self, ty: &str, config: &Json, lost: Option<Duration>) -> Result<Found, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(ty, None, config).await?;
        let lost_call = lost.map(|age| LostCall {
            operation: "operation".to_owned(),
            step: "1".to_owned(),
            timeout: Duration::from_secs(1),
            age,
        });
        let identity = self.ty(ty).identity_of(&planned).unwrap_or_default();
        let attempt = Attempt { address: ADDRESS.to_owned(), identity, planned, private, prior: None, lost_call };
        self.session.find(self.ty(ty), &attempt).await
    }

    /// The second plan is empty, before and after reading.
    pub(crate) async fn assert_settled(&self, ty: &str, prior: &Recorded, config: &Json) {
        let read = self.read(ty, prior).await.unwrap().unwrap();
        for prior in [prior, &read] {
            let plan = self.plan(ty, Some(prior), config).await.unwrap();
            assert!(plan.replace_paths.is_empty(), "{:?}", plan.replace_paths);
            for (name, value) in &plan.planned {
                let before = prior.attributes.get(name).cloned().unwrap_or_default();
                assert!(
                    value.is_same_as(&before) || value.is_null() && before.is_null(),
                    "{name}: {before:?} -> {value:?}"
                );
            }
        }
    }
}

/// As a row has it.
pub(crate) fn recorded(planned: &Attributes, observed: Observed) -> Recorded {
    let mut attributes: Attributes = planned
        .iter()
        .filter(|(_, value)| !value.has_unknown())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    attributes.extend(observed.attributes);
    attributes.retain(|_, value| !value.is_null());
    Recorded { address: ADDRESS.to_owned(), identity: observed.identity, attributes, private: observed.private }
}
