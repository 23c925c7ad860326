//! Sensitivity marks across versions of a value: a value that is marked in one version is hidden in the other, even if
//! moved.
//!
//! Marks belong to values, not to places: an item of a list is as secret after its neighbour was removed. If the marked
//! part of the other version cannot be identified, the whole value is sensitive.

use crate::diff::is_same;
use std::borrow::Cow;
use std::collections::HashMap;
use terrace_provider::{Attribute, Attributes, Map, Object, Path, Value};

/// Minimum length of a secret for substring search, because shorter texts occur by chance.
const MIN_SECRET_LENGTH: usize = 4;

/// The trusted marks when two versions of a value differ in shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The value has no marks, so any unrecognised part may be the secret.
    Nothing,
    /// The value has marks, so only values that are marked in the other version alone must be searched.
    Own,
}

/// Marks a value that a provider read, like a version with complete marks.
#[must_use]
pub fn mark_like(value: &Value, marked: &Value) -> Value {
    mark_value(value, marked, Trust::Nothing)
}

/// Marks attributes that a provider read, like a version with complete marks.
#[must_use]
pub fn mark_attributes_like(attributes: &Attributes, marked: &Attributes) -> Attributes {
    mark_each(attributes, marked, Trust::Nothing)
}

/// Adds the marks of another version to a value that has marks.
#[must_use]
pub fn add_marks(value: &Value, other: &Value) -> Value {
    mark_value(value, other, Trust::Own)
}

/// Adds the marks of another version to attributes that have marks.
#[must_use]
pub fn add_attribute_marks(attributes: &Attributes, other: &Attributes) -> Attributes {
    mark_each(attributes, other, Trust::Own)
}

/// Adds the marks of each version to the other, before and after a change: an unmarked old value may be the value that
/// is hidden from now on.
#[must_use]
pub fn mark_both<'a>(before: &'a Attributes, after: &'a Attributes) -> (Cow<'a, Attributes>, Cow<'a, Attributes>) {
    if ![before, after].iter().any(|attributes| attributes.values().any(Value::has_sensitive)) {
        return (Cow::Borrowed(before), Cow::Borrowed(after));
    }
    (Cow::Owned(add_attribute_marks(before, after)), Cow::Owned(add_attribute_marks(after, before)))
}

/// Marks computed attributes that contain a sensitive text, such as an id that is a path, because not every provider
/// marks derived values. The given values are also secret, even if the provider returns them in another form or not at
/// all.
pub fn mark_derived(schema: &Object, given: &Attributes, attributes: &mut Attributes) {
    if !schema.0.iter().any(is_computed) {
        return;
    }
    let mut revealing = Vec::new();
    {
        let mut secrets = Vec::new();
        for (name, value) in given.iter().chain(attributes.iter()) {
            let attribute = schema.get(name);
            let is_secret = attribute.is_some_and(|attribute| attribute.sensitive || attribute.write_only);
            // A computed attribute with a secret is hidden as a whole; its other texts are not secrets.
            if !is_secret && attribute.is_some_and(is_computed) {
                continue;
            }
            if is_secret || value.has_sensitive() {
                value.visit_texts(is_secret, &mut |leaf, is_marked| secrets.extend(is_marked.then_some(leaf)));
            }
        }
        secrets.retain(|secret| secret.len() >= MIN_SECRET_LENGTH);
        let computed = schema.0.iter().filter(|attribute| is_computed(attribute));
        for attribute in computed.filter(|_| !secrets.is_empty()) {
            let Some(value) = attributes.get(attribute.name) else { continue };
            let mut reveals_secret = false;
            value.visit_texts(false, &mut |leaf, is_marked| {
                reveals_secret =
                    reveals_secret || (!is_marked && secrets.iter().any(|secret| leaf.contains(secret.as_ref())));
            });
            revealing.extend(reveals_secret.then_some(attribute.name));
        }
    }
    for name in revealing {
        if let Some(value) = attributes.get_mut(name) {
            *value = Value::sensitive(std::mem::take(value));
        }
    }
}

/// True for an attribute that only a provider sets.
fn is_computed(attribute: &Attribute) -> bool {
    attribute.computed && !attribute.configurable
}

/// The attributes whose value stays the same, and that gain marks.
#[must_use]
pub fn newly_marked(before: &Attributes, after: &Attributes) -> Vec<Path> {
    let gains_marks = |(name, after): &(&String, &Value)| {
        before.get(*name).is_some_and(|before| has_new_marks(before, after) && is_same(Some(before), Some(after)))
    };
    after.iter().filter(gains_marks).map(|(name, _)| Path::attribute(name)).collect()
}

/// True when something is newly marked. Both must be the same except for marks.
#[must_use]
pub fn has_new_marks(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Sensitive(_), _) => false,
        (Value::Map(before), Value::Map(after)) => after
            .iter()
            .any(|(key, after)| before.get(key).map_or_else(|| after.has_sensitive(), |it| has_new_marks(it, after))),
        (Value::List(before), Value::List(after)) => {
            before.iter().zip(after).any(|(before, after)| has_new_marks(before, after))
        }
        _ => after.has_sensitive() && !after.is_null(),
    }
}

fn mark_each(attributes: &Attributes, other: &Attributes, trust: Trust) -> Attributes {
    let marked = |(name, value): (&String, &Value)| {
        let value = other.get(name).map_or_else(|| value.clone(), |other| mark_value(value, other, trust));
        (name.clone(), value)
    };
    attributes.iter().map(marked).collect()
}

fn mark_value(value: &Value, other: &Value, trust: Trust) -> Value {
    if !other.has_sensitive() || value.is_null() {
        return value.clone();
    }
    match (value, other) {
        (Value::Sensitive(_), _) => value.clone(),
        (_, Value::Sensitive(_)) => Value::sensitive(value.clone()),
        (Value::Unknown, _) => Value::Unknown,
        (Value::Map(entries), Value::Map(other_entries)) => mark_map(entries, other_entries, trust),
        (Value::List(items), Value::List(other_items)) => mark_list(items, other_items, trust)
            .or_else(|| (trust == Trust::Own && !reveals(value, other)).then(|| value.clone()))
            .unwrap_or_else(|| Value::sensitive(value.clone())),
        _ if trust == Trust::Own && !reveals(value, other) => value.clone(),
        _ => Value::sensitive(value.clone()),
    }
}

/// Keys identify entries. A new entry may be a renamed marked entry.
fn mark_map(entries: &Map, other_entries: &Map, trust: Trust) -> Value {
    let is_kept = |(key, other): (&String, &Value)| {
        !other.has_sensitive() || entries.get(key).is_some_and(|entry| entry.is_same_as(other))
    };
    let are_all_kept = other_entries.iter().all(is_kept);
    let whole = Value::Map(other_entries.clone());
    let new = |value: &Value| match trust {
        _ if are_all_kept => value.clone(),
        Trust::Own if !reveals(value, &whole) => value.clone(),
        _ => Value::sensitive(value.clone()),
    };
    let marked = |(key, value): (&String, &Value)| {
        let value = other_entries.get(key).map_or_else(|| new(value), |other| mark_value(value, other, trust));
        (key.clone(), value)
    };
    entries.iter().map(marked).collect()
}

/// Marks the items of a list; `None` when the marked items cannot be identified.
fn mark_list(items: &[Value], other_items: &[Value], trust: Trust) -> Option<Value> {
    // Nothing moved: differences are only in marked parts.
    if items.len() == other_items.len() && items.iter().zip(other_items).all(|(item, other)| is_alike(item, other)) {
        return Some(Value::List(
            items.iter().zip(other_items).map(|(item, other)| mark_value(item, other, trust)).collect(),
        ));
    }
    // All marked items still exist, at any position.
    let mut marked: HashMap<String, Vec<&Value>> = HashMap::new();
    for other in other_items.iter().filter(|other| other.has_sensitive() && !other.has_unknown()) {
        marked.entry(text(other)).or_default().push(other);
    }
    let item = |item: &Value| match marked.get_mut(&text(item)).and_then(Vec::pop) {
        Some(other) => mark_value(item, other, trust),
        None => item.clone(),
    };
    let items = items.iter().map(item).collect();
    let is_found = marked.values().all(Vec::is_empty)
        && !other_items.iter().any(|other| other.has_sensitive() && other.has_unknown());
    is_found.then_some(Value::List(items))
}

/// True when two values differ only where either is sensitive or unknown.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Sensitive(_) | Value::Unknown, _) | (_, Value::Sensitive(_) | Value::Unknown) => true,
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_alike(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| is_alike(one, other)))
        }
        (one, other) => one.is_same_as(other),
    }
}

/// A text that is equal for equal values, regardless of the order of keys.
fn text(value: &Value) -> String {
    match value.exposed() {
        Value::List(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
        Value::Map(entries) => {
            let mut entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key:?}:{}", text(value))).collect();
            entries.sort_unstable();
            format!("{{{}}}", entries.join(","))
        }
        plain => plain.to_revealed_json().to_string(),
    }
}

/// True when an unmarked part of a value contains something that is marked in the other version.
fn reveals(value: &Value, other: &Value) -> bool {
    let (mut shown, mut marked) = (Vec::new(), Vec::new());
    value.visit_texts(false, &mut |leaf, is_marked| shown.extend((!is_marked).then_some(leaf)));
    other.visit_texts(false, &mut |leaf, is_marked| marked.extend(is_marked.then_some(leaf)));
    marked.iter().any(|secret| {
        let is_short = secret.len() < MIN_SECRET_LENGTH;
        shown.iter().any(|shown| if is_short { shown == secret } else { shown.contains(secret.as_ref()) })
    })
}

#[cfg(test)]
mod tests;
