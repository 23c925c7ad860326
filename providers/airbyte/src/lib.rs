//! Sources, destinations and connections in Airbyte, by its public API: <https://reference.airbyte.com/>.
//!
//! Everything is changed in place, so that the state of syncs and their history survive. Names are how Airbyte's objects are
//! found again: within a workspace each has to be the only one of its kind.
//!
//! Read in this order: `schema` (the types), `config` (how an instance is reached), `airbyte` and `problem` (the API, without
//! a word of plans), `configuration` (what connectors are told), `kind`, `actor` and `connection` (the types in terms of the
//! API), `session` (the calls), `discovery` and `check` (what a plan can know), `lookup`.
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
mod discovery;
mod kind;
mod lookup;
mod private;
mod problem;
pub mod schema;
mod session;
mod streams;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// The provider of Airbyte.
#[derive(Debug)]
pub struct AirbyteProvider {
    schema: ProviderSchema,
}

impl AirbyteProvider {
    /// The provider, not connected to anything.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
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
        Ok(Arc::new(session::AirbyteSession::open(settings)?))
    }
}
