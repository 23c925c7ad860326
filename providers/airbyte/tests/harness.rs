//! Opens instances for tests, with helpers for calls.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use terrace_provider::wrap::Limits;
use terrace_provider::{Attributes, Observed, Recorded, ResourceType, Settings, conformance};
use terrace_provider_airbyte::AirbyteProvider;
use terrace_test_airbyte::{StandIn, WORKSPACE};

/// The address of all objects in tests.
const ADDRESS: &str = "shop@test:load/airbyte.a";

pub(crate) fn provider() -> AirbyteProvider {
    AirbyteProvider::with_variables(BTreeMap::new())
}

pub(crate) fn attributes(json: Json) -> Attributes {
    conformance::attributes(&json).unwrap()
}

/// The settings of an instance for the stand-in.
pub(crate) fn settings(stand_in: &StandIn, more: Json) -> Settings {
    let usual = json!({"url": stand_in.url(), "workspaceId": WORKSPACE, "token": "secret"});
    conformance::settings_with(&usual, &more).unwrap()
}

/// An opened instance.
pub(crate) struct Instance(conformance::Instance<AirbyteProvider>);

impl Deref for Instance {
    type Target = conformance::Instance<AirbyteProvider>;

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

    /// Asserts that the second plan is empty, before and after a read.
    pub(crate) async fn assert_settled(&self, ty: &str, prior: &Recorded, config: &Json) {
        assert_eq!(self.unsettled(ty, prior, config).await.unwrap(), [] as [String; 0]);
    }
}

/// Converts an observed object into a row.
pub(crate) fn recorded(planned: &Attributes, observed: Observed) -> Recorded {
    conformance::recorded(ADDRESS, planned, observed)
}

/// The configuration of a source that reads a file.
pub(crate) fn file_source(name: &str) -> Json {
    json!({
        "workspaceId": WORKSPACE, "name": name, "connector": "file",
        "configuration": {"dataset_name": "places", "format": "csv", "url": "https://example.com/a.csv", "provider": {"storage": "HTTPS"}},
    })
}

/// The configuration of a Snowflake destination.
pub(crate) fn destination(name: &str) -> Json {
    json!({
        "workspaceId": WORKSPACE, "name": name, "connector": "snowflake",
        "configuration": {
            "host": "a.snowflakecomputing.com", "role": "R", "warehouse": "W", "database": "D", "schema": "S", "username": "U",
            "credentials": {"auth_type": "Username and Password"},
        },
        "secretConfiguration": {"credentials": {"password": "hunter2hunter2"}},
    })
}

/// Creates a source and a destination outside terrace; returns their ids.
pub(crate) fn connected(stand_in: &StandIn) -> (String, String) {
    let source = stand_in.make(
        true,
        &json!({"name": "store", "workspaceId": WORKSPACE, "configuration": {
        "sourceType": "postgres", "host": "h", "port": 5432, "database": "d", "username": "u", "password": "p"}}),
    );
    let destination = stand_in.make(
        false,
        &json!({"name": "sink", "workspaceId": WORKSPACE, "configuration": {
        "destinationType": "csv", "destination_path": "/local"}}),
    );
    (source, destination)
}
