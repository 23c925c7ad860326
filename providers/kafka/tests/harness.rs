//! Opens instances for tests, with helpers for calls.

use crate::registry::Registry;
use crate::stand_in::{BrokerState, StandIn};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
pub(crate) use terrace_provider::conformance::Reports;
use terrace_provider::wrap::{Limits, guarded};
use terrace_provider::{
    Attempt, Attributes, Call, Finding, Found, LostCall, Observed, Planned, PlannedChange, Private, Progress,
    ProposedChange, Provider, ProviderError, Recorded, ResourceType, Session, Settings, conformance,
};
use terrace_provider_kafka::KafkaProvider;
use tokio_util::sync::CancellationToken;

pub(crate) const TOPIC: &str = "kafka_topic";
pub(crate) const ACL: &str = "kafka_acl";
pub(crate) const SUBJECT: &str = "kafka_subject";
pub(crate) const STREAMS: &str = "kafka_streams_application";

pub(crate) fn attributes(json: Json) -> Attributes {
    conformance::attributes(&json).unwrap()
}

/// A name that is unique among tests and runs.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let run = uuid::Uuid::now_v7().simple().to_string();
    format!("{prefix}.{}-{}", &run[..14], NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Settings of an instance from JSON.
pub(crate) fn settings(values: Json) -> Settings {
    conformance::settings_with(&values, &json!({})).unwrap()
}

/// An opened instance.
pub(crate) struct Instance {
    pub(crate) session: Arc<dyn Session>,
    provider: KafkaProvider,
}

pub(crate) fn call(reports: &Arc<Reports>) -> Call {
    Call {
        address: "demo@local:kafka.a".to_owned(),
        operation: "operation".to_owned(),
        step: unique("step"),
        timeout: Duration::from_secs(60),
        removes_data: false,
        cancel: CancellationToken::new(),
        progress: Arc::clone(reports) as Arc<dyn Progress>,
    }
}

impl Instance {
    pub(crate) async fn of(values: Json) -> Self {
        Self::with(values, Limits { retries: 0, ..Limits::default() }).await
    }

    pub(crate) async fn with(values: Json, limits: Limits) -> Self {
        let provider = KafkaProvider::new();
        let session = guarded(&provider, &settings(values), limits).await.unwrap();
        Self { session, provider }
    }

    pub(crate) fn ty(&self, name: &str) -> ResourceType {
        self.provider.schema().resource(name).unwrap().clone()
    }

    pub(crate) async fn plan(
        &self,
        ty: &str,
        prior: Option<&Recorded>,
        config: &Attributes,
    ) -> Result<PlannedChange, ProviderError> {
        let address = "demo@local:kafka.a";
        let change = ProposedChange { address, prior, config, must_replace: false, changed_write_only: &[] };
        self.session.plan(&self.ty(ty), &change).await
    }

    pub(crate) async fn try_create(
        &self,
        ty: &str,
        call: &Call,
        config: &Attributes,
    ) -> Result<Observed, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(ty, None, config).await?;
        self.session.create(&self.ty(ty), call, &Planned { attributes: planned, private }).await
    }

    /// Creates an object; returns its row.
    pub(crate) async fn create(&self, ty: &str, config: Json) -> Recorded {
        let config = attributes(config);
        let observed = self.try_create(ty, &call(&Arc::default()), &config).await.unwrap();
        recorded(&config, observed)
    }

    /// Updates an object in place; returns its row.
    pub(crate) async fn update(&self, ty: &str, prior: &Recorded, config: Json) -> Result<Recorded, ProviderError> {
        let config = attributes(config);
        let PlannedChange { planned, private, replace_paths, .. } = self.plan(ty, Some(prior), &config).await?;
        assert!(replace_paths.is_empty(), "{replace_paths:?}");
        let planned = Planned { attributes: planned, private };
        let observed = self.session.update(&self.ty(ty), &call(&Arc::default()), prior, &planned).await?;
        Ok(recorded(&config, observed))
    }

    pub(crate) async fn read(&self, ty: &str, prior: &Recorded) -> Option<Recorded> {
        let observed = self.session.read(&self.ty(ty), prior).await.unwrap()?;
        Some(recorded(&prior.attributes, observed))
    }

    pub(crate) async fn delete(&self, ty: &str, prior: &Recorded) {
        self.session.delete(&self.ty(ty), &call(&Arc::default()), prior).await.unwrap();
    }

    /// Finds the outcome of a call with a lost answer through this session.
    pub(crate) async fn find(&self, ty: &str, lost: &Call, private: Private, config: &Attributes) -> Found {
        let planned = self.plan(ty, None, config).await.unwrap().planned;
        let attempt = Attempt {
            address: lost.address.clone(),
            identity: self.ty(ty).identity_of(&planned).unwrap_or_default(),
            planned,
            private,
            prior: None,
            lost_call: Some(LostCall {
                operation: lost.operation.clone(),
                step: lost.step.clone(),
                timeout: lost.timeout,
                age: Duration::from_secs(1),
            }),
        };
        self.session.find(&self.ty(ty), &attempt).await.unwrap()
    }

    pub(crate) async fn findings(&self, ty: &str, config: Json) -> Vec<Finding> {
        let planned = self.plan(ty, None, &attributes(config)).await.unwrap().planned;
        self.session.validate_remote(&self.ty(ty), &planned).unwrap().await
    }
}

/// Converts an observed object into a row.
pub(crate) fn recorded(config: &Attributes, observed: Observed) -> Recorded {
    let mut attributes = config.clone();
    attributes.extend(observed.attributes);
    attributes.retain(|_, value| !value.is_null());
    Recorded {
        address: "demo@local:kafka.a".to_owned(),
        identity: observed.identity,
        attributes,
        private: observed.private,
    }
}

/// The brokers of a test.
pub(crate) struct Brokers {
    bootstrap: String,
    /// The stand-in broker, unless a real one is configured.
    pub(crate) stand_in: Option<StandIn>,
    /// The stand-in registry.
    pub(crate) registry: Registry,
    /// The URL of a real registry, if configured.
    other_registry: Option<String>,
}

impl Brokers {
    pub(crate) async fn start() -> Self {
        let other_registry = variable("TERRACE_TEST_REGISTRY");
        match variable("TERRACE_TEST_KAFKA") {
            Some(bootstrap) => Self { bootstrap, stand_in: None, registry: Registry::start().await, other_registry },
            None => Self { other_registry, ..Self::with_stand_in(BrokerState::default()).await },
        }
    }

    /// Starts the stand-in broker even if a real one is configured.
    pub(crate) async fn with_stand_in(state: BrokerState) -> Self {
        let stand_in = StandIn::start(state).await;
        let registry = Registry::start().await;
        Self { bootstrap: stand_in.address.clone(), stand_in: Some(stand_in), registry, other_registry: None }
    }

    pub(crate) fn values(&self) -> Json {
        json!({"bootstrapServers": self.bootstrap, "schemaRegistry": {"url": self.other_registry.as_ref().unwrap_or(&self.registry.url)}})
    }

    pub(crate) async fn instance(&self) -> Instance {
        Instance::of(self.values()).await
    }

    /// The state of the stand-in broker.
    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, BrokerState> {
        self.stand_in.as_ref().unwrap().state()
    }
}

/// A variable that `tests/servers/kafka` sets for the brokers it started.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.into_string().unwrap())
}

/// Prints the skipped test and the reason.
#[expect(clippy::print_stdout, reason = "the person who runs the tests needs this information")]
pub(crate) fn skipped(test: &str, reason: &str) {
    println!("skipped: {test}: {reason}");
}
