//! The account of Databricks: <https://docs.databricks.com/api/account/introduction>.

use crate::call::{Request, no_such_call, only, text};
use crate::error::{ApiError, ErrorForm, Outcome};
use crate::world::ACCOUNT;
use crate::world::World;
use serde_json::{Value as Json, json};

pub(crate) fn call(world: &mut World, request: &Request) -> Outcome {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    let ["api", "2.0", "accounts", account, rest @ ..] = path.as_slice() else {
        return Err(no_such_call(ErrorForm::Account, request));
    };
    if *account != ACCOUNT || !world.administrators.contains(&request.actor) {
        let message = format!("{} is not an administrator of the account {account}", request.actor);
        return Err(ApiError::account(403, "PERMISSION_DENIED", message));
    }
    match (method, rest) {
        ("GET", ["scim", "v2", kind]) => people(world, request, kind),
        ("GET", ["metastores"]) => Ok(json!({"metastores": world.metastores}).into()),
        ("GET", ["workspaces"]) => Ok(workspaces(world).into()),
        (_, ["workspaces", id, rest @ ..]) => {
            if world.numbered(id).is_none() {
                let message = format!("Workspace {id} does not exist");
                return Err(ApiError::account(404, "RESOURCE_DOES_NOT_EXIST", message));
            }
            match (method, rest) {
                ("GET", ["metastore"]) => match world.workspace_metastores.get(*id) {
                    Some(existing) => {
                        let mut existing = existing.clone();
                        existing["workspace_id"] = json!(id.parse::<u64>().unwrap());
                        Ok(json!({"metastore_assignment": existing}).into())
                    }
                    None => {
                        let message = format!("Metastore assignment for workspace {id} does not exist.");
                        Err(ApiError::account(404, "RESOURCE_DOES_NOT_EXIST", message))
                    }
                },
                (_, ["metastores", metastore]) => assign(world, request, id, metastore),
                (_, ["permissionassignments", ..]) if !is_federated(world, id) => {
                    let message = "Permission assignment APIs are not available for this workspace.";
                    Err(ApiError::account(400, "FEATURE_DISABLED", message))
                }
                ("GET", ["permissionassignments"]) => Ok(workspace_permissions(world, id).into()),
                (_, ["permissionassignments", "principals", principal]) => {
                    put_permissions(world, request, id, principal)
                }
                _ => Err(no_such_call(ErrorForm::Account, request)),
            }
        }
        _ => Err(no_such_call(ErrorForm::Account, request)),
    }
}

fn workspaces(world: &World) -> Json {
    let shown = world.workspaces.values().filter_map(|it| {
        let id: u64 = it.resource["properties"]["workspaceId"].as_str()?.parse().ok()?;
        Some(json!({"workspace_id": id, "workspace_name": it.resource["name"], "workspace_status": "RUNNING"}))
    });
    shown.collect::<Vec<_>>().into()
}

fn people(world: &World, request: &Request, kind: &str) -> Outcome {
    let Some(all) = world.account.get(kind) else { return Err(no_such_call(ErrorForm::Account, request)) };
    let mut found = all.clone();
    if let Some(filter) = request.query.get("filter") {
        let parts = filter.split_once(" eq ");
        let quoted = parts.and_then(|(field, value)| Some((field, value.trim().strip_prefix('"')?.strip_suffix('"')?)));
        let Some((field, value)) =
            quoted.filter(|(field, _)| ["userName", "displayName", "applicationId"].contains(field))
        else {
            return Err(ApiError::account(
                400,
                "INVALID_PARAMETER_VALUE",
                format!("Given filter is not supported: {filter}"),
            ));
        };
        found.retain(|it| it[field].as_str().is_some_and(|it| it.eq_ignore_ascii_case(value)));
    }
    let total = found.len();
    let begin = request.query.get("startIndex").and_then(|it| it.parse().ok()).unwrap_or(1_usize).max(1);
    let rows: Vec<Json> = found.into_iter().skip(begin - 1).collect();
    Ok(json!({"totalResults": total, "startIndex": begin, "itemsPerPage": rows.len(), "Resources": rows}).into())
}

fn assign(world: &mut World, request: &Request, workspace: &str, metastore: &str) -> Outcome {
    let known = |it: &Json| it["metastore_id"] == metastore;
    if !world.metastores.iter().any(known) {
        return Err(ApiError::account(
            404,
            "METASTORE_DOES_NOT_EXIST",
            format!("Metastore '{metastore}' does not exist."),
        ));
    }
    let existing = world.workspace_metastores.get(workspace).cloned();
    match (request.method.as_str(), existing) {
        ("POST", Some(_)) => {
            let message = format!("Workspace {workspace} has a metastore already.");
            return Err(ApiError::account(409, "RESOURCE_ALREADY_EXISTS", message));
        }
        ("PUT" | "DELETE", None) => {
            let message = format!("Metastore assignment for workspace {workspace} does not exist.");
            return Err(ApiError::account(404, "RESOURCE_DOES_NOT_EXIST", message));
        }
        ("POST" | "PUT", _) => {
            only(ErrorForm::Account, &request.body, "the request", &["metastore_assignment"])?;
            let assignment = &request.body["metastore_assignment"];
            only(
                ErrorForm::Account,
                assignment,
                "the assignment",
                &["metastore_id", "default_catalog_name", "workspace_id"],
            )?;
            if assignment["metastore_id"] != metastore {
                return Err(ApiError::account(400, "INVALID_PARAMETER_VALUE", "metastore_id differs from the path"));
            }
            world.workspace_metastores.insert(workspace.to_owned(), assignment.clone());
        }
        ("DELETE", Some(_)) => drop(world.workspace_metastores.remove(workspace)),
        _ => return Err(no_such_call(ErrorForm::Account, request)),
    }
    let is_assigned = world.workspace_metastores.contains_key(workspace);
    if let Some(served) = world.numbered(workspace).and_then(|it| it.served.clone()) {
        if is_assigned { served.attach_metastore() } else { served.detach_metastore() }
    }
    Ok(json!({}).into())
}

fn row(world: &World, principal: &str, permissions: &[String]) -> Json {
    let mut shown = json!({"principal_id": principal.parse::<u64>().unwrap_or_default()});
    for (kind, field, from) in [
        ("Users", "user_name", "userName"),
        ("Groups", "group_name", "displayName"),
        ("ServicePrincipals", "service_principal_name", "applicationId"),
    ] {
        if let Some(it) = world.account.get(kind).into_iter().flatten().find(|it| it["id"] == principal) {
            shown[field] = it[from].clone();
            shown["display_name"] = it["displayName"].clone();
        }
    }
    json!({"principal": shown, "permissions": permissions})
}

fn workspace_permissions(world: &World, workspace: &str) -> Json {
    let of = world.workspace_permissions.iter().filter(|((at, _), _)| at == workspace);
    json!({"permission_assignments": of.map(|((_, who), it)| row(world, who, it)).collect::<Vec<_>>()})
}

/// True if people of the account may be assigned to the workspace: some calls after it has a metastore.
fn is_federated(world: &mut World, workspace: &str) -> bool {
    if !world.workspace_metastores.contains_key(workspace) {
        return false;
    }
    let is_known = world.deviations.federates_after == 0;
    world.deviations.federates_after = world.deviations.federates_after.saturating_sub(1);
    is_known
}

fn put_permissions(world: &mut World, request: &Request, workspace: &str, principal: &str) -> Outcome {
    let all = world.account.values().flatten();
    let Some(found) = all.into_iter().find(|it| it["id"] == principal).cloned() else {
        let message = format!("Principal {principal} does not exist in the account.");
        return Err(ApiError::account(404, "RESOURCE_DOES_NOT_EXIST", message));
    };
    let key = (workspace.to_owned(), principal.to_owned());
    // An administrator may also enter.
    let most = |given: Vec<String>| match given.iter().any(|it| it == "ADMIN") {
        true => vec!["ADMIN".to_owned()],
        false => given,
    };
    if request.method == "DELETE" {
        world.workspace_permissions.remove(&key);
        return Ok(json!({}).into());
    }
    if request.method != "PUT" {
        return Err(no_such_call(ErrorForm::Account, request));
    }
    only(ErrorForm::Account, &request.body, "the request", &["permissions"])?;
    let given: Vec<String> = request.body["permissions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect();
    if let Some(unknown) = given.iter().find(|it| !["USER", "ADMIN"].contains(&it.as_str())) {
        return Err(ApiError::account(400, "INVALID_PARAMETER_VALUE", format!("Unknown permission {unknown}")));
    }
    let given = most(given);
    if given.is_empty() {
        world.workspace_permissions.remove(&key);
    } else {
        world.workspace_permissions.insert(key, given.clone());
    }
    if let Some(existing) = world.numbered(workspace) {
        let (served, name) = (
            existing.served.clone().expect("the workspace is served"),
            text(&found, "displayName").unwrap_or_default(),
        );
        let knows = |kind: &str, field: &str, wanted: &str| {
            let known = served.call("GET", &format!("/api/2.0/preview/scim/v2/{kind}"), Json::Null);
            known["Resources"].as_array().is_some_and(|all| all.iter().any(|it| it[field] == wanted))
        };
        match (text(&found, "applicationId"), text(&found, "userName")) {
            (Some(application), _) => {
                if !knows("ServicePrincipals", "applicationId", &application) {
                    served.add_service_principal(&name, &application);
                }
                existing.members.insert(application);
            }
            (None, Some(user)) if !knows("Users", "userName", &user) => served.add_user(&user),
            (None, None) if !knows("Groups", "displayName", &name) => served.add_group(&name),
            _ => {}
        }
    }
    Ok(row(world, principal, &given).into())
}
