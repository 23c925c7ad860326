//! What is looked at while a plan is made, beside the object itself: whether what is planned can be made at all. It changes
//! nothing, and what cannot be told so is told when it is needed.

use crate::attributes::{text, text_of};
use crate::object::Place;
use crate::object::azure::{role_assignment, workspace};
use crate::object::view::{self, fit};
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, Finding, Path, ProviderError, ResourceType, Severity};

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
        _ => look_at_view(place, planned).await.unwrap_or_else(|error| vec![not_checked(error)]),
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

/// What a view needs to be there, as far as it can be told before.
async fn look_at_view(place: &Place<'_>, planned: &Attributes) -> Result<Vec<Finding>, ProviderError> {
    let mut findings = Vec::new();
    let note = |severity, path: Option<&str>, message: String, hint: &str| Finding {
        severity,
        path: path.map(Path::attribute),
        message,
        hint: Some(hint.to_owned()),
    };
    let id = text(planned, "warehouse");
    let request = Request::get("/api/2.0/sql/warehouses/{id}", &[&id]);
    match place.ask(&request, "look at the warehouse").await? {
        None => findings.push(note(
            Severity::Error,
            Some("warehouse"),
            format!("there is no SQL warehouse of the id `{id}`"),
            "the lookup `databricks_sql_warehouse` answers with the id of a name",
        )),
        Some(it) if text_of(&it, "state") == "STOPPED" => findings.push(note(
            Severity::Note,
            Some("warehouse"),
            format!("the SQL warehouse `{}` is stopped", text_of(&it, "name")),
            "the first statement starts it, which takes a while and costs what it costs",
        )),
        Some(_) => {}
    }
    let Some(source) = view::source(planned).map(|source| source.join(".").to_lowercase()) else {
        return Ok(findings);
    };
    let Some(table) = view::table(place, &source).await? else {
        let message = format!("not checked: `{source}` is not there yet");
        let hint = "it has to be made before this view: by the same apply, or by the component that declares it";
        findings.push(note(Severity::Warning, None, message, hint));
        return Ok(findings);
    };
    // A view may be changed by the same apply: it is looked at again before a statement is sent.
    let is_view = text_of(&table, "table_type") == "VIEW";
    let misfit = |it: fit::Misfit| Finding {
        severity: if is_view { Severity::Warning } else { Severity::Error },
        path: Some(it.path),
        message: it.message,
        hint: Some(it.hint),
    };
    findings.extend(fit::misfits(planned, &source, &table).into_iter().map(misfit));
    Ok(findings)
}
