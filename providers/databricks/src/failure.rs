//! Parses errors of Databricks: <https://docs.databricks.com/api/workspace/introduction>.

use serde_json::Value as Json;
use terrace_provider::ErrorKind;
use terrace_provider::http::{ParsedError, Reply, Vendor};

/// Databricks workspaces.
pub(crate) const DATABRICKS: Vendor = Vendor {
    name: "Databricks",
    parse_error,
    had_no_effect,
    reach: "check `workspaceUrl` and `host` of the instance, and that this machine can connect to the host",
    sign_in: "check `token`, `clientId` and `clientSecret`, or `azure` of the instance, and that they belong to this workspace",
};

/// The Databricks account of the workspaces: <https://docs.databricks.com/api/account/introduction>.
pub(crate) const ACCOUNT: Vendor = Vendor {
    name: "the account of Databricks",
    reach: "check `accountHost` of the instance, and that this machine can connect to the host",
    sign_in: "check `clientId` and `clientSecret`, or `azure` of the instance: use an administrator of the account, because the token of a workspace is not valid for the account",
    ..DATABRICKS
};

/// Azure Resource Manager and Microsoft Graph, whose errors have the same format.
pub(crate) const AZURE: Vendor = Vendor {
    name: "Azure",
    parse_error: parse_azure_error,
    // A conflicting operation may be our own earlier call.
    had_no_effect: |_| false,
    reach: "check `azure` of the instance, and that this machine can connect to Azure",
    sign_in: "check `azure` of the instance: `tenantId`, `clientId`, and its secret, certificate or token",
};

/// Parses an error of Azure:
/// <https://learn.microsoft.com/en-us/azure/azure-resource-manager/troubleshooting/common-deployment-errors>.
fn parse_azure_error(reply: &Reply) -> ParsedError {
    let body = reply.json_or_null();
    let error = body.get("error").unwrap_or(&body);
    let text = |name: &str| error.get(name).and_then(Json::as_str).map(str::to_owned);
    let code = text("code");
    let kind = match code.as_deref().unwrap_or_default() {
        "RoleAssignmentExists" => Some(ErrorKind::AlreadyExists { import_id: None }),
        "ResourceNotFound" | "RoleAssignmentNotFound" | "Request_ResourceNotFound" => Some(ErrorKind::NotFound),
        // A container of the object is missing: nothing was created.
        "ResourceGroupNotFound" | "SubscriptionNotFound" | "PrincipalNotFound" | "RoleDefinitionDoesNotExist" => {
            Some(ErrorKind::InvalidInput { path: None })
        }
        _ => None,
    };
    ParsedError { code, message: text("message"), kind, ..ParsedError::default() }
}

/// Parses an error of Databricks: `error_code` and `message`, SCIM's `detail`, or the old `error`.
fn parse_error(reply: &Reply) -> ParsedError {
    let body = reply.json_or_null();
    let text = |name: &str| body.get(name).and_then(Json::as_str).map(str::to_owned);
    let code = text("error_code");
    let message = text("message").or_else(|| text("detail")).or_else(|| text("error"));
    let kind = kind(reply.status, code.as_deref().unwrap_or_default(), message.as_deref().unwrap_or_default());
    ParsedError { code, message, kind, ..ParsedError::default() }
}

fn kind(status: u16, code: &str, message: &str) -> Option<ErrorKind> {
    match code {
        // The missing name is a grantee or a Git reference, not the requested object.
        "PRINCIPAL_DOES_NOT_EXIST" | "GIT_UNKNOWN_REF" => Some(ErrorKind::InvalidInput { path: None }),
        // Missing jobs and clusters are reported as invalid parameters.
        "INVALID_PARAMETER_VALUE" if is_missing_by_message(message) => Some(ErrorKind::NotFound),
        "ALREADY_EXISTS" | "RESOURCE_ALREADY_EXISTS" | "RESOURCE_CONFLICT" => {
            Some(ErrorKind::AlreadyExists { import_id: None })
        }
        "PERMISSION_DENIED" => Some(ErrorKind::PermissionDenied),
        // Does not mean that the requested object is missing.
        "METASTORE_DOES_NOT_EXIST" => Some(ErrorKind::Failed),
        code if code.ends_with("_ALREADY_EXISTS") => Some(ErrorKind::AlreadyExists { import_id: None }),
        code if code.ends_with("_DOES_NOT_EXIST") => Some(ErrorKind::NotFound),
        // The endpoint does not exist: the host is not a workspace, or the workspace is too old.
        "ENDPOINT_NOT_FOUND" => Some(ErrorKind::Failed),
        "INVALID_STATE" | "BAD_REQUEST" if status == 400 => Some(ErrorKind::InvalidInput { path: None }),
        _ => None,
    }
}

fn is_missing_by_message(message: &str) -> bool {
    let message = message.trim_end_matches('.');
    message.ends_with(" does not exist") && (message.starts_with("Job ") || message.starts_with("Cluster "))
}

/// Recognizes the message of a request that Databricks rejected before it began.
fn had_no_effect(reply: &Reply) -> bool {
    let body = reply.json_or_null();
    let message = body.get("message").and_then(Json::as_str).unwrap_or_default();
    message.contains("RPC token bucket limit has been exceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_win_over_http_status() {
        let exists = Some(ErrorKind::AlreadyExists { import_id: None });
        assert_eq!(kind(400, "INVALID_PARAMETER_VALUE", "Job 7 does not exist."), Some(ErrorKind::NotFound));
        assert_eq!(kind(400, "INVALID_PARAMETER_VALUE", "Principal x does not exist."), None);
        assert_eq!(kind(404, "TABLE_DOES_NOT_EXIST", ""), Some(ErrorKind::NotFound));
        assert_eq!(kind(404, "PRINCIPAL_DOES_NOT_EXIST", ""), Some(ErrorKind::InvalidInput { path: None }));
        assert_eq!(kind(400, "CATALOG_ALREADY_EXISTS", ""), exists);
        assert_eq!(kind(500, "INTERNAL_ERROR", ""), None);
        // A missing metastore does not mean that the requested catalog is gone.
        assert_eq!(kind(404, "METASTORE_DOES_NOT_EXIST", ""), Some(ErrorKind::Failed));
    }
}
