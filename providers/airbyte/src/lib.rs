//! Sources, destinations and connections in Airbyte, by its public API: <https://reference.airbyte.com/>.
//!
//! Everything is changed in place, so that the state of syncs and their history survive. Names are how Airbyte's objects are
//! found again: within a workspace each has to be the only one of its kind.
//!
//! Read in this order: `schema` (the types), `config` (how an instance is reached), `airbyte` and `problem` (the API, without
//! a word of plans), `configuration` (what connectors are told), `defaults` (what variables say), `kind`, `actor` and `connection` (the types in terms of the
//! API), `session` (the calls), `rights`, `discovery` and `check` (what a plan can know), `lookup`.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
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
    /// Variables of the process whose names begin with `AIRBYTE_` or `SNOWFLAKE_`.
    variables: defaults::Variables,
}

impl AirbyteProvider {
    /// The provider, not connected to anything. What the instance `airbyte` does not say is taken from `AIRBYTE_*` of the
    /// process, and the account that its data lands in from `SNOWFLAKE_*`.
    #[must_use]
    pub fn new() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| defaults::is_known(name))?;
            Some((name, value.into_string().ok()?))
        };
        Self::with_variables(std::env::vars_os().filter_map(text).collect())
    }

    /// The same with other variables than those of the process.
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
