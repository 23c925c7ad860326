//! Databases, schemas, tables, views, roles, grants and tags in Snowflake, by its SQL API v2: without a driver, one
//! statement per request, and no session on the server.
//!
//! Every statement has a request id. A request with a lost answer is sent again under the same id, and Snowflake
//! returns the result of the first one. So a statement runs once, no matter how often its answer is lost.
//!
//! Read in this order: `schema` (resource types), `config` (connection settings), `client` (the API), `session` (the
//! calls), `object` with its submodules (the types as statements), `rights` (rights of the instance's role).
#![forbid(unsafe_code)]
// Tests may slice strings at any index: a wrong index fails the test.
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
    /// Environment variables that begin with `SNOWFLAKE_`.
    variables: config::Variables,
}

impl SnowflakeProvider {
    /// The provider, without any connection. `SNOWFLAKE_*` variables supply missing settings of the instance
    /// `snowflake`.
    #[must_use]
    pub fn new() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("SNOWFLAKE_"))?;
            Some((name, value.into_string().ok().filter(|value| !value.is_empty())?))
        };
        Self::with_variables(std::env::vars_os().filter_map(text).collect())
    }

    /// The same with these variables instead of those of the process.
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
