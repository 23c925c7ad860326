//! The streams of a connection: checks, reads and encodes them.

use serde_json::{Map as JsonMap, Value as Json, json};
use std::collections::BTreeSet;
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// The sync modes: <https://reference.airbyte.com/reference/createconnection>.
pub(crate) const SYNC_MODES: [&str; 9] = [
    "full_refresh_overwrite",
    "full_refresh_overwrite_deduped",
    "full_refresh_append",
    "full_refresh_update",
    "full_refresh_soft_delete",
    "incremental_append",
    "incremental_deduped_history",
    "incremental_update",
    "incremental_soft_delete",
];

/// The optional fields of a stream.
const DETAILS: [&str; 5] = ["namespace", "syncMode", "cursorField", "primaryKey", "selectedFields"];

/// Refuses invalid streams, as far as their values are known.
pub(crate) fn check(streams: &Value) -> Result<(), ProviderError> {
    let mut seen = BTreeSet::new();
    for (index, stream) in streams.as_list().unwrap_or_default().iter().enumerate() {
        let at = Path::attribute("streams").index(index);
        if let Some(mode) = text(stream, "syncMode").filter(|mode| !SYNC_MODES.contains(mode)) {
            let message = format!("`{mode}` is not a sync mode");
            return Err(ProviderError::invalid(Some(at.key("syncMode")), message)
                .solution(format!("write one of {}", listed(&SYNC_MODES))));
        }
        let Some(name) = text(stream, "name") else { continue };
        if !seen.insert((name, text(stream, "namespace"))) {
            return Err(ProviderError::invalid(Some(at.key("name")), format!("the stream `{name}` occurs twice"))
                .solution("remove one of them"));
        }
        if stream.get("selectedFields").and_then(Value::as_list).is_some_and(<[Value]>::is_empty) {
            let message = format!("no field of the stream `{name}` is selected");
            return Err(ProviderError::invalid(Some(at.key("selectedFields")), message)
                .solution("remove `selectedFields` to select all fields, or remove the stream"));
        }
    }
    Ok(())
}

fn text<'a>(stream: &'a Value, name: &str) -> Option<&'a str> {
    stream.get(name).and_then(Value::as_str)
}

/// Converts streams into attributes: first the configured ones, in their order and with their configured fields, then
/// the others.
pub(crate) fn observed(read: &[Json], like: Option<&Value>) -> Value {
    let Some(like) = like.and_then(Value::as_list) else {
        return read.iter().map(|stream| full(stream).into()).collect::<Vec<Value>>().into();
    };
    let mut left: Vec<&Json> = read.iter().collect();
    let mut streams = Vec::new();
    for configured in like {
        let Some(at) = left.iter().position(|stream| is_same_stream(stream, configured)) else { continue };
        let read = left.remove(at);
        let full = full(read);
        let configured = configured.as_map().cloned().unwrap_or_default();
        let details = configured.iter().filter(|(_, value)| !value.is_null());
        let fields = details.filter_map(|(name, value)| {
            let value = match full.get(name) {
                Some(remote) => remote.clone(),
                None if is_cleared(read, name) => return None,
                // A field that the server does not return cannot be read back.
                None => value.clone(),
            };
            Some((name.clone(), value))
        });
        streams.push(Value::Map(fields.collect()));
    }
    streams.extend(left.into_iter().map(|stream| full(stream).into()));
    streams.into()
}

/// Returns true if the server reports the field as empty. A missing selection means all fields.
fn is_cleared(read: &Json, name: &str) -> bool {
    let value = read.get(name);
    name == "selectedFields" || value.and_then(Json::as_array).is_some_and(Vec::is_empty)
}

fn is_same_stream(read: &Json, configured: &Value) -> bool {
    let of = |name: &str| read.get(name).and_then(Json::as_str);
    let namespace = text(configured, "namespace");
    of("name") == text(configured, "name")
        && (namespace.is_none() || of("namespace").is_none() || of("namespace") == namespace)
}

/// All fields of a stream.
fn full(read: &Json) -> Attributes {
    let mut stream = Map::default();
    for name in ["name"].into_iter().chain(DETAILS) {
        let Some(value) = read.get(name).filter(|value| !value.is_null()) else { continue };
        let value = match (name, value) {
            ("selectedFields", Json::Array(fields)) => {
                fields.iter().filter_map(field_of).collect::<Vec<Value>>().into()
            }
            (_, value) => Value::from(value.clone()),
        };
        if value.as_list().is_none_or(|items| !items.is_empty()) {
            stream.insert(name.to_owned(), value);
        }
    }
    stream
}

/// The name of a selected field. Only top-level fields can be selected.
fn field_of(selected: &Json) -> Option<Value> {
    Some(selected.get("fieldPath")?.as_array()?.first()?.as_str()?.into())
}

/// Encodes streams for a write: an existing stream keeps fields that were never configured, and loses fields that are
/// no longer configured.
pub(crate) fn sent(configured: Option<&Value>, before: Option<&Value>, present: &[Json]) -> Json {
    let nothing = Attributes::default();
    let Some(configured) = configured.filter(|value| !value.has_unknown()).and_then(Value::as_list) else {
        return present.iter().map(|stream| sendable(stream, &nothing, &nothing)).collect();
    };
    let before = before.and_then(Value::as_list).unwrap_or_default();
    let stream = |configured: &Value| {
        let present = present.iter().find(|stream| is_same_stream(stream, configured));
        let is_same =
            |other: &&Value| ["name", "namespace"].iter().all(|part| text(other, part) == text(configured, part));
        let before = before.iter().find(is_same).and_then(Value::as_map).unwrap_or(&nothing);
        sendable(present.unwrap_or(&Json::Null), before, configured.as_map().unwrap_or(&nothing))
    };
    configured.iter().map(stream).collect()
}

fn sendable(present: &Json, before: &Attributes, configured: &Attributes) -> Json {
    let mut stream: JsonMap<String, Json> = present.as_object().cloned().unwrap_or_default();
    let is_set = |attributes: &Attributes, name: &str| attributes.get(name).is_some_and(|value| !value.is_null());
    stream.retain(|name, _| is_set(configured, name) || !is_set(before, name));
    for (name, value) in configured.iter().filter(|(_, value)| !value.is_null()) {
        let json = match (name.as_str(), value.as_list()) {
            ("selectedFields", Some(fields)) => {
                fields.iter().map(|field| json!({"fieldPath": [field.to_revealed_json()]})).collect()
            }
            _ => value.to_revealed_json(),
        };
        stream.insert(name.clone(), json);
    }
    // An empty list has another meaning than a missing field: leave it out.
    stream.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()));
    Json::Object(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_keep_their_configured_order_and_fields() {
        let read = [
            json!({"name": "b", "syncMode": "incremental_append", "cursorField": ["at"], "primaryKey": [["id"]], "selectedFields": [], "mappers": []}),
            json!({"name": "a", "namespace": null, "syncMode": "full_refresh_append", "selectedFields": [{"fieldPath": ["x"]}]}),
            json!({"name": "c", "syncMode": "full_refresh_overwrite"}),
        ];
        let configured = Value::from(
            json!([{"name": "a", "namespace": "n", "selectedFields": ["y"]}, {"name": "gone"}, {"name": "b"}]),
        );
        let attributes = observed(&read, Some(&configured)).to_json();
        let more = json!({"name": "c", "syncMode": "full_refresh_overwrite"});
        assert_eq!(attributes, json!([{"name": "a", "namespace": "n", "selectedFields": ["x"]}, {"name": "b"}, more]));
        let cleared =
            Value::from(json!([{"name": "b", "selectedFields": ["x"]}, {"name": "c", "cursorField": ["at"]}]));
        let attributes = observed(read.get(..).unwrap(), Some(&cleared)).to_json();
        assert_eq!(
            (&attributes[0], &attributes[1]),
            (&json!({"name": "b"}), &json!({"name": "c", "cursorField": ["at"]}))
        );
        let all = observed(&read, None).to_json();
        let first =
            json!({"name": "b", "syncMode": "incremental_append", "cursorField": ["at"], "primaryKey": [["id"]]});
        assert_eq!(all[0], first);
    }

    #[test]
    fn unmanaged_fields_of_streams_are_sent_back() {
        let present = [
            json!({"name": "a", "syncMode": "incremental_append", "mappers": [{"type": "hashing"}], "selectedFields": [], "namespace": null}),
        ];
        let configured = Value::from(json!([{"name": "a", "selectedFields": ["x"]}, {"name": "b"}]));
        let body = sent(Some(&configured), None, &present);
        let a = json!({"name": "a", "syncMode": "incremental_append", "mappers": [{"type": "hashing"}], "selectedFields": [{"fieldPath": ["x"]}]});
        assert_eq!(body, json!([a, {"name": "b"}]));
        let unchanged = json!([{"name": "a", "syncMode": "incremental_append", "mappers": [{"type": "hashing"}]}]);
        assert_eq!(sent(None, Some(&configured), &present), unchanged);
        // A field that is not configured any more is removed.
        let selected =
            [json!({"name": "a", "syncMode": "incremental_append", "selectedFields": [{"fieldPath": ["x"]}]})];
        let less = Value::from(json!([{"name": "a"}]));
        let without = json!([{"name": "a", "syncMode": "incremental_append"}]);
        assert_eq!(sent(Some(&less), Some(&configured), &selected), without);
        assert_eq!(sent(Some(&less), None, &selected), json!(selected));
    }

    #[test]
    fn invalid_streams_are_refused_with_their_path() {
        let path = |streams: Json| match check(&Value::from(streams)).unwrap_err().kind {
            terrace_provider::ErrorKind::InvalidInput { path } => path.unwrap().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(path(json!([{"name": "a"}, {"name": "a"}])), "streams[1].name");
        assert_eq!(path(json!([{"name": "a", "syncMode": "fast"}])), "streams[0].syncMode");
        assert_eq!(path(json!([{"name": "a", "selectedFields": []}])), "streams[0].selectedFields");
        assert!(check(&Value::from(json!([{"name": "a", "namespace": "x"}, {"name": "a", "namespace": "y"}]))).is_ok());
    }
}
