//! The Config API calls of the provisioner before terrace, and of checks.

use crate::catalog::Connector;
use crate::problem::{Outcome, bad_request, not_found};
use crate::world::{World, text};
use serde_json::{Map, Value as Json, json};

impl World {
    /// `POST /api/v1/…`: <https://reference.airbyte.com/reference/config-api>.
    pub(crate) fn config_api(&mut self, path: &[&str], body: &Json) -> Outcome<Json> {
        let Json::Object(fields) = body else { return Err(bad_request("The body is not an object")) };
        match path {
            ["sources", "list"] => Ok(self.old_list("sources", true, fields)),
            ["destinations", "list"] => Ok(self.old_list("destinations", false, fields)),
            ["connections", "list"] => {
                let ids: Vec<String> = self.connections.keys().cloned().collect();
                let there = ids.iter().filter(|id| !self.connections[*id].is_deleted);
                let shown: Vec<Json> = there.map(|id| self.shown_connection(id)).collect();
                Ok(json!({"connections": shown}))
            }
            ["sources", "create"] => self.old_create(true, fields),
            ["destinations", "create"] => self.old_create(false, fields),
            ["sources", "delete"] => self.delete_actor(true, &text(fields, "sourceId")?).map(|()| Json::Null),
            ["destinations", "delete"] => {
                self.delete_actor(false, &text(fields, "destinationId")?).map(|()| Json::Null)
            }
            ["connections", "delete"] => self.delete_connection(&text(fields, "connectionId")?).map(|()| Json::Null),
            ["operations", "create"] => {
                self.operations += 1;
                Ok(json!({"operationId": self.id()}))
            }
            ["sources", "discover_schema"] => {
                let source = self.actor(&text(fields, "sourceId")?, true)?;
                let streams = (source.connector.streams)(&source.configuration).into_iter().map(|stream| {
                    json!({
                        "stream": {"name": stream["streamName"], "jsonSchema": {"$schema": "x"}},
                        "config": {"syncMode": "full_refresh", "destinationSyncMode": "append"},
                    })
                });
                Ok(json!({"catalog": {"streams": streams.collect::<Vec<_>>()}, "jobInfo": {}}))
            }
            ["connections", "create"] => {
                let streams = fields["syncCatalog"]["streams"].as_array().into_iter().flatten();
                let names: Vec<Json> = streams.map(|it| json!({"name": it["stream"]["name"]})).collect();
                self.create_connection(&json!({
                    "name": fields["name"], "sourceId": fields["sourceId"], "destinationId": fields["destinationId"],
                    "configurations": {"streams": names},
                }))
            }
            ["source_definition_specifications", "get"] => specification(fields, "sourceDefinitionId", true),
            ["destination_definition_specifications", "get"] => specification(fields, "destinationDefinitionId", false),
            ["scheduler", "sources", "check_connection"] => check(fields, "sourceDefinitionId", true),
            ["scheduler", "destinations", "check_connection"] => check(fields, "destinationDefinitionId", false),
            _ => Err(not_found("path", &path.join("/"))),
        }
    }

    fn old_list(&self, name: &str, is_source: bool, fields: &Map<String, Json>) -> Json {
        let there = self.actors.iter().filter(|(_, it)| {
            it.connector.is_source == is_source
                && !it.is_deleted
                && Some(&json!(it.workspace)) == fields.get("workspaceId")
        });
        let all: Vec<Json> = there.map(|(id, _)| self.shown(id)).collect();
        json!({name: all})
    }

    fn old_create(&mut self, is_source: bool, fields: &Map<String, Json>) -> Outcome<Json> {
        let definition = if is_source { "sourceDefinitionId" } else { "destinationDefinitionId" };
        self.create_actor(
            is_source,
            &json!({
                "name": fields["name"], "workspaceId": fields["workspaceId"], "definitionId": fields[definition],
                "configuration": fields["connectionConfiguration"],
            }),
        )
    }
}

fn connector(fields: &Map<String, Json>, name: &str, is_source: bool) -> Outcome<&'static Connector> {
    let id = text(fields, name)?;
    Connector::by_id(&id, is_source).ok_or_else(|| not_found("definition", &id))
}

fn specification(fields: &Map<String, Json>, name: &str, is_source: bool) -> Outcome<Json> {
    Ok(json!({"connectionSpecification": connector(fields, name, is_source)?.specification()}))
}

/// A host that ends in `.invalid` cannot be reached.
fn check(fields: &Map<String, Json>, name: &str, is_source: bool) -> Outcome<Json> {
    let connector = connector(fields, name, is_source)?;
    let configuration = fields.get("connectionConfiguration").cloned().unwrap_or_default();
    let said = match connector.complete(configuration.clone()) {
        Err(problem) => problem.body["data"]["message"].as_str().map(str::to_owned),
        Ok(_) => {
            let is_gone = |name: &str| configuration[name].as_str().is_some_and(|text| text.contains(".invalid"));
            (is_gone("host") || is_gone("url")).then(|| "State code: 08001; the host cannot be reached".to_owned())
        }
    };
    Ok(match said {
        Some(message) => json!({"status": "failed", "message": message, "jobInfo": {}}),
        None => json!({"status": "succeeded", "jobInfo": {}}),
    })
}
