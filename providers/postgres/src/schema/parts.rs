//! Attributes that several types have.

use std::time::Duration;
use terrace_provider::normal;
use terrace_provider::{Attribute, AttributeType, Need, ResourceType, Value};

/// The role that owns an object cannot be dropped before the object has another owner.
pub(super) const OWNER: Need =
    Need { ty: "postgres_role", identities: |attributes| Need::named(attributes, &[("name", "owner")]) };

/// The database of an object.
pub(super) const IN_DATABASE: Need =
    Need { ty: "postgres_database", identities: |attributes| Need::named(attributes, &[("name", "database")]) };

/// The schema of a relation.
pub(super) const IN_SCHEMA: Need = Need {
    ty: "postgres_schema",
    identities: |attributes| Need::named(attributes, &[("database", "database"), ("name", "schema")]),
};

pub(crate) fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

pub(crate) fn names(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::list(AttributeType::String), doc)
}

pub(super) fn flag(name: &'static str, doc: &'static str, default: bool) -> Attribute {
    Attribute::new(name, AttributeType::Bool, doc).default_value(default)
}

pub(super) fn name(doc: &'static str) -> Attribute {
    text("name", doc).required().replaces()
}

pub(super) fn in_database() -> Attribute {
    text("database", "The database.").required().replaces()
}

pub(super) fn in_schema() -> Attribute {
    text("schema", "The schema.").required().replaces()
}

pub(super) fn id() -> Attribute {
    text("id", "The id for `terrace import`.").stable()
}

/// The server keeps no empty comment.
pub(super) fn comment() -> Attribute {
    text("comment", "A comment. Left out or empty: not managed.").normal(normal::non_empty)
}

pub(super) fn full_name(doc: &'static str) -> Attribute {
    text("fullName", doc).stable()
}

pub(super) fn empty() -> Value {
    Value::List(Vec::new())
}

/// A call cannot take effect after its connection has ended, and the provider checks for that.
pub(super) fn settled(ty: ResourceType) -> ResourceType {
    ResourceType { settle: Duration::ZERO, ..ty }
}
