//! Access to a tree: by key, by path, and as a plain value.

use super::{Entry, Node, NodeKind};
use crate::source::Span;
use terrace_provider::{Path, Step, Value};

impl Node {
    /// Converts a value to a tree. All nodes have the same place, that of the expression. Unknown and sensitive values
    /// become null.
    #[must_use]
    pub fn of(value: &Value, span: Span) -> Self {
        let kind = match value {
            Value::Null | Value::Unknown | Value::Sensitive(_) => NodeKind::Null,
            Value::Bool(value) => NodeKind::Bool(*value),
            Value::Int(value) => NodeKind::Int(*value),
            Value::Number(number) => NodeKind::Number(number.clone()),
            Value::String(text) => NodeKind::Text(text.clone()),
            Value::List(items) => NodeKind::List(items.iter().map(|item| Self::of(item, span)).collect()),
            Value::Map(entries) => NodeKind::Map(
                entries
                    .iter()
                    .map(|(key, value)| Entry { key: key.clone(), key_span: span, value: Self::of(value, span) })
                    .collect(),
            ),
        };
        Self { span, kind }
    }

    /// The value of a key, if this is a map with that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key, if this is a map with that key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        // From the end: the last of allowed duplicate keys counts.
        self.as_map()?.iter().rev().find(|entry| entry.key == key)
    }

    /// The text, if this is a text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            NodeKind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.kind {
            NodeKind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if this is a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// True for `null`, `~` and an absent value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind == NodeKind::Null
    }

    /// The kind of the value, in the terms of [`Value::kind`].
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "true/false",
            NodeKind::Int(_) => "whole number",
            NodeKind::Number(_) => "number",
            NodeKind::Text(_) => "text",
            NodeKind::Typed { of, .. } => of,
            NodeKind::List(_) => "list",
            NodeKind::Map(_) => "map",
        }
    }

    /// The value without places.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Int(value) => Value::Int(*value),
            NodeKind::Number(number) => Value::Number(number.clone()),
            NodeKind::Text(text) | NodeKind::Typed { text, .. } => Value::String(text.clone()),
            NodeKind::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            NodeKind::Map(entries) => {
                Value::Map(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect())
            }
        }
    }

    /// The value without places, as JSON. Numbers become the nearest JSON numbers.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            NodeKind::Null => serde_json::Value::Null,
            NodeKind::Bool(value) => (*value).into(),
            NodeKind::Int(value) => (*value).into(),
            NodeKind::Number(number) => number.to_json(),
            NodeKind::Text(text) | NodeKind::Typed { text, .. } => text.as_str().into(),
            NodeKind::List(items) => items.iter().map(Self::to_json).collect(),
            NodeKind::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    /// The node at a path; an empty path returns this node.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.as_list()?.get(*index),
        })
    }

    /// The entry at the end of a path; `None` when the path is empty or ends in an item of a list.
    #[must_use]
    pub fn find_entry(&self, path: &Path) -> Option<&Entry> {
        let (Step::Key(last), before) = path.0.split_last()? else { return None };
        self.find(&Path(before.to_vec()))?.entry(last)
    }

    /// The node at a JSON Pointer (RFC 6901).
    #[must_use]
    pub fn find_pointer(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |node, token| match &node.kind {
            NodeKind::List(items) => items.get(token.parse::<usize>().ok()?),
            _ => node.get(&token.replace("~1", "/").replace("~0", "~")),
        })
    }
}
