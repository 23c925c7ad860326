//! An open instance and its helpers for tests.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use terrace_provider::wrap::Limits;
use terrace_provider::{Attributes, Observed, Recorded, ResourceType, Settings, conformance};
use terrace_provider_snowflake::SnowflakeProvider;
use terrace_test_snowflake::StandIn;

/// The address of all objects of tests.
const ADDRESS: &str = "shop@test:area/snowflake.a";

pub(crate) fn provider() -> SnowflakeProvider {
    SnowflakeProvider::with_variables(BTreeMap::new())
}

pub(crate) fn attributes(json: Json) -> Attributes {
    conformance::attributes(&json).unwrap()
}

/// The settings of an instance for the test server.
pub(crate) fn settings(stand_in: &StandIn, more: Json) -> Settings {
    let usual = json!({"host": stand_in.url(), "role": "TERRACE_ROLE", "warehouse": "WH", "token": "secret"});
    conformance::settings_with(&usual, &more).unwrap()
}

/// An open instance.
pub(crate) struct Instance(conformance::Instance<SnowflakeProvider>);

impl Deref for Instance {
    type Target = conformance::Instance<SnowflakeProvider>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Instance {
    pub(crate) async fn of(stand_in: &StandIn) -> Self {
        Self::with(stand_in, json!({}), Limits { retries: 0, ..Limits::default() }).await
    }

    pub(crate) async fn with(stand_in: &StandIn, more: Json, limits: Limits) -> Self {
        Self(conformance::Instance::open(provider(), &settings(stand_in, more), limits, ADDRESS).await.unwrap())
    }

    pub(crate) fn ty(&self, name: &str) -> &ResourceType {
        self.resource_type(name).unwrap()
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
