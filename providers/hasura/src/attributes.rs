//! Reading attributes that the schema has checked already.

pub(crate) use terrace_provider::attributes::{flag, list, optional_text, text, texts};

use serde_json::Value as Json;
use terrace_provider::{Map, Value};

/// Texts in the order in which they were given, where they are the same ones: to the other side they are a set.
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

/// A vendor's JSON; `None` when it is absent or null.
pub(crate) fn json(attributes: &Map, name: &str) -> Option<Json> {
    attributes.get(name).filter(|value| !value.is_null()).map(Value::to_revealed_json)
}

/// Whether an attribute is said, be its value known or not.
pub(crate) fn is_given(attributes: &Map, name: &str) -> bool {
    attributes.get(name).is_some_and(|value| !value.is_null())
}

/// JSON without what is null and what is empty: as two sides compare that each fill in such things.
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
