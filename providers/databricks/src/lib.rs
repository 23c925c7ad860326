//! The `databricks` provider: jobs, pipelines, folders, repositories, permissions and Unity Catalog in Databricks
//! workspaces, and Databricks workspaces in Azure, through their REST APIs.
//!
//! An instance serves one or more workspaces: each resource names its workspace by `workspaceUrl`. Where names are not
//! unique (jobs), created objects carry a tag, so that a create with a lost answer is found and never repeated.
//!
//! Read in this order: `schema` (the types), `config` (credentials and hosts), `workspaces` (one client per host),
//! `entra` (tokens of Azure), `session` (the calls), `object` and its submodules (the types in terms of requests),
//! `lookup` (lookups of existing objects).
#![forbid(unsafe_code)]
// Tests may slice strings: a bad slice fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod attributes;
mod blueprints;
mod config;
mod context;
mod dry_run;
mod entra;
mod external_grants;
mod failure;
mod fingerprint;
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
    /// Creates the provider without connecting. The instance `databricks` takes Azure credentials from environment
    /// variables.
    #[must_use]
    pub fn new() -> Self {
        let is_known = |name: &str| config::VARIABLES.iter().any(|(_, names)| names.contains(&name));
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| is_known(name))?;
            Some((name, value.into_string().ok()?))
        };
        Self::with_variables(std::env::vars_os().filter_map(text).collect())
    }

    /// Creates the provider with the given environment variables.
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
