//! Access control lists: <https://docs.databricks.com/api/workspace/permissions>.

use crate::error::{ApiError, Outcome};
use crate::fields::{object, text};
use crate::request::{Request, no_such_call};
use crate::world::{Entry, World};
use serde_json::{Value as Json, json};

const PRINCIPALS: [&str; 3] = ["user_name", "group_name", "service_principal_name"];

/// The levels of a kind of object.
fn levels(kind: &str) -> Result<&'static [&'static str], ApiError> {
    match kind {
        "jobs" => Ok(&["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"]),
        "pipelines" => Ok(&["CAN_VIEW", "CAN_RUN", "CAN_MANAGE", "IS_OWNER"]),
        "repos" | "directories" => Ok(&["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"]),
        _ => Err(ApiError::invalid(format!("'{kind}' is not a supported object type"))),
    }
}

/// The entry of an object's creator.
pub(super) fn owner(world: &World, actor: &str) -> Entry {
    let kind = if world.has_principal("user_name", actor) { "user_name" } else { "service_principal_name" };
    Entry { kind: kind.to_owned(), name: actor.to_owned(), level: "IS_OWNER".to_owned() }
}

pub(super) fn call(world: &mut World, request: &Request, kind: &str, id: &str) -> Outcome {
    levels(kind)?;
    let is_there = match kind {
        "jobs" => id.parse().is_ok_and(|id: i64| world.jobs.contains_key(&id)),
        "pipelines" => world.pipelines.contains_key(id),
        "repos" => world.objects.values().any(|it| it.kind == "REPO" && it.id.to_string() == id),
        _ => world.objects.values().any(|it| it.kind == "DIRECTORY" && it.id.to_string() == id),
    };
    if !is_there {
        return Err(ApiError::missing(format!("{kind} {id} does not exist.")));
    }
    let key = (kind.to_owned(), id.to_owned());
    match request.method.as_str() {
        "GET" => {}
        "PUT" | "PATCH" => {
            object(&request.body, "the request", &["access_control_list"])?;
            let merged = merged(world, kind, id, &request.body["access_control_list"], request.method == "PATCH")?;
            world.acls.insert(key.clone(), merged);
        }
        _ => return Err(no_such_call(request)),
    }
    let mut rows: Vec<Json> = Vec::new();
    for entry in world.acls.get(&key).into_iter().flatten() {
        let row = json!({&entry.kind: entry.name, "display_name": entry.name, "all_permissions": [{"permission_level": entry.level, "inherited": false}]});
        rows.push(row);
    }
    // Administrators inherit the right to manage everything.
    let inherited =
        json!({"permission_level": "CAN_MANAGE", "inherited": true, "inherited_from_object": [format!("/{kind}/")]});
    match rows.iter_mut().find(|it| it["group_name"] == "admins") {
        Some(row) => row["all_permissions"].as_array_mut().unwrap().push(inherited),
        None => rows.push(json!({"group_name": "admins", "all_permissions": [inherited]})),
    }
    let singular = match kind {
        "directories" => "directory",
        other => other.trim_end_matches('s'),
    };
    Ok(json!({"object_id": format!("/{kind}/{id}"), "object_type": singular, "access_control_list": rows}))
}

/// The direct entries after a change that replaces or extends them.
pub(super) fn merged(
    world: &World,
    kind: &str,
    id: &str,
    given: &Json,
    is_patch: bool,
) -> Result<Vec<Entry>, ApiError> {
    let mut entries = match is_patch {
        true => world.acls.get(&(kind.to_owned(), id.to_owned())).cloned().unwrap_or_default(),
        false => Vec::new(),
    };
    let mut seen = Vec::new();
    for item in given.as_array().into_iter().flatten() {
        let fields = object(item, "an entry", &[&PRINCIPALS[..], &["permission_level"]].concat())?;
        let named: Vec<&&str> = PRINCIPALS.iter().filter(|name| fields.contains_key(**name)).collect();
        let [principal_kind] = named.as_slice() else {
            return Err(ApiError::invalid("Exactly one of user_name, group_name, service_principal_name must be set"));
        };
        let (name, level) = (text(item, principal_kind)?, text(item, "permission_level")?);
        if !levels(kind)?.contains(&level.as_str()) {
            return Err(ApiError::invalid(format!("Permission type {level} is not supported for {kind}")));
        }
        let name = world
            .find_principal(principal_kind, &name)
            .ok_or_else(|| ApiError::missing(format!("Principal: {principal_kind}({name}) does not exist")))?;
        if level == "IS_OWNER" && **principal_kind == "group_name" {
            return Err(ApiError::invalid("Groups can not be owners"));
        }
        if seen.contains(&(principal_kind.to_string(), name.clone())) {
            return Err(ApiError::invalid(format!("Duplicate entry for {name}")));
        }
        seen.push((principal_kind.to_string(), name.clone()));
        entries.retain(|it| !(it.kind == **principal_kind && it.name == name));
        if level == "IS_OWNER" {
            // An object has one owner: this one replaces the previous one.
            entries.retain(|it| it.level != "IS_OWNER");
        }
        entries.push(Entry { kind: principal_kind.to_string(), name, level });
    }
    let owners = entries.iter().filter(|it| it.level == "IS_OWNER").count();
    if matches!(kind, "jobs" | "pipelines") && owners != 1 {
        return Err(ApiError::invalid("The object must have exactly one owner."));
    }
    Ok(entries)
}
