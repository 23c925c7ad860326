//! Objects of any API that a Kubernetes cluster serves, by server-side apply under the field manager `terrace`.
//!
//! A manifest describes some fields of an object; the server and other managers add more. The provider compares only
//! the described fields, in the form in which the server stored them at the last apply. The server's record of field
//! owners (`managedFields`) shows which lists have keys, and who changed a field.
//!
//! Read in this order: `schema` (the type and its attributes), `config` (connection settings), `cluster` (requests and
//! discovery), `target` (names of objects), `manifest` (texts and secrets), `fields` and `projection` (described
//! fields), `identity` and `grant` (missing rights), `ready` and `wait` (readiness and deletion), `session` (the calls),
//! [`client`] (the same connection for other crates), `program` (programs in containers).
#![forbid(unsafe_code)]
// Tests may slice strings at any index: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod client;
mod cluster;
mod config;
mod difference;
mod failure;
mod fields;
mod grant;
mod identity;
mod lookup;
mod manifest;
mod mark;
mod missing;
mod private;
mod program;
mod projection;
mod ready;
mod rights;
pub mod schema;
mod session;
mod target;
mod wait;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// The provider of Kubernetes.
#[derive(Debug)]
pub struct KubernetesProvider {
    schema: ProviderSchema,
}

impl KubernetesProvider {
    /// The provider, without any connection.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
    }
}

impl Default for KubernetesProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for KubernetesProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::KubernetesSession::open(settings)?))
    }
}
