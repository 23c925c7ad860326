//! Access to attributes that the schema has checked already.

pub(crate) use terrace_provider::attributes::{flag, optional_text, text};

use terrace_provider::{Map, Value};

/// A value that is present, known and not null.
pub(crate) fn given<'a>(attributes: &'a Map, name: &str) -> Option<&'a Value> {
    attributes.get(name).filter(|value| !value.is_null() && !value.has_unknown())
}
