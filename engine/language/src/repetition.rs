//! Items of a `forEach` and their keys, for resources and imports.

use crate::address::InstanceKey;
use crate::diagnostic::Diagnostic;
use crate::expression::Template;
use std::collections::BTreeSet;
use terrace_provider::Value;

/// One item of a `forEach`.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The key of the instance.
    pub key: InstanceKey,
    /// The value of `each` in expressions.
    pub each: Value,
}

/// Why a `forEach` has no items.
#[derive(Debug, Clone, PartialEq)]
pub enum NoItems {
    /// Field that holds the unknown value: `forEach` itself, an item or a key.
    Unknown(&'static str),
    /// The `forEach` is invalid.
    Invalid(Vec<Diagnostic>),
}

impl From<Diagnostic> for NoItems {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Invalid(vec![diagnostic])
    }
}

/// Returns the items of an evaluated `forEach`. Evaluates `key` with `key_of` for each item of a list.
pub fn items(
    for_each: &Template,
    value: Value,
    key: Option<&Template>,
    key_of: &dyn Fn(&Template, &Value) -> Result<String, NoItems>,
) -> Result<Vec<Item>, NoItems> {
    if value.has_sensitive() {
        return Err(Diagnostic::error(
            "sensitive_for_each",
            "`forEach` reads a sensitive value, but its keys are public",
        )
        .at(for_each.span)
        .hint("use public keys, and read the sensitive value in the resource's attributes")
        .into());
    }
    match value {
        Value::Map(entries) => Ok(entries.into_iter().map(|(key, value)| keyed_item(key, value)).collect()),
        Value::List(items) => list_items(for_each, items, key, key_of),
        Value::Null => Ok(Vec::new()),
        Value::Unknown => Err(NoItems::Unknown("forEach")),
        other => {
            let message = format!("`forEach` must be a map or a list, found {}", other.kind());
            Err(Diagnostic::error("wrong_type", message)
                .at(for_each.span)
                .hint("use a map, a list of text, a list of maps with `key:`, or `range(n)`")
                .into())
        }
    }
}

fn list_items(
    for_each: &Template,
    values: Vec<Value>,
    key: Option<&Template>,
    key_of: &dyn Fn(&Template, &Value) -> Result<String, NoItems>,
) -> Result<Vec<Item>, NoItems> {
    let mut items: Vec<Item> = Vec::with_capacity(values.len());
    let mut keys = BTreeSet::new();
    for value in values {
        let item = match (key, value) {
            (Some(key), value) => {
                let name = key_of(key, &each(Value::Null, value.clone()))?;
                keyed_item(name, value)
            }
            (None, Value::String(text)) => keyed_item(text.clone(), Value::String(text)),
            (None, Value::Int(index)) => {
                Item { key: InstanceKey::Index(index), each: each(Value::Int(index), Value::Int(index)) }
            }
            (None, Value::Map(entries)) if entries.get("key").and_then(Value::as_str).is_some() => {
                let name = entries.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
                keyed_item(name, Value::Map(entries))
            }
            (None, Value::Unknown) => return Err(NoItems::Unknown("forEach")),
            (None, other) => {
                let message = format!("an item of `forEach` is {} without a key", other.kind());
                return Err(Diagnostic::error("no_key", message)
                    .at(for_each.span)
                    .hint("add a `key:`, for example `key: ${{ each.value.name }}`")
                    .into());
            }
        };
        if !keys.insert(item.key.clone()) {
            return Err(Diagnostic::error("repeated_key", format!("two items of `forEach` have the key {}", item.key))
                .at(key.map_or(for_each.span, |key| key.span))
                .hint("use a different key for each instance")
                .into());
        }
        items.push(item);
    }
    Ok(items)
}

fn keyed_item(key: String, value: Value) -> Item {
    Item { each: each(Value::String(key.clone()), value), key: InstanceKey::Text(key) }
}

fn each(key: Value, value: Value) -> Value {
    [("key".to_owned(), key), ("value".to_owned(), value)].into_iter().collect()
}
