//! Attributes as calls read them.

use terrace_provider::{Attributes, ProviderError, Value};

/// A text that has to be known by now.
pub(crate) fn text<'a>(attributes: &'a Attributes, name: &str) -> Result<&'a str, ProviderError> {
    let known = attributes.get(name).and_then(Value::as_str);
    known.ok_or_else(|| ProviderError::bug(format!("a call without a known `{name}`")))
}

/// A text that may be left out.
pub(crate) fn optional_text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name).and_then(Value::as_str)
}

/// Entries as attributes.
pub(crate) fn entries<const N: usize>(entries: [(&str, Value); N]) -> Attributes {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
