//! The `local` provider: values, files, directories and commands of this machine.
//!
//! This is the smallest complete provider: read it first. [`schema`] declares the resource types. [`resources`] has one
//! file per type, each with a [`terrace_provider::Session`] for this type. `project` keeps every path inside the
//! project folder.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a wrong slice only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod blueprints;
mod project;
pub mod resources;
pub mod schema;
mod session;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// Values, files, directories and commands of this machine.
pub struct LocalProvider {
    schema: ProviderSchema,
}

impl LocalProvider {
    /// Creates the provider; it holds only its schema.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
    }
}

impl Default for LocalProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::LocalSession::open(settings)?))
    }
}
