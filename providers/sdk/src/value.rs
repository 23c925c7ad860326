//! The value type that travels between descriptor, expression, plan, provider and state.
//!
//! Unlike JSON, it can hold *unknown* values (known only after apply), *sensitive* values (redacted in the data, so
//! that no printer can leak them), and numbers with their exact text (`1.10`, integers beyond 64 bits).

mod exact;
mod number;
pub mod wire;

use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

use exact::Exact;
pub use number::Number;

/// A map that keeps the order of its keys. Equality ignores the order. Plans look up thousands of short keys, so the
/// hash is fast.
pub type Map = IndexMap<String, Value, foldhash::fast::RandomState>;

/// Nesting limit of lists and maps in recorded values; the same as for YAML texts. Plans and rows add a few levels,
/// which JSON readers must accept: many stop at 128.
pub const DEEPEST: usize = 64;

/// A value of a descriptor, a plan or a state row.
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    /// No value; a null attribute counts as absent.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// Any other number, kept as its text.
    Number(Number),
    /// Text.
    String(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key.
    Map(Map),
    /// Known only after apply. Not equal to any known value.
    Unknown,
    /// A value that only its provider may receive.
    Sensitive(Sensitive),
}

/// A value that neither `Debug` nor any serializer prints. Only [`Sensitive::expose`] returns the content.
#[derive(Clone, PartialEq)]
pub struct Sensitive(Box<Value>);

impl Sensitive {
    /// Marks a value. A second mark has no effect.
    #[must_use]
    pub fn new(value: Value) -> Self {
        match value {
            Value::Sensitive(inner) => inner,
            other => Self(Box::new(other)),
        }
    }

    /// The content. Use it only to send it to its provider, to compare it or to seal it.
    #[must_use]
    pub fn expose(&self) -> &Value {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sensitive value)")
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::String(value) => write!(f, "{value:?}"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f.debug_map().entries(entries).finish(),
            Self::Unknown => f.write_str("(known after apply)"),
            Self::Sensitive(value) => value.fmt(f),
        }
    }
}

impl Value {
    /// A value marked sensitive.
    #[must_use]
    pub fn sensitive(value: Self) -> Self {
        Self::Sensitive(Sensitive::new(value))
    }

    /// Marks a value that derives from these attributes, such as an id with their path: sensitive if any of them has a
    /// sensitive part.
    #[must_use]
    pub fn derived_from(self, attributes: &Map, names: &[&str]) -> Self {
        let is_sensitive = names.iter().any(|name| attributes.get(*name).is_some_and(Self::has_sensitive));
        if is_sensitive { Self::sensitive(self) } else { self }
    }

    /// True for null, also under a sensitive mark.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.exposed(), Self::Null)
    }

    /// True if the value itself is unknown, also under a sensitive mark.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.exposed(), Self::Unknown)
    }

    /// True if the value or any part of it is unknown.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        match self.exposed() {
            Self::Unknown => true,
            Self::List(items) => items.iter().any(Self::has_unknown),
            Self::Map(entries) => entries.values().any(Self::has_unknown),
            _ => false,
        }
    }

    /// True if the value or any part of it is sensitive.
    #[must_use]
    pub fn has_sensitive(&self) -> bool {
        match self {
            Self::Sensitive(_) => true,
            Self::List(items) => items.iter().any(Self::has_sensitive),
            Self::Map(entries) => entries.values().any(Self::has_sensitive),
            _ => false,
        }
    }

    /// The value without its own sensitive mark; inner marks stay.
    #[must_use]
    pub fn exposed(&self) -> &Self {
        match self {
            Self::Sensitive(inner) => inner.expose(),
            other => other,
        }
    }

    /// True if the lossless form of the value nests deeper than [`DEEPEST`]: it must not be recorded.
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        self.is_deeper_than(DEEPEST)
    }

    fn is_deeper_than(&self, levels: usize) -> bool {
        let inside = |own| levels.checked_sub(own);
        match self.exposed() {
            Self::List(items) => inside(1).is_none_or(|levels| items.iter().any(|item| item.is_deeper_than(levels))),
            Self::Map(entries) => inside(wire::levels_of(entries))
                .is_none_or(|levels| entries.values().any(|value| value.is_deeper_than(levels))),
            _ => false,
        }
    }

    /// Visits the texts and numbers in the value, each with a flag: true if it, or a value around it, is sensitive.
    /// `is_marked` is the flag of the value itself.
    pub fn visit_texts<'v>(&'v self, is_marked: bool, visit: &mut impl FnMut(Cow<'v, str>, bool)) {
        let is_marked = is_marked || matches!(self, Self::Sensitive(_));
        match self.exposed() {
            Self::List(items) => items.iter().for_each(|item| item.visit_texts(is_marked, visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.visit_texts(is_marked, visit)),
            Self::String(text) => visit(text.into(), is_marked),
            Self::Int(number) => visit(number.to_string().into(), is_marked),
            Self::Number(number) => visit(number.as_str().into(), is_marked),
            Self::Null | Self::Bool(_) | Self::Unknown | Self::Sensitive(_) => {}
        }
    }

    /// A copy without sensitive marks; only for data that goes to a provider.
    #[must_use]
    pub fn revealed(&self) -> Self {
        match self.exposed() {
            Self::List(items) => Self::List(items.iter().map(Self::revealed).collect()),
            Self::Map(entries) => Self::Map(entries.iter().map(|(k, v)| (k.clone(), v.revealed())).collect()),
            other => other.clone(),
        }
    }

    /// The text, if this is a string (also under a mark).
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self.exposed() {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.exposed() {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self.exposed() {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self.exposed() {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if this is a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self.exposed() {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry with that key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// True if both are the same known value. Ignores sensitive marks; an unknown value differs from every value.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self.exposed(), other.exposed()) {
            (Self::Unknown, _) | (_, Self::Unknown) => false,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same_as(b)),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| a.is_same_as(b)))
            }
            (a, b) => a == b,
        }
    }

    /// The kind of the value for messages: "text", "a whole number", "a list" …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.exposed() {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::String(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Unknown => "an unknown value",
            Self::Sensitive(_) => "a sensitive value",
        }
    }

    /// The value as JSON for people and tools: sensitive and unknown values are null, numbers keep their text.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null | Self::Unknown | Self::Sensitive(_) => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Number(number) => number.to_json(),
            Self::String(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
        }
    }

    /// Reads JSON text and keeps the text of numbers; `None` if it is not JSON.
    #[must_use]
    pub fn from_json_text(text: &str) -> Option<Self> {
        exact::parse(text)
    }

    /// Sorts the keys of all maps in it, so that equal values have equal texts.
    pub fn sort_keys(&mut self) {
        match self {
            Self::Map(entries) => {
                entries.sort_unstable_keys();
                entries.values_mut().for_each(Self::sort_keys);
            }
            Self::List(items) => items.iter_mut().for_each(Self::sort_keys),
            _ => {}
        }
    }

    /// The value as compact JSON text, like [`Value::to_json`], with the text of numbers.
    #[must_use]
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(&Exact(self)).unwrap_or_default()
    }

    /// The value as indented JSON text.
    #[must_use]
    pub fn to_pretty_json_text(&self) -> String {
        serde_json::to_string_pretty(&Exact(self)).unwrap_or_default()
    }

    /// The value as JSON with sensitive parts revealed; only for data that goes to a provider. Numbers have their
    /// shortest text, for comparison with a system's answers.
    #[must_use]
    pub fn to_revealed_json(&self) -> serde_json::Value {
        match self.exposed() {
            Self::Number(number) => number.shortest().to_json(),
            Self::List(items) => items.iter().map(Self::to_revealed_json).collect(),
            Self::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|(k, v)| (k.clone(), v.to_revealed_json())).collect())
            }
            other => other.to_json(),
        }
    }
}

/// Serialises JSON for formats without arbitrary numbers: as integers of up to 128 bits and doubles. In such formats,
/// serde_json's own numbers would become a map.
#[derive(Debug)]
pub struct OtherFormat<'a>(pub &'a serde_json::Value);

impl Serialize for OtherFormat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_i128(), number.as_f64()) {
                (Some(number), _, _) => serializer.serialize_i64(number),
                (None, Some(number), _) => serializer.serialize_i128(number),
                (None, None, Some(number)) => serializer.serialize_f64(number),
                (None, None, None) => serializer.serialize_str(number.as_str()),
            },
            serde_json::Value::Array(items) => serializer.collect_seq(items.iter().map(OtherFormat)),
            serde_json::Value::Object(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, OtherFormat(value))))
            }
            plain => plain.serialize(serializer),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Number::parse(number.as_str()).map_or(Self::Null, |number| Self::Number(number.shortest())),
            },
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(entries) => {
                Self::Map(entries.into_iter().map(|(k, v)| (k, Self::from(v))).collect())
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

impl From<Map> for Value {
    fn from(entries: Map) -> Self {
        Self::Map(entries)
    }
}

impl FromIterator<(String, Value)> for Value {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(entries: T) -> Self {
        Self::Map(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
