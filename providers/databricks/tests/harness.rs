//! Opens instances for tests, with helpers for calls.

use serde_json::{Value as Json, json};
use std::ops::Deref;
use std::time::Duration;
use terrace_provider::wrap::Limits;
use terrace_provider::{
    Attempt, Attributes, LostCall, Observed, PlannedChange, Recorded, ResourceType, Settings, conformance,
};
use terrace_provider_databricks::DatabricksProvider;
use terrace_test_databricks::StandIn;

/// The address of all objects in tests.
pub(crate) const ADDRESS: &str = "shop@test:area/databricks.a";

pub(crate) fn provider() -> DatabricksProvider {
    DatabricksProvider::new()
}

pub(crate) fn attributes(json: Json) -> Attributes {
    conformance::attributes(&json).unwrap()
}

/// The settings of an instance for the stand-in.
pub(crate) fn settings(stand_in: &StandIn, more: Json) -> Settings {
    let usual = json!({"host": stand_in.url(), "token": "secret", "git": {"token": "glpat-usual"}});
    conformance::settings_with(&usual, &more).unwrap()
}

/// An opened instance.
pub(crate) struct Instance(conformance::Instance<DatabricksProvider>);

impl Deref for Instance {
    type Target = conformance::Instance<DatabricksProvider>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Instance {
    pub(crate) async fn of(stand_in: &StandIn) -> Self {
        Self::with(stand_in, json!({}), Limits { retries: 0, ..Limits::default() }).await
    }

    pub(crate) async fn with(stand_in: &StandIn, more: Json, limits: Limits) -> Self {
        Self::open(settings(stand_in, more), limits).await
    }

    /// Opens an instance with the given settings.
    pub(crate) async fn open(settings: Settings, limits: Limits) -> Self {
        Self(conformance::Instance::open(provider(), &settings, limits, ADDRESS).await.unwrap())
    }

    pub(crate) fn ty(&self, name: &str) -> &ResourceType {
        self.resource_type(name).unwrap()
    }

    /// The attempt that another process finds after a crash: it knows only the journal.
    pub(crate) fn crashed(&self, ty: &str, plan: &PlannedChange) -> Attempt {
        let (identity, private) = self.reports.attempted(self.ty(ty), &plan.planned, &plan.private);
        Attempt {
            address: ADDRESS.to_owned(),
            identity,
            planned: plan.planned.clone(),
            private,
            prior: None,
            lost_call: Some(LostCall {
                operation: "of-another-process".to_owned(),
                step: "1".to_owned(),
                timeout: Duration::from_secs(30),
                age: Duration::from_secs(1),
            }),
        }
    }

    /// Asserts that the second plan is empty, before and after a read.
    pub(crate) async fn assert_settled(&self, ty: &str, prior: &Recorded, config: &Json) {
        assert_eq!(self.unsettled(ty, prior, config).await.unwrap(), [] as [String; 0]);
    }
}

/// Converts an observed object into a row.
pub(crate) fn recorded(planned: &Attributes, observed: Observed) -> Recorded {
    conformance::recorded(ADDRESS, planned, observed)
}
