//! The `witboost` provider: components that an existing specific provisioner of Witboost makes, and who has access to them.
//!
//! A specific provisioner ("adapter" from here on) is a web service that cannot be asked what is there: it is told what to
//! make or to remove, answers with a token, and tells by that token how the work stands. So what is recorded is what it was
//! told last, and a call that was cut off is found again by its token.
//!
//! Read in this order: [`schema`](mod@schema) (what there is), `adapter` (the API, without a word of terrace), `calls` (one
//! call from the first byte to its end, with what is journalled of it), `resources` (the types in those terms),
//! `validation` (what an adapter says before anything is done).
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
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

/// Components that specific provisioners of Witboost make.
#[derive(Debug)]
pub struct WitboostProvider {
    schema: ProviderSchema,
}

impl WitboostProvider {
    /// The provider; it holds nothing but its schema.
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
