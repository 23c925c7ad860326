//! The resource types in terms of requests.

pub(crate) mod azure;
pub(crate) mod container;
mod contents;
pub(crate) mod credential;
pub(crate) mod directory;
pub(crate) mod grant;
mod interface;
pub(crate) mod job;
pub(crate) mod permission;
pub(crate) mod pipeline;
mod privilege;
mod recreated;
pub(crate) mod repo;
pub(crate) mod settings;
pub(crate) mod view;

pub(crate) use crate::context::Context;
pub(crate) use interface::{Candidate, Object, Observation, time_of};
pub(crate) use recreated::{is_recreated, plan_recreated};

use crate::attributes::{optional_text, text};
use crate::principal;
use crate::workspaces::{Interface, Workspaces};
use terrace_provider::{Attributes, ProviderError, ResourceType};

/// Returns the implementation of a resource type.
pub(crate) fn of(ty: &ResourceType) -> Result<&'static dyn Object, ProviderError> {
    Ok(match ty.name {
        "databricks_git_credential" => &credential::Credential,
        "databricks_directory" => &directory::Directory,
        "databricks_repo" => &repo::Repo,
        "databricks_job" => &job::Job,
        "databricks_pipeline" => &pipeline::Pipeline,
        "databricks_permission" => &permission::Permission,
        "databricks_catalog" => &container::CATALOG,
        "databricks_schema" => &container::SCHEMA,
        "databricks_view" => &view::View,
        "databricks_grant" => &grant::Grant,
        "databricks_privilege" => &privilege::Privilege,
        "databricks_workspace" => &azure::workspace::AzureWorkspace,
        "databricks_azure_role_assignment" => &azure::role_assignment::RoleAssignment,
        "databricks_metastore_assignment" => &azure::metastore_assignment::MetastoreAssignment,
        "databricks_workspace_assignment" => &azure::workspace_assignment::WorkspaceAssignment,
        other => return Err(ProviderError::bug(format!("unknown resource type {other}"))),
    })
}

/// The parts of an id in normal form: hosts, users, and names in Unity Catalog and Azure ignore case.
pub(crate) fn id_parts(ty: &ResourceType, identity: &Attributes) -> Vec<String> {
    let is_in_catalog = ty.identity.contains(&"metastoreId");
    let is_of_azure = azure::interface(ty.name) == Some(Interface::Management);
    let part = |name: &&str| {
        let value = text(identity, name);
        match *name {
            "workspaceUrl" => Workspaces::url(&value).map_or(value, |base| base.shown().to_owned()),
            "path" => directory::normalized_path(&value),
            "principal" => match optional_text(identity, "principalKind") {
                Some(kind) => principal::normalized_as(&kind, &value),
                None => principal::normalized(&value),
            },
            "metastoreId" | "privilege" => value,
            _ if is_in_catalog || is_of_azure => value.to_lowercase(),
            _ => value,
        }
    };
    ty.identity.iter().map(part).collect()
}
