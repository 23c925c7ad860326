//! Tables and views: <https://docs.databricks.com/api/workspace/tables>.

use super::catalogs;
use crate::error::{ApiError, Outcome};
use crate::fields::page;
use crate::request::{Request, no_such_call};
use crate::world::{METASTORE, World};
use serde_json::{Value as Json, json};

fn missing(name: &str) -> ApiError {
    ApiError::new(404, "TABLE_DOES_NOT_EXIST", format!("Table '{name}' does not exist."))
}

/// The API's form of a column, with a type as in DDL: `decimal(10,2)`.
pub(crate) fn column(name: &str, ty: &str, position: usize) -> Json {
    let word = ty.split('(').next().unwrap_or_default().to_uppercase();
    let type_name = match word.as_str() {
        "BIGINT" => "LONG",
        "TINYINT" => "BYTE",
        "SMALLINT" => "SHORT",
        "VARCHAR" | "CHAR" => "STRING",
        other => other,
    };
    let mut column =
        json!({"name": name, "type_text": ty, "type_name": type_name, "position": position, "nullable": true});
    if let Some(inside) = ty.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'))
        && type_name == "DECIMAL"
    {
        let numbers: Vec<i64> = inside.split(',').filter_map(|it| it.trim().parse().ok()).collect();
        column["type_precision"] = json!(numbers.first());
        column["type_scale"] = json!(numbers.get(1).unwrap_or(&0));
    }
    column
}

/// Adds a table, and its catalog and schema if they are missing.
pub(crate) fn add(world: &mut World, full_name: &str, columns: &[(&str, &str)]) {
    let full_name = full_name.to_lowercase();
    let parts: Vec<&str> = full_name.split('.').collect();
    let (catalog, schema) = (parts[0].to_owned(), format!("{}.{}", parts[0], parts[1]));
    if !world.catalogs.contains_key(&catalog) {
        let made = catalogs::new(world, catalogs::Kind::Catalog, &catalog, "admin@example.com");
        world.catalogs.insert(catalog, made);
    }
    if !world.schemas.contains_key(&schema) {
        let made = catalogs::new(world, catalogs::Kind::Schema, &schema, "admin@example.com");
        world.schemas.insert(schema, made);
    }
    let columns = columns.iter().enumerate().map(|(at, (name, ty))| column(name, ty, at)).collect();
    put(world, &full_name, "MANAGED", columns, "admin@example.com");
}

/// Adds a table or view.
pub(crate) fn put(world: &mut World, full_name: &str, ty: &str, columns: Vec<Json>, owner: &str) {
    let (id, now) = (world.uuid(), world.now());
    let parts: Vec<&str> = full_name.split('.').collect();
    let table = json!({
        "name": parts[2], "catalog_name": parts[0], "schema_name": parts[1], "full_name": full_name, "table_type": ty,
        "columns": columns, "owner": owner, "table_id": id, "metastore_id": METASTORE, "created_at": now,
        "created_by": owner, "updated_at": now, "properties": {},
    });
    world.tables.insert(full_name.to_owned(), table);
}

pub(super) fn list(world: &World, request: &Request) -> Outcome {
    let schema =
        format!("{}.{}.", request.parameter("catalog_name")?, request.parameter("schema_name")?).to_lowercase();
    if !world.schemas.contains_key(schema.trim_end_matches('.')) {
        let message = format!("Schema '{}' does not exist.", schema.trim_end_matches('.'));
        return Err(ApiError::new(404, "SCHEMA_DOES_NOT_EXIST", message));
    }
    let tables = world.tables.iter().filter(|(name, _)| name.starts_with(&schema)).map(|(_, it)| it.clone());
    let (tables, next) = page(tables.collect(), &request.query, "max_results", 50, 50)?;
    let mut answer = json!({"tables": tables});
    if let Some(next) = next {
        answer["next_page_token"] = json!(next);
    }
    Ok(answer)
}

pub(super) fn exists(world: &World, name: &str) -> Outcome {
    Ok(json!({"table_exists": world.tables.contains_key(&name.to_lowercase())}))
}

pub(super) fn one(world: &mut World, request: &Request, name: &str) -> Outcome {
    let name = name.to_lowercase();
    let table = world.tables.get(&name).cloned().ok_or_else(|| missing(&name))?;
    match request.method.as_str() {
        "GET" => Ok(table),
        "DELETE" => {
            remove(world, &name);
            Ok(json!({}))
        }
        _ => Err(no_such_call(request)),
    }
}

/// Removes a table or view with its grants.
pub(crate) fn remove(world: &mut World, name: &str) {
    world.tables.remove(name);
    world.grants.remove(&("table".to_owned(), name.to_owned()));
}
