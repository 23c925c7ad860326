//! Values of templates as JavaScript has them: in order, with empty lists and maps that are true, and with its text.

use crate::yaml::{Node, NodeKind};
use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum length of a text that a filter makes, in bytes.
pub(super) const LONGEST_TEXT: usize = 4 << 20;
/// Maximum number of values in a list or a map that a template makes, and in its text.
const MOST_VALUES: usize = 200_000;
/// Maximum depth of lists and maps.
const DEEPEST: usize = 128;

/// The size of a value with all values in it, each as often as it occurs.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    /// The number of values; a long text counts once more for every 64 bytes.
    weight: usize,
    /// The depth of lists and maps.
    depth: usize,
}

impl Extent {
    const UNIT: usize = 64;

    /// The extent of a value. Values of minijinja with other values in them count once: see [`limited`].
    fn of(value: &Value) -> Self {
        if let Some(list) = value.downcast_object_ref::<List>() {
            return list.extent;
        }
        if let Some(map) = value.downcast_object_ref::<Map>() {
            return map.lock().extent;
        }
        Self { weight: 1 + value.as_str().map_or(0, str::len) / Self::UNIT, depth: 0 }
    }

    /// Adds a value of a list or a map with this extent.
    fn add(&mut self, inner: Self) {
        self.weight = self.weight.saturating_add(inner.weight);
        self.depth = self.depth.max(inner.depth + 1);
    }

    fn check(self) -> Result<(), Error> {
        if self.weight > MOST_VALUES || self.depth > DEEPEST { Err(too_large()) } else { Ok(()) }
    }
}

/// A list.
#[derive(Debug)]
pub(super) struct List {
    items: Vec<Value>,
    extent: Extent,
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        render(Value::from_dyn_object(Arc::clone(self)), out)
    }
}

/// A map. Values can be added, while expressions of other values are evaluated.
#[derive(Debug, Default)]
pub(crate) struct Map(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    entries: IndexMap<String, Value>,
    extent: Extent,
    /// Keys without a value that a template read.
    missed: BTreeSet<String>,
}

impl Map {
    /// Sets a value.
    pub(crate) fn insert(&self, key: &str, value: Value) {
        let inner = Extent::of(&value);
        let mut map = self.lock();
        map.extent.add(inner);
        map.entries.insert(key.to_owned(), value);
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        self.lock().entries.get(key).cloned()
    }

    /// True if a template read this key, which has no value.
    pub(crate) fn is_missed(&self, key: &str) -> bool {
        self.lock().missed.contains(key)
    }

    /// The keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.lock().entries.keys().cloned().collect()
    }

    /// As [`Map::get`] for a template.
    fn read(&self, key: &str) -> Option<Value> {
        /// More warnings have no use.
        const MOST_MISSED: usize = 1_000;
        let mut map = self.lock();
        let value = map.entries.get(key).cloned();
        if value.is_none() && map.missed.len() < MOST_MISSED {
            map.missed.insert(key.to_owned());
        }
        value
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn key_at(&self, position: usize) -> Value {
        self.lock().entries.get_index(position).map(|(key, _)| Value::from(key.as_str())).unwrap_or_default()
    }
}

impl Object for Map {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(key) => self.read(key),
            None if key.is_number() => self.read(&number(key)),
            None => None,
        }
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        render(Value::from_dyn_object(Arc::clone(self)), out)
    }

    // Keys are made one by one: a template may read only the first.
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let map = Arc::clone(self);
        Enumerator::Iter(Box::new((0..self.len()).map(move |position| map.key_at(position))))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.len())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// Takes the work for that many items from the template.
///
/// # Errors
/// When the template has done too much.
pub(super) fn charge(state: &State<'_, '_>, items: usize) -> Result<(), Error> {
    state.consume_fuel(u64::try_from(items).unwrap_or(u64::MAX))
}

/// The items of a value, each of which is work of the template.
///
/// # Errors
/// When the value has no items, or too many.
pub(super) fn items(state: &State<'_, '_>, value: &Value) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    for item in value.try_iter()? {
        charge(state, 1)?;
        if item.kind() == ValueKind::Invalid {
            return Err(Error::new(ErrorKind::InvalidOperation, item.to_string()));
        }
        items.push(item);
        if items.len() > MOST_VALUES {
            return Err(too_large());
        }
    }
    Ok(items)
}

/// True if two values are equal. The comparison is work of the template.
///
/// # Errors
/// When the template has done too much.
pub(super) fn is_equal(state: &State<'_, '_>, one: &Value, other: &Value) -> Result<bool, Error> {
    charge(state, Extent::of(one).weight.min(Extent::of(other).weight))?;
    Ok(one == other)
}

/// A list as a value. Each item is work of the template.
///
/// # Errors
/// When the list is too large or too deep.
pub(super) fn list(state: &State<'_, '_>, items: impl IntoIterator<Item = Value>) -> Result<Value, Error> {
    list_at(state, items, 0)
}

fn list_at(state: &State<'_, '_>, items: impl IntoIterator<Item = Value>, depth: usize) -> Result<Value, Error> {
    let mut list = List { items: Vec::new(), extent: Extent { weight: 1, depth: 0 } };
    for item in items {
        charge(state, 1)?;
        let item = limited_at(state, item, depth + 1)?;
        list.extent.add(Extent::of(&item));
        list.extent.check()?;
        list.items.push(item);
    }
    Ok(Value::from_object(list))
}

/// The value with lists and maps of known size: operators of minijinja make lists that hold no items, only the lists
/// that they are made of. Without a limit of depth, a loop could make a value whose removal exceeds the stack.
///
/// # Errors
/// When the value is too large or too deep.
pub(super) fn limited(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    limited_at(state, value, 0)
}

fn limited_at(state: &State<'_, '_>, value: Value, depth: usize) -> Result<Value, Error> {
    if depth > DEEPEST {
        return Err(too_large());
    }
    match value.kind() {
        ValueKind::Invalid => Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
        ValueKind::Seq | ValueKind::Iterable if value.downcast_object_ref::<List>().is_none() => {
            list_at(state, value.try_iter()?, depth)
        }
        ValueKind::Map => {
            let Some(entries) = value.downcast_object_ref::<BTreeMap<Value, Value>>() else { return Ok(value) };
            let map = Map::default();
            for (key, item) in entries {
                charge(state, 1)?;
                map.insert(&text(state, key)?, limited_at(state, item.clone(), depth + 1)?);
                let extent = map.lock().extent;
                extent.check()?;
            }
            Ok(Value::from_object(map))
        }
        _ => Ok(value),
    }
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
        NodeKind::List(items) => {
            let items: Vec<Value> = items.iter().map(of_node).collect();
            let mut extent = Extent { weight: 1, depth: 0 };
            items.iter().for_each(|item| extent.add(Extent::of(item)));
            Value::from_object(List { items, extent })
        }
        NodeKind::Map(entries) => {
            let map = Map::default();
            entries.iter().for_each(|entry| map.insert(&entry.key, of_node(&entry.value)));
            Value::from_object(map)
        }
    }
}

/// The text of a value, as `String(value)`. Null and undefined values are empty. It is work of the template.
///
/// # Errors
/// When the text is too long.
pub(super) fn text(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    Writer { state: Some(state), visited: 0, bytes: 0, longest: LONGEST_TEXT }.write_text(value, &mut text, 0)?;
    Ok(text)
}

/// Writes the text of a list or a map for the operator `~`. Its extent limits the length.
fn render(value: Value, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = String::new();
    let mut writer = Writer { state: None, visited: 0, bytes: 0, longest: usize::MAX };
    // A formatter that fails ends the process.
    writer.write_text(&value, &mut text, 0).unwrap_or_default();
    out.write_str(&text)
}

/// The text of an evaluated value; `None` if it is too long.
pub(crate) fn text_of_value(value: &Value) -> Option<String> {
    let mut text = String::new();
    Writer { state: None, visited: 0, bytes: 0, longest: LONGEST_TEXT }.write_text(value, &mut text, 0).ok()?;
    Some(text)
}

/// The JSON of a value, as `JSON.stringify(value)`; `None` for an undefined value. It is work of the template.
///
/// # Errors
/// When the value is too large.
pub(super) fn json(state: &State<'_, '_>, value: &Value) -> Result<Option<serde_json::Value>, Error> {
    Writer { state: Some(state), visited: 0, bytes: 0, longest: LONGEST_TEXT }.json(value, 0)
}

/// The error of a text or a value beyond the limits.
pub(super) fn too_large() -> Error {
    Error::new(ErrorKind::OutOfFuel, "a value is too large")
}

struct Writer<'s, 'a, 'b> {
    state: Option<&'s State<'a, 'b>>,
    visited: usize,
    bytes: usize,
    /// Maximum length of the text, in bytes.
    longest: usize,
}

impl Writer<'_, '_, '_> {
    fn visit(&mut self, depth: usize) -> Result<(), Error> {
        self.visited += 1;
        if self.visited > MOST_VALUES || depth > DEEPEST {
            return Err(too_large());
        }
        self.state.map_or(Ok(()), |state| charge(state, 1))
    }

    /// Counts that many bytes, before they are copied.
    fn count(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.longest { Err(too_large()) } else { Ok(()) }
    }

    fn push(&mut self, text: &str, out: &mut String) -> Result<(), Error> {
        self.count(text.len())?;
        out.push_str(text);
        Ok(())
    }

    fn write_text(&mut self, value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
        self.visit(depth)?;
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => Ok(()),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }, out),
            ValueKind::Number => self.push(&number(value), out),
            ValueKind::Seq | ValueKind::Iterable => {
                for (position, item) in value.try_iter()?.enumerate() {
                    if position > 0 {
                        self.push(",", out)?;
                    }
                    self.write_text(&item, out, depth + 1)?;
                }
                Ok(())
            }
            ValueKind::Map => self.push("[object Object]", out),
            ValueKind::Invalid => Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
            _ => match value.as_str() {
                Some(text) => self.push(text, out),
                None => self.push(&value.to_string(), out),
            },
        }
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
                        let mut name = String::new();
                        self.write_text(&key, &mut name, depth + 1)?;
                        entries.insert(name, item);
                    }
                }
                entries.into()
            }
            ValueKind::Invalid => return Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
            _ => {
                let text = value.as_str();
                self.count(text.map_or(0, str::len))?;
                text.map_or_else(|| value.to_string(), str::to_owned).into()
            }
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
