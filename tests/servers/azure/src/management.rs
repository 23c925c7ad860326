//! Workspaces and their resource groups: <https://learn.microsoft.com/en-us/rest/api/databricks/workspaces>.

use crate::call::{Request, State, no_such_call, only, paged, text};
use crate::error::{Answer, ApiError, ErrorForm, Outcome};
use crate::roles;
use crate::world::SUBSCRIPTION;
use crate::world::{RunningOperation, Workspace, World};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_test_databricks::StandIn;

const VERSIONS: [&str; 4] = ["2018-04-01", "2023-02-01", "2024-05-01", "2026-01-01"];
const PROPERTIES: [&str; 16] = [
    "managedResourceGroupId",
    "parameters",
    "computeMode",
    "publicNetworkAccess",
    "requiredNsgRules",
    "encryption",
    "enhancedSecurityCompliance",
    "defaultCatalog",
    "accessConnector",
    "defaultStorageFirewall",
    "authorizations",
    "uiDefinitionUri",
    "storageAccountIdentity",
    "managedDiskIdentity",
    "managedResourceGroupName",
    "workspaceType",
];

fn wrong(status: u16, code: &str, message: impl Into<String>) -> ApiError {
    ApiError::azure(status, code, message)
}

pub(crate) fn call(state: &Arc<State>, request: &Request) -> Outcome {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let is = |at: usize, word: &str| path.get(at).is_some_and(|part| part.eq_ignore_ascii_case(word));
    if !request.query.contains_key("api-version") {
        return Err(wrong(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    match path.get(1) {
        // Every signed-in caller may list the subscriptions that it may read.
        None if request.method == "GET" => {
            let known = [json!({"id": format!("/subscriptions/{SUBSCRIPTION}"), "subscriptionId": SUBSCRIPTION})];
            return Ok(paged(&state.world(), request, &known, "nextLink"));
        }
        Some(id) if *id == SUBSCRIPTION => {}
        id => {
            let message = format!("The subscription '{}' could not be found.", id.copied().unwrap_or_default());
            return Err(wrong(404, "SubscriptionNotFound", message));
        }
    }
    let world = &mut *state.world();
    // Paths below a scope belong to another API of Azure.
    let authorization = path.iter().position(|part| part.eq_ignore_ascii_case("Microsoft.Authorization"));
    if let Some(at) = authorization {
        let (scope, rest) = path.split_at(at - 1);
        let scope = format!("/{}", scope.join("/"));
        check_scope_exists(world, scope.trim_end_matches('/'), &path)?;
        return roles::call(world, request, &scope, &rest[2..]);
    }
    if path.len() == 4 && is(2, "resourceGroups") {
        return group(world, request, path[3]);
    }
    let version = request.query["api-version"].as_str();
    if !VERSIONS.contains(&version) {
        let message = format!(
            "No registered resource provider found for location 'westeurope' and API version '{version}' for type 'workspaces'."
        );
        return Err(wrong(400, "NoRegisteredProviderFound", message));
    }
    let of_group =
        is(2, "resourceGroups") && is(4, "providers") && is(5, "Microsoft.Databricks") && is(6, "workspaces");
    if of_group && !world.groups.contains(&path[3].to_lowercase()) {
        return Err(wrong(404, "ResourceGroupNotFound", format!("Resource group '{}' could not be found.", path[3])));
    }
    match path.len() {
        8 if of_group => one(state, world, request, path[3], path[7]),
        7 if of_group && request.method == "GET" => {
            Ok(list(world, request, &format!("/resourcegroups/{}/", path[3].to_lowercase())))
        }
        5 if is(2, "providers") && is(3, "Microsoft.Databricks") && is(4, "workspaces") && request.method == "GET" => {
            Ok(list(world, request, ""))
        }
        8 if is(3, "Microsoft.Databricks") && is(4, "locations") && is(6, "operationStatuses") => {
            operation(state, world, path[7])
        }
        _ => Err(no_such_call(ErrorForm::Azure, request)),
    }
}

/// Checks that the workspace or group of a scope exists.
fn check_scope_exists(world: &World, scope: &str, path: &[&str]) -> Result<(), ApiError> {
    let scope = scope.to_lowercase();
    let is_known = match path.iter().take_while(|part| !part.eq_ignore_ascii_case("Microsoft.Authorization")).count() {
        9 => world.workspaces.contains_key(&scope),
        5 => world.groups.contains(&path[3].to_lowercase()),
        _ => true,
    };
    let message = format!("The Resource '{scope}' was not found.");
    if is_known { Ok(()) } else { Err(wrong(404, "ResourceNotFound", message)) }
}

fn group(world: &mut World, request: &Request, name: &str) -> Outcome {
    let key = name.to_lowercase();
    match request.method.as_str() {
        "PUT" => drop(world.groups.insert(key)),
        "GET" | "HEAD" if world.groups.contains(&key) => {}
        "GET" | "HEAD" => {
            return Err(wrong(404, "ResourceGroupNotFound", format!("Resource group '{name}' could not be found.")));
        }
        _ => return Err(no_such_call(ErrorForm::Azure, request)),
    }
    let id = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}");
    Ok(json!({"id": id, "name": name, "location": "westeurope", "properties": {"provisioningState": "Succeeded"}})
        .into())
}

fn list(world: &World, request: &Request, within: &str) -> Answer {
    let known = world.workspaces.iter().filter(|(id, _)| id.contains(within) && !world.deviations.has_stale_lists);
    paged(world, request, &known.map(|(_, it)| it.resource.clone()).collect::<Vec<_>>(), "nextLink")
}

/// Advances a workspace by one poll; true when it is gone.
fn step(state: &Arc<State>, world: &mut World, key: &str) -> bool {
    let number = world.number();
    let mut next_stand_in = || world.next_stand_ins.pop_front();
    let Some(workspace) = world.workspaces.get_mut(key) else { return false };
    let Some(running_operation) = workspace.running_operation.clone() else { return false };
    if workspace.left > 0 {
        workspace.left -= 1;
        return false;
    }
    workspace.running_operation = None;
    let (mut error, mut is_gone) = (None, false);
    let (is_cancelled, early) = (std::mem::take(&mut world.deviations.cancels), world.deviations.ends_early);
    let properties = &mut workspace.resource["properties"];
    match running_operation {
        RunningOperation::Creating { fails: Some((code, message)) } => {
            properties["provisioningState"] = json!("Failed");
            error = Some(json!({"code": code, "message": message}));
        }
        RunningOperation::Creating { fails: None } if is_cancelled => {
            properties["provisioningState"] = json!("Canceled")
        }
        // The operation has ended; the workspace is finished later.
        RunningOperation::Creating { fails: None } if early > 0 => {
            world.deviations.ends_early -= 1;
            workspace.running_operation = Some(RunningOperation::Creating { fails: None });
        }
        RunningOperation::Creating { fails: None } => {
            let served = next_stand_in().unwrap_or_else(|| {
                let made = Arc::new(StandIn::start());
                state.prepare(&made);
                made
            });
            properties["provisioningState"] = json!("Succeeded");
            properties["workspaceId"] = json!((4_000_000_000_000_000 + number).to_string());
            properties["workspaceUrl"] = json!(served.url());
            let id = properties["workspaceId"].as_str().unwrap().to_owned();
            served.add_service_principal("terrace-azure", crate::CLIENT);
            // The creator is an administrator.
            served.set_entitlements(crate::CLIENT, &["allow-cluster-create"]);
            if let Some(metastore) = &world.default_metastore {
                served.attach_metastore();
                world.workspace_metastores.insert(id, json!({"metastore_id": metastore}));
            }
            workspace.served = Some(served);
        }
        RunningOperation::Updating => properties["provisioningState"] = json!("Succeeded"),
        RunningOperation::Deleting => is_gone = true,
    }
    let outcome = match error {
        Some(error) => json!({"status": "Failed", "error": error}),
        None if is_cancelled => json!({"status": "Canceled"}),
        None => json!({"status": "Succeeded"}),
    };
    for (of, known) in world.operations.values_mut().filter(|(of, known)| of == key && known.is_none()) {
        let _ = of;
        *known = Some(outcome.clone());
    }
    if is_gone {
        world.workspaces.remove(key);
        world.assignments.retain(|(at, _), _| !at.starts_with(key));
    }
    is_gone
}

fn operation(state: &Arc<State>, world: &mut World, id: &str) -> Outcome {
    let missing = || wrong(404, "OperationNotFound", format!("The operation '{id}' was not found."));
    let (key, _) = world.operations.get(id).cloned().ok_or_else(missing)?;
    step(state, world, &key);
    let (_, outcome) = world.operations.get(id).ok_or_else(missing)?;
    let mut answer = outcome.clone().unwrap_or_else(|| json!({"status": "InProgress"}));
    answer["id"] = json!(id);
    answer["name"] = json!(id);
    Ok(answer.into())
}

/// Starts a long-running operation.
fn begin(world: &mut World, request: &Request, key: &str, running_operation: RunningOperation, status: u16) -> Answer {
    let id = world.uuid();
    let left = world.polls_until_done;
    world.operations.insert(id.clone(), (key.to_owned(), None));
    let workspace = world.workspaces.get_mut(key).expect("the workspace exists");
    workspace.left = left;
    workspace.running_operation = Some(running_operation);
    let location = workspace.resource["location"].as_str().unwrap().to_owned();
    let body = if status == 202 { Json::Null } else { workspace.resource.clone() };
    let at = format!(
        "{}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Databricks/locations/{location}/operationStatuses/{id}?api-version={}",
        request.base, request.query["api-version"]
    );
    Answer { status, body, operation: Some(at) }
}

fn one(state: &Arc<State>, world: &mut World, request: &Request, group: &str, name: &str) -> Outcome {
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Databricks/workspaces/{name}"
    );
    let key = id.to_lowercase();
    let missing = || {
        wrong(
            404,
            "ResourceNotFound",
            format!(
                "The Resource 'Microsoft.Databricks/workspaces/{name}' under resource group '{group}' was not found."
            ),
        )
    };
    let is_busy = world.workspaces.get(&key).is_some_and(|it| it.running_operation.is_some());
    match request.method.as_str() {
        "GET" if world.deviations.not_found_reads > 0 => {
            world.deviations.not_found_reads -= 1;
            Err(missing())
        }
        "GET" => {
            step(state, world, &key);
            Ok(world.workspaces.get(&key).ok_or_else(missing)?.resource.clone().into())
        }
        "PUT" | "DELETE" if is_busy => {
            step(state, world, &key);
            let message = format!("Another operation is in progress on the resource '{name}'.");
            Err(wrong(409, "AnotherOperationInProgress", message))
        }
        "PUT" => put(world, request, &id, key),
        "DELETE" if !world.workspaces.contains_key(&key) => Ok(Answer { status: 204, ..Json::Null.into() }),
        "DELETE" => {
            world.workspaces.get_mut(&key).expect("the workspace exists").resource["properties"]["provisioningState"] =
                json!("Deleting");
            Ok(begin(world, request, &key, RunningOperation::Deleting, 202))
        }
        _ => Err(no_such_call(ErrorForm::Azure, request)),
    }
}

fn has_failed(resource: &Json) -> bool {
    ["Failed", "Canceled"].iter().any(|state| resource["properties"]["provisioningState"] == *state)
}

fn put(world: &mut World, request: &Request, id: &str, key: String) -> Outcome {
    let body = &request.body;
    only(ErrorForm::Azure, body, "Workspace", &["location", "sku", "properties", "tags"])?;
    let properties = &body["properties"];
    only(ErrorForm::Azure, properties, "WorkspaceProperties", &PROPERTIES)?;
    let location = text(body, "location")
        .ok_or_else(|| wrong(400, "LocationRequired", "The location property is required for this definition."))?;
    let location = location.replace(' ', "").to_lowercase();
    if request.query["api-version"] == "2026-01-01" && text(properties, "computeMode").is_none() {
        return Err(wrong(400, "ComputeModeRequired", "The computeMode property is required."));
    }
    let managed = text(properties, "managedResourceGroupId");
    let managed = managed.ok_or_else(|| {
        wrong(400, "ManagedResourceGroupIdRequired", "The managedResourceGroupId property is required.")
    })?;
    if !managed.to_lowercase().starts_with(&format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/")) {
        return Err(wrong(
            400,
            "InvalidManagedResourceGroupId",
            format!("The managed resource group '{managed}' is not valid."),
        ));
    }
    let sku = body["sku"]["name"].as_str().unwrap_or("standard");
    if !["standard", "premium", "trial"].contains(&sku) {
        return Err(wrong(400, "InvalidSku", format!("The sku '{sku}' is not supported.")));
    }
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !(3..=64).contains(&name.len()) || !name.chars().all(is_known) {
        return Err(wrong(400, "InvalidResourceName", format!("The name '{name}' of the workspace is not valid.")));
    }
    if let Some(existing) = world.workspaces.get_mut(&key).filter(|it| !has_failed(&it.resource)) {
        if existing.resource["location"] != location.as_str() {
            let message = format!(
                "The resource '{name}' already exists in location '{}'. A resource with the same name cannot be created in location '{location}'.",
                existing.resource["location"].as_str().unwrap()
            );
            return Err(wrong(409, "InvalidResourceLocation", message));
        }
        let before = existing.resource["properties"]["managedResourceGroupId"].as_str().unwrap().to_owned();
        if !before.eq_ignore_ascii_case(&managed) {
            return Err(wrong(
                400,
                "PropertyChangeNotAllowed",
                "Changing property 'managedResourceGroupId' is not allowed.",
            ));
        }
        existing.resource["sku"]["name"] = json!(sku);
        existing.resource["tags"] = body["tags"].clone();
        existing.resource["properties"]["provisioningState"] = json!("Updating");
        return Ok(begin(world, request, &key, RunningOperation::Updating, 200));
    }
    let mut resource = json!({
        "id": id, "name": name, "type": "Microsoft.Databricks/workspaces", "location": location, "sku": {"name": sku},
        "properties": properties,
    });
    if !body["tags"].is_null() {
        resource["tags"] = body["tags"].clone();
    }
    let more = &mut resource["properties"];
    more["provisioningState"] = json!("Accepted");
    more["createdDateTime"] = json!(Timestamp::now().to_string());
    more["createdBy"] =
        json!({"oid": "00000000-0000-0000-0000-00000000aaaa", "puid": "", "applicationId": request.actor});
    more["updatedBy"] = more["createdBy"].clone();
    let fails = world.fails.take();
    let workspace = Workspace { resource, left: 0, running_operation: None, served: None, members: BTreeSet::new() };
    world.workspaces.insert(key.clone(), workspace);
    Ok(begin(world, request, &key, RunningOperation::Creating { fails }, 201))
}
