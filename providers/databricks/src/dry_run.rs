//! Checks during the plan if a planned object can be created. The checks change nothing; a failed check is a warning,
//! and the apply reports the problem later.

use crate::object::Context;
use crate::object::azure::{role_assignment, workspace};
use crate::object::view::plan_checks;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, Finding, ProviderError, ResourceType, Severity};

/// The API version for subscriptions: <https://learn.microsoft.com/en-us/rest/api/resources/subscriptions/list>.
const SUBSCRIPTIONS_VERSION: &str = "2022-12-01";

/// Returns true if a planned object can be checked.
pub(crate) fn is_possible(ty: &ResourceType, planned: &Attributes) -> bool {
    let names: &[&str] = match ty.name {
        "databricks_view" => &["workspaceUrl", "warehouse", "source", "columns"],
        "databricks_workspace" => &["subscriptionId", "resourceGroup"],
        // Only the role can be checked before the object exists.
        "databricks_azure_role_assignment" => &["role"],
        _ => return false,
    };
    names.iter().all(|name| planned.get(*name).is_none_or(|it| !it.has_unknown()))
}

/// Returns the problems of a planned object.
pub(crate) async fn findings(ty: &ResourceType, context: &Context<'_>, planned: &Attributes) -> Vec<Finding> {
    match ty.name {
        "databricks_workspace" => workspace::check_resource_group(context, planned).await,
        "databricks_azure_role_assignment" => role_assignment::check_role(context, planned).await,
        _ => plan_checks::findings(context, planned).await.unwrap_or_else(|error| vec![not_checked(error)]),
    }
}

/// The warning that a check failed.
pub(crate) fn not_checked(error: ProviderError) -> Finding {
    let message = format!("not checked: {error}");
    Finding { severity: Severity::Warning, path: None, message, hint: error.hint() }
}

/// Sends a request to Azure that every signed-in principal may make.
pub(crate) async fn sign_in(management: &Context<'_>) -> Result<(), ProviderError> {
    let request = Request::get("/subscriptions", &[]).query("api-version", SUBSCRIPTIONS_VERSION);
    management.send(&request, &Purpose::read("list the subscriptions")).await.map(drop)
}
