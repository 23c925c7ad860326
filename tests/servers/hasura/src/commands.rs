//! The commands: `type` and `args` of <https://hasura.io/docs/2.0/api-reference/metadata-api/index/>, as in
//! graphql-engine's source (`Hasura/Server/API/Metadata.hs`, `Hasura/RQL/DDL`).

mod sql;
mod tables;

use crate::databases::Databases;
use crate::metadata::{Metadata, Source};
use crate::refused::{Outcome, Refused};
use serde_json::{Map, Value as Json, json};

/// Commands that change nothing; SQL runs here only if it is marked read-only.
const READ_COMMANDS: [&str; 6] = [
    "export_metadata",
    "get_inconsistent_metadata",
    "get_source_tables",
    "get_table_info",
    "list_source_kinds",
    RUN_SQL,
];
/// The command that runs SQL, with its own URL.
pub(crate) const RUN_SQL: &str = "run_sql";
/// Suffixes of the relationship commands, after the kind of source: with queries and models, all that `bulk_atomic`
/// knows.
const ATOMIC: [&str; 3] = ["create_object_relationship", "create_array_relationship", "drop_relationship"];

/// Whether a request could change anything.
pub(crate) fn is_write(request: &Json) -> bool {
    let ty = request["type"].as_str().unwrap_or_default();
    match (ty, request["args"].as_array()) {
        ("bulk" | "bulk_atomic" | "bulk_keep_going", Some(requests)) => requests.iter().any(is_write),
        _ => !READ_COMMANDS.iter().any(|question| ty.ends_with(question)),
    }
}

/// A short form of a request.
pub(crate) fn line(request: &Json) -> String {
    let ty = request["type"].as_str().unwrap_or("?");
    match request["args"].as_array() {
        Some(requests) => format!("{ty}[{}]", requests.iter().map(line).collect::<Vec<_>>().join(", ")),
        None => ty.to_owned(),
    }
}

/// The fields of an object: required and optional ones; others are refused.
pub(crate) fn fields<'a>(
    args: &'a Json,
    what: &str,
    needed: &[&str],
    optional: &[&str],
) -> Outcome<&'a Map<String, Json>> {
    let wrong = |why: String| Refused::parse(format!("When parsing the record {what} of type {why}"));
    let Some(object) = args.as_object() else { return Err(wrong("Object, encountered another".to_owned())) };
    if let Some(name) = needed.iter().find(|name| !object.contains_key(**name)) {
        return Err(Refused::parse(format!("key \"{name}\" not found")));
    }
    match object.keys().find(|name| !needed.contains(&name.as_str()) && !optional.contains(&name.as_str())) {
        Some(name) => Err(wrong(format!("Object: the key {name} is not known"))),
        None => Ok(object),
    }
}

pub(crate) fn text(args: &Map<String, Json>, name: &str) -> Outcome<String> {
    let wrong = || Refused::parse(format!("parsing Text failed, expected String: {name}")).at(format!("$.args.{name}"));
    args.get(name).and_then(Json::as_str).map(str::to_owned).ok_or_else(wrong)
}

pub(crate) fn success() -> Json {
    json!({"message": "success"})
}

/// Executes a request on a copy of the metadata, which the caller drops after an error.
pub(crate) fn run(metadata: &mut Metadata, databases: &Databases, request: &Json) -> Outcome<Json> {
    let Some(ty) = request["type"].as_str() else { return Err(Refused::parse("key \"type\" not found").at("$")) };
    let args = &request["args"];
    match ty {
        "bulk" => {
            let requests = args.as_array().ok_or_else(|| Refused::parse("parsing [] failed, expected Array"))?;
            // The first failure ends the bulk; the changes before it are not stored.
            let run = |(index, request)| run(metadata, databases, request).map_err(|why| why.within(index));
            requests.iter().enumerate().map(run).collect::<Outcome<Vec<Json>>>().map(Json::Array)
        }
        "bulk_atomic" => {
            let requests = args.as_array().ok_or_else(|| Refused::parse("parsing [] failed, expected Array"))?;
            let is_known =
                |it: &Json| ATOMIC.iter().any(|known| it["type"].as_str().unwrap_or_default().ends_with(known));
            match requests.iter().all(is_known) {
                // This stand-in has no relationships.
                true if requests.is_empty() => Ok(success()),
                _ => Err(Refused::new(500, "unexpected", "Bulk atomic does not support this command")),
            }
        }
        "export_metadata" => {
            fields(args, "ExportMetadata", &[], &[])?;
            let exported = metadata.exported();
            Ok(if request["version"] == 2 { exported } else { exported["metadata"].clone() })
        }
        "get_inconsistent_metadata" => {
            fields(args, "GetInconsistentMetadata", &[], &[])?;
            let object = |(ty, name, reason)| json!({"type": ty, "name": name, "reason": reason, "definition": {}});
            let found: Vec<Json> = metadata.inconsistent(databases).into_iter().map(object).collect();
            Ok(json!({"is_consistent": found.is_empty(), "inconsistent_objects": found}))
        }
        "reload_metadata" => {
            fields(
                args,
                "ReloadMetadata",
                &[],
                &["reload_sources", "reload_remote_schemas", "recreate_event_triggers"],
            )?;
            Ok(json!({"message": "success", "is_consistent": metadata.inconsistent(databases).is_empty()}))
        }
        "list_source_kinds" => {
            Ok(json!({"sources": [{"kind": "pg", "builtin": true}, {"kind": "snowflake", "builtin": false}]}))
        }
        _ => of_source(metadata, databases, ty, args),
    }
}

/// Commands for a kind of source: `snowflake_track_table`.
fn of_source(metadata: &mut Metadata, databases: &Databases, ty: &str, args: &Json) -> Outcome<Json> {
    let (prefix, command) = ty.split_once('_').unwrap_or((ty, ""));
    let kind = match prefix {
        "pg" => "postgres",
        "snowflake" => "snowflake",
        _ => {
            let error =
                format!("unknown metadata command \"{ty}\"; \"{prefix}\" was not recognized as a valid backend name");
            return Err(Refused::parse(error).at("$.type"));
        }
    };
    if (command, kind) == (RUN_SQL, "postgres") {
        return sql::run(metadata, databases, args);
    }
    let before = metadata.inconsistent(databases);
    let (done, object) = match command {
        "add_source" => add(metadata, kind, args)?,
        "update_source" => update(metadata, kind, args)?,
        "drop_source" => drop_source(metadata, args)?,
        _ => tables::run(metadata, databases, (ty, kind, command), args)?,
    };
    metadata.check_root_fields()?;
    // A command that makes an object inconsistent is refused; earlier inconsistencies stay.
    let now = metadata.inconsistent(databases);
    if let Some(new) = now.iter().find(|found| !before.contains(found)) {
        let (of, name, reason) = new;
        let detail = json!([{"type": of, "name": name, "reason": reason}]);
        let refused = match *name == object {
            true => Refused::bad("invalid-configuration", reason.clone()),
            false => Refused::bad("unexpected", "cannot continue due to new inconsistent metadata"),
        };
        return Err(Refused { internal: Some(detail), ..refused });
    }
    Ok(done)
}

/// The stored form of a source's configuration.
fn stored(kind: &str, configuration: &Json) -> Outcome<Json> {
    let Some(object) = configuration.as_object() else {
        return Err(Refused::parse("parsing a configuration failed, expected Object").at("$.args.configuration"));
    };
    if kind == "postgres" {
        let info = fields(
            configuration,
            "PostgresConnConfiguration",
            &["connection_info"],
            &["read_replicas", "extensions_schema"],
        )?;
        let mut info = info.clone();
        // Omitted fields have defaults.
        if let Some(info) = info.get_mut("connection_info").and_then(Json::as_object_mut) {
            info.entry("use_prepared_statements").or_insert(Json::Bool(false));
            info.entry("isolation_level").or_insert_with(|| "read-committed".into());
        }
        return Ok(Json::Object(info));
    }
    if object.contains_key("value") {
        fields(configuration, "ConnSourceConfig", &["value"], &["template", "timeout", "template_variables"])?;
        let (template, timeout) = (configuration["template"].clone(), configuration["timeout"].clone());
        return Ok(json!({"value": configuration["value"], "template": template, "timeout": timeout}));
    }
    fields(
        configuration,
        "SnowflakeConfig",
        &["jdbc_url"],
        &["fully_qualify_all_names", "schema", "connection_pool_settings"],
    )?;
    Ok(json!({"value": configuration, "template": null, "timeout": null}))
}

fn add(metadata: &mut Metadata, kind: &str, args: &Json) -> Outcome<(Json, String)> {
    let known = ["replace_configuration", "customization", "health_check"];
    let args = fields(args, "AddSource", &["name", "configuration"], &known)?;
    let name = text(args, "name")?;
    let configuration = stored(kind, args.get("configuration").unwrap_or(&Json::Null))?;
    let customization = args.get("customization").filter(|it| !it.is_null() && **it != json!({})).cloned();
    let object = format!("source {name}");
    if let Ok(source) = metadata.source(&name) {
        if args.get("replace_configuration") != Some(&Json::Bool(true)) {
            return Err(Refused::bad("already-exists", format!("source with name \"{name}\" already exists")));
        }
        (source.configuration, source.customization) = (configuration, customization);
        return Ok((success(), object));
    }
    metadata.sources.push(Source { name, kind: kind.to_owned(), configuration, customization, tables: Vec::new() });
    Ok((success(), object))
}

fn update(metadata: &mut Metadata, kind: &str, args: &Json) -> Outcome<(Json, String)> {
    let args = fields(args, "UpdateSource", &["name"], &["configuration", "customization", "health_check"])?;
    let name = text(args, "name")?;
    let configuration = args.get("configuration").map(|it| stored(kind, it)).transpose()?;
    let source = metadata.source(&name)?;
    if let Some(configuration) = configuration {
        source.configuration = configuration;
    }
    if let Some(customization) = args.get("customization") {
        source.customization = Some(customization.clone()).filter(|it| *it != json!({}));
    }
    Ok((success(), format!("source {name}")))
}

fn drop_source(metadata: &mut Metadata, args: &Json) -> Outcome<(Json, String)> {
    let args = fields(args, "DropSource", &["name"], &["cascade"])?;
    let name = text(args, "name")?;
    metadata.source(&name)?;
    metadata.sources.retain(|source| source.name != name);
    metadata.inconsistent_objects.retain(|(_, object, _)| !object.ends_with(&format!("source {name}")));
    Ok((success(), format!("source {name}")))
}
