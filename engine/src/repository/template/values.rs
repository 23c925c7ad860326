//! Values of templates as JavaScript has them: in order, with empty lists and maps that are true, and with its text.

use crate::yaml::{Node, NodeKind};
use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum length of a text that a filter makes, in bytes.
pub(super) const LONGEST_TEXT: usize = 4 << 20;
/// Maximum number of values in a text of a list or a map.
const MOST_VALUES: usize = 200_000;
/// Maximum depth of lists and maps.
const DEEPEST: usize = 128;

/// A list.
#[derive(Debug)]
pub(super) struct List(pub(super) Vec<Value>);

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// A map. Values can be added, while expressions of other values are evaluated.
#[derive(Debug, Default)]
pub(crate) struct Map(Mutex<IndexMap<String, Value>>);

impl Map {
    /// Sets a value.
    pub(crate) fn insert(&self, key: &str, value: Value) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value);
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keys(&self) -> Vec<Value> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.keys().map(|key| Value::from(key.as_str())).collect()
    }
}

impl Object for Map {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// A list as a value.
pub(super) fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::from_object(List(items.into_iter().collect()))
}

/// The value of a node.
pub(crate) fn of_node(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null => Value::from(()),
        NodeKind::Bool(value) => Value::from(*value),
        NodeKind::Int(value) => Value::from(*value),
        NodeKind::Number(number) => {
            let text = number.as_str();
            text.parse().map(|number: f64| Value::from(number)).unwrap_or_else(|_| Value::from(text))
        }
        NodeKind::Text(text) | NodeKind::Typed { text, .. } => Value::from(text.as_str()),
        NodeKind::List(items) => list(items.iter().map(of_node)),
        NodeKind::Map(entries) => {
            let map = Map::default();
            entries.iter().for_each(|entry| map.insert(&entry.key, of_node(&entry.value)));
            Value::from_object(map)
        }
    }
}

/// The text of a value, as `String(value)`. Null and undefined values are empty.
///
/// # Errors
/// When the text is too long.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    Writer::default().write_text(value, &mut text, 0)?;
    Ok(text)
}

/// The JSON of a value, as `JSON.stringify(value)`; `None` for an undefined value.
///
/// # Errors
/// When the value is too large.
pub(super) fn json(value: &Value) -> Result<Option<serde_json::Value>, Error> {
    Writer::default().json(value, 0)
}

/// The error of a text or a value beyond the limits.
pub(super) fn too_large() -> Error {
    Error::new(ErrorKind::OutOfFuel, "a value is too large")
}

#[derive(Default)]
struct Writer {
    visited: usize,
}

impl Writer {
    fn visit(&mut self, depth: usize) -> Result<(), Error> {
        self.visited += 1;
        if self.visited > MOST_VALUES || depth > DEEPEST { Err(too_large()) } else { Ok(()) }
    }

    fn write_text(&mut self, value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
        self.visit(depth)?;
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => {}
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::Seq | ValueKind::Iterable => {
                for (position, item) in value.try_iter()?.enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    self.write_text(&item, out, depth + 1)?;
                }
            }
            ValueKind::Map => out.push_str("[object Object]"),
            ValueKind::Invalid => return Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
            _ => match value.as_str() {
                Some(text) => out.push_str(text),
                None => out.push_str(&value.to_string()),
            },
        }
        if out.len() > LONGEST_TEXT { Err(too_large()) } else { Ok(()) }
    }

    fn json(&mut self, value: &Value, depth: usize) -> Result<Option<serde_json::Value>, Error> {
        self.visit(depth)?;
        Ok(Some(match value.kind() {
            ValueKind::Undefined => return Ok(None),
            ValueKind::None => serde_json::Value::Null,
            ValueKind::Bool => value.is_true().into(),
            ValueKind::Number => number(value).parse().map_or(serde_json::Value::Null, serde_json::Value::Number),
            ValueKind::Seq | ValueKind::Iterable => {
                let mut items = Vec::new();
                for item in value.try_iter()? {
                    items.push(self.json(&item, depth + 1)?.unwrap_or_default());
                }
                items.into()
            }
            ValueKind::Map => {
                let mut entries = serde_json::Map::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    if let Some(item) = self.json(&item, depth + 1)? {
                        entries.insert(text(&key)?, item);
                    }
                }
                entries.into()
            }
            ValueKind::Invalid => return Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
            _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned).into(),
        }))
    }
}

/// The text of a number: whole numbers have no fraction.
fn number(value: &Value) -> String {
    /// Larger numbers have an exponent.
    const LARGEST: f64 = 1e21;
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_finite() && number.fract() == 0.0 && number.abs() < LARGEST => format!("{number:.0}"),
        Ok(number) => number.to_string(),
        Err(_) => value.to_string(),
    }
}
