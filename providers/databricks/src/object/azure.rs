//! Types for Databricks workspaces in Azure: workspaces, role assignments in Azure, and assignments in the Databricks
//! account.

pub(crate) mod metastore_assignment;
pub(crate) mod role_assignment;
pub(crate) mod workspace;
pub(crate) mod workspace_assignment;

use super::Context;
use crate::workspaces::Interface;
use terrace_provider::{Attributes, ProviderError, Value};

/// The API of a type; `None` for the API of a workspace.
pub(crate) fn interface(ty: &str) -> Option<Interface> {
    match ty {
        "databricks_workspace" | "databricks_azure_role_assignment" => Some(Interface::Management),
        "databricks_metastore_assignment" | "databricks_workspace_assignment" => Some(Interface::Account),
        _ => None,
    }
}

/// Returns true if an existing object is adopted as it is: a plan that creates the workspace cannot know its contents
/// yet.
pub(crate) fn takes_existing(planned: &Attributes) -> bool {
    planned.get("takeExisting").and_then(Value::as_bool).unwrap_or(false)
}

/// The same as an attribute, which only the configuration sets.
pub(crate) fn shown(like: &Attributes) -> (&'static str, Value) {
    ("takeExisting", takes_existing(like).into())
}

/// The id of the account, which begins the account's paths.
pub(crate) fn account<'a>(context: &Context<'a>) -> Result<&'a str, ProviderError> {
    let account = context.config.account.as_ref().map(|account| account.id.as_str());
    account.ok_or_else(|| ProviderError::bug("a request to the account without an account id"))
}
