//! The `kafka` provider: topics, access control lists and schemas of Apache Kafka and Confluent clusters, by Kafka's own
//! protocol, and by the REST interface of a schema registry.
//!
//! Read in this order: [`schema`](mod@schema) (what there is), `wire` (the protocol, without a word of terrace), `admin`
//! (what a cluster is asked, in terms of topics and access), `registry` (the same for schemas), `resources` (the types in
//! those terms), `rights` (what who asks may do), `session` (which call goes where), `failure` (what is told of what went wrong).
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
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

/// Topics, access and schemas of Kafka clusters.
#[derive(Debug)]
pub struct KafkaProvider {
    schema: ProviderSchema,
}

impl KafkaProvider {
    /// The provider; it holds nothing but its schema.
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
