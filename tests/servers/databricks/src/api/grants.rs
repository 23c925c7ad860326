//! Privileges: <https://docs.databricks.com/api/workspace/grants>. The kind of a securable may be written in any case.

use crate::error::{ApiError, Outcome};
use crate::fields::{object, text};
use crate::request::{Request, no_such_call};
use crate::world::{METASTORE, World};
use serde_json::{Value as Json, json};

/// The privileges of a kind of securable.
fn privileges(kind: &str) -> Result<&'static [&'static str], ApiError> {
    match kind {
        "catalog" => Ok(&[
            "ALL_PRIVILEGES",
            "APPLY_TAG",
            "BROWSE",
            "CREATE_SCHEMA",
            "CREATE_TABLE",
            "CREATE_VOLUME",
            "EXECUTE",
            "MANAGE",
            "MODIFY",
            "READ_VOLUME",
            "SELECT",
            "USE_CATALOG",
            "USE_SCHEMA",
            "WRITE_VOLUME",
        ]),
        "schema" => Ok(&[
            "ALL_PRIVILEGES",
            "APPLY_TAG",
            "CREATE_TABLE",
            "CREATE_VOLUME",
            "CREATE_FUNCTION",
            "EXECUTE",
            "MANAGE",
            "MODIFY",
            "READ_VOLUME",
            "SELECT",
            "USE_SCHEMA",
            "WRITE_VOLUME",
        ]),
        "metastore" => {
            Ok(&["CREATE_CATALOG", "CREATE_CONNECTION", "CREATE_EXTERNAL_LOCATION", "CREATE_STORAGE_CREDENTIAL"])
        }
        "table" => Ok(&["ALL_PRIVILEGES", "APPLY_TAG", "MANAGE", "MODIFY", "SELECT"]),
        other => Err(ApiError::invalid(format!("'{other}' is not a valid securable type"))),
    }
}

pub(super) fn call(world: &mut World, request: &Request, kind: &str, name: &str) -> Outcome {
    let (kind, name) = (kind.to_lowercase(), name.to_lowercase());
    let known = privileges(&kind)?;
    if !world.has_metastore {
        return Err(ApiError::new(404, "METASTORE_DOES_NOT_EXIST", "No metastore assigned for the current workspace."));
    }
    let (is_there, code) = match kind.as_str() {
        "catalog" => (world.catalogs.contains_key(&name), "CATALOG_DOES_NOT_EXIST"),
        "schema" => (world.schemas.contains_key(&name), "SCHEMA_DOES_NOT_EXIST"),
        "metastore" => (name == METASTORE, "METASTORE_DOES_NOT_EXIST"),
        _ => (world.tables.contains_key(&name), "TABLE_DOES_NOT_EXIST"),
    };
    if !is_there {
        return Err(ApiError::new(404, code, format!("{kind} '{name}' does not exist.")));
    }
    let key = (kind, name);
    match request.method.as_str() {
        "GET" => {}
        "PATCH" => {
            object(&request.body, "the request", &["changes"])?;
            let mut changed = world.grants.get(&key).cloned().unwrap_or_default();
            for change in request.body["changes"].as_array().into_iter().flatten() {
                object(change, "a change", &["principal", "add", "remove"])?;
                let named = text(change, "principal")?;
                let principal = match world.known(&named) {
                    Some(principal) => principal,
                    None if named == "account users" => named,
                    None => {
                        let message = format!("Could not find principal with name {named}");
                        return Err(ApiError::new(404, "PRINCIPAL_DOES_NOT_EXIST", message));
                    }
                };
                let names = |field: &str| -> Result<Vec<String>, ApiError> {
                    let items = change[field].as_array().into_iter().flatten();
                    items
                        .map(|it| {
                            let name = it.as_str().unwrap_or_default();
                            let is_known = known.contains(&name);
                            let message =
                                format!("Privilege {name} is not applicable to this entity [{}:{}]", key.1, key.0);
                            if is_known { Ok(name.to_owned()) } else { Err(ApiError::invalid(message)) }
                        })
                        .collect()
                };
                let (add, remove) = (names("add")?, names("remove")?);
                let held = changed.entry(principal).or_default();
                held.retain(|it| !remove.contains(it));
                held.extend(add);
            }
            changed.retain(|_, held| !held.is_empty());
            world.grants.insert(key.clone(), changed);
        }
        _ => return Err(no_such_call(request)),
    }
    let only = request.query.get("principal");
    let rows: Vec<Json> = world
        .grants
        .get(&key)
        .into_iter()
        .flatten()
        .filter(|(principal, _)| only.is_none_or(|only| only == *principal))
        .map(|(principal, held)| json!({"principal": principal, "privileges": held}))
        .collect();
    Ok(if rows.is_empty() { json!({}) } else { json!({"privilege_assignments": rows}) })
}
