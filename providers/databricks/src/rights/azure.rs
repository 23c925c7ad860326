//! Reports missing rights of a service principal in Azure. Only reads, so some rights cannot be determined.

use crate::config::Azure;
use crate::object::Context;
use crate::object::azure::account;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{ErrorKind, MissingRight, ProviderError};

/// The API version for permissions: <https://learn.microsoft.com/en-us/rest/api/authorization/permissions>.
const VERSION: &str = "2022-04-01";
/// Operations in a resource group: the text, the Azure action, and the role that grants it.
const ACTIONS: [(&str, &str, &str); 2] = [
    ("create workspaces", "Microsoft.Databricks/workspaces/write", "Contributor"),
    ("assign roles", "Microsoft.Authorization/roleAssignments/write", "User Access Administrator"),
];
/// Microsoft Graph and its permission `Directory.Read.All` for applications:
/// <https://learn.microsoft.com/en-us/graph/permissions-reference#directoryreadall>.
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
const READS_ALL: &str = "7ab1d382-f21e-4acd-a863-ba3e13f7da61";

/// Returns true if an action matches a pattern, in which `*` stands for any text. Case is ignored.
fn matches_pattern(action: &str, pattern: &str) -> bool {
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

/// Returns true if from_answer of several grants includes an action without excluding it.
fn gives(rows: &[Json], action: &str) -> bool {
    let has = |row: &Json, list: &str| {
        let patterns = row.get(list).and_then(Json::as_array).into_iter().flatten();
        patterns.filter_map(Json::as_str).any(|pattern| matches_pattern(action, pattern))
    };
    rows.iter().any(|row| has(row, "actions") && !has(row, "notActions"))
}

/// Returns the missing rights in the configured resource group of new workspaces.
///
/// # Errors
/// If Azure does not answer, or the group does not exist.
pub(crate) async fn of_group(context: &Context<'_>, azure: &Azure) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let (Some(subscription), Some(group)) = (&azure.subscription, &azure.resource_group) else {
        return Ok(Some(Vec::new()));
    };
    let template = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Authorization/permissions";
    let request = Request::get(template, &[subscription, group]).query("api-version", VERSION);
    let api = &context.workspace.api;
    let rows = api.items(request, &context.within, "value", |page| Next::url(page, "nextLink")).await;
    let purpose = Purpose::read(format!("read the permissions in the resource group `{group}`"));
    let rows = match rows.map_err(|failure| api.error(&failure, &purpose)) {
        Err(error) if error.kind == ErrorKind::PermissionDenied => return Ok(None),
        rows => rows?,
    };
    let missing = ACTIONS.into_iter().filter(|(_, action, _)| !gives(&rows, action)).map(|(operation, _, role)| MissingRight {
        operation: format!("{operation} in the resource group `{group}`"),
        statement: format!(
            "az role assignment create --assignee {} --role \"{role}\" --scope /subscriptions/{subscription}/resourceGroups/{group}",
            azure.client
        ),
    });
    Ok(Some(missing.collect()))
}

/// Reports a missing right to read principals of Microsoft Entra ID.
///
/// # Errors
/// If Microsoft Graph does not answer.
pub(crate) async fn of_directory(
    context: &Context<'_>,
    azure: &Azure,
) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let request = Request::get("/v1.0/users", &[]).query("$top", 1).query("$select", "id");
    let answer = context.send(&request, &Purpose::read("list users of Microsoft Entra ID")).await;
    let statement = || {
        let id = &azure.client;
        format!(
            "az ad app permission add --id {id} --api {GRAPH} --api-permissions {READS_ALL}=Role && az ad app permission admin-consent --id {id}"
        )
    };
    from_answer(answer, "look up principals of Microsoft Entra ID for Azure role assignments", statement)
}

/// Reports a missing right in the Databricks account.
///
/// # Errors
/// If the account does not answer.
pub(crate) async fn of_account(context: &Context<'_>) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let request = Request::get("/api/2.0/accounts/{account}/metastores", &[account(context)?]);
    let answer = context.send(&request, &Purpose::read("list the metastores of the account")).await;
    let statement = || {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "add", "path": "roles", "value": [{"value": "account_admin"}]}],
        });
        format!("databricks account service-principals patch <its id in the account> --json '{body}'")
    };
    from_answer(answer, "assign metastores and principals to workspaces", statement)
}

/// Derives a missing right from the answer to from_answer request.
fn from_answer(
    answer: Result<Json, ProviderError>,
    operation: &str,
    statement: impl Fn() -> String,
) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    match answer {
        // A failed sign-in is more than a missing right.
        Err(error) if error.kind == ErrorKind::PermissionDenied && is_forbidden(&error) => {
            Ok(Some(vec![MissingRight { operation: operation.to_owned(), statement: statement() }]))
        }
        answer => answer.map(|_| Some(Vec::new())),
    }
}

fn is_forbidden(error: &ProviderError) -> bool {
    error.vendor_code.as_deref().is_some_and(|code| code.ends_with("HTTP 403"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_actions() {
        let action = "Microsoft.Databricks/workspaces/write";
        for pattern in ["*", "microsoft.databricks/*", "*/write", "Microsoft.*/workspaces/*", action] {
            assert!(matches_pattern(action, pattern), "{pattern}");
        }
        for pattern in ["", "*/read", "Microsoft.Databricks/workspaces", "Microsoft.Databricks/*/write/*", "x*"] {
            assert!(!matches_pattern(action, pattern), "{pattern}");
        }
        let grants = |rows: Json| gives(rows.as_array().unwrap(), action);
        assert!(!grants(json!([])));
        assert!(!grants(json!([{"actions": ["*"], "notActions": ["Microsoft.Databricks/*/write"]}])));
        assert!(grants(json!([{"actions": ["*/read"]}, {"actions": ["*"], "notActions": ["*/delete"]}])));
    }
}
