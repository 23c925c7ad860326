//! Select permissions: `*_create_select_permission`, `*_drop_select_permission`
//! (<https://hasura.io/docs/2.0/api-reference/metadata-api/permission/>). No command changes a permission: one `bulk`
//! drops and recreates it, so that the role never lacks it.

use super::{Target, source_in, table_in};
use crate::attributes::{flag, in_order_of, json, list, texts, without_nulls};
use crate::engine::{Change, Decision, Engine};
use crate::export::{Export, Permission, Source, Table};
use serde_json::{Map as JsonMap, Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Attributes, Call, Path, ProviderError, Value};

/// All columns.
const ALL: &str = "*";

/// Refuses an invalid permission.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    let columns = texts(attributes, "columns");
    if columns.len() > 1 && columns.iter().any(|column| column == ALL) {
        let message = "`columns` has `*` and single columns";
        return Err(ProviderError::invalid(Some(Path::attribute("columns")), message)
            .solution("write either `*` or single columns"));
    }
    if attributes.get("role").and_then(Value::as_str) == Some("admin") {
        let message = "the role `admin` already has all permissions";
        return Err(ProviderError::invalid(Some(Path::attribute("role")), message).solution("name another role"));
    }
    if attributes.get("limit").and_then(Value::as_int).is_some_and(|limit| limit <= 0) {
        let message = "`limit` is not a number of rows";
        return Err(
            ProviderError::invalid(Some(Path::attribute("limit")), message).solution("write 1 or more, or remove it")
        );
    }
    match attributes.get("filter").map(Value::exposed) {
        None | Some(Value::Map(_) | Value::Null | Value::Unknown) => Ok(()),
        Some(_) => Err(ProviderError::invalid(Some(Path::attribute("filter")), "`filter` is not a map")
            .solution("write a filter such as `{region: {_eq: EU}}`")),
    }
}

/// Its present attributes.
pub(crate) fn present(permission: &Permission, like: Option<&Attributes>) -> Attributes {
    let body = &permission.permission;
    let columns = match body.get("columns") {
        Some(Json::Array(columns)) => columns.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => vec![ALL.to_owned()],
    };
    let mut current = Attributes::default();
    current.insert("columns".to_owned(), list(&in_order_of(columns, like, "columns")));
    let filter = body.get("filter").cloned().unwrap_or_else(|| json!({}));
    current.insert("filter".to_owned(), Value::from(filter));
    // A missing limit is returned as null: absent attributes stay as recorded.
    let limit = body.get("limit").and_then(Json::as_i64);
    current.insert("limit".to_owned(), limit.map_or(Value::Null, Value::Int));
    let allows = body.get("allow_aggregations").and_then(Json::as_bool).unwrap_or(false);
    current.insert("allowAggregations".to_owned(), allows.into());
    current
}

/// True if a permission matches the plan.
pub(crate) fn matches_plan(permission: &Permission, planned: &Attributes) -> bool {
    without_nulls(&Json::Object(body(&permission.permission, planned)))
        == without_nulls(&Json::Object(body(&permission.permission, &present(permission, None))))
}

/// A permission's body with the planned values; entries without an attribute stay.
fn body(now: &JsonMap<String, Json>, planned: &Attributes) -> JsonMap<String, Json> {
    let mut body = now.clone();
    let mut columns = texts(planned, "columns");
    columns.sort();
    let columns = if columns == [ALL] { Json::from(ALL) } else { Json::from(columns) };
    body.insert("columns".to_owned(), columns);
    body.insert("filter".to_owned(), json(planned, "filter").unwrap_or_else(|| json!({})));
    body.insert("allow_aggregations".to_owned(), flag(planned, "allowAggregations").into());
    match planned.get("limit").and_then(Value::as_int) {
        Some(limit) => drop(body.insert("limit".to_owned(), limit.into())),
        None => drop(body.remove("limit")),
    }
    body
}

fn create_command(source: &Source, table: &Table, role: &str, permission: &Json, comment: &Json) -> Json {
    let mut args = json!({"source": source.name, "table": table.name, "role": role, "permission": permission});
    if let (Some(args), false) = (args.as_object_mut(), comment.is_null()) {
        args.insert("comment".to_owned(), comment.clone());
    }
    json!({"type": format!("{}_create_select_permission", source.prefix()), "args": args})
}

fn drop_command(source: &Source, table: &Table, role: &str) -> Json {
    let args = json!({"source": source.name, "table": table.name, "role": role});
    json!({"type": format!("{}_drop_select_permission", source.prefix()), "args": args})
}

fn change<'a>(target: &Target, call: &'a Call, action: &str) -> Change<'a> {
    let (source, table, role) = (target.part("source"), target.table().join("."), target.part("role"));
    Change {
        call,
        action: format!("{action} the permission of `{role}` to read `{table}` of the source `{source}`"),
        import_id: Some(target.id()),
        at: None,
        names: vec![source, target.table().last().cloned().unwrap_or_default(), role],
        object: "select_permission",
    }
}

pub(crate) async fn create(
    engine: &Engine,
    target: &Target,
    call: &Call,
    planned: &Attributes,
) -> Result<Arc<Export>, ProviderError> {
    let role = target.part("role");
    let decide = |export: &Export, may_be_done: bool| {
        let source = source_in(export, &target.part("source"))?;
        let table = table_in(source, &target.table())?;
        if let Some(permission) = table.select_permissions.iter().find(|permission| permission.role == role) {
            return match may_be_done && matches_plan(permission, planned) {
                true => Ok(Decision::Done),
                false => {
                    Err(target.exists(&format!("a permission of `{role}` to read `{}`", target.table().join("."))))
                }
            };
        }
        let wanted = Json::Object(body(&JsonMap::new(), planned));
        let make = create_command(source, table, &role, &wanted, &Json::Null);
        Ok(Decision::Do { commands: vec![make], inverse: vec![drop_command(source, table, &role)] })
    };
    engine.change(&change(target, call, "create"), decide).await
}

pub(crate) async fn update(
    engine: &Engine,
    target: &Target,
    call: &Call,
    planned: &Attributes,
) -> Result<Arc<Export>, ProviderError> {
    let role = target.part("role");
    let decide = |export: &Export, _: bool| {
        let source = source_in(export, &target.part("source"))?;
        let table = table_in(source, &target.table())?;
        let now =
            table.select_permissions.iter().find(|permission| permission.role == role).ok_or_else(|| target.gone())?;
        if matches_plan(now, planned) {
            return Ok(Decision::Done);
        }
        let recreate = |permission: JsonMap<String, Json>| {
            let make = create_command(source, table, &role, &Json::Object(permission), &now.comment);
            vec![drop_command(source, table, &role), make]
        };
        Ok(Decision::Do {
            commands: recreate(body(&now.permission, planned)),
            inverse: recreate(now.permission.clone()),
        })
    };
    engine.change(&change(target, call, "change"), decide).await
}

pub(crate) async fn delete(engine: &Engine, target: &Target, call: &Call) -> Result<(), ProviderError> {
    let role = target.part("role");
    let decide = |export: &Export, _: bool| {
        let source = export.source(&target.part("source"));
        let found = source.and_then(|source| Some((source, source.table(&target.table())?)));
        let Some((source, table)) = found else { return Ok(Decision::Done) };
        if table.select_permissions.iter().all(|permission| permission.role != role) {
            return Ok(Decision::Done);
        }
        Ok(Decision::Do { commands: vec![drop_command(source, table, &role)], inverse: Vec::new() })
    };
    engine.change(&change(target, call, "drop"), decide).await.map(drop)
}
