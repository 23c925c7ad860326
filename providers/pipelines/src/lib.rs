//! The `pipelines` provider: data pipelines of frictionless datapackage-pipelines (dpp), run on this machine.
//!
//! Read in this order: [`spec`] (what people write), [`fingerprint`] (what a result depends on), [`environment`] (the Python
//! that steps run in), [`executor`] (programs that are run), [`run`] (one run, and several in their order), [`resource`]
//! (the same as resources with plan and apply), [`schema`] (what there is). `settings` puts a runner together. Runs that wait
//! for a worker are in the [`queue`]; [`worker`] is what takes them.
//!
//! What runs is dpp's own: its processors, its wrapper, its stream between steps. Its manager is not used: see
//! [`executor::local`] for why.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod environment;
pub mod executor;
pub mod fingerprint;
pub mod queue;
pub mod resource;
pub mod run;
pub mod schema;
mod session;
pub mod settings;
pub mod spec;
pub mod worker;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};
use worker::Launch;
use worker::launch::Itself;

/// Data pipelines.
pub struct PipelinesProvider {
    schema: ProviderSchema,
    launch: Arc<dyn Launch>,
}

impl PipelinesProvider {
    /// The provider; workers of its pools are this very program.
    #[must_use]
    pub fn new() -> Self {
        Self::with_launch(Arc::new(Itself))
    }

    /// The same with other workers, for programs that cannot be one.
    #[must_use]
    pub fn with_launch(launch: Arc<dyn Launch>) -> Self {
        Self { schema: schema::provider(), launch }
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
        Ok(Arc::new(session::PipelinesSession::open(settings, Arc::clone(&self.launch))?))
    }
}
