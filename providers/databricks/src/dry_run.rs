//! What is looked at while a plan is made, beside the object itself: whether what is planned can be made at all. It changes
//! nothing, and what cannot be told so is told when it is needed.

use crate::object::Place;
use crate::object::azure::{role_assignment, workspace};
use crate::object::view::ahead;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, Finding, ProviderError, ResourceType, Severity};

/// The version of the interface for subscriptions: <https://learn.microsoft.com/en-us/rest/api/resources/subscriptions/list>.
const SUBSCRIPTIONS_VERSION: &str = "2022-12-01";

/// Whether anything can be told of an object as it is planned.
pub(crate) fn is_possible(ty: &ResourceType, planned: &Attributes) -> bool {
    let names: &[&str] = match ty.name {
        "databricks_view" => &["workspaceUrl", "warehouse", "source", "columns"],
        "databricks_workspace" => &["subscriptionId", "resourceGroup"],
        // Of what is made only now the role can be looked for.
        "databricks_azure_role_assignment" => &["role"],
        _ => return false,
    };
    names.iter().all(|name| planned.get(*name).is_none_or(|it| !it.has_unknown()))
}

/// What is wrong with it.
pub(crate) async fn findings(ty: &ResourceType, place: &Place<'_>, planned: &Attributes) -> Vec<Finding> {
    match ty.name {
        "databricks_workspace" => workspace::look_around(place, planned).await,
        "databricks_azure_role_assignment" => role_assignment::look_for_role(place, planned).await,
        _ => ahead::findings(place, planned).await.unwrap_or_else(|error| vec![not_checked(error)]),
    }
}

/// That nothing could be told.
pub(crate) fn not_checked(error: ProviderError) -> Finding {
    let message = format!("not checked: {error}");
    Finding { severity: Severity::Warning, path: None, message, hint: error.solutions.into_iter().next() }
}

/// Asks Azure for what everybody who signs in is answered.
pub(crate) async fn sign_in(management: &Place<'_>) -> Result<(), ProviderError> {
    let request = Request::get("/subscriptions", &[]).query("api-version", SUBSCRIPTIONS_VERSION);
    management.send(&request, &Purpose::look("list the subscriptions")).await.map(drop)
}
