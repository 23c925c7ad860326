//! Removal of nulls from optional fields of a component. A null there means an absent field: coordinators and templates
//! write null for empty fields.
//!
//! Nulls stay where the schema accepts them. They also stay in required fields, so that the author learns about the
//! empty field.

use crate::yaml::{Node, NodeKind};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use std::borrow::Cow;
use std::collections::HashSet;
use terrace_provider::{Path, Step};

/// Returns the value without the nulls that the schema refuses in optional fields.
pub(super) fn without_refused<'n>(value: &'n Node, validator: &Validator) -> Cow<'n, Node> {
    let mut cleaned = Cow::Borrowed(value);
    if !has_null_field(value) {
        return cleaned;
    }
    let mut required = HashSet::new();
    // Removing a null may make a condition of the schema true, which refuses other nulls. Each round removes at least
    // one null, or finds that it is required.
    loop {
        let mut refused = HashSet::new();
        let json = cleaned.to_json();
        validator.iter_errors(&json).for_each(|error| gather_nulls(&error, &mut refused));
        refused.retain(|path| !required.contains(path));
        if refused.is_empty() {
            return cleaned;
        }
        let mut without = cleaned.clone().into_owned();
        refused.iter().for_each(|path| remove(&mut without, &path.0));
        let json = without.to_json();
        let missing = validator.iter_errors(&json).filter_map(|error| missing_field(&error));
        let needed: Vec<Path> = missing.filter(|path| refused.contains(path)).collect();
        match needed.is_empty() {
            true => cleaned = Cow::Owned(without),
            false => required.extend(needed),
        }
    }
}

fn has_null_field(node: &Node) -> bool {
    match &node.kind {
        NodeKind::List(items) => items.iter().any(has_null_field),
        NodeKind::Map(entries) => entries.iter().any(|entry| entry.value.is_null() || has_null_field(&entry.value)),
        _ => false,
    }
}

/// Collects the fields that an error refuses because of a null, including the errors of alternatives.
fn gather_nulls(error: &ValidationError<'_>, refused: &mut HashSet<Path>) {
    if error.instance().is_null() {
        let path = path_of(error.instance_path());
        if matches!(path.0.last(), Some(Step::Key(_))) {
            refused.insert(path);
        }
    }
    if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = error.kind() {
        context.iter().flatten().for_each(|error| gather_nulls(error, refused));
    }
}

fn missing_field(error: &ValidationError<'_>) -> Option<Path> {
    let Kind::Required { property } = error.kind() else { return None };
    Some(path_of(error.instance_path()).key(property.as_str()?))
}

fn path_of(location: &jsonschema::paths::Location) -> Path {
    Path(super::schema_errors::steps(location).collect())
}

fn remove(node: &mut Node, path: &[Step]) {
    match (path, &mut node.kind) {
        ([Step::Key(key)], NodeKind::Map(entries)) => entries.retain(|entry| entry.key != *key),
        ([Step::Key(key), rest @ ..], NodeKind::Map(entries)) => {
            let entry = entries.iter_mut().rev().find(|entry| entry.key == *key);
            entry.into_iter().for_each(|entry| remove(&mut entry.value, rest));
        }
        ([Step::Index(index), rest @ ..], NodeKind::List(items)) => {
            items.get_mut(*index).into_iter().for_each(|item| remove(item, rest));
        }
        _ => {}
    }
}
