//! The `kafka` provider: topics, access control lists and schemas of Apache Kafka and Confluent clusters. It uses
//! Kafka's own protocol and the REST interface of a schema registry.
//!
//! Read in this order: [`schema`](mod@schema) (the resource types), `wire` (the protocol, independent of terrace),
//! `admin` (requests about topics and access), `registry` (requests about schemas), `resources` (the resource types in
//! these terms), `rights` (the caller's rights), `session` (dispatch of calls), `failure` (errors).
#![forbid(unsafe_code)]
// Tests may slice strings: a bad slice fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod admin;
mod attributes;
mod blueprints;
mod config;
mod failure;
mod mark;
mod object_id;
mod polling;
mod registry;
mod resources;
mod rights;
pub mod schema;
mod session;
mod wire;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// Provider for topics, access and schemas of Kafka clusters.
#[derive(Debug)]
pub struct KafkaProvider {
    schema: ProviderSchema,
}

impl KafkaProvider {
    /// Creates the provider. It holds only its schema.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
    }
}

impl Default for KafkaProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for KafkaProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::KafkaSession::open(settings)?))
    }
}
