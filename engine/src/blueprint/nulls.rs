//! Null in an optional field of a component means the same as no field: coordinators and templates write null for fields
//! that were left empty.
//!
//! A schema that takes null somewhere gets it. Where it refuses null the field is left out, unless it is required: the
//! author then learns that the field is empty.

use crate::yaml::{Node, NodeKind};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use std::borrow::Cow;
use std::collections::HashSet;
use terrace_provider::{Path, Step};

/// The value without the nulls that the schema refuses in optional fields.
pub(super) fn without_refused<'n>(value: &'n Node, validator: &Validator) -> Cow<'n, Node> {
    let mut cleaned = Cow::Borrowed(value);
    if !has_null_field(value) {
        return cleaned;
    }
    let mut required = HashSet::new();
    // A condition of the schema can hold once a null is gone, and refuse others: each round removes one at least, or learns
    // that it is required.
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

/// The fields that an error refuses for being null, those of alternatives among them.
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
    Path(super::validate::steps(location).collect())
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
