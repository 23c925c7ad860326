//! Workspaces, definitions, streams and jobs.

use crate::catalog::{CONNECTORS, Connector};
use crate::problem::{Outcome, bad_request, not_found};
use crate::world::{World, fields, now, page, text};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

impl World {
    pub(crate) fn shown_workspace(&self, id: &str) -> Json {
        json!({"workspaceId": id, "name": self.workspaces[id], "dataResidency": "auto", "notifications": {}})
    }

    pub(crate) fn list_workspaces(&self, query: &BTreeMap<String, String>, url: &str) -> Outcome<Json> {
        page(self.workspaces.keys().map(|id| self.shown_workspace(id)).collect(), query, url)
    }

    pub(crate) fn definitions(&self, workspace: &str, is_source: bool) -> Outcome<Json> {
        self.workspace(workspace)?;
        let of_kind = CONNECTORS.iter().filter(|it| it.is_source == is_source);
        let data: Vec<Json> = of_kind.map(definition).collect();
        Ok(json!({"data": data, "next": "", "previous": ""}))
    }

    pub(crate) fn definition(&self, workspace: &str, is_source: bool, id: &str) -> Outcome<Json> {
        self.workspace(workspace)?;
        Connector::by_id(id, is_source).map(definition).ok_or_else(|| not_found("definition", id))
    }

    pub(crate) fn streams(&self, query: &BTreeMap<String, String>) -> Outcome<Json> {
        let Some(source) = query.get("sourceId") else { return Err(bad_request("sourceId: must not be null")) };
        let source = self.actor(source, true)?;
        Ok((source.connector.streams)(&source.configuration).into())
    }

    pub(crate) fn create_job(&mut self, body: &Json) -> Outcome<Json> {
        let fields = fields(body, &["connectionId", "jobType"])?;
        let (connection, kind) = (text(&fields, "connectionId")?, text(&fields, "jobType")?);
        self.connection(&connection)?;
        let id = i64::try_from(self.jobs.len()).unwrap() + 1;
        let job = json!({
            "jobId": id, "connectionId": connection, "jobType": kind, "status": "succeeded",
            "startTime": "2026-01-01T00:00:00Z", "lastUpdatedAt": now().to_string(), "duration": "PT1M", "bytesSynced": 1, "rowsSynced": 1,
        });
        self.jobs.insert(id, job.clone());
        Ok(job)
    }

    pub(crate) fn list_jobs(&self, query: &BTreeMap<String, String>, url: &str) -> Outcome<Json> {
        let asked = query.get("connectionId");
        let fits = |job: &&Json| asked.is_none_or(|id| job["connectionId"] == json!(id));
        page(self.jobs.values().filter(fits).cloned().collect(), query, url)
    }
}

fn definition(connector: &Connector) -> Json {
    json!({
        "id": connector.id, "name": connector.name, "dockerImageTag": "1.2.3",
        "dockerRepository": format!("airbyte/{}-{}", if connector.is_source { "source" } else { "destination" }, connector.key),
    })
}
