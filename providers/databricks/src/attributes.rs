//! Reading attributes that the schema has checked already.

use serde_json::Value as Json;
use terrace_provider::{Attributes, Map, Value};

/// A text; `None` when the attribute is absent, unknown or something else.
pub(crate) fn optional_text(attributes: &Map, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// A text that the schema requires; empty when it is absent.
pub(crate) fn text(attributes: &Map, name: &str) -> String {
    optional_text(attributes, name).unwrap_or_default()
}

/// A list of texts; empty when the attribute is absent.
pub(crate) fn texts(attributes: &Map, name: &str) -> Vec<String> {
    let items = attributes.get(name).and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether somebody manages an attribute: it is given, or nothing is and all is told.
pub(crate) fn is_managed(like: &Map, name: &str) -> bool {
    like.is_empty() || like.get(name).is_some_and(|value| !value.is_null())
}

/// Texts as a list value.
pub(crate) fn list(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| text.as_str().into()).collect())
}

/// Attributes by name.
pub(crate) fn attributes<const N: usize>(entries: [(&str, Value); N]) -> Attributes {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
