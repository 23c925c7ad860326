//! Renders a value on one line.

use super::{cut, quoted, visible};
use terrace_provider::{Attributes, Map, Value};

/// Stands for an unknown value.
pub const UNKNOWN: &str = "(known after apply)";
/// Stands for a sensitive value.
pub const SENSITIVE: &str = "(sensitive value)";
/// Stands for a value that stays and becomes sensitive.
pub const SENSITIVE_NOW: &str = "(sensitive from now on)";
/// Stands for a sensitive value that changes.
pub const SENSITIVE_CHANGED: &str = "(sensitive, changed)";

/// The limits of a value; 0 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items of a list, entries of a map.
    pub items: usize,
    /// Characters of a text.
    pub characters: usize,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { items: 0, characters: 0 };
    /// For a value beside other text in a line.
    pub const SHORT: Self = Self { items: 3, characters: 40 };

    fn allows(self, position: usize) -> bool {
        self.items == 0 || position < self.items
    }
}

/// A value on one line.
#[must_use]
pub fn brief(value: &Value, limits: Limits) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => quoted(&cut(text, limits.characters)),
        Value::List(items) => list(items, limits),
        Value::Map(entries) => map(entries, limits),
        Value::Unknown => UNKNOWN.to_owned(),
        Value::Sensitive(_) => SENSITIVE.to_owned(),
    }
}

/// Two differing values, each on one line. If the cut texts would be equal, both start shortly before their first difference.
#[must_use]
pub fn brief_change(before: &Value, after: &Value, limits: Limits) -> (String, String) {
    let shown = (brief(before, limits), brief(after, limits));
    let (Value::String(before), Value::String(after)) = (before, after) else { return shown };
    if shown.0 != shown.1 || before == after {
        return shown;
    }
    let same = before.chars().zip(after.chars()).take_while(|(before, after)| before == after).count();
    let Limits { characters, .. } = Limits::SHORT;
    let from = same.saturating_sub(characters / 2);
    let rest = |text: &str| {
        let rest: String = std::iter::once('…').chain(text.chars().skip(from)).collect();
        quoted(&cut(&rest, characters))
    };
    (rest(before), rest(after))
}

/// An item of a list; an object with a name starts with it, as in `ID NUMBER(38,0)`.
#[must_use]
pub fn item(value: &Value, limits: Limits) -> String {
    let (Value::Map(entries), Some(name)) = (value, name_of(value)) else { return brief(value, limits) };
    let mut text = cut(&visible(name), limits.characters).into_owned();
    let ty = match entries.get("type") {
        Some(Value::String(ty)) => Some(ty),
        _ => None,
    };
    if let Some(ty) = ty {
        text.push(' ');
        text.push_str(&cut(&visible(ty), limits.characters));
    }
    let is_in_front = |key: &str| key == "name" || (key == "type" && ty.is_some());
    let rest: Map = entries
        .iter()
        .filter(|(key, value)| !is_in_front(key) && !matches!(value, Value::Null))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !rest.is_empty() {
        text.push(' ');
        text.push_str(&map(&rest, limits));
    }
    text
}

/// Attributes, hidden where a later version of them is sensitive. An unmarked value may equal the sensitive one.
#[must_use]
pub fn hidden_like(attributes: &Attributes, later: Option<&Attributes>) -> Attributes {
    let is_hidden = |name: &str| later.and_then(|later| later.get(name)).is_some_and(Value::has_sensitive);
    attributes
        .iter()
        .map(|(name, value)| {
            let shown = if is_hidden(name) { Value::sensitive(value.clone()) } else { value.clone() };
            (name.clone(), shown)
        })
        .collect()
}

/// The name of an object; `None` without a name or with a sensitive one.
#[must_use]
pub fn name_of(value: &Value) -> Option<&str> {
    match value {
        Value::Map(entries) => match entries.get("name") {
            Some(Value::String(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn list(items: &[Value], limits: Limits) -> String {
    joined('[', items.iter().map(|value| item(value, limits)), items.len(), limits, ']')
}

fn map(entries: &Map, limits: Limits) -> String {
    let shown = entries
        .iter()
        .map(|(key, value)| format!("{} = {}", cut(&visible(key), limits.characters), brief(value, limits)));
    joined('{', shown, entries.len(), limits, '}')
}

fn joined(open: char, parts: impl Iterator<Item = String>, total: usize, limits: Limits, close: char) -> String {
    // "… 1 more" is as long as the item.
    let is_whole = limits.items == 0 || total <= limits.items + 1;
    let mut text = String::from(open);
    let mut shown = 0;
    for (position, part) in parts.enumerate().take_while(|(position, _)| is_whole || limits.allows(*position)) {
        if position > 0 {
            text.push_str(", ");
        }
        text.push_str(&part);
        shown += 1;
    }
    if shown < total {
        text.push_str(&format!(", … {} more", total - shown));
    }
    text.push(close);
    text
}
