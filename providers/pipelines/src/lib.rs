//! The `pipelines` provider: resources over the library [`terrace_pipelines`], which runs pipelines.
//!
//! Reading order: [`schema`] (declarations of settings and resource types), [`settings`], `cluster_settings` and
//! `storage_settings` (a runner, databases, storage and sites from the settings of an instance), [`resource`] (resources with plan and apply).
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a wrong boundary only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod cluster_settings;
pub mod resource;
pub mod schema;
mod session;
pub mod settings;
mod storage_settings;
pub mod unclear_place;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use std::sync::Arc;
use terrace_pipelines::database::GuardProgram;
use terrace_pipelines::worker::Launch;
use terrace_pipelines::worker::launch::CurrentProgram;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// Provider of data pipelines.
pub struct PipelinesProvider {
    schema: ProviderSchema,
    launch: Arc<dyn Launch>,
    guard: Option<GuardProgram>,
}

impl PipelinesProvider {
    /// Creates the provider; workers of its pools run the current program. Without a guard program, only commands
    /// notice that a database has expired.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider(), launch: Arc::new(CurrentProgram), guard: None }
    }

    /// Replaces the launcher of workers, for programs that cannot act as a worker.
    #[must_use]
    pub fn with_launch(self, launch: Arc<dyn Launch>) -> Self {
        Self { launch, ..self }
    }

    /// Sets the program that guards databases.
    #[must_use]
    pub fn with_guard(self, guard: GuardProgram) -> Self {
        Self { guard: Some(guard), ..self }
    }
}

impl Default for PipelinesProvider {
    fn default() -> Self {
        Self::new()
    }
}

/// Exposes a secret, for a person who requested it or for the program that needs it.
#[must_use]
pub fn reveal(secret: &secrecy::SecretString) -> &str {
    secret.expose_secret()
}

#[async_trait]
impl Provider for PipelinesProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let databases = settings::project_databases(settings, self.guard.clone())?;
        // Every process that opens the provider makes sure that expired databases end.
        databases.guard_all().await;
        Ok(Arc::new(session::PipelinesSession::open(settings, Arc::clone(&self.launch), databases)?))
    }
}
