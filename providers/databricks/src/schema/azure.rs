//! The resource types for workspaces in Azure.

use super::parts::{id, named, remote, text};
use crate::attributes::texts;
use crate::private::PrivateData;
use std::time::Duration;
use terrace_provider::{Attribute, AttributeType, Map, Object, Private, ResourceType, Timeouts};

pub(super) fn types() -> Vec<ResourceType> {
    vec![workspace(), metastore_assignment(), workspace_assignment(), role_assignment()]
}

/// The settings of a service principal. `config` has the environment variables.
pub(super) fn settings() -> Object {
    Object(vec![
        text("tenantId", "Tenant; or `ARM_TENANT_ID`."),
        text("clientId", "Application id; or `ARM_CLIENT_ID`."),
        text("clientSecret", "Secret; or `ARM_CLIENT_SECRET`.").sensitive(),
        text(
            "certificateFile",
            "Instead of a secret: PEM file with certificate and key, relative to the project folder; or `ARM_CLIENT_CERTIFICATE_PATH`.",
        ),
        text(
            "federatedTokenFile",
            "Instead of a secret: file with the token of a workload identity; or `AZURE_FEDERATED_TOKEN_FILE`.",
        ),
        text("environment", "Cloud: `public`, `usgovernment` or `china`; or `ARM_ENVIRONMENT`. Default `public`."),
        text("subscriptionId", "Subscription of workspaces; or `ARM_SUBSCRIPTION_ID`."),
        text("resourceGroup", "Resource group of new workspaces; the lookup `databricks_azure` returns it."),
        text("location", "Region of new workspaces; the lookup `databricks_azure` returns it."),
        text("loginHost", "Host of the token endpoint. Defaults to the cloud's; or `AZURE_AUTHORITY_HOST`."),
        text("managementHost", "Host of Azure Resource Manager. Defaults to the cloud's."),
        text("graphHost", "Host of Microsoft Graph. Defaults to the cloud's."),
    ])
}

/// Azure takes minutes to create a workspace, sometimes much longer.
const TIMEOUTS: Timeouts = Timeouts {
    create: Duration::from_secs(45 * 60),
    update: Duration::from_secs(45 * 60),
    delete: Duration::from_secs(45 * 60),
    // A read waits for a workspace that is still being created.
    read: Duration::from_secs(30 * 60),
};

fn workspace() -> ResourceType {
    let given = |name, doc| Attribute { stable: true, ..text(name, doc).or_computed().replaces() };
    let attributes = vec![
        named(
            "subscriptionId",
            "Subscription. Blueprints take it from `azure.subscriptionId` of the instance, or from `settings.databricks.managedWorkspace`.",
        ),
        named(
            "resourceGroup",
            "Existing resource group. Blueprints take it from `azure.resourceGroup` of the instance, or from `settings.databricks.managedWorkspace`.",
        ),
        named("name", "Name: 3 to 64 letters, digits, `_` and `-`."),
        named(
            "location",
            "Region, such as `westeurope`. Cannot be changed. Blueprints take it from `azure.location` of the instance, or from `settings.databricks.managedWorkspace`.",
        ),
        text("sku", "Tier: `premium`, which Unity Catalog needs, `standard` or `trial`.").default_value("premium"),
        given(
            "managedResourceGroup",
            "Resource group that Databricks creates for its own objects. Defaults to the name with `-rg`.",
        ),
        text("workspaceId", "Databricks' numeric id, for assignments.").stable(),
        text("url", "URL of the workspace.").stable(),
        text("resourceId", "Azure's id: the scope of role assignments.").stable(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_workspace",
        "A Databricks workspace in Azure. It is updated in place, never replaced.",
        &["subscriptionId", "resourceGroup", "name"],
        Object(attributes),
    );
    ResourceType { holds_data: true, timeouts: TIMEOUTS, ..remote(ty) }
}

pub(super) fn take_existing() -> Attribute {
    Attribute::new(
        "takeExisting",
        AttributeType::Bool,
        "Adopt an existing object that the plan could not see, and keep it on deletion. For objects that come with a workspace of the same plan.",
    )
    .default_value(false)
}

fn workspace_id() -> Attribute {
    named("workspaceId", "Numeric id of the workspace.")
}

fn metastore_assignment() -> ResourceType {
    let attributes = vec![
        workspace_id(),
        text("metastoreId", "Id of the metastore, from the lookup `databricks_account_metastore`.").required(),
        text("defaultCatalog", "Default catalog of names without one. Left out: not managed."),
        take_existing(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_metastore_assignment",
        "The metastore of a workspace.",
        &["workspaceId"],
        Object(attributes),
    );
    ResourceType { is_adopted: metastore_is_adopted, ..remote(ty) }
}

/// Returns true if the metastore was assigned before terrace.
fn metastore_is_adopted(attributes: &Map, private: &Private) -> bool {
    let before = PrivateData::of(private).preexisting;
    before.first().is_some_and(|it| attributes.get("metastoreId").and_then(|id| id.as_str()) == Some(it))
}

fn workspace_assignment() -> ResourceType {
    let attributes = vec![
        workspace_id(),
        named(
            "principalId",
            "Numeric id of the principal in the account, from the lookups `databricks_account_user`, `…_group` and `…_service_principal`.",
        ),
        Attribute::new("permissions", AttributeType::list(AttributeType::String), "`USER` or `ADMIN`.").required(),
        take_existing(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_workspace_assignment",
        "The permissions of a principal of the account in a workspace.",
        &["workspaceId", "principalId"],
        Object(attributes),
    );
    ResourceType { is_adopted: permissions_are_adopted, ..remote(ty) }
}

/// Returns true if all permissions existed before terrace.
fn permissions_are_adopted(attributes: &Map, private: &Private) -> bool {
    let (before, now) = (PrivateData::of(private).preexisting, texts(attributes, "permissions"));
    !before.is_empty() && before.len() == now.len() && now.iter().all(|it| before.contains(it))
}

fn role_assignment() -> ResourceType {
    let attributes = vec![
        named("scope", "Scope of the role: the id of a subscription, a resource group or an Azure resource."),
        named("role", "Name of the role, such as `Contributor`, or the id of its definition."),
        named("principalId", "Object id of the principal, from the lookup `databricks_azure_principal`."),
        named("principalKind", "`user`, `group` or `servicePrincipal`."),
        take_existing(),
        text("assignmentId", "Id of the assignment; terrace derives it from scope, role and principal.").stable(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_azure_role_assignment",
        "An Azure role of a principal on a workspace, its resource group or its subscription.",
        &["scope", "role", "principalId"],
        Object(attributes),
    );
    ResourceType { is_adopted: role_is_adopted, ..remote(ty) }
}

/// Returns true if the assignment existed before terrace.
fn role_is_adopted(_: &Map, private: &Private) -> bool {
    !PrivateData::of(private).preexisting.is_empty()
}
