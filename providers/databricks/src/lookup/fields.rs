//! Attributes of lookups.

use terrace_provider::{Attribute, AttributeType, Value};

pub(super) fn string_attribute(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

pub(super) fn names(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::list(AttributeType::String), doc).default_value(Value::List(Vec::new()))
}

pub(super) fn ids(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::map(AttributeType::String), doc)
}

pub(super) fn workspace() -> Attribute {
    string_attribute("workspaceUrl", "URL of the workspace. Defaults to the instance's.")
}
