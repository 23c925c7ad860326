//! Access to attributes of calls.

use terrace_provider::{Attributes, Map, ProviderError, Value};

/// Returns a string attribute that must be known.
pub(crate) fn text<'a>(attributes: &'a Attributes, name: &str) -> Result<&'a str, ProviderError> {
    let known = attributes.get(name).and_then(Value::as_str);
    known.ok_or_else(|| ProviderError::bug(format!("a call without a known `{name}`")))
}

/// Returns an optional string attribute.
pub(crate) fn optional_text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name).and_then(Value::as_str)
}

/// Builds attributes from entries.
pub(crate) fn entries<const N: usize>(entries: [(&str, Value); N]) -> Attributes {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the attributes without the null entries of a map: a null counts as not set, and is not recorded.
pub(crate) fn without_nulls(attributes: &Attributes, name: &str) -> Attributes {
    let mut attributes = attributes.clone();
    if let Some(value) = attributes.get_mut(name)
        && let Some(map) = value.as_map().filter(|map| map.values().any(Value::is_null))
    {
        let non_null: Map =
            map.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
        *value = match value {
            Value::Sensitive(_) => Value::sensitive(non_null.into()),
            _ => non_null.into(),
        };
    }
    attributes
}
