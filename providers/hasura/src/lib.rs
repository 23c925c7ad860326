//! Sources, tables and permissions of Hasura v2 by its metadata API, and the roles of its role mapper, which
//! authenticates requests.
//!
//! One `export_metadata` reads all objects of Hasura. Each change is one `bulk` with the version of the export. So a
//! change is atomic, based on that export, and safe to send again.
//!
//! Read in this order: `schema` (resource types), `config` (connection settings), `engine` and `export` (the metadata
//! API), `mapper` (the role mapper), `resources` (the types), `session` (the calls).
#![forbid(unsafe_code)]
// Tests may slice strings at any index: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod attributes;
mod blueprints;
mod config;
mod engine;
mod export;
mod identity;
mod jdbc;
mod mapper;
mod names;
mod private_data;
mod resources;
pub mod schema;
mod session;

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// Time in which one export answers all reads: a plan reads within a moment, and its changes name their version.
const EXPORT_MAX_AGE: Duration = Duration::from_secs(3);

/// The provider of Hasura.
#[derive(Debug)]
pub struct HasuraProvider {
    schema: ProviderSchema,
    /// Environment variables that begin with `HASURA_`, `ROLE_MAPPER_` or `SNOWFLAKE_`.
    variables: config::Variables,
    export_max_age: Duration,
}

impl HasuraProvider {
    /// The provider, without any connection. `HASURA_*` and `ROLE_MAPPER_*` variables supply missing settings of the
    /// instance `hasura`, and `SNOWFLAKE_*` those of its Snowflake sources.
    #[must_use]
    pub fn new() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| config::is_known(name))?;
            Some((name, value.into_string().ok().filter(|value| !value.is_empty())?))
        };
        Self::with_variables(std::env::vars_os().filter_map(text).collect())
    }

    /// The same with these variables instead of those of the process.
    #[must_use]
    pub fn with_variables(variables: BTreeMap<String, String>) -> Self {
        let variables = variables.into_iter().map(|(name, text)| (name, text.into())).collect();
        Self { schema: schema::provider(), variables, export_max_age: EXPORT_MAX_AGE }
    }

    /// The same with another lifetime of an export; zero if tests change Hasura between two reads.
    #[must_use]
    pub fn with_export_max_age(mut self, time: Duration) -> Self {
        self.export_max_age = time;
        self
    }
}

impl Default for HasuraProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for HasuraProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::HasuraSession::open(settings, &self.variables, self.export_max_age)?))
    }
}
