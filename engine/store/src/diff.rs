//! Differences between attributes before and after a change.

use terrace_provider::{Attributes, Path, ResourceType, Value};

/// A difference at one path; an absent side is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The path.
    pub path: Path,
    /// The old value.
    pub before: Option<Value>,
    /// The new value.
    pub after: Option<Value>,
}

/// Returns the differences between two sets of attributes. It descends into maps, and into lists of equal length.
#[must_use]
pub fn differences(before: &Attributes, after: &Attributes) -> Vec<Difference> {
    let mut found = Vec::new();
    compare_maps(before, after, &Path::default(), &mut found);
    found
}

/// The names of attributes that differ.
#[must_use]
pub fn changed_attributes(before: &Attributes, after: &Attributes) -> Vec<Path> {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| !is_same(before.get(*name), after.get(*name))).map(|name| Path::attribute(name)).collect()
}

/// The attributes that differ between row and plan. Write-only attributes are skipped: the state never contains them,
/// and detectors find their changes.
#[must_use]
pub fn changed_from_recorded(ty: &ResourceType, recorded: &Attributes, planned: &Attributes) -> Vec<Path> {
    let is_write_only = |path: &Path| {
        path.first_key().and_then(|name| ty.attributes.get(name)).is_some_and(|attribute| attribute.write_only)
    };
    changed_attributes(recorded, planned).into_iter().filter(|path| !is_write_only(path)).collect()
}

/// True when both have the same attributes, regardless of sensitivity.
#[must_use]
pub fn are_same(before: &Attributes, after: &Attributes) -> bool {
    changed_attributes(before, after).is_empty()
}

/// True when both values are the same. Null counts as absent.
pub fn is_same(before: Option<&Value>, after: Option<&Value>) -> bool {
    match (before.filter(|value| !value.is_null()), after.filter(|value| !value.is_null())) {
        (Some(before), Some(after)) => before.is_same_as(after),
        (None, None) => true,
        _ => false,
    }
}

fn compare_maps(before: &Attributes, after: &Attributes, path: &Path, found: &mut Vec<Difference>) {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    for name in names {
        compare(before.get(name), after.get(name), path.key(name), found);
    }
}

fn compare(before: Option<&Value>, after: Option<&Value>, path: Path, found: &mut Vec<Difference>) {
    if is_same(before, after) {
        return;
    }
    match (before, after) {
        (Some(Value::Map(before)), Some(Value::Map(after))) => compare_maps(before, after, &path, found),
        (Some(Value::List(before)), Some(Value::List(after))) if before.len() == after.len() => {
            for (position, (before, after)) in before.iter().zip(after).enumerate() {
                compare(Some(before), Some(after), path.index(position), found);
            }
        }
        _ => found.push(Difference { path, before: before.cloned(), after: after.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(json: serde_json::Value) -> Attributes {
        match Value::from(json) {
            Value::Map(entries) => entries,
            other => panic!("expected a map, got {other:?}"),
        }
    }

    #[track_caller]
    fn check(before: serde_json::Value, after: serde_json::Value, expected: &[&str]) {
        let found = differences(&attributes(before), &attributes(after));
        let found: Vec<String> = found
            .iter()
            .map(|difference| format!("{}: {:?} -> {:?}", difference.path, difference.before, difference.after))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn differences_descend_into_maps_and_lists() {
        check(
            serde_json::json!({"a": {"b": 1, "c": 2}, "l": [1, 2]}),
            serde_json::json!({"a": {"b": 1, "c": 3}, "l": [1, 4], "n": "x"}),
            &["a.c: Some(2) -> Some(3)", "l[1]: Some(2) -> Some(4)", "n: None -> Some(\"x\")"],
        );
    }

    #[test]
    fn lists_of_unequal_length_differ_as_a_whole() {
        check(serde_json::json!({"l": [1]}), serde_json::json!({"l": []}), &["l: Some([1]) -> Some([])"]);
    }

    #[test]
    fn null_is_absent() {
        check(serde_json::json!({"a": null}), serde_json::json!({}), &[]);
    }
}
