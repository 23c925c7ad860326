//! Reads attributes that the schema has already checked.

pub(crate) use terrace_provider::attributes::{flag, list, optional_text, text, texts};

use serde_json::Value as Json;
use terrace_provider::{Map, Value};

/// Texts in the configured order if both are the same set; Hasura ignores the order.
pub(crate) fn in_order_of(texts: Vec<String>, like: Option<&Map>, name: &str) -> Vec<String> {
    let given = like.map(|like| self::texts(like, name)).unwrap_or_default();
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts.dedup();
        texts
    };
    if sorted(&given) == sorted(&texts) { given } else { texts }
}

/// Vendor JSON; `None` if it is absent or null.
pub(crate) fn json(attributes: &Map, name: &str) -> Option<Json> {
    attributes.get(name).filter(|value| !value.is_null()).map(Value::to_revealed_json)
}

/// True if an attribute is configured, even with an unknown value.
pub(crate) fn is_given(attributes: &Map, name: &str) -> bool {
    attributes.get(name).is_some_and(|value| !value.is_null())
}

/// JSON without null entries, for the comparison of two sides that fill in defaults.
pub(crate) fn without_nulls(json: &Json) -> Json {
    match json {
        Json::Object(entries) => {
            let kept = entries.iter().filter(|(_, value)| !value.is_null());
            Json::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Json::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
