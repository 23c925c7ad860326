//! Reading attributes that the schema has checked already.

pub(crate) use terrace_provider::attributes::{attributes, list, optional_text, text, texts};

use serde_json::Value as Json;
use terrace_provider::{Map, Value};

/// Whether somebody manages an attribute: it is given, or nothing is and all is told.
pub(crate) fn is_managed(like: &Map, name: &str) -> bool {
    like.is_empty() || like.get(name).is_some_and(|value| !value.is_null())
}

/// A text of an answer; null where it is none.
pub(crate) fn of_json(json: &Json, name: &str) -> Value {
    json.get(name).and_then(Json::as_str).map_or(Value::Null, Value::from)
}

/// A text of an answer; empty where it is none.
pub(crate) fn text_of<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// An id of an answer, which is a number or a text.
pub(crate) fn id_of(json: &Json, name: &str) -> Option<String> {
    match json.get(name)? {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Puts a value into a JSON object; nothing happens where it is none.
pub(crate) fn put(json: &mut Json, name: &str, value: impl Into<Json>) {
    if let Some(entries) = json.as_object_mut() {
        entries.insert(name.to_owned(), value.into());
    }
}
