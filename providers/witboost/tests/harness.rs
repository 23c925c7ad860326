//! Opens instances for tests, with helpers for calls.

use crate::stand_in::StandIn;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
pub(crate) use terrace_provider::conformance::Reports;
use terrace_provider::wrap::{Limits, guarded};
use terrace_provider::{
    Attempt, Attributes, Call, LostCall, Observed, Planned, PlannedChange, Progress, ProposedChange, Provider,
    ProviderError, Recorded, ResourceType, Session, Settings, Value, conformance,
};
use terrace_provider_witboost::WitboostProvider;
use tokio_util::sync::CancellationToken;

pub(crate) const ADDRESS: &str = "demo@local:witboost.a";
pub(crate) const COMPONENT: &str = "witboost_component";
pub(crate) const ACCESS: &str = "witboost_access";

pub(crate) fn attributes(json: Json) -> Attributes {
    conformance::attributes(&json).unwrap()
}

/// The descriptor of a component.
pub(crate) fn descriptor(id: &str, size: i64) -> Json {
    let component = json!({"id": id, "name": "A", "kind": "storage", "version": "1.10", "specific": {"size": size}});
    json!({"dataProduct": {"id": "urn:dmb:dp:d:p:0", "name": "P", "components": [component]}, "componentIdToProvision": id})
}

pub(crate) fn component(url: &str, id: &str, size: i64) -> Attributes {
    attributes(json!({"endpoint": url, "componentId": id, "descriptor": descriptor(id, size)}))
}

pub(crate) fn access(url: &str, id: &str, refs: &[&str]) -> Attributes {
    attributes(json!({"endpoint": url, "componentId": id, "descriptor": descriptor(id, 1), "refs": refs}))
}

/// The settings of an instance with short pauses.
pub(crate) fn settings(more: Json) -> Settings {
    let mut settings = conformance::settings(std::path::Path::new("."));
    settings.values = attributes(json!({"pollMost": 1}));
    settings.values.insert("pollInterval".to_owned(), Value::Number(terrace_provider::Number::parse("0.001").unwrap()));
    settings.values.extend(attributes(more));
    settings
}

/// An opened instance.
pub(crate) struct Instance {
    pub(crate) session: Arc<dyn Session>,
    ty: ResourceType,
}

pub(crate) fn call(reports: &Arc<Reports>) -> Call {
    Call {
        address: ADDRESS.to_owned(),
        operation: "operation".to_owned(),
        step: "1".to_owned(),
        timeout: Duration::from_secs(60),
        removes_data: false,
        cancel: CancellationToken::new(),
        progress: Arc::clone(reports) as Arc<dyn Progress>,
    }
}

impl Instance {
    pub(crate) async fn of(ty: &str, more: Json) -> Self {
        let provider = WitboostProvider::new();
        let limits = Limits { retries: 0, ..Limits::default() };
        let session = guarded(&provider, &settings(more), limits).await.unwrap();
        let ty = provider.schema().resource(ty).unwrap().clone();
        Self { session, ty }
    }

    pub(crate) async fn plan(
        &self,
        prior: Option<&Recorded>,
        config: &Attributes,
    ) -> Result<PlannedChange, ProviderError> {
        let change = ProposedChange { address: ADDRESS, prior, config, must_replace: false, changed_write_only: &[] };
        self.session.plan(&self.ty, &change).await
    }

    pub(crate) async fn create(&self, call: &Call, config: &Attributes) -> Result<Observed, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(None, config).await?;
        self.session.create(&self.ty, call, &Planned { attributes: planned, private }).await
    }

    pub(crate) async fn update(
        &self,
        call: &Call,
        prior: &Recorded,
        config: &Attributes,
    ) -> Result<Observed, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(Some(prior), config).await?;
        self.session.update(&self.ty, call, prior, &Planned { attributes: planned, private }).await
    }

    pub(crate) async fn delete(&self, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        self.session.delete(&self.ty, call, prior).await
    }

    /// Finds the outcome of the call with these reports through this session.
    pub(crate) async fn find(
        &self,
        reports: &Reports,
        config: &Attributes,
        prior: Option<Recorded>,
    ) -> Result<terrace_provider::Found, ProviderError> {
        let planned = self.plan(None, config).await?.planned;
        let lost = LostCall {
            operation: "operation".to_owned(),
            step: "1".to_owned(),
            timeout: Duration::from_secs(60),
            age: Duration::from_secs(1),
        };
        let attempt = Attempt {
            address: ADDRESS.to_owned(),
            identity: self.ty.identity_of(&planned).unwrap_or_default(),
            planned,
            private: reports.private(),
            prior,
            lost_call: Some(lost),
        };
        self.session.find(&self.ty, &attempt).await
    }

    pub(crate) async fn findings(&self, config: &Attributes) -> Option<Vec<terrace_provider::Finding>> {
        let planned = self.plan(None, config).await.unwrap().planned;
        Some(self.session.validate_remote(&self.ty, &planned)?.await)
    }
}

/// Converts an observed object into a row.
pub(crate) fn recorded(config: &Attributes, observed: Observed) -> Recorded {
    let mut attributes = config.clone();
    attributes.extend(observed.attributes.into_iter().filter(|(_, value)| !value.is_null()));
    Recorded { address: ADDRESS.to_owned(), identity: observed.identity, attributes, private: observed.private }
}

/// Creates a component; returns its row.
pub(crate) async fn create_component(instance: &Instance, stand_in: &StandIn, id: &str) -> Recorded {
    let config = component(stand_in.url(), id, 1);
    let reports = Arc::new(Reports::default());
    let mut call = call(&reports);
    call.step = "0".to_owned();
    let observed = instance.create(&call, &config).await.unwrap();
    stand_in.state().take_log();
    recorded(&config, observed)
}
