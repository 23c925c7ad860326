//! Values in Terraform's shape: sensitive and unknown values are absent, and true in a tree of the same shape.

use serde_json::{Map as Object, Value as Json};
use terrace_provider::{Attributes, Value};
use terrace_store::marks;

/// An object before and after a change, as the trees of terraform's `change`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sides {
    before: Json,
    after: Json,
    after_unknown: Json,
    before_sensitive: Json,
    after_sensitive: Json,
}

impl Sides {
    /// Redacts both sides. A mark on either side covers both, because an unmarked value may equal the sensitive one.
    pub(crate) fn of(before: Option<&Value>, after: Option<&Value>) -> Self {
        let marked = |side: Option<&Value>, other: Option<&Value>| match (side, other) {
            (Some(value), Some(other)) => Some(marks::add_marks(value, other)),
            (value, _) => value.cloned(),
        };
        let sensitive = |side: Option<&Value>| match side {
            Some(value) => sensitive(value).unwrap_or_else(|| empty(value)),
            None => Json::Bool(false),
        };
        let (before, after) = (marked(before, after), marked(after, before));
        Self {
            before: before.as_ref().and_then(clear).unwrap_or(Json::Null),
            after: after.as_ref().and_then(clear).unwrap_or(Json::Null),
            after_unknown: after
                .as_ref()
                .map_or(Json::Object(Object::new()), |value| unknown(value).unwrap_or_else(|| empty(value))),
            before_sensitive: sensitive(before.as_ref()),
            after_sensitive: sensitive(after.as_ref()),
        }
    }

    /// Redacts attributes.
    pub(crate) fn of_attributes(before: Option<&Attributes>, after: Option<&Attributes>) -> Self {
        let whole = |side: Option<&Attributes>| side.map(|attributes| Value::Map(attributes.clone()));
        Self::of(whole(before).as_ref(), whole(after).as_ref())
    }

    /// The five members of a `change`.
    pub(crate) fn to_json(&self) -> Object<String, Json> {
        [
            ("before", &self.before),
            ("after", &self.after),
            ("after_unknown", &self.after_unknown),
            ("before_sensitive", &self.before_sensitive),
            ("after_sensitive", &self.after_sensitive),
        ]
        .into_iter()
        .map(|(name, tree)| (name.to_owned(), tree.clone()))
        .collect()
    }
}

/// The attributes without sensitive or unknown values, and the tree of sensitive values. Marks of `other`, another version of the
/// attributes, apply too.
#[must_use]
pub fn values(attributes: &Attributes, other: Option<&Attributes>) -> (Json, Json) {
    let value = Value::Map(match other {
        Some(other) => marks::add_attribute_marks(attributes, other),
        None => attributes.clone(),
    });
    (clear(&value).unwrap_or(Json::Null), sensitive(&value).unwrap_or_else(|| empty(&value)))
}

/// The value without its sensitive and unknown parts; `None` if no part remains.
fn clear(value: &Value) -> Option<Json> {
    match value {
        Value::Sensitive(_) | Value::Unknown => None,
        // In a list null keeps the place of a removed item.
        Value::List(items) => Some(items.iter().map(|item| clear(item).unwrap_or(Json::Null)).collect()),
        Value::Map(entries) => {
            Some(Json::Object(entries.iter().filter_map(|(key, value)| Some((key.clone(), clear(value)?))).collect()))
        }
        plain => Some(plain.to_json()),
    }
}

/// The tree of sensitive values; `None` without any.
fn sensitive(value: &Value) -> Option<Json> {
    match value {
        Value::Sensitive(_) => Some(Json::Bool(true)),
        Value::List(items) => list(items.iter().map(sensitive)),
        Value::Map(entries) => map(entries.iter().map(|(key, value)| (key, sensitive(value)))),
        _ => None,
    }
}

/// The tree of unknown values; `None` without any. Does not descend into sensitive values.
fn unknown(value: &Value) -> Option<Json> {
    match value {
        Value::Unknown => Some(Json::Bool(true)),
        Value::Sensitive(_) if value.has_unknown() => Some(Json::Bool(true)),
        Value::List(items) => list(items.iter().map(unknown)),
        Value::Map(entries) => map(entries.iter().map(|(key, value)| (key, unknown(value)))),
        _ => None,
    }
}

fn list(items: impl Iterator<Item = Option<Json>>) -> Option<Json> {
    let items: Vec<Option<Json>> = items.collect();
    let is_marked = items.iter().any(Option::is_some);
    is_marked.then(|| items.into_iter().map(|item| item.unwrap_or(Json::Bool(false))).collect())
}

fn map<'a>(entries: impl Iterator<Item = (&'a String, Option<Json>)>) -> Option<Json> {
    let entries: Object<String, Json> = entries.filter_map(|(key, tree)| Some((key.clone(), tree?))).collect();
    (!entries.is_empty()).then_some(Json::Object(entries))
}

/// The tree of a value without marks.
fn empty(value: &Value) -> Json {
    match value {
        Value::Map(_) => Json::Object(Object::new()),
        Value::List(_) => Json::Array(Vec::new()),
        _ => Json::Bool(false),
    }
}
