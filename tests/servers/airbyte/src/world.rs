//! The data of a stand-in.

use crate::catalog::Connector;
use crate::problem::{Outcome, bad_request, not_found};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Workspaces and their content.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) workspaces: BTreeMap<String, String>,
    pub(crate) actors: BTreeMap<String, Actor>,
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) jobs: BTreeMap<i64, Json>,
    /// Normalization operations, which an earlier provisioner leaves behind.
    pub(crate) operations: usize,
    made: u64,
}

/// A source or a destination.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) connector: &'static Connector,
    pub(crate) workspace: String,
    pub(crate) name: String,
    pub(crate) configuration: Json,
    pub(crate) created_at: i64,
    pub(crate) is_deleted: bool,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) workspace: String,
    pub(crate) streams: Vec<Json>,
    pub(crate) schedule: Json,
    pub(crate) namespace_definition: String,
    pub(crate) namespace_format: Option<String>,
    pub(crate) prefix: String,
    pub(crate) non_breaking: String,
    pub(crate) status: String,
    pub(crate) created_at: i64,
    pub(crate) is_deleted: bool,
}

impl World {
    /// A new id.
    pub(crate) fn id(&mut self) -> String {
        self.made += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.made)
    }

    pub(crate) fn workspace(&self, id: &str) -> Outcome<()> {
        match self.workspaces.contains_key(id) {
            true => Ok(()),
            false => Err(not_found("workspace", id)),
        }
    }

    pub(crate) fn actor(&self, id: &str, is_source: bool) -> Outcome<&Actor> {
        let kind = if is_source { "source" } else { "destination" };
        let found = self.actors.get(id).filter(|it| it.connector.is_source == is_source && !it.is_deleted);
        found.ok_or_else(|| not_found(kind, id))
    }

    /// The existing objects as text.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let actors = self.actors.values().filter(|it| !it.is_deleted).map(|it| {
            let kind = if it.connector.is_source { "source" } else { "destination" };
            format!("{kind} {}", it.name)
        });
        let connections = self.connections.values().filter(|it| !it.is_deleted);
        let connections = connections.map(|it| match it.status.as_str() {
            "active" => format!("connection {}", it.name),
            status => format!("connection {} ({status})", it.name),
        });
        let mut all: Vec<String> = actors.chain(connections).collect();
        all.sort();
        all
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The fields of a body; an unknown one is an error.
pub(crate) fn fields(body: &Json, known: &[&str]) -> Outcome<Map<String, Json>> {
    let Json::Object(fields) = body else { return Err(bad_request("The body is not an object")) };
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(bad_request(format!("Unrecognized field \"{name}\""))),
        None => Ok(fields.clone()),
    }
}

/// A required string of a body.
pub(crate) fn text(fields: &Map<String, Json>, name: &str) -> Outcome<String> {
    let given = fields.get(name).and_then(Json::as_str).filter(|text| !text.trim().is_empty());
    given.map(str::to_owned).ok_or_else(|| bad_request(format!("{name}: must not be null or empty")))
}

/// An optional word of a body, out of the known ones.
pub(crate) fn word(fields: &Map<String, Json>, name: &str, known: &[&str]) -> Outcome<Option<String>> {
    let Some(given) = fields.get(name).filter(|it| !it.is_null()) else { return Ok(None) };
    match given.as_str().filter(|word| known.contains(word)) {
        Some(word) => Ok(Some(word.to_owned())),
        None => Err(bad_request(format!("{name}: {given} is none of {known:?}"))),
    }
}

/// A page of a list, with links to the next and the previous one.
pub(crate) fn page(all: Vec<Json>, query: &BTreeMap<String, String>, url: &str) -> Outcome<Json> {
    let number = |name: &str, usual: usize| match query.get(name) {
        Some(text) => text.parse().map_err(|_| bad_request(format!("{name} is not a number"))),
        None => Ok(usual),
    };
    let (limit, offset) = (number("limit", 20)?, number("offset", 0)?);
    if !(1..=100).contains(&limit) {
        return Err(bad_request("limit: must be between 1 and 100"));
    }
    let data: Vec<Json> = all.into_iter().skip(offset).take(limit).collect();
    let is_last = data.len() < limit;
    let at = |offset: usize| format!("{url}?limit={limit}&offset={offset}");
    let next = if is_last { String::new() } else { at(offset + limit) };
    let previous = if offset == 0 { String::new() } else { at(offset.saturating_sub(limit)) };
    Ok(json!({"data": data, "next": next, "previous": previous}))
}

/// Merges one JSON into another: objects are merged, all else is replaced.
pub(crate) fn merge(below: &mut Json, above: &Json) {
    match (below, above) {
        (Json::Object(below), Json::Object(above)) => {
            for (name, value) in above {
                merge(below.entry(name.clone()).or_insert(Json::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}
