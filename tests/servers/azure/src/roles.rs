//! Roles and their assignments: <https://learn.microsoft.com/en-us/rest/api/authorization/role-assignments>.

use crate::call::{Request, no_such_call, only, paged, text};
use crate::error::{Answer, ApiError, ErrorForm, Outcome};
use crate::world::SUBSCRIPTION;
use crate::world::World;
use serde_json::{Value as Json, json};

/// A call below a scope.
pub(crate) fn call(world: &mut World, request: &Request, scope: &str, rest: &[&str]) -> Outcome {
    if !["2015-07-01", "2022-04-01"].contains(&request.query["api-version"].as_str()) {
        return Err(ApiError::azure(400, "InvalidApiVersionParameter", "The api-version is invalid."));
    }
    match rest {
        [kind] if kind.eq_ignore_ascii_case("roleDefinitions") && request.method == "GET" => {
            definitions(world, request)
        }
        [kind] if kind.eq_ignore_ascii_case("permissions") && request.method == "GET" => permissions(world, request),
        [kind] if kind.eq_ignore_ascii_case("roleAssignments") && request.method == "GET" => {
            list(world, request, scope)
        }
        [kind, name] if kind.eq_ignore_ascii_case("roleAssignments") => one(world, request, scope, name),
        _ => Err(no_such_call(ErrorForm::Azure, request)),
    }
}

/// The value that a filter compares a field with, if it compares that field.
fn compared(request: &Request, field: &str) -> Result<Option<String>, ApiError> {
    let Some(filter) = request.query.get("$filter") else { return Ok(None) };
    let value = filter.strip_prefix(&format!("{field} eq '")).and_then(|it| it.strip_suffix('\''));
    let value = value
        .ok_or_else(|| ApiError::azure(400, "BadRequestFormat", format!("The filter '{filter}' is not supported.")));
    Ok(Some(value?.to_owned()))
}

fn definition_id(id: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{id}")
}

fn definitions(world: &World, request: &Request) -> Outcome {
    let wanted = compared(request, "roleName")?;
    let found = world.roles.iter().filter(|(_, name)| wanted.as_ref().is_none_or(|it| it.eq_ignore_ascii_case(name)));
    let shown = |(id, name): (&String, &String)| {
        json!({
            "id": definition_id(id), "name": id, "type": "Microsoft.Authorization/roleDefinitions",
            "properties": {"roleName": name, "type": "BuiltInRole"},
        })
    };
    Ok(paged(world, request, &found.map(shown).collect::<Vec<_>>(), "nextLink"))
}

/// The caller's permissions: <https://learn.microsoft.com/en-us/rest/api/authorization/permissions>.
fn permissions(world: &World, request: &Request) -> Outcome {
    let shown = |it: &(Vec<String>, Vec<String>)| json!({"actions": it.0, "notActions": it.1});
    Ok(paged(world, request, &world.allowed_actions.iter().map(shown).collect::<Vec<_>>(), "nextLink"))
}

/// The assignments of the scope and of its parents.
fn list(world: &World, request: &Request, scope: &str) -> Outcome {
    let wanted = compared(request, "principalId")?;
    let scope = scope.to_lowercase();
    let is_meant = |((at, _), it): &(&(String, String), &Json)| {
        scope.starts_with(at.as_str())
            && wanted.as_ref().is_none_or(|id| it["properties"]["principalId"] == id.as_str())
    };
    let rows: Vec<Json> = world.assignments.iter().filter(is_meant).map(|(_, it)| it.clone()).collect();
    Ok(paged(world, request, &rows, "nextLink"))
}

fn one(world: &mut World, request: &Request, scope: &str, name: &str) -> Outcome {
    let key = (scope.to_lowercase(), name.to_lowercase());
    match request.method.as_str() {
        "GET" => {
            let message = format!("The role assignment '{name}' is not found.");
            let found = world.assignments.get(&key).cloned();
            Ok(found.ok_or_else(|| ApiError::azure(404, "RoleAssignmentNotFound", message))?.into())
        }
        "DELETE" => Ok(match world.assignments.remove(&key) {
            Some(existing) => existing.into(),
            None => Answer { status: 204, ..Json::Null.into() },
        }),
        "PUT" => put(world, request, scope, name, key),
        _ => Err(no_such_call(ErrorForm::Azure, request)),
    }
}

fn put(world: &mut World, request: &Request, scope: &str, name: &str, key: (String, String)) -> Outcome {
    let wrong = |code: &str, message: String| Err(ApiError::azure(400, code, message));
    let known = ["roleDefinitionId", "principalId", "principalType", "description", "condition", "conditionVersion"];
    only(ErrorForm::Azure, &request.body, "RoleAssignmentCreateParameters", &["properties"])?;
    let properties = &request.body["properties"];
    only(ErrorForm::Azure, properties, "RoleAssignmentProperties", &known)?;
    let is_uuid = name.len() == 36 && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if !is_uuid {
        return wrong(
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{name}' is not valid. It must be a GUID."),
        );
    }
    let (Some(role), Some(principal)) = (text(properties, "roleDefinitionId"), text(properties, "principalId")) else {
        return wrong("InvalidRequestContent", "roleDefinitionId and principalId are required.".to_owned());
    };
    let role = role.rsplit('/').next().unwrap_or_default().to_lowercase();
    if !world.roles.contains_key(&role) {
        let message = format!("The specified role definition with ID '{role}' does not exist.");
        return wrong("RoleDefinitionDoesNotExist", message);
    }
    let kinds = [("users", "User"), ("groups", "Group"), ("servicePrincipals", "ServicePrincipal")];
    let kind = kinds
        .iter()
        .find(|(kind, _)| world.directory.get(kind).into_iter().flatten().any(|it| it["id"] == principal.as_str()));
    let Some((_, kind)) = kind else {
        let message = format!("Principal {} does not exist in the directory.", principal.replace('-', ""));
        return wrong("PrincipalNotFound", message);
    };
    if text(properties, "principalType").is_some_and(|it| it != *kind) {
        let message = format!(
            "The PrincipalId '{principal}' has type '{kind}', which is different from specified PrinciaplType."
        );
        return wrong("UnmatchedPrincipalType", message);
    }
    let is_same = |it: &Json| {
        it["properties"]["principalId"] == principal.as_str()
            && it["properties"]["roleDefinitionId"].as_str().is_some_and(|it| it.ends_with(&role))
    };
    if let Some(existing) = world.assignments.get(&key) {
        return match is_same(existing) {
            true if world.deviations.repeats_conflict => {
                Err(ApiError::azure(409, "RoleAssignmentExists", "The role assignment already exists."))
            }
            true => Ok(existing.clone().into()),
            false => wrong(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.".to_owned(),
            ),
        };
    }
    if let Some(((_, id), _)) = world.assignments.iter().find(|((at, _), it)| *at == key.0 && is_same(it)) {
        let message = format!(
            "The role assignment already exists. The ID of the existing role assignment is {}.",
            id.replace('-', "")
        );
        return Err(ApiError::azure(409, "RoleAssignmentExists", message));
    }
    let made = json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"), "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": definition_id(&role), "principalId": principal, "principalType": kind, "scope": scope,
            "createdBy": request.actor,
        },
    });
    world.assignments.insert(key, made.clone());
    Ok(Answer { status: 201, ..made.into() })
}
