//! The `pipelines` provider: data pipelines of frictionless datapackage-pipelines (dpp), run on this machine.
//!
//! Read in this order: [`spec`] (what people write), [`fingerprint`] (what a result depends on), [`environment`] (the Python
//! that steps run in), [`executor`] (programs that are run), [`run`] (one run, and several in their order), [`schedule`]
//! (runs that start by themselves), [`resource`] (the same as resources with plan and apply), [`schema`] (what there is).
//! `settings` puts a runner together, [`doctor`] says what it lacks.
//!
//! What runs is dpp's own: its processors, its wrapper, its stream between steps. Its manager is not used: see
//! [`executor::local`] for why.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod doctor;
pub mod environment;
pub mod executor;
pub mod fingerprint;
pub mod resource;
pub mod run;
pub mod schedule;
pub mod schema;
mod session;
pub mod settings;
pub mod spec;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// Data pipelines.
pub struct PipelinesProvider {
    schema: ProviderSchema,
}

impl PipelinesProvider {
    /// The provider; it holds nothing but its schema.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
    }
}

impl Default for PipelinesProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for PipelinesProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::PipelinesSession::open(settings)?))
    }
}
