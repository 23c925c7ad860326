//! Connections: <https://reference.airbyte.com/reference/createconnection>.

use crate::actors::requested_workspaces;
use crate::problem::{Outcome, bad_request, cron, not_found};
use crate::world::{Connection, World, fields, now, page, text, word};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

const STATUSES: [&str; 2] = ["active", "inactive"];
const NAMESPACES: [&str; 3] = ["source", "destination", "custom_format"];
const NON_BREAKING: [&str; 4] = ["ignore", "disable_connection", "propagate_columns", "propagate_fully"];
const SYNC_MODES: [&str; 5] = [
    "full_refresh_overwrite",
    "full_refresh_append",
    "full_refresh_overwrite_deduped",
    "incremental_append",
    "incremental_deduped_history",
];
/// Fields that every write of a connection accepts.
const ALWAYS: [&str; 10] = [
    "name",
    "configurations",
    "schedule",
    "dataResidency",
    "namespaceDefinition",
    "namespaceFormat",
    "prefix",
    "nonBreakingSchemaUpdatesBehavior",
    "status",
    "tags",
];

impl World {
    /// An existing connection.
    pub(crate) fn connection(&self, id: &str) -> Outcome<&Connection> {
        let found = self.connections.get(id).filter(|it| !it.is_deleted);
        found.ok_or_else(|| not_found("connection", id))
    }

    pub(crate) fn shown_connection(&self, id: &str) -> Json {
        let it = &self.connections[id];
        json!({
            "connectionId": id, "name": it.name, "sourceId": it.source, "destinationId": it.destination,
            "workspaceId": it.workspace, "status": it.status, "schedule": it.schedule, "dataResidency": "auto",
            "configurations": {"streams": it.streams}, "createdAt": it.created_at, "tags": [],
            "namespaceDefinition": it.namespace_definition, "namespaceFormat": it.namespace_format,
            "prefix": it.prefix, "nonBreakingSchemaUpdatesBehavior": it.non_breaking,
        })
    }

    pub(crate) fn list_connections(&self, query: &BTreeMap<String, String>, url: &str) -> Outcome<Json> {
        let workspaces = requested_workspaces(self, query)?;
        let with_deleted = query.get("includeDeleted").is_some_and(|it| it == "true");
        let fits = |it: &Connection| {
            (with_deleted || !it.is_deleted) && workspaces.as_ref().is_none_or(|asked| asked.contains(&it.workspace))
        };
        let ids = self.connections.iter().filter(|(_, it)| fits(it)).map(|(id, _)| self.shown_connection(id));
        page(ids.collect(), query, url)
    }

    pub(crate) fn create_connection(&mut self, body: &Json) -> Outcome<Json> {
        let known: Vec<&str> = ALWAYS.into_iter().chain(["sourceId", "destinationId"]).collect();
        let fields = fields(body, &known)?;
        let (source, destination) = (text(&fields, "sourceId")?, text(&fields, "destinationId")?);
        let (reads, writes) = (self.actor(&source, true)?, self.actor(&destination, false)?);
        let connection = Connection {
            name: format!("{} → {}", reads.name, writes.name),
            workspace: writes.workspace.clone(),
            streams: Vec::new(),
            schedule: json!({"scheduleType": "manual"}),
            namespace_definition: "destination".to_owned(),
            namespace_format: None,
            prefix: String::new(),
            non_breaking: "ignore".to_owned(),
            status: "active".to_owned(),
            created_at: now(),
            is_deleted: false,
            source,
            destination,
        };
        let connection = self.written(connection, &fields)?;
        let id = self.id();
        self.connections.insert(id.clone(), connection);
        Ok(self.shown_connection(&id))
    }

    pub(crate) fn patch_connection(&mut self, id: &str, body: &Json) -> Outcome<Json> {
        let fields = fields(body, &ALWAYS)?;
        let connection = self.written(self.connection(id)?.clone(), &fields)?;
        self.connections.insert(id.to_owned(), connection);
        Ok(self.shown_connection(id))
    }

    pub(crate) fn delete_connection(&mut self, id: &str) -> Outcome<()> {
        self.connection(id)?;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.is_deleted = true;
        }
        Ok(())
    }

    /// Applies the fields of a body to a connection. Without `streams`, both calls select all streams of the source,
    /// regardless of the earlier configuration.
    fn written(&self, mut connection: Connection, fields: &Map<String, Json>) -> Outcome<Connection> {
        if fields.contains_key("name") {
            connection.name = text(fields, "name")?;
        }
        if let Some(schedule) = fields.get("schedule").filter(|it| !it.is_null()) {
            connection.schedule = scheduled(schedule)?;
        }
        let set = |name: &str, known: &[&str], place: &mut String| -> Outcome<()> {
            if let Some(word) = word(fields, name, known)? {
                *place = word;
            }
            Ok(())
        };
        set("status", &STATUSES, &mut connection.status)?;
        set("namespaceDefinition", &NAMESPACES, &mut connection.namespace_definition)?;
        set("nonBreakingSchemaUpdatesBehavior", &NON_BREAKING, &mut connection.non_breaking)?;
        if let Some(prefix) = fields.get("prefix").and_then(Json::as_str) {
            prefix.clone_into(&mut connection.prefix);
        }
        if let Some(format) = fields.get("namespaceFormat").and_then(Json::as_str) {
            connection.namespace_format = Some(format.to_owned());
        }
        if connection.namespace_definition == "custom_format" && connection.namespace_format.is_none() {
            return Err(bad_request("namespaceFormat: must not be null when namespaceDefinition is custom_format"));
        }
        let source = self.actor(&connection.source, true)?;
        let known = (source.connector.streams)(&source.configuration);
        let asked = fields.get("configurations").and_then(|it| it.get("streams")).and_then(Json::as_array);
        connection.streams = match asked.filter(|streams| !streams.is_empty()) {
            Some(asked) => configured(&known, asked)?,
            None => known.iter().map(|stream| completed(stream, &json!({"syncMode": SYNC_MODES[0]}))).collect(),
        };
        Ok(connection)
    }
}

fn scheduled(given: &Json) -> Outcome<Json> {
    let given = fields(given, &["scheduleType", "cronExpression"])?;
    match given.get("scheduleType").and_then(Json::as_str) {
        Some("manual") => Ok(json!({"scheduleType": "manual"})),
        Some("cron") => {
            let Some(expression) = given.get("cronExpression").and_then(Json::as_str) else {
                return Err(cron("missing-cron-data", "Missing cron expression in the schedule.", ""));
            };
            let plain = expression.trim_end_matches("UTC").trim();
            let parts: Vec<&str> = plain.split_whitespace().collect();
            let is_right = (6..=7).contains(&parts.len()) && parts[..2].iter().all(|part| part.parse::<u8>().is_ok());
            if !is_right {
                let detail = "The cron expression is not valid or is less than the one hour minimum. The seconds and minutes values cannot be `*`.";
                return Err(cron("invalid-expression", detail, expression));
            }
            Ok(json!({"scheduleType": "cron", "cronExpression": format!("{plain} UTC")}))
        }
        _ => Err(bad_request("scheduleType: must be manual or cron")),
    }
}

fn configured(known: &[Json], asked: &[Json]) -> Outcome<Vec<Json>> {
    let mut seen = BTreeSet::new();
    let mut streams = Vec::new();
    for one in asked {
        let allowed = ["name", "namespace", "syncMode", "cursorField", "primaryKey", "selectedFields", "mappers"];
        let entries = fields(one, &allowed)?;
        let name = text(&entries, "name")?;
        let names: Vec<&str> = known.iter().filter_map(|stream| stream["streamName"].as_str()).collect();
        let Some(stream) = known.iter().find(|stream| stream["streamName"] == json!(name)) else {
            return Err(bad_request(format!("Invalid stream found. The list of valid streams include: {names:?}.")));
        };
        if !seen.insert(name.clone()) {
            return Err(bad_request(format!("Duplicate stream found in configuration for: {name}.")));
        }
        let mode = word(&entries, "syncMode", &SYNC_MODES)?.unwrap_or_else(|| SYNC_MODES[0].to_owned());
        if !stream["syncModes"].as_array().unwrap().contains(&json!(mode)) {
            return Err(bad_request(format!(
                "Cannot set sync mode to {mode} for stream {name}. Valid sync modes are: {}",
                stream["syncModes"]
            )));
        }
        if one["selectedFields"].as_array().is_some_and(Vec::is_empty) {
            return Err(bad_request(format!("No fields selected for stream {name}.")));
        }
        let fields_of_stream = stream["propertyFields"].as_array().unwrap();
        for selected in one["selectedFields"].as_array().into_iter().flatten() {
            if !fields_of_stream.contains(&selected["fieldPath"]) {
                return Err(bad_request(format!(
                    "Invalid fields selected for stream {name}. The list of valid field names includes: {fields_of_stream:?}."
                )));
            }
        }
        streams.push(completed(stream, one));
    }
    Ok(streams)
}

/// The API's form of a stream, with defaults of the source.
fn completed(stream: &Json, given: &Json) -> Json {
    let or = |name: &str, usual: &str| {
        let own = given.get(name).filter(|it| it.as_array().is_some_and(|items| !items.is_empty()));
        own.cloned().unwrap_or_else(|| stream[usual].clone())
    };
    json!({
        "name": stream["streamName"],
        "namespace": stream["streamnamespace"],
        "syncMode": given.get("syncMode").cloned().unwrap_or_else(|| json!(SYNC_MODES[0])),
        "cursorField": or("cursorField", "defaultCursorField"),
        "primaryKey": or("primaryKey", "sourceDefinedPrimaryKey"),
        "selectedFields": given.get("selectedFields").cloned().unwrap_or_else(|| json!([])),
        "mappers": given.get("mappers").cloned().unwrap_or_else(|| json!([])),
    })
}
