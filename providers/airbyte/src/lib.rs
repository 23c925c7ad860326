//! The `airbyte` provider: sources, destinations and connections, through the public API:
//! <https://reference.airbyte.com/>.
//!
//! Objects are updated in place, so that the state and the history of syncs survive. terrace finds objects by their
//! names, which must be unique per kind within a workspace.
//!
//! Read in this order: `schema` (the types), `config` (settings), `airbyte` and `problem` (the API, independent of
//! plans),
//! `configuration` (connector configurations), `defaults` (environment variables), `kind`, `actor` and `connection`
//! (the types in terms of the API), `session` (the calls), `rights`, `discovery` and `check` (checks during the plan),
//! `lookup`.
#![forbid(unsafe_code)]
// Tests may slice strings: a bad slice fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod actor;
mod airbyte;
mod attributes;
mod blueprints;
mod check;
mod config;
mod configuration;
mod connection;
mod defaults;
mod discovery;
mod kind;
mod lookup;
mod private;
mod problem;
mod rights;
pub mod schema;
mod session;
mod streams;

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// The provider of Airbyte.
#[derive(Debug)]
pub struct AirbyteProvider {
    schema: ProviderSchema,
    /// Environment variables with the prefixes `AIRBYTE_` and `SNOWFLAKE_`.
    variables: defaults::Variables,
}

impl AirbyteProvider {
    /// Creates the provider without connecting. Missing settings of the instance `airbyte` come from `AIRBYTE_*`
    /// variables, and the account for its data from `SNOWFLAKE_*`.
    #[must_use]
    pub fn new() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| defaults::is_known(name))?;
            Some((name, value.into_string().ok()?))
        };
        Self::with_variables(std::env::vars_os().filter_map(text).collect())
    }

    /// Creates the provider with the given environment variables.
    #[must_use]
    pub fn with_variables(variables: BTreeMap<String, String>) -> Self {
        let variables = variables.into_iter().map(|(name, text)| (name, text.into())).collect();
        Self { schema: schema::provider(), variables }
    }
}

impl Default for AirbyteProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for AirbyteProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::AirbyteSession::open(settings, &self.variables)?))
    }
}
