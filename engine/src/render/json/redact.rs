//! Values in terraform's shape: what is sensitive or unknown is absent, and true in a tree of the same shape.

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
        let sensitive = |side: Option<&Value>, other: Option<&Value>| match side {
            Some(value) => sensitive(value, other).unwrap_or_else(|| empty(value)),
            None => Json::Bool(false),
        };
        Self {
            before: before.and_then(|value| clear(value, after)).unwrap_or(Json::Null),
            after: after.and_then(|value| clear(value, before)).unwrap_or(Json::Null),
            after_unknown: after
                .map_or(Json::Object(Object::new()), |value| unknown(value).unwrap_or_else(|| empty(value))),
            before_sensitive: sensitive(before, after),
            after_sensitive: sensitive(after, before),
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
    let value = Value::Map(attributes.clone());
    let other = other.map(|other| Value::Map(other.clone()));
    (
        clear(&value, other.as_ref()).unwrap_or(Json::Null),
        sensitive(&value, other.as_ref()).unwrap_or_else(|| empty(&value)),
    )
}

/// The value without what may not or cannot be shown; `None` when nothing of it can.
fn clear(value: &Value, other: Option<&Value>) -> Option<Json> {
    match value {
        _ if is_marked(other) => None,
        Value::Sensitive(_) | Value::Unknown => None,
        // In a list null keeps the place of what is left out.
        Value::List(items) => Some(
            items
                .iter()
                .enumerate()
                .map(|(position, item)| clear(item, item_of(other, position)).unwrap_or(Json::Null))
                .collect(),
        ),
        Value::Map(entries) => Some(Json::Object(
            entries
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), clear(value, entry_of(other, key))?)))
                .collect(),
        )),
        plain => Some(plain.to_json()),
    }
}

/// The tree of what is sensitive; `None` when nothing is.
fn sensitive(value: &Value, other: Option<&Value>) -> Option<Json> {
    match value {
        _ if is_marked(other) => Some(Json::Bool(true)),
        Value::Sensitive(_) => Some(Json::Bool(true)),
        Value::List(items) => {
            list(items.iter().enumerate().map(|(position, item)| sensitive(item, item_of(other, position))))
        }
        Value::Map(entries) => map(entries.iter().map(|(key, value)| (key, sensitive(value, entry_of(other, key))))),
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

fn is_marked(other: Option<&Value>) -> bool {
    matches!(other, Some(Value::Sensitive(_)))
}

fn item_of(other: Option<&Value>, position: usize) -> Option<&Value> {
    match other {
        Some(Value::List(items)) => items.get(position),
        _ => None,
    }
}

fn entry_of<'a>(other: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    match other {
        Some(Value::Map(entries)) => entries.get(key),
        _ => None,
    }
}
