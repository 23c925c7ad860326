//! What a service principal of Azure may not do around workspaces: told by reading alone, where that shows it.

use crate::config::Azure;
use crate::object::Place;
use crate::object::azure::account;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{ErrorKind, MissingRight, ProviderError};

/// The version of the interface for permissions: <https://learn.microsoft.com/en-us/rest/api/authorization/permissions>.
const VERSION: &str = "2022-04-01";
/// What is done in a resource group, by which action, and the role that gives it.
const ACTIONS: [(&str, &str, &str); 2] = [
    ("make workspaces", "Microsoft.Databricks/workspaces/write", "Contributor"),
    ("give roles", "Microsoft.Authorization/roleAssignments/write", "User Access Administrator"),
];
/// Microsoft Graph and its permission `Directory.Read.All` for applications:
/// <https://learn.microsoft.com/en-us/graph/permissions-reference#directoryreadall>.
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
const READS_ALL: &str = "7ab1d382-f21e-4acd-a863-ba3e13f7da61";

/// Whether an action is one of a pattern, in which `*` stands for any text and case makes no difference.
fn is_of(action: &str, pattern: &str) -> bool {
    let (action, pattern) = (action.to_lowercase(), pattern.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(between) = last.replace(part) {
            let Some((_, after)) = rest.split_once(between) else { return false };
            rest = after;
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// Whether one of several grants gives an action that it does not take away again.
fn gives(rows: &[Json], action: &str) -> bool {
    let has = |row: &Json, list: &str| {
        let patterns = row.get(list).and_then(Json::as_array).into_iter().flatten();
        patterns.filter_map(Json::as_str).any(|pattern| is_of(action, pattern))
    };
    rows.iter().any(|row| has(row, "actions") && !has(row, "notActions"))
}

/// What is missing in the resource group in which workspaces are made, where the settings name one.
///
/// # Errors
/// When Azure does not answer, or there is no such group.
pub(crate) async fn of_group(place: &Place<'_>, azure: &Azure) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let (Some(subscription), Some(group)) = (&azure.subscription, &azure.resource_group) else {
        return Ok(Some(Vec::new()));
    };
    let template = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Authorization/permissions";
    let request = Request::get(template, &[subscription, group]).query("api-version", VERSION);
    let api = &place.workspace.api;
    let rows = api.items(request, &place.within, "value", |page| Next::url(page, "nextLink")).await;
    let purpose = Purpose::look(format!("read what may be done in the resource group `{group}`"));
    let rows = match rows.map_err(|failure| api.error(&failure, &purpose)) {
        Err(error) if error.kind == ErrorKind::PermissionDenied => return Ok(None),
        rows => rows?,
    };
    let missing = ACTIONS.into_iter().filter(|(_, action, _)| !gives(&rows, action)).map(|(what, _, role)| MissingRight {
        operation: format!("{what} in the resource group `{group}`"),
        statement: format!(
            "az role assignment create --assignee {} --role \"{role}\" --scope /subscriptions/{subscription}/resourceGroups/{group}",
            azure.client
        ),
    });
    Ok(Some(missing.collect()))
}

/// Whether principals of Microsoft Entra ID may be looked for.
///
/// # Errors
/// When Microsoft Graph does not answer.
pub(crate) async fn of_directory(place: &Place<'_>, azure: &Azure) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let request = Request::get("/v1.0/users", &[]).query("$top", 1).query("$select", "id");
    let asked = place.send(&request, &Purpose::look("look for users of Microsoft Entra ID")).await;
    let statement = || {
        let id = &azure.client;
        format!(
            "az ad app permission add --id {id} --api {GRAPH} --api-permissions {READS_ALL}=Role && az ad app permission admin-consent --id {id}"
        )
    };
    one(asked, "look for principals of Microsoft Entra ID, which roles in Azure are given to", statement)
}

/// Whether the account may be worked in.
///
/// # Errors
/// When the account does not answer.
pub(crate) async fn of_account(place: &Place<'_>) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let request = Request::get("/api/2.0/accounts/{account}/metastores", &[account(place)?]);
    let asked = place.send(&request, &Purpose::look("list the metastores of the account")).await;
    let statement = || {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "add", "path": "roles", "value": [{"value": "account_admin"}]}],
        });
        format!("databricks account service-principals patch <its id in the account> --json '{body}'")
    };
    one(asked, "give workspaces a metastore, or let anybody in", statement)
}

/// A right that shows by one question.
fn one(
    asked: Result<Json, ProviderError>,
    operation: &str,
    statement: impl Fn() -> String,
) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    match asked {
        // Whoever is not let in at all lacks more than a right.
        Err(error) if error.kind == ErrorKind::PermissionDenied && is_of_a_right(&error) => {
            Ok(Some(vec![MissingRight { operation: operation.to_owned(), statement: statement() }]))
        }
        asked => asked.map(|_| Some(Vec::new())),
    }
}

fn is_of_a_right(error: &ProviderError) -> bool {
    error.vendor_code.as_deref().is_some_and(|code| code.ends_with("HTTP 403"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_of_patterns() {
        let action = "Microsoft.Databricks/workspaces/write";
        for pattern in ["*", "microsoft.databricks/*", "*/write", "Microsoft.*/workspaces/*", action] {
            assert!(is_of(action, pattern), "{pattern}");
        }
        for pattern in ["", "*/read", "Microsoft.Databricks/workspaces", "Microsoft.Databricks/*/write/*", "x*"] {
            assert!(!is_of(action, pattern), "{pattern}");
        }
        let grants = |rows: Json| gives(rows.as_array().unwrap(), action);
        assert!(!grants(json!([])));
        assert!(!grants(json!([{"actions": ["*"], "notActions": ["Microsoft.Databricks/*/write"]}])));
        assert!(grants(json!([{"actions": ["*/read"]}, {"actions": ["*"], "notActions": ["*/delete"]}])));
    }
}
