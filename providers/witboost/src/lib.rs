//! The `witboost` provider: components of existing specific provisioners of Witboost, and access to them.
//!
//! A specific provisioner ("adapter" from here on) is a web service that cannot list its objects. It accepts a request
//! to create or delete a component, answers with a token, and reports the state of the work by that token. So the state
//! records the last request, and an interrupted call is resolved by its token.
//!
//! Read in this order: [`schema`](mod@schema) (the resource types), `adapter` (the API, independent of terrace),
//! `calls` (a call from the request to its end, with its journal), `resources` (the types in these terms), `validation`
//! (checks during the plan).
#![forbid(unsafe_code)]
// Tests may slice strings: a bad slice fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod adapter;
mod calls;
mod config;
mod endpoint;
mod failure;
mod mark;
mod resources;
pub mod schema;
mod session;
mod validation;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// Provider for components of Witboost's specific provisioners.
#[derive(Debug)]
pub struct WitboostProvider {
    schema: ProviderSchema,
}

impl WitboostProvider {
    /// Creates the provider. It holds only its schema.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
    }
}

impl Default for WitboostProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for WitboostProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::WitboostSession::open(settings)?))
    }
}
