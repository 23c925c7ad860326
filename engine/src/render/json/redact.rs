//! Values in terraform's shape: what is sensitive or unknown is absent, and true in a tree of the same shape.

use crate::marks;
use serde_json::{Map as Object, Value as Json};
use terrace_provider::{Attributes, Value};

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
    /// Redacts both sides. A mark on either covers both: what is not marked yet may be the very value that is to be
    /// hidden from now on.
    pub(crate) fn of(before: Option<&Value>, after: Option<&Value>) -> Self {
        let beside = |side: Option<&Value>, other: Option<&Value>| match (side, other) {
            (Some(value), Some(other)) => Some(marks::beside(value, other)),
            (value, _) => value.cloned(),
        };
        let sensitive = |side: Option<&Value>| match side {
            Some(value) => sensitive(value).unwrap_or_else(|| empty(value)),
            None => Json::Bool(false),
        };
        let (before, after) = (beside(before, after), beside(after, before));
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

/// Attributes without what is sensitive or unknown, and the tree of what is sensitive. What is marked in `other`, another
/// version of them, counts as marked here.
#[must_use]
pub fn values(attributes: &Attributes, other: Option<&Attributes>) -> (Json, Json) {
    let value = Value::Map(match other {
        Some(other) => marks::beside_attributes(attributes, other),
        None => attributes.clone(),
    });
    (clear(&value).unwrap_or(Json::Null), sensitive(&value).unwrap_or_else(|| empty(&value)))
}

/// The value without what may not or cannot be shown; `None` when nothing of it can.
fn clear(value: &Value) -> Option<Json> {
    match value {
        Value::Sensitive(_) | Value::Unknown => None,
        // In a list null keeps the place of what is left out.
        Value::List(items) => Some(items.iter().map(|item| clear(item).unwrap_or(Json::Null)).collect()),
        Value::Map(entries) => {
            Some(Json::Object(entries.iter().filter_map(|(key, value)| Some((key.clone(), clear(value)?))).collect()))
        }
        plain => Some(plain.to_json()),
    }
}

/// The tree of what is sensitive; `None` when nothing is.
fn sensitive(value: &Value) -> Option<Json> {
    match value {
        Value::Sensitive(_) => Some(Json::Bool(true)),
        Value::List(items) => list(items.iter().map(sensitive)),
        Value::Map(entries) => map(entries.iter().map(|(key, value)| (key, sensitive(value)))),
        _ => None,
    }
}

/// The tree of what is unknown; `None` when nothing is. What is sensitive is not looked into.
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

/// The tree of a value in which nothing is marked.
fn empty(value: &Value) -> Json {
    match value {
        Value::Map(_) => Json::Object(Object::new()),
        Value::List(_) => Json::Array(Vec::new()),
        _ => Json::Bool(false),
    }
}
