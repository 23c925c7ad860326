//! Jobs, pipelines, folders, repositories, permissions and Unity Catalog in workspaces of Databricks, and such workspaces of
//! Azure, by their REST APIs.
//!
//! One instance speaks to one or more workspaces: every resource says by `workspaceUrl` to which. Where names are not unique
//! (jobs) what terrace makes carries a tag, so that a create whose reply was lost is found again and never made twice.
//!
//! Read in this order: `schema` (the types), `config` (how an instance signs in, and to whom), `workspaces` (one client for each
//! host), `entra` (tokens of Azure), `session` (the calls), `object` and its submodules (the types in terms of requests), `lookup` (what others made).
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod attributes;
mod blueprints;
mod config;
mod dry_run;
mod entra;
mod failure;
mod fingerprint;
mod foreign;
mod identity;
mod json;
mod lookup;
mod mark;
mod object;
mod principal;
mod private;
mod rights;
pub mod schema;
mod session;
mod sql;
mod workspaces;

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// The provider of Databricks.
#[derive(Debug)]
pub struct DatabricksProvider {
    schema: ProviderSchema,
    variables: config::Variables,
}

impl DatabricksProvider {
    /// The provider, not connected to anything. Instances of its own name take from the process's variables how to sign in to
    /// Azure.
    #[must_use]
    pub fn new() -> Self {
        let is_known = |name: &str| config::VARIABLES.iter().any(|(_, names)| names.contains(&name));
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| is_known(name))?;
            Some((name, value.into_string().ok()?))
        };
        Self::with_variables(std::env::vars_os().filter_map(text).collect())
    }

    /// The same with other variables than those of the process.
    #[must_use]
    pub fn with_variables(variables: BTreeMap<String, String>) -> Self {
        let variables = variables.into_iter().map(|(name, text)| (name, text.into())).collect();
        Self { schema: schema::provider(), variables }
    }
}

impl Default for DatabricksProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for DatabricksProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::DatabricksSession::open(settings, &self.variables)?))
    }
}
