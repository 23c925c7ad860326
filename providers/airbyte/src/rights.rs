//! The permissions of the instance's principal: <https://reference.airbyte.com/reference/listpermissions>.

use crate::airbyte::{Airbyte, text as of};
use serde_json::{Value as Json, json};
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{ErrorKind, MissingRight, Path, ProviderError};

/// Permissions that allow changes in a workspace, directly or through its organization or instance.
const EDITS: [&str; 5] =
    ["workspace_editor", "workspace_admin", "organization_editor", "organization_admin", "instance_admin"];

/// Returns the missing rights in a workspace; `None` if Airbyte does not report permissions, like some self-managed
/// servers.
///
/// # Errors
/// If the workspace does not exist, or Airbyte does not answer.
pub(crate) async fn missing(
    airbyte: &Airbyte<'_>,
    workspace: Option<&str>,
) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let Some(id) = workspace else {
        let path = Some(Path::attribute("workspaceId"));
        return Err(ProviderError::invalid(path, "no workspace is set")
            .solution("set `workspaceId` of the instance (AIRBYTE_WORKSPACE_ID)"));
    };
    let right = |operation: &str, permission: &str, user: &str| MissingRight {
        operation: format!("{operation} the workspace `{id}`"),
        statement: format!(
            "POST /permissions {}",
            json!({"permissionType": permission, "userId": user, "workspaceId": id})
        ),
    };
    let request = Request::get("/workspaces/{workspaceId}", &[id]);
    let found = airbyte.read_optional(&request, &Purpose::read(format!("read the workspace `{id}`"))).await;
    if matches!(&found, Err(error) if error.kind == ErrorKind::PermissionDenied) || found?.is_none() {
        return Ok(Some(vec![right("see", "workspace_reader", "<user>")]));
    }
    let answer = airbyte.read_optional(&Request::get("/permissions", &[]), &Purpose::read("list permissions")).await;
    let permissions = match answer {
        Ok(Some(answer)) => answer,
        Ok(None) => return Ok(None),
        Err(error) if matches!(error.kind, ErrorKind::PermissionDenied | ErrorKind::InvalidInput { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let permissions = permissions.get("data").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let edits = |permission: &Json| {
        let is_elsewhere = of(permission, "scope") == "workspace" && of(permission, "scopeId") != id;
        EDITS.contains(&of(permission, "permissionType").as_str()) && !is_elsewhere
    };
    Ok(Some(match permissions.iter().any(edits) {
        true => Vec::new(),
        false => {
            let user = permissions.first().map_or_else(|| "<user>".to_owned(), |permission| of(permission, "userId"));
            vec![right("create, change or delete in", "workspace_editor", &user)]
        }
    }))
}
