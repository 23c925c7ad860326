//! Catalogs and schemas of Unity Catalog: <https://docs.databricks.com/api/workspace/catalogs>. Names are stored in
//! lower case.

use crate::error::{ApiError, Outcome};
use crate::fields::{object, optional, page, text};
use crate::request::{Request, no_such_call};
use crate::world::{METASTORE, WORKSPACE, World};
use serde_json::{Value as Json, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Catalog,
    Schema,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Catalog => "Catalog",
            Self::Schema => "Schema",
        }
    }

    fn missing(self, name: &str) -> ApiError {
        let code = if self == Self::Catalog { "CATALOG_DOES_NOT_EXIST" } else { "SCHEMA_DOES_NOT_EXIST" };
        ApiError::new(404, code, format!("{} '{name}' does not exist.", self.word()))
    }
}

pub(super) fn assignment(world: &World) -> Json {
    let id = world.other_metastore.as_deref().unwrap_or(METASTORE);
    json!({"metastore_id": id, "workspace_id": WORKSPACE, "default_catalog_name": "main"})
}

/// The metastore of the workspace, readable for everyone.
pub(super) fn summary(world: &World) -> Json {
    json!({
        "metastore_id": METASTORE, "name": "metastore", "owner": world.metastore_owner, "region": "westeurope",
        "cloud": "azure", "privilege_model_version": "1.0",
    })
}

pub(super) fn metastores(request: &Request) -> Outcome {
    let (metastores, _) = page(vec![metastore(METASTORE)?], &request.query, "max_results", 100, 1000)?;
    Ok(json!({"metastores": metastores}))
}

pub(super) fn metastore(id: &str) -> Outcome {
    match id == METASTORE {
        true => Ok(json!({"metastore_id": METASTORE, "name": "metastore", "region": "westeurope", "cloud": "azure"})),
        false => Err(ApiError::new(404, "METASTORE_DOES_NOT_EXIST", format!("Metastore '{id}' does not exist."))),
    }
}

/// A new catalog or schema.
pub(super) fn new(world: &mut World, kind: Kind, full_name: &str, actor: &str) -> Json {
    let now = world.now();
    let mut made = json!({
        "name": full_name.rsplit('.').next(), "full_name": full_name, "owner": actor, "metastore_id": METASTORE,
        "created_at": now, "created_by": actor, "updated_at": now, "updated_by": actor,
    });
    match kind {
        Kind::Catalog => {
            made["catalog_type"] = json!("MANAGED_CATALOG");
            made["isolation_mode"] = json!("OPEN");
            made["securable_type"] = json!("CATALOG");
        }
        Kind::Schema => {
            made["catalog_name"] = json!(full_name.split('.').next());
            made["schema_id"] = json!(world.uuid());
        }
    }
    made
}

pub(super) fn all(world: &mut World, request: &Request, kind: Kind) -> Outcome {
    match request.method.as_str() {
        "GET" => {
            let kept = if kind == Kind::Catalog { &world.catalogs } else { &world.schemas };
            let mut items: Vec<Json> = kept.values().cloned().collect();
            if kind == Kind::Schema {
                let catalog = request.parameter("catalog_name")?.to_lowercase();
                world.catalogs.get(&catalog).ok_or_else(|| Kind::Catalog.missing(&catalog))?;
                items.retain(|it| it["catalog_name"] == catalog.as_str());
            }
            let (items, next) = page(items, &request.query, "max_results", 100, 1000)?;
            let mut answer = json!({(if kind == Kind::Catalog { "catalogs" } else { "schemas" }): items});
            if let Some(next) = next {
                answer["next_page_token"] = json!(next);
            }
            Ok(answer)
        }
        "POST" => create(world, request, kind),
        _ => Err(no_such_call(request)),
    }
}

/// Volumes, functions and registered models of a schema: <https://docs.databricks.com/api/workspace/volumes/list>,
/// <https://docs.databricks.com/api/workspace/functions/list>, <https://docs.databricks.com/api/workspace/registeredmodels/list>.
pub(super) fn others(world: &World, request: &Request, kind: &str) -> Outcome {
    let (catalog, schema) = (request.parameter("catalog_name")?, request.parameter("schema_name")?);
    let schema = format!("{catalog}.{schema}").to_lowercase();
    world.schemas.get(&schema).ok_or_else(|| Kind::Schema.missing(&schema))?;
    let inside = format!("{schema}.");
    let all = world.others.iter().filter(|((of, name), _)| of == kind && name.starts_with(&inside));
    let (items, next) = page(all.map(|(_, it)| it.clone()).collect(), &request.query, "max_results", 100, 1000)?;
    let mut answer = json!({(if kind == "models" { "registered_models" } else { kind }): items});
    if let Some(next) = next {
        answer["next_page_token"] = json!(next);
    }
    Ok(answer)
}

fn create(world: &mut World, request: &Request, kind: Kind) -> Outcome {
    let body = &request.body;
    object(body, "the request", &["name", "catalog_name", "comment", "properties", "storage_root", "options"])?;
    let name = text(body, "name")?.to_lowercase();
    if name.len() > 255 || name.contains(['.', ' ', '/']) || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!(
            "Invalid input: RPC Create{} Field managedcatalog.name: name \"{name}\" is not a valid name",
            kind.word()
        )));
    }
    let full_name = match kind {
        Kind::Catalog if !world.has_metastore_privilege(&request.actor, "CREATE_CATALOG") => {
            let message = "User does not have CREATE CATALOG on Metastore 'metastore'.";
            return Err(ApiError::denied(message));
        }
        Kind::Catalog => name,
        Kind::Schema => {
            let catalog = text(body, "catalog_name")?.to_lowercase();
            world.catalogs.get(&catalog).ok_or_else(|| Kind::Catalog.missing(&catalog))?;
            format!("{catalog}.{name}")
        }
    };
    let there = if kind == Kind::Catalog { &world.catalogs } else { &world.schemas };
    if there.contains_key(&full_name) {
        let code = if kind == Kind::Catalog { "CATALOG_ALREADY_EXISTS" } else { "SCHEMA_ALREADY_EXISTS" };
        return Err(ApiError::new(400, code, format!("{} '{full_name}' already exists", kind.word())));
    }
    let mut made = new(world, kind, &full_name, &request.actor);
    for field in ["comment", "properties", "storage_root"] {
        if !body[field].is_null() {
            made[field] = body[field].clone();
        }
    }
    kept(&mut made);
    if kind == Kind::Catalog {
        world.catalogs.insert(full_name.clone(), made.clone());
        for schema in ["default", "information_schema"] {
            let name = format!("{full_name}.{schema}");
            let schema = new(world, Kind::Schema, &name, &request.actor);
            world.schemas.insert(name, schema);
        }
    } else {
        world.schemas.insert(full_name, made.clone());
    }
    Ok(made)
}

/// An empty comment is dropped, and a folder loses its trailing slash.
fn kept(container: &mut Json) {
    if container["comment"] == "" {
        container.as_object_mut().unwrap().shift_remove("comment");
    }
    if let Some(root) = container["storage_root"].as_str() {
        container["storage_root"] = json!(root.trim_end_matches('/'));
    }
}

pub(super) fn one(world: &mut World, request: &Request, kind: Kind, name: &str) -> Outcome {
    let name = name.to_lowercase();
    let all = if kind == Kind::Catalog { &world.catalogs } else { &world.schemas };
    let there = all.get(&name).cloned().ok_or_else(|| kind.missing(&name))?;
    match request.method.as_str() {
        "GET" => Ok(there),
        "PATCH" => {
            let body = &request.body;
            object(body, "the request", &["comment", "owner", "properties", "isolation_mode"])?;
            let mut changed = there;
            if let Some(owner) = optional(body, "owner")? {
                let Some(known) = world.known(&owner) else {
                    let message = format!("Could not find principal with name {owner}");
                    return Err(ApiError::new(404, "PRINCIPAL_DOES_NOT_EXIST", message));
                };
                changed["owner"] = json!(known);
            }
            for field in ["comment", "properties"] {
                if !body[field].is_null() {
                    changed[field] = body[field].clone();
                }
            }
            kept(&mut changed);
            changed["updated_at"] = json!(world.now());
            let all = if kind == Kind::Catalog { &mut world.catalogs } else { &mut world.schemas };
            all.insert(name, changed.clone());
            Ok(changed)
        }
        "DELETE" => {
            let inside = format!("{name}.");
            let usual = [format!("{name}.default"), format!("{name}.information_schema")];
            let is_filled = world.tables.keys().any(|it| it.starts_with(&inside))
                || world.others.keys().any(|(_, it)| it.starts_with(&inside))
                || (kind == Kind::Catalog
                    && world.schemas.keys().any(|it| it.starts_with(&inside) && !usual.contains(it)));
            if is_filled && request.query.get("force").is_none_or(|it| it != "true") {
                let code = if kind == Kind::Catalog { "CATALOG_NOT_EMPTY" } else { "SCHEMA_NOT_EMPTY" };
                return Err(ApiError::new(409, code, format!("{} '{name}' is not empty.", kind.word())));
            }
            world.catalogs.retain(|it, _| *it != name);
            world.schemas.retain(|it, _| *it != name && !it.starts_with(&inside));
            world.tables.retain(|it, _| !it.starts_with(&inside));
            world.others.retain(|(_, it), _| !it.starts_with(&inside));
            world.grants.retain(|(_, it), _| *it != name && !it.starts_with(&inside));
            Ok(json!({}))
        }
        _ => Err(no_such_call(request)),
    }
}
