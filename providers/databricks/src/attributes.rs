//! Access to attributes that the schema has checked already, and to fields of answers.

pub(crate) use terrace_provider::attributes::{attributes, list, optional_text, text, texts};

use serde_json::Value as Json;
use terrace_provider::{Map, Value};

/// Returns true if an attribute is managed: it is set, or the attributes are empty, which selects all.
pub(crate) fn is_managed(like: &Map, name: &str) -> bool {
    like.is_empty() || like.get(name).is_some_and(|value| !value.is_null())
}

/// A string field of an answer, or null.
pub(crate) fn of_json(json: &Json, name: &str) -> Value {
    json.get(name).and_then(Json::as_str).map_or(Value::Null, Value::from)
}

/// A string field of an answer, or the empty string.
pub(crate) fn text_of<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// An id field of an answer, which is a number or a string.
pub(crate) fn id_of(json: &Json, name: &str) -> Option<String> {
    match json.get(name)? {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Inserts a value into a JSON object; does nothing for other JSON.
pub(crate) fn put(json: &mut Json, name: &str, value: impl Into<Json>) {
    if let Some(entries) = json.as_object_mut() {
        entries.insert(name.to_owned(), value.into());
    }
}
