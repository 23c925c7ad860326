//! The `pipelines` provider: data pipelines of frictionless datapackage-pipelines (dpp), run on this machine.
//!
//! Read in this order: [`spec`] (what people write), [`fingerprint`] (what a result depends on), [`environment`] (the Python
//! that steps run in), [`executor`] (programs that are run), [`run`] (one run, and several in their order), [`database`]
//! (what they write into), [`resource`] (the same as resources with plan and apply), [`schema`] (what there is). `settings`
//! puts a runner together. Runs that wait for a worker are in the [`queue`]; [`worker`] is what takes them. [`storage`]
//! brings what was made to others, and [`site`] shows it to people; [`schedule`] is about runs that start by themselves,
//! [`doctor`] says what is missing.
//!
//! What runs is dpp's own: its processors, its wrapper, its stream between steps. Its manager is not used: see
//! [`executor::local`] for why.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod database;
pub mod doctor;
pub mod environment;
pub mod executor;
pub mod fingerprint;
mod held;
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
use worker::launch::Itself;

/// Data pipelines.
pub struct PipelinesProvider {
    schema: ProviderSchema,
    launch: Arc<dyn Launch>,
    guard: Option<GuardProgram>,
}

impl PipelinesProvider {
    /// The provider; workers of its pools are this very program. Without a program that keeps databases only commands look
    /// whether the time of one is over.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider(), launch: Arc::new(Itself), guard: None }
    }

    /// The same with other workers, for programs that cannot be one.
    #[must_use]
    pub fn with_launch(self, launch: Arc<dyn Launch>) -> Self {
        Self { launch, ..self }
    }

    /// The same, with a program that keeps databases.
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

/// What a secret says: for a person who asked for it, or the program that it is for.
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
        // Whoever opens the provider sees to it that what is to end does.
        databases.guard_all().await;
        Ok(Arc::new(session::PipelinesSession::open(settings, Arc::clone(&self.launch), databases)?))
    }
}
