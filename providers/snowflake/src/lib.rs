//! Databases, schemas, tables, views, roles, grants and tags in Snowflake, by its SQL API v2: no driver, one statement a
//! request, and no session on the other side.
//!
//! Every statement has a request id of its own. A request whose answer was lost is sent again under the same id, and
//! Snowflake answers with what came of the first one: so a statement is carried out once, however often its answer is lost.
//!
//! Read in this order: `schema` (the types), `config` (how an instance is reached), `client` (the API, without a word of
//! terrace), `session` (the calls), `object` and its submodules (the types in terms of statements), `rights` (what the role of
//! an instance has).
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod blueprints;
mod client;
mod config;
mod data_type;
mod failure;
mod identifier;
mod identity;
mod lookup;
mod object;
mod rights;
pub mod schema;
mod session;
mod sql_type;
mod statements;
mod tokenizer;

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// The provider of Snowflake.
#[derive(Debug)]
pub struct SnowflakeProvider {
    schema: ProviderSchema,
    /// Variables of the process whose names begin with `SNOWFLAKE_`.
    variables: config::Variables,
}

impl SnowflakeProvider {
    /// The provider, not connected to anything. What the instance `snowflake` does not say is taken from `SNOWFLAKE_*` of the
    /// process.
    #[must_use]
    pub fn new() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("SNOWFLAKE_"))?;
            Some((name, value.into_string().ok().filter(|value| !value.is_empty())?))
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

impl Default for SnowflakeProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for SnowflakeProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::SnowflakeSession::open(settings, &self.variables)?))
    }
}
