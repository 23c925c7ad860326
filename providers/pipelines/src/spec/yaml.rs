//! The YAML of specs, as PyYAML reads it: pipelines were written for it, so `yes` is true, `010` is eight and
//! `2014-01-01` is a date. Every value keeps its place.
//!
//! [`parse`] builds the tree from the parser's events, within limits on size, depth and what aliases copy; `scalar` says
//! what unquoted text is, `number` how numbers get to Python that JSON has not.

mod number;
mod parse;
mod scalar;

pub(crate) use number::python_json;
pub(crate) use parse::{LONGEST, parse};

use crate::run::python::float_text;
use serde_json::{Map, Value, json};
use std::ops::Range;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Bytes of the text.
    pub(crate) at: Range<usize>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number that is larger, in decimal digits.
    Large(String),
    Float(f64),
    Text(String),
    /// A day, or a time of one, in the words that dpp's JSON has for it.
    Time {
        key: &'static str,
        text: String,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// An entry of a map; keys that are no text are taken as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Range<usize>,
    pub(crate) value: Node,
}

impl Node {
    /// A value of JSON, which stands nowhere.
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

    /// What it is, in words.
    pub(crate) const fn in_words(&self) -> &'static str {
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

    /// The text that it is.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// The entries of the map that it is.
    pub(crate) fn as_map(&self) -> Option<&[Entry]> {
        if let Kind::Map(entries) = &self.kind { Some(entries) } else { None }
    }

    /// The items of the list that it is.
    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        if let Kind::List(items) = &self.kind { Some(items) } else { None }
    }

    /// The value as dpp hands it to a processor.
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

    /// A scalar as Python's `str` writes it: what an environment variable becomes. Nothing for lists and maps.
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

/// The entries of a map as JSON, in the order written.
pub(crate) fn map_to_json(entries: &[Entry]) -> Map<String, Value> {
    entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
}
