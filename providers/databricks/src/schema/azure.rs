//! The types around workspaces of Azure.

use super::{id, named, remote, text};
use crate::attributes::texts;
use crate::private::Kept;
use std::time::Duration;
use terrace_provider::{Attribute, AttributeType, Map, Object, Private, ResourceType, Timeouts};

pub(super) fn types() -> Vec<ResourceType> {
    vec![workspace(), metastore_assignment(), workspace_assignment(), role_assignment()]
}

/// The settings of a service principal. The variables that stand for them: `config`.
pub(super) fn settings() -> Object {
    Object(vec![
        text("tenantId", "Its tenant; or `ARM_TENANT_ID`."),
        text("clientId", "Its application id; or `ARM_CLIENT_ID`."),
        text("clientSecret", "Its secret; or `ARM_CLIENT_SECRET`.").sensitive(),
        text(
            "certificateFile",
            "Instead of a secret: its certificate with the key (PEM), relative to the project folder; or `ARM_CLIENT_CERTIFICATE_PATH`.",
        ),
        text(
            "federatedTokenFile",
            "Instead of a secret: the file with the token of a workload identity; or `AZURE_FEDERATED_TOKEN_FILE`.",
        ),
        text("environment", "The cloud: `public`, `usgovernment` or `china`; or `ARM_ENVIRONMENT`. Default `public`."),
        text("subscriptionId", "Where workspaces are; or `ARM_SUBSCRIPTION_ID`."),
        text("resourceGroup", "Where workspaces are made, as the lookup `databricks_azure` says."),
        text("location", "The region where workspaces are made, as the lookup `databricks_azure` says."),
        text("loginHost", "Who gives out tokens, where that is not the cloud's; or `AZURE_AUTHORITY_HOST`."),
        text("managementHost", "What manages resources, where that is not the cloud's."),
        text("graphHost", "Where Microsoft Graph is, where that is not the cloud's."),
    ])
}

/// Azure takes minutes to make one, and now and then many.
const TIMEOUTS: Timeouts = Timeouts {
    create: Duration::from_secs(45 * 60),
    update: Duration::from_secs(45 * 60),
    delete: Duration::from_secs(45 * 60),
    // One that is found while it is made is waited for.
    read: Duration::from_secs(30 * 60),
};

fn workspace() -> ResourceType {
    let given = |name, doc| Attribute { stable: true, ..text(name, doc).or_computed().replaces() };
    let attributes = vec![
        named(
            "subscriptionId",
            "The subscription. Blueprints take it from `azure.subscriptionId` of the instance, or from `settings.databricks.managedWorkspace`.",
        ),
        named(
            "resourceGroup",
            "The resource group, which has to be there. Blueprints take it from `azure.resourceGroup` of the instance, or from `settings.databricks.managedWorkspace`.",
        ),
        named("name", "The name: 3 to 64 letters, digits, `_` and `-`."),
        named(
            "location",
            "The region: `westeurope`. That of one that is there cannot be changed. Blueprints take it from `azure.location` of the instance, or from `settings.databricks.managedWorkspace`.",
        ),
        text("sku", "The tier: `premium`, which Unity Catalog needs, `standard` or `trial`.").default_value("premium"),
        given(
            "managedResourceGroup",
            "The resource group that Databricks makes for what it needs; the name and `-rg` where it is not said.",
        ),
        text("workspaceId", "The number that Databricks knows it by, for assignments.").stable(),
        text("url", "Its URL, for what lives in it.").stable(),
        text("resourceId", "The id that Azure knows it by: the scope of role assignments.").stable(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_workspace",
        "A workspace of Azure; one that is there is aligned, and none is ever replaced.",
        &["subscriptionId", "resourceGroup", "name"],
        Object(attributes),
    );
    ResourceType { holds_data: true, timeouts: TIMEOUTS, ..remote(ty) }
}

pub(super) fn take_existing() -> Attribute {
    Attribute::new(
        "takeExisting",
        AttributeType::Bool,
        "What is there already, although the plan could not see it, is taken as it is, and stays when this goes: for what comes with a workspace that the same plan makes.",
    )
    .default_value(false)
}

fn workspace_id() -> Attribute {
    named("workspaceId", "The number of the workspace.")
}

fn metastore_assignment() -> ResourceType {
    let attributes = vec![
        workspace_id(),
        text("metastoreId", "The id of the metastore, which the lookup `databricks_account_metastore` answers.")
            .required(),
        text("defaultCatalog", "The catalog of names that say none; where none is said, it is nobody's to manage."),
        take_existing(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_metastore_assignment",
        "Which metastore of the account a workspace is of.",
        &["workspaceId"],
        Object(attributes),
    );
    ResourceType { is_borrowed: metastore_is_borrowed, ..remote(ty) }
}

/// It was there before.
fn metastore_is_borrowed(attributes: &Map, private: &Private) -> bool {
    let before = Kept::of(private).preexisting;
    before.first().is_some_and(|it| attributes.get("metastoreId").and_then(|id| id.as_str()) == Some(it))
}

fn workspace_assignment() -> ResourceType {
    let attributes = vec![
        workspace_id(),
        named(
            "principalId",
            "The number of the principal in the account, which the lookups `databricks_account_user`, `…_group` and `…_service_principal` answer.",
        ),
        Attribute::new("permissions", AttributeType::list(AttributeType::String), "`USER` or `ADMIN`.").required(),
        take_existing(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_workspace_assignment",
        "What somebody of the account is in a workspace.",
        &["workspaceId", "principalId"],
        Object(attributes),
    );
    ResourceType { is_borrowed: permissions_are_borrowed, ..remote(ty) }
}

/// All of it was there before.
fn permissions_are_borrowed(attributes: &Map, private: &Private) -> bool {
    let (before, now) = (Kept::of(private).preexisting, texts(attributes, "permissions"));
    !before.is_empty() && before.len() == now.len() && now.iter().all(|it| before.contains(it))
}

fn role_assignment() -> ResourceType {
    let attributes = vec![
        named("scope", "What the role is for: the id of a subscription, a resource group or a resource of Azure."),
        named("role", "The role: its name, such as `Contributor`, or the id of its definition."),
        named("principalId", "The object id of the principal, which the lookup `databricks_azure_principal` answers."),
        named("principalKind", "`user`, `group` or `servicePrincipal`."),
        take_existing(),
        text("assignmentId", "The id of the assignment; that of ours follows from scope, role and principal.").stable(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_azure_role_assignment",
        "A role that somebody has in Azure on a workspace, or on what it is in.",
        &["scope", "role", "principalId"],
        Object(attributes),
    );
    ResourceType { is_borrowed: role_is_borrowed, ..remote(ty) }
}

/// Somebody else had given it before.
fn role_is_borrowed(_: &Map, private: &Private) -> bool {
    !Kept::of(private).preexisting.is_empty()
}
