//! Reading attributes that the schema has checked already, and writing them.

use terrace_provider::{Map, Value};

/// A text; `None` when the attribute is absent, unknown or something else.
pub(crate) fn optional_text(attributes: &Map, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// A text that the schema requires; empty when it is absent, which every check of names refuses.
pub(crate) fn text(attributes: &Map, name: &str) -> String {
    optional_text(attributes, name).unwrap_or_default()
}

/// A truth value; false when the attribute is absent.
pub(crate) fn flag(attributes: &Map, name: &str) -> bool {
    attributes.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// A list of texts; empty when the attribute is absent.
pub(crate) fn texts(attributes: &Map, name: &str) -> Vec<String> {
    let items = attributes.get(name).and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A list of maps; empty when the attribute is absent.
pub(crate) fn maps<'a>(attributes: &'a Map, name: &str) -> Vec<&'a Map> {
    let items = attributes.get(name).and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_map).collect()
}

/// Texts as a list.
pub(crate) fn list<T: AsRef<str>>(texts: &[T]) -> Value {
    Value::List(texts.iter().map(|text| text.as_ref().into()).collect())
}

/// Adds a text, where there is one.
pub(crate) fn put(attributes: &mut Map, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        attributes.insert(name.to_owned(), text.into());
    }
}

/// Answers an attribute that is managed: what is not there is said to be gone, which is not the same as not being told.
pub(crate) fn tell(attributes: &mut Map, name: &str, text: Option<&str>) {
    attributes.insert(name.to_owned(), text.map_or(Value::Null, Value::from));
}

/// True when anything within is not known yet.
pub(crate) fn has_unknown(attributes: &Map) -> bool {
    attributes.values().any(Value::has_unknown)
}
