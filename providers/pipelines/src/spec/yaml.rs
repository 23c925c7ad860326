//! YAML of specs as PyYAML reads it, since dpp's specs are written for PyYAML: `yes` is true, `010` is eight and
//! `2014-01-01` is a date. Every value has its position.
//!
//! [`parse`] builds the tree from the parser's events, with limits on size, depth and copies by aliases. `scalar`
//! resolves unquoted text; `number` passes numbers to Python that JSON cannot represent.

mod number;
mod parse;
mod scalar;

pub(crate) use number::python_json;
pub(crate) use parse::{LONGEST, parse};

use crate::run::python::float_text;
use serde_json::{Map, Value, json};
use std::ops::Range;

/// A value with its position.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Position in bytes of the text.
    pub(crate) at: Range<usize>,
    /// The value.
    pub(crate) kind: Kind,
}

/// Value of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    /// A larger whole number, in decimal digits.
    Large(String),
    Float(f64),
    Text(String),
    /// A date or a time, with the key that dpp's JSON uses for it.
    Time {
        key: &'static str,
        text: String,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// Entry of a map; a key that is not text keeps its written form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Range<usize>,
    pub(crate) value: Node,
}

impl Node {
    /// Node of a JSON value, without a position.
    pub(crate) fn of_json(value: &Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Kind::Int(value),
                None if number.is_f64() => Kind::Float(number.as_f64().unwrap_or(f64::NAN)),
                None => Kind::Large(number.to_string()),
            },
            Value::String(text) => Kind::Text(text.clone()),
            Value::Array(items) => Kind::List(items.iter().map(Self::of_json).collect()),
            Value::Object(map) => match number::of_map(map) {
                Some("NaN") => Kind::Float(f64::NAN),
                Some("Infinity") => Kind::Float(f64::INFINITY),
                Some("-Infinity") => Kind::Float(f64::NEG_INFINITY),
                Some(digits) => Kind::Large(digits.to_owned()),
                None => Kind::Map(map.iter().map(Entry::of_json).collect()),
            },
        };
        Self { at: 0..0, kind }
    }

    /// Kind of the value, for messages.
    pub(crate) const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) | Kind::Large(_) | Kind::Float(_) => "a number",
            Kind::Text(_) => "text",
            Kind::Time { .. } => "a date",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The value as text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// The value as entries of a map.
    pub(crate) fn as_map(&self) -> Option<&[Entry]> {
        if let Kind::Map(entries) = &self.kind { Some(entries) } else { None }
    }

    /// The value as items of a list.
    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        if let Kind::List(items) = &self.kind { Some(items) } else { None }
    }

    /// The value in the form that dpp passes to a processor.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => Value::from(*value),
            Kind::Large(digits) => number::value(digits),
            Kind::Float(value) if !value.is_finite() => number::value(number::name_of(*value)),
            Kind::Float(value) => Value::from(*value),
            Kind::Text(text) => Value::from(text.as_str()),
            Kind::Time { key, text } => json!({ *key: text }),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => Value::Object(map_to_json(entries)),
        }
    }

    /// A scalar in the form of Python's `str`, as for environment variables. Nothing for lists and maps.
    pub(crate) fn to_python_text(&self) -> Option<String> {
        match &self.kind {
            Kind::Null => Some("None".to_owned()),
            Kind::Bool(value) => Some(if *value { "True" } else { "False" }.to_owned()),
            Kind::Int(value) => Some(value.to_string()),
            Kind::Float(value) => Some(float_text(*value)),
            Kind::Large(text) | Kind::Text(text) | Kind::Time { text, .. } => Some(text.clone()),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }
}

impl Entry {
    fn of_json((key, value): (&String, &Value)) -> Self {
        Self { key: key.clone(), key_at: 0..0, value: Node::of_json(value) }
    }
}

/// Entries of a map as JSON, in their order.
pub(crate) fn map_to_json(entries: &[Entry]) -> Map<String, Value> {
    entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
}
