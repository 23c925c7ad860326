//! Reading attributes that the schema has checked already.

use terrace_provider::{Map, Value};

/// A text; `None` when the attribute is absent, unknown or something else.
pub(crate) fn optional_text(attributes: &Map, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// A text that the schema requires; empty when it is absent.
pub(crate) fn text(attributes: &Map, name: &str) -> String {
    optional_text(attributes, name).unwrap_or_default()
}

/// True or false; false when it is absent.
pub(crate) fn flag(attributes: &Map, name: &str) -> bool {
    attributes.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A value that is there, known and not null.
pub(crate) fn given<'a>(attributes: &'a Map, name: &str) -> Option<&'a Value> {
    attributes.get(name).filter(|value| !value.is_null() && !value.has_unknown())
}
