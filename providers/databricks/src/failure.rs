//! How errors of Databricks are read: <https://docs.databricks.com/api/workspace/introduction>.

use serde_json::Value as Json;
use terrace_provider::ErrorKind;
use terrace_provider::http::{Reply, Said, Vendor};

/// Whom one calls.
pub(crate) const DATABRICKS: Vendor = Vendor {
    name: "Databricks",
    said,
    did_nothing,
    reach: "look at `workspaceUrl` and at `host` of the instance, and whether this machine may connect to it",
    sign_in: "look at `token`, at `clientId` and `clientSecret`, or at `azure`, of the instance, and whether they are of this workspace",
};

/// The account that workspaces are of: <https://docs.databricks.com/api/account/introduction>.
pub(crate) const ACCOUNT: Vendor = Vendor {
    name: "the account of Databricks",
    reach: "look at `accountHost` of the instance, and whether this machine may connect to it",
    sign_in: "look at `clientId` and `clientSecret`, or at `azure`, of the instance: a token of a workspace is none of the account, whose administrator it has to be",
    ..DATABRICKS
};

/// What manages resources of Azure, and Microsoft Graph, whose errors look alike.
pub(crate) const AZURE: Vendor = Vendor {
    name: "Azure",
    said: said_by_azure,
    // What is at work on an object meanwhile may be our own call.
    did_nothing: |_| false,
    reach: "look at `azure` of the instance, and whether this machine may connect to it",
    sign_in: "look at `azure` of the instance: `tenantId`, `clientId` and how it proves itself",
};

/// Takes an error of Azure apart: <https://learn.microsoft.com/en-us/azure/azure-resource-manager/troubleshooting/common-deployment-errors>.
fn said_by_azure(reply: &Reply) -> Said {
    let body = reply.json_or_null();
    let error = body.get("error").unwrap_or(&body);
    let text = |name: &str| error.get(name).and_then(Json::as_str).map(str::to_owned);
    let code = text("code");
    let kind = match code.as_deref().unwrap_or_default() {
        "RoleAssignmentExists" => Some(ErrorKind::AlreadyExists { import_id: None }),
        "ResourceNotFound" | "RoleAssignmentNotFound" | "Request_ResourceNotFound" => Some(ErrorKind::NotFound),
        // What is around the object is not there: nothing was made.
        "ResourceGroupNotFound" | "SubscriptionNotFound" | "PrincipalNotFound" | "RoleDefinitionDoesNotExist" => {
            Some(ErrorKind::InvalidInput { path: None })
        }
        _ => None,
    };
    Said { code, message: text("message"), kind, ..Said::default() }
}

/// Takes an error apart: `error_code` and `message`, SCIM's `detail`, or the old `error`.
fn said(reply: &Reply) -> Said {
    let body = reply.json_or_null();
    let text = |name: &str| body.get(name).and_then(Json::as_str).map(str::to_owned);
    let code = text("error_code");
    let message = text("message").or_else(|| text("detail")).or_else(|| text("error"));
    let kind = kind(reply.status, code.as_deref().unwrap_or_default(), message.as_deref().unwrap_or_default());
    Said { code, message, kind, ..Said::default() }
}

fn kind(status: u16, code: &str, message: &str) -> Option<ErrorKind> {
    match code {
        // A name that is given to be granted something, and not the object that is asked for.
        "PRINCIPAL_DOES_NOT_EXIST" | "GIT_UNKNOWN_REF" => Some(ErrorKind::InvalidInput { path: None }),
        // Jobs and clusters that are not there are told as wrong parameters.
        "INVALID_PARAMETER_VALUE" if is_missing_by_message(message) => Some(ErrorKind::NotFound),
        "ALREADY_EXISTS" | "RESOURCE_ALREADY_EXISTS" | "RESOURCE_CONFLICT" => {
            Some(ErrorKind::AlreadyExists { import_id: None })
        }
        "PERMISSION_DENIED" => Some(ErrorKind::PermissionDenied),
        // Nothing is said of the object that is asked for.
        "METASTORE_DOES_NOT_EXIST" => Some(ErrorKind::Failed),
        code if code.ends_with("_ALREADY_EXISTS") => Some(ErrorKind::AlreadyExists { import_id: None }),
        code if code.ends_with("_DOES_NOT_EXIST") => Some(ErrorKind::NotFound),
        // There is no such call: this is no workspace, or one that is too old.
        "ENDPOINT_NOT_FOUND" => Some(ErrorKind::Failed),
        "INVALID_STATE" | "BAD_REQUEST" if status == 400 => Some(ErrorKind::InvalidInput { path: None }),
        _ => None,
    }
}

fn is_missing_by_message(message: &str) -> bool {
    let message = message.trim_end_matches('.');
    message.ends_with(" does not exist") && (message.starts_with("Job ") || message.starts_with("Cluster "))
}

/// What the real one says of requests that it has not begun with.
fn did_nothing(reply: &Reply) -> bool {
    let body = reply.json_or_null();
    let message = body.get("message").and_then(Json::as_str).unwrap_or_default();
    message.contains("RPC token bucket limit has been exceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_before_statuses() {
        let exists = Some(ErrorKind::AlreadyExists { import_id: None });
        assert_eq!(kind(400, "INVALID_PARAMETER_VALUE", "Job 7 does not exist."), Some(ErrorKind::NotFound));
        assert_eq!(kind(400, "INVALID_PARAMETER_VALUE", "Principal x does not exist."), None);
        assert_eq!(kind(404, "TABLE_DOES_NOT_EXIST", ""), Some(ErrorKind::NotFound));
        assert_eq!(kind(404, "PRINCIPAL_DOES_NOT_EXIST", ""), Some(ErrorKind::InvalidInput { path: None }));
        assert_eq!(kind(400, "CATALOG_ALREADY_EXISTS", ""), exists);
        assert_eq!(kind(500, "INTERNAL_ERROR", ""), None);
        // Of a catalog that is asked for this says nothing: it is not gone.
        assert_eq!(kind(404, "METASTORE_DOES_NOT_EXIST", ""), Some(ErrorKind::Failed));
    }
}
