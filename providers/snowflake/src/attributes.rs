//! Reading attributes that the schema has checked already.

use terrace_provider::{Map, Value};

/// A text; `None` when the attribute is absent, unknown or something else.
pub(crate) fn optional_text(attributes: &Map, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// A text that the schema requires; empty when it is absent, which every check of names refuses.
pub(crate) fn text(attributes: &Map, name: &str) -> String {
    optional_text(attributes, name).unwrap_or_default()
}

/// True or false; false when it is absent.
pub(crate) fn flag(attributes: &Map, name: &str) -> bool {
    attributes.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A list of texts; empty when the attribute is absent.
pub(crate) fn texts(attributes: &Map, name: &str) -> Vec<String> {
    texts_of(attributes.get(name))
}

/// The texts of a list value.
pub(crate) fn texts_of(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Texts as a list value.
pub(crate) fn list(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| text.as_str().into()).collect())
}
