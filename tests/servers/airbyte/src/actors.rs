//! Sources and destinations: <https://reference.airbyte.com/reference/createsource>.

use crate::catalog::Connector;
use crate::problem::{Outcome, bad_request};
use crate::world::{Actor, World, fields, merge, now, page, text};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

impl World {
    /// The API's form of a source or destination.
    pub(crate) fn shown(&self, id: &str) -> Json {
        let actor = &self.actors[id];
        let (kind, id_name) =
            if actor.connector.is_source { ("sourceType", "sourceId") } else { ("destinationType", "destinationId") };
        json!({
            id_name: id, "name": actor.name, kind: actor.connector.key, "definitionId": actor.connector.id,
            "workspaceId": actor.workspace, "configuration": actor.connector.masked(&actor.configuration),
            "createdAt": actor.created_at,
        })
    }

    pub(crate) fn list_actors(&self, is_source: bool, query: &BTreeMap<String, String>, url: &str) -> Outcome<Json> {
        let workspaces = requested_workspaces(self, query)?;
        let with_deleted = query.get("includeDeleted").is_some_and(|it| it == "true");
        let fits = |actor: &Actor| {
            actor.connector.is_source == is_source
                && (with_deleted || !actor.is_deleted)
                && workspaces.as_ref().is_none_or(|asked| asked.contains(&actor.workspace))
        };
        let ids = self.actors.iter().filter(|(_, actor)| fits(actor)).map(|(id, _)| self.shown(id));
        page(ids.collect(), query, url)
    }

    pub(crate) fn create_actor(&mut self, is_source: bool, body: &Json) -> Outcome<Json> {
        let fields = fields(body, &["name", "workspaceId", "definitionId", "configuration", "secretId"])?;
        let (name, workspace) = (text(&fields, "name")?, text(&fields, "workspaceId")?);
        self.workspace(&workspace)?;
        let kind = if is_source { "sourceType" } else { "destinationType" };
        let mut configuration = fields.get("configuration").cloned().unwrap_or_default();
        let key = configuration.as_object_mut().and_then(|it| it.shift_remove(kind));
        let connector = match (fields.get("definitionId").and_then(Json::as_str), key) {
            (Some(id), _) => Connector::by_id(id, is_source)
                .ok_or_else(|| bad_request(format!("definitionId: there is no connector definition {id}")))?,
            (None, Some(key)) => {
                let key = key.as_str().unwrap_or_default();
                Connector::by_key(key, is_source)
                    .ok_or_else(|| bad_request(format!("{kind}: \"{key}\" is not a connector")))?
            }
            (None, None) => return Err(bad_request("definitionId: must not be null or empty")),
        };
        let configuration = connector.complete(configuration)?;
        let id = self.id();
        let created_at = now();
        self.actors
            .insert(id.clone(), Actor { connector, workspace, name, configuration, created_at, is_deleted: false });
        Ok(self.shown(&id))
    }

    /// `PATCH` merges, `PUT` replaces.
    pub(crate) fn change_actor(&mut self, is_source: bool, id: &str, body: &Json, is_patch: bool) -> Outcome<Json> {
        let fields = match is_patch {
            true => fields(body, &["name", "workspaceId", "configuration", "secretId"])?,
            false => fields(body, &["name", "configuration"])?,
        };
        let mut actor = self.actor(id, is_source)?.clone();
        if !is_patch || fields.contains_key("name") {
            actor.name = text(&fields, "name")?;
        }
        if fields.get("workspaceId").and_then(Json::as_str).is_some_and(|asked| asked != actor.workspace) {
            return Err(bad_request("workspaceId: cannot be changed"));
        }
        let kind = if is_source { "sourceType" } else { "destinationType" };
        let mut given = fields.get("configuration").cloned();
        if let Some(Json::Object(entries)) = &mut given {
            entries.shift_remove(kind);
        }
        actor.configuration = match (is_patch, given) {
            (true, None) => actor.configuration,
            (true, Some(given)) => {
                let mut merged = actor.configuration;
                merge(&mut merged, &given);
                actor.connector.complete(merged)?
            }
            (false, given) => actor.connector.complete(given.unwrap_or_default())?,
        };
        self.actors.insert(id.to_owned(), actor);
        Ok(self.shown(id))
    }

    /// A soft deletion: its connections become `deprecated`.
    pub(crate) fn delete_actor(&mut self, is_source: bool, id: &str) -> Outcome<()> {
        self.actor(id, is_source)?;
        if let Some(actor) = self.actors.get_mut(id) {
            actor.is_deleted = true;
        }
        for connection in self.connections.values_mut() {
            let used = if is_source { &connection.source } else { &connection.destination };
            if used == id && !connection.is_deleted {
                connection.status = "deprecated".to_owned();
            }
        }
        Ok(())
    }
}

/// The workspaces in a list's query; `None` means all.
pub(crate) fn requested_workspaces(world: &World, query: &BTreeMap<String, String>) -> Outcome<Option<Vec<String>>> {
    let Some(requested) = query.get("workspaceIds").filter(|text| !text.is_empty()) else { return Ok(None) };
    let ids: Vec<String> = requested.split(',').map(str::to_owned).collect();
    ids.iter().try_for_each(|id| world.workspace(id))?;
    Ok(Some(ids))
}
