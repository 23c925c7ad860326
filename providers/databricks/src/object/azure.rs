//! What is around workspaces of Azure: themselves, who may do what with them in Azure, and what the account of Databricks says of
//! them.

pub(crate) mod metastore_assignment;
pub(crate) mod role_assignment;
pub(crate) mod workspace;
pub(crate) mod workspace_assignment;

use super::Place;
use crate::workspaces::Interface;
use terrace_provider::{Attributes, ProviderError, Value};

/// Whom one asks for objects of a type; nothing where that is a workspace.
pub(crate) fn interface(ty: &str) -> Option<Interface> {
    match ty {
        "databricks_workspace" | "databricks_azure_role_assignment" => Some(Interface::Management),
        "databricks_metastore_assignment" | "databricks_workspace_assignment" => Some(Interface::Account),
        _ => None,
    }
}

/// Whether what is there already is taken as it is: a plan that makes the workspace cannot see what comes with it.
pub(crate) fn takes_existing(planned: &Attributes) -> bool {
    planned.get("takeExisting").and_then(Value::as_bool).unwrap_or(false)
}

/// The same as an attribute, which nobody but the configuration says.
pub(crate) fn shown(like: &Attributes) -> (&'static str, Value) {
    ("takeExisting", takes_existing(like).into())
}

/// The id of the account, which its paths begin with.
pub(crate) fn account<'a>(place: &Place<'a>) -> Result<&'a str, ProviderError> {
    let account = place.config.account.as_ref().map(|account| account.id.as_str());
    account.ok_or_else(|| ProviderError::bug("the account is asked although nothing says which one it is"))
}
