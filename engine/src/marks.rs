//! Sensitive marks between versions of a value: what is marked in one version is hidden in the other, wherever it went.
//!
//! Marks belong to values, not to places: an item of a list that lost its neighbour is as secret as before. Where it
//! cannot be told which part of another version is the marked one, the whole is sensitive.

use crate::diff::is_same;
use std::borrow::Cow;
use std::collections::HashMap;
use terrace_provider::{Attribute, Attributes, Map, Object, Path, Value};

/// A shorter text is found in too much that has nothing to do with it.
const SHORTEST: usize = 4;

/// Whose marks count when two versions of a value do not have the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The value has no marks of its own, so what cannot be recognised may be the secret.
    Nothing,
    /// The value has its own marks, so only what is marked in the other version alone has to be looked for.
    Own,
}

/// A value as somebody found it, marked like a version of it that has all its marks.
#[must_use]
pub fn found(value: &Value, marked: &Value) -> Value {
    covered(value, marked, Trust::Nothing)
}

/// Attributes as somebody found them, marked like a version of them that has all its marks.
#[must_use]
pub fn found_attributes(attributes: &Attributes, marked: &Attributes) -> Attributes {
    each(attributes, marked, Trust::Nothing)
}

/// A value that has its own marks, hidden as well where another version of it is marked.
#[must_use]
pub fn beside(value: &Value, other: &Value) -> Value {
    covered(value, other, Trust::Own)
}

/// Attributes that have their own marks, hidden as well where another version of them is marked.
#[must_use]
pub fn beside_attributes(attributes: &Attributes, other: &Attributes) -> Attributes {
    each(attributes, other, Trust::Own)
}

/// Attributes before and after a change, each hidden where the other is: what was not marked yet may be the very value that
/// is to be hidden from now on.
#[must_use]
pub fn together<'a>(before: &'a Attributes, after: &'a Attributes) -> (Cow<'a, Attributes>, Cow<'a, Attributes>) {
    if ![before, after].iter().any(|attributes| attributes.values().any(Value::has_sensitive)) {
        return (Cow::Borrowed(before), Cow::Borrowed(after));
    }
    (Cow::Owned(beside_attributes(before, after)), Cow::Owned(beside_attributes(after, before)))
}

/// Marks what a provider computed and what tells a sensitive text, such as an id that is a path: not every provider says
/// so of what it makes of others. What it was given is as secret, be it that it is told in another form or not at all.
pub fn spread(schema: &Object, given: &Attributes, attributes: &mut Attributes) {
    if !schema.0.iter().any(is_made) {
        return;
    }
    let mut telling = Vec::new();
    {
        let mut secrets = Vec::new();
        for (name, value) in given.iter().chain(attributes.iter()) {
            let attribute = schema.get(name);
            let is_secret = attribute.is_some_and(|attribute| attribute.sensitive || attribute.write_only);
            // What only tells a secret is hidden as a whole: what stands beside it there is none.
            if !is_secret && attribute.is_some_and(is_made) {
                continue;
            }
            if is_secret || value.has_sensitive() {
                value.visit_texts(is_secret, &mut |leaf, is_marked| secrets.extend(is_marked.then_some(leaf)));
            }
        }
        secrets.retain(|secret| secret.len() >= SHORTEST);
        let computed = schema.0.iter().filter(|attribute| is_made(attribute));
        for attribute in computed.filter(|_| !secrets.is_empty()) {
            let Some(value) = attributes.get(attribute.name) else { continue };
            let mut is_telling = false;
            value.visit_texts(false, &mut |leaf, is_marked| {
                is_telling = is_telling || (!is_marked && secrets.iter().any(|secret| leaf.contains(secret.as_ref())));
            });
            telling.extend(is_telling.then_some(attribute.name));
        }
    }
    for name in telling {
        if let Some(value) = attributes.get_mut(name) {
            *value = Value::sensitive(std::mem::take(value));
        }
    }
}

/// True for what a provider alone says.
fn is_made(attribute: &Attribute) -> bool {
    attribute.computed && !attribute.configurable
}

/// The attributes that stay what they are and are sensitive, or more of them is, only from now on.
#[must_use]
pub fn added(before: &Attributes, after: &Attributes) -> Vec<Path> {
    let is_added = |(name, after): &(&String, &Value)| {
        before.get(*name).is_some_and(|before| adds(before, after) && is_same(Some(before), Some(after)))
    };
    after.iter().filter(is_added).map(|(name, _)| Path::attribute(name)).collect()
}

/// True when something is marked that was not; both are the same but for marks.
#[must_use]
pub fn adds(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Sensitive(_), _) => false,
        (Value::Map(before), Value::Map(after)) => {
            after.iter().any(|(key, after)| before.get(key).map_or_else(|| after.has_sensitive(), |it| adds(it, after)))
        }
        (Value::List(before), Value::List(after)) => {
            before.iter().zip(after).any(|(before, after)| adds(before, after))
        }
        _ => after.has_sensitive() && !after.is_null(),
    }
}

fn each(attributes: &Attributes, other: &Attributes, trust: Trust) -> Attributes {
    let marked = |(name, value): (&String, &Value)| {
        let value = other.get(name).map_or_else(|| value.clone(), |other| covered(value, other, trust));
        (name.clone(), value)
    };
    attributes.iter().map(marked).collect()
}

fn covered(value: &Value, other: &Value, trust: Trust) -> Value {
    if !other.has_sensitive() || value.is_null() {
        return value.clone();
    }
    match (value, other) {
        (Value::Sensitive(_), _) => value.clone(),
        (_, Value::Sensitive(_)) => Value::sensitive(value.clone()),
        (Value::Unknown, _) => Value::Unknown,
        (Value::Map(entries), Value::Map(others)) => map(entries, others, trust),
        (Value::List(items), Value::List(others)) => list(items, others, trust)
            .or_else(|| (trust == Trust::Own && !tells(value, other)).then(|| value.clone()))
            .unwrap_or_else(|| Value::sensitive(value.clone())),
        _ if trust == Trust::Own && !tells(value, other) => value.clone(),
        _ => Value::sensitive(value.clone()),
    }
}

/// Keys say which entry is which. A new one may be a marked one under another key.
fn map(entries: &Map, others: &Map, trust: Trust) -> Value {
    let is_kept = |(key, other): (&String, &Value)| {
        !other.has_sensitive() || entries.get(key).is_some_and(|it| it.is_same_as(other))
    };
    let are_all_kept = others.iter().all(is_kept);
    let whole = Value::Map(others.clone());
    let new = |value: &Value| match trust {
        _ if are_all_kept => value.clone(),
        Trust::Own if !tells(value, &whole) => value.clone(),
        _ => Value::sensitive(value.clone()),
    };
    let marked = |(key, value): (&String, &Value)| {
        let value = others.get(key).map_or_else(|| new(value), |other| covered(value, other, trust));
        (key.clone(), value)
    };
    entries.iter().map(marked).collect()
}

/// The list with its items marked, when it can be told which of them are.
fn list(items: &[Value], others: &[Value], trust: Trust) -> Option<Value> {
    // Nothing moved: what differs, differs where it is marked.
    if items.len() == others.len() && items.iter().zip(others).all(|(item, other)| is_alike(item, other)) {
        return Some(Value::List(items.iter().zip(others).map(|(item, other)| covered(item, other, trust)).collect()));
    }
    // All that is marked is still there, wherever.
    let mut marked: HashMap<String, Vec<&Value>> = HashMap::new();
    for other in others.iter().filter(|other| other.has_sensitive() && !other.has_unknown()) {
        marked.entry(text(other)).or_default().push(other);
    }
    let item = |item: &Value| match marked.get_mut(&text(item)).and_then(Vec::pop) {
        Some(other) => covered(item, other, trust),
        None => item.clone(),
    };
    let items = items.iter().map(item).collect();
    let is_found =
        marked.values().all(Vec::is_empty) && !others.iter().any(|it| it.has_sensitive() && it.has_unknown());
    is_found.then_some(Value::List(items))
}

/// True when two values differ at most where either is sensitive or unknown.
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

/// A text that is the same for the same values, whatever the order of their keys.
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

/// True when a value shows something that is marked in another version of it.
fn tells(value: &Value, other: &Value) -> bool {
    let (mut shown, mut marked) = (Vec::new(), Vec::new());
    value.visit_texts(false, &mut |leaf, is_marked| shown.extend((!is_marked).then_some(leaf)));
    other.visit_texts(false, &mut |leaf, is_marked| marked.extend(is_marked.then_some(leaf)));
    marked.iter().any(|secret| {
        let is_short = secret.len() < SHORTEST;
        shown.iter().any(|shown| if is_short { shown == secret } else { shown.contains(secret.as_ref()) })
    })
}

#[cfg(test)]
mod tests;
