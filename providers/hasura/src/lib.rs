//! Sources, tables and permissions of Hasura (v2), by its metadata API, and the roles of the service that tells Hasura who
//! somebody is: its role mapper.
//!
//! Everything of Hasura's is read by one `export_metadata`, and each change is one `bulk` under the version that was read:
//! so it is carried out whole or not at all, on what the change was decided by, and once however often its answer is lost.
//!
//! Read in this order: `schema` (the types), `config` (how an instance is reached), `engine` and `export` (the metadata API),
//! `mapper` (the role mapper), `resources` (the types in those terms), `session` (the calls).
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
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
mod private;
mod resources;
pub mod schema;
mod session;

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// So long one export answers questions: a plan asks them within a moment, and its changes name the version that they are of.
const EXPORT_ANSWERS: Duration = Duration::from_secs(3);

/// The provider of Hasura.
#[derive(Debug)]
pub struct HasuraProvider {
    schema: ProviderSchema,
    /// Variables of the process whose names begin with `HASURA_`, `ROLE_MAPPER_` or `SNOWFLAKE_`.
    variables: config::Variables,
    export_answers: Duration,
}

impl HasuraProvider {
    /// The provider, not connected to anything. What the instance `hasura` does not say is taken from `HASURA_*` and
    /// `ROLE_MAPPER_*` of the process, and what its Snowflake sources do not say from `SNOWFLAKE_*`.
    #[must_use]
    pub fn new() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| config::is_known(name))?;
            Some((name, value.into_string().ok().filter(|value| !value.is_empty())?))
        };
        Self::with_variables(std::env::vars_os().filter_map(text).collect())
    }

    /// The same with other variables than those of the process.
    #[must_use]
    pub fn with_variables(variables: BTreeMap<String, String>) -> Self {
        let variables = variables.into_iter().map(|(name, text)| (name, text.into())).collect();
        Self { schema: schema::provider(), variables, export_answers: EXPORT_ANSWERS }
    }

    /// The same that looks at Hasura anew after so long; at once where somebody else changes things between two questions.
    #[must_use]
    pub fn looking_again_after(mut self, time: Duration) -> Self {
        self.export_answers = time;
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
        Ok(Arc::new(session::HasuraSession::open(settings, &self.variables, self.export_answers)?))
    }
}
