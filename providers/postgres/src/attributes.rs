//! Reads and writes attributes that the schema has already checked.

pub(crate) use terrace_provider::attributes::{flag, list, optional_text, text, texts};

use terrace_provider::{Map, Value};

/// A list of maps; empty if the attribute is absent.
pub(crate) fn maps<'a>(attributes: &'a Map, name: &str) -> Vec<&'a Map> {
    let items = attributes.get(name).and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_map).collect()
}

/// Adds a text if there is one.
pub(crate) fn put(attributes: &mut Map, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        attributes.insert(name.to_owned(), text.into());
    }
}

/// Sets a managed attribute. A missing text becomes null, which differs from an absent attribute.
pub(crate) fn put_managed(attributes: &mut Map, name: &str, text: Option<&str>) {
    attributes.insert(name.to_owned(), text.map_or(Value::Null, Value::from));
}

/// True if any value is unknown.
pub(crate) fn has_unknown(attributes: &Map) -> bool {
    attributes.values().any(Value::has_unknown)
}
