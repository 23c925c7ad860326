//! The `pipelines` provider: data pipelines of frictionless datapackage-pipelines (dpp), run on this machine.
//!
//! Reading order: [`spec`] (the specs that users write), [`fingerprint`] (the inputs of a result), [`environment`] (the
//! Python environment of steps), [`executor`] (programs that runs start), [`run`] (one run, and several in order),
//! [`database`] (where pipelines write tables), [`resource`] (resources with plan and apply), [`schema`] (their
//! declarations). `settings` builds a runner. Runs wait for a worker in the [`queue`]; a [`worker`] executes them.
//! [`storage`] copies results to other places, and [`site`] shows them to people; [`schedule`] starts runs by time,
//! [`doctor`] reports missing software.
//!
//! Runs execute dpp's processors, its wrapper and its stream between steps, but not its manager: [`executor::local`]
//! says why.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a wrong boundary only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod database;
pub mod doctor;
pub mod environment;
pub mod executor;
mod file_lock;
pub mod fingerprint;
mod private;
pub mod queue;
pub mod resource;
pub mod run;
pub mod schedule;
pub mod schema;
mod session;
pub mod settings;
pub mod site;
pub mod spec;
pub mod storage;
pub mod worker;

use async_trait::async_trait;
use database::GuardProgram;
use secrecy::ExposeSecret;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};
use worker::Launch;
use worker::launch::CurrentProgram;

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
        let databases = settings::databases(settings, self.guard.clone());
        // Every process that opens the provider makes sure that expired databases end.
        databases.guard_all().await;
        Ok(Arc::new(session::PipelinesSession::open(settings, Arc::clone(&self.launch), databases)?))
    }
}
