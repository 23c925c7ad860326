//! Commands about tables of a source and their permissions.

use super::{fields, success, text};
use crate::databases::Databases;
use crate::metadata::{Metadata, Permission, Tracked, shown};
use crate::refused::{Outcome, Refused};
use serde_json::{Map, Value as Json};

/// Fields of a table's configuration.
const CONFIGURATION: [&str; 5] =
    ["custom_name", "custom_root_fields", "column_config", "custom_column_names", "comment"];
/// Root fields that can be renamed.
const ROOT_FIELDS: [&str; 12] = [
    "select",
    "select_by_pk",
    "select_aggregate",
    "select_stream",
    "insert",
    "insert_one",
    "update",
    "update_by_pk",
    "update_many",
    "delete",
    "delete_by_pk",
    "comment",
];

/// Executes a command; returns the response and the object that it changed.
pub(crate) fn run(
    metadata: &mut Metadata,
    databases: &Databases,
    (ty, kind, command): (&str, &str, &str),
    args: &Json,
) -> Outcome<(Json, String)> {
    match command {
        "track_table" => track(metadata, databases, args),
        "untrack_table" => untrack(metadata, args),
        "set_table_customization" => customize(metadata, args),
        "set_apollo_federation_config" => {
            let args = fields(args, "SetApolloFederationConfig", &["table"], &["source", "apollo_federation_config"])?;
            let apollo = args.get("apollo_federation_config").filter(|it| !it.is_null()).cloned();
            let (tracked, object) = find(metadata, args)?;
            tracked.apollo = apollo;
            Ok((success(), object))
        }
        "create_select_permission" => create_permission(metadata, args),
        "drop_select_permission" => drop_permission(metadata, args),
        "get_source_tables" if kind != "postgres" => {
            let args = fields(args, "GetSourceTables", &["source"], &[])?;
            let source = metadata.source(&text(args, "source")?)?;
            let source_database = databases.connect(&source.kind, &source.configuration)?;
            Ok((Json::Array(databases.names(&source_database)), String::new()))
        }
        "get_table_info" if kind != "postgres" => {
            let args = fields(args, "GetTableInfo", &["source", "table"], &[])?;
            let source = metadata.source(&text(args, "source")?)?;
            let source_database = databases.connect(&source.kind, &source.configuration)?;
            Ok((databases.info(&source_database, args.get("table").unwrap_or(&Json::Null)), String::new()))
        }
        _ => {
            let error = format!("unknown metadata command \"{command}\" for backend {kind}");
            Err(Refused::parse(error).at(format!("$.{}", if ty.is_empty() { "type" } else { "args" })))
        }
    }
}

fn source_of(args: &Map<String, Json>) -> String {
    args.get("source").and_then(Json::as_str).unwrap_or("default").to_owned()
}

/// The stored name of a table. In PostgreSQL a plain string means the schema `public`.
fn name_of(args: &Map<String, Json>) -> Json {
    match args.get("table") {
        Some(Json::String(name)) => serde_json::json!({"schema": "public", "name": name}),
        Some(other) => other.clone(),
        None => Json::Null,
    }
}

fn find<'a>(metadata: &'a mut Metadata, args: &Map<String, Json>) -> Outcome<(&'a mut Tracked, String)> {
    let (of, name) = (source_of(args), name_of(args));
    let source = metadata.source(&of)?;
    let missing = || Refused::bad("not-exists", format!("table \"{}\" does not exist in source: {of}", shown(&name)));
    let tracked = source.tables.iter_mut().find(|tracked| tracked.name == name).ok_or_else(missing)?;
    Ok((tracked, format!("table {} in source {of}", shown(&name))))
}

fn configuration(given: Option<&Json>) -> Outcome<Map<String, Json>> {
    let Some(given) = given.filter(|it| !it.is_null()) else { return Ok(Map::new()) };
    let mut configuration = fields(given, "TableConfig", &[], &CONFIGURATION)?.clone();
    if let Some(roots) = configuration.get("custom_root_fields") {
        fields(roots, "TableCustomRootFields", &[], &ROOT_FIELDS)?;
        let mut names: Vec<&str> = Vec::new();
        for name in roots.as_object().into_iter().flatten().filter_map(|(_, name)| name.as_str()) {
            check_name(name)?;
            if names.contains(&name) {
                let error = format!("the following custom root field names are duplicated: \"{name}\"");
                return Err(Refused::parse(error).at("$.args.configuration"));
            }
            names.push(name);
        }
    }
    if let Some(name) = configuration.get("custom_name").and_then(Json::as_str) {
        check_name(name)?;
    }
    configuration.remove("custom_column_names");
    // Empty fields are dropped.
    let is_empty = |it: &Json| it.is_null() || it.as_object().is_some_and(Map::is_empty);
    configuration.retain(|_, value| !is_empty(value));
    Ok(configuration)
}

/// Checks a GraphQL name: <https://spec.graphql.org/October2021/#Name>.
fn check_name(name: &str) -> Outcome<()> {
    let mut chars = name.chars();
    let is_right = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_right {
        true => Ok(()),
        false => Err(Refused::parse(format!("parsing GraphQL name failed: \"{name}\" is not valid GraphQL name"))
            .at("$.args.configuration")),
    }
}

fn track(metadata: &mut Metadata, databases: &Databases, args: &Json) -> Outcome<(Json, String)> {
    let known = ["source", "configuration", "apollo_federation_config", "is_enum"];
    let args = fields(args, "TrackTable", &["table"], &known)?;
    let (of, name) = (source_of(args), name_of(args));
    let source = metadata.source(&of)?;
    let object = format!("table {} in source {of}", shown(&name));
    if source.tables.iter().any(|tracked| tracked.name == name) {
        return Err(Refused::bad("already-tracked", format!("view/table already tracked: \"{}\"", shown(&name))));
    }
    let source_database = databases.connect(&source.kind, &source.configuration)?;
    if databases.table(&source_database, &name).is_none() {
        let error = format!("Inconsistent object: no such table/view exists in source: \"{}\"", shown(&name));
        return Err(Refused::bad("invalid-configuration", error));
    }
    let configuration = configuration(args.get("configuration"))?;
    let apollo = args.get("apollo_federation_config").filter(|it| !it.is_null()).cloned();
    source.tables.push(Tracked { name, configuration, apollo, permissions: Vec::new(), dependants: Vec::new() });
    Ok((success(), object))
}

fn untrack(metadata: &mut Metadata, args: &Json) -> Outcome<(Json, String)> {
    let args = fields(args, "UntrackTable", &["table"], &["source", "cascade"])?;
    let (of, name) = (source_of(args), name_of(args));
    let source = metadata.source(&of)?;
    let Some(at) = source.tables.iter().position(|tracked| tracked.name == name) else {
        return Err(Refused::bad("already-untracked", format!("view/table already untracked: \"{}\"", shown(&name))));
    };
    let is_cascading = args.get("cascade") == Some(&Json::Bool(true));
    let dependants = source.tables.iter().filter(|it| it.name == name).flat_map(|it| it.dependants.clone());
    let dependants: Vec<String> = dependants.collect();
    if !dependants.is_empty() && !is_cascading {
        let error = format!("cannot drop due to the following dependent objects: {}", dependants.join(", "));
        return Err(Refused::bad("dependency-error", error));
    }
    source.tables.remove(at);
    let object = format!("table {} in source {of}", shown(&name));
    metadata.inconsistent_objects.retain(|(_, broken, _)| !broken.ends_with(&object));
    Ok((success(), object))
}

fn customize(metadata: &mut Metadata, args: &Json) -> Outcome<(Json, String)> {
    let args = fields(args, "SetTableCustomization", &["table", "configuration"], &["source"])?;
    let configuration = configuration(args.get("configuration"))?;
    let (tracked, object) = find(metadata, args)?;
    tracked.configuration = configuration;
    Ok((success(), object))
}

fn create_permission(metadata: &mut Metadata, args: &Json) -> Outcome<(Json, String)> {
    let args = fields(args, "CreatePerm", &["table", "role", "permission"], &["source", "comment"])?;
    let role = text(args, "role")?;
    // `set` belongs to other permissions; existing services send it, and it is ignored.
    let known =
        ["limit", "allow_aggregations", "computed_fields", "query_root_fields", "subscription_root_fields", "set"];
    let given = args.get("permission").unwrap_or(&Json::Null);
    let mut body = fields(given, "SelPerm", &["columns", "filter"], &known)?.clone();
    body.remove("set");
    if body.get("limit").is_some_and(|limit| limit.as_i64().is_none_or(|limit| limit <= 0)) {
        return Err(Refused::bad("unexpected-payload", "unexpected value, expecting a positive integer")
            .at("$.args.permission.limit"));
    }
    let comment = args.get("comment").and_then(Json::as_str).map(str::to_owned);
    let (tracked, object) = find(metadata, args)?;
    if role == "admin" || tracked.permissions.iter().any(|it| it.role == role) {
        let error =
            format!("select permission already defined on table \"{}\" with role \"{role}\"", shown(&tracked.name));
        return Err(Refused::bad("already-exists", error));
    }
    tracked.permissions.push(Permission { role: role.clone(), body, comment });
    Ok((success(), format!("select permission for role {role} of {object}")))
}

fn drop_permission(metadata: &mut Metadata, args: &Json) -> Outcome<(Json, String)> {
    let args = fields(args, "DropPerm", &["table", "role"], &["source"])?;
    let role = text(args, "role")?;
    let (tracked, object) = find(metadata, args)?;
    let count = tracked.permissions.len();
    tracked.permissions.retain(|it| it.role != role);
    if tracked.permissions.len() == count {
        let error = format!("select permission on \"{}\" for role \"{role}\" does not exist", shown(&tracked.name));
        return Err(Refused::bad("permission-denied", error));
    }
    let object = format!("select permission for role {role} of {object}");
    metadata.inconsistent_objects.retain(|(_, broken, _)| *broken != object);
    Ok((success(), object))
}
