//! Constraints that the server merges when it creates a table; plans omit them.

use super::model::{ForeignKey, Key, Table};
use crate::attributes::{has_unknown, optional_text};
use terrace_provider::{Attributes, Value};

/// Omits unique constraints on the columns of the primary key or of another unique constraint: the server merges them
/// when it creates a table, and keeps those that were added later. Also spells the own schema in a foreign key as
/// recorded.
pub(crate) fn fold(configured: &mut Attributes, recorded: Option<&Attributes>) {
    let read: Attributes = ["schema", "primaryKey", "unique", "foreignKeys"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), configured.get(name)?.clone())))
        .collect();
    if has_unknown(&read) {
        return;
    }
    let (table, recorded) = (Table::of(&read), recorded.map(Table::of).unwrap_or_default());
    if let Some(Value::List(keys)) = configured.get_mut("unique") {
        let is_kept = kept(&table, recorded.unique);
        let mut is_kept = is_kept.into_iter();
        keys.retain(|_| is_kept.next().unwrap_or(true));
    }
    if let Some(Value::List(keys)) = configured.get_mut("foreignKeys") {
        let schema = optional_text(&read, "schema").unwrap_or_default();
        for (value, key) in keys.iter_mut().zip(&table.foreign_keys) {
            let other = ForeignKey { schema: other_spelling(key.schema.as_deref(), &schema), ..key.clone() };
            let is_own = key.schema.as_ref().is_none_or(|named| *named == schema);
            if is_own && !recorded.foreign_keys.contains(key) && recorded.foreign_keys.contains(&other) {
                *value = other.to_value();
            }
        }
    }
}

fn other_spelling(named: Option<&str>, own: &str) -> Option<String> {
    named.is_none().then(|| own.to_owned())
}

/// Which unique constraints of a table remain separate constraints.
fn kept(table: &Table, recorded: Vec<Key>) -> Vec<bool> {
    let mut free = recorded;
    let mut is_kept = vec![false; table.unique.len()];
    // Named constraints are matched first.
    let mut order: Vec<(usize, &Key)> = table.unique.iter().enumerate().collect();
    order.sort_by_key(|(_, key)| key.name.is_none());
    for (at, key) in &order {
        let is_this =
            |present: &Key| present.columns == key.columns && (key.name.is_none() || present.name == key.name);
        if let Some(found) = free.iter().position(is_this) {
            free.remove(found);
            set(&mut is_kept, *at);
        }
    }
    for (at, key) in order {
        let is_implied = table.primary_key.as_ref().is_some_and(|primary| primary.columns == key.columns)
            || table.unique.iter().zip(&is_kept).any(|(other, is_kept)| *is_kept && other.columns == key.columns);
        if !is_implied {
            set(&mut is_kept, at);
        }
    }
    is_kept
}

fn set(flags: &mut [bool], at: usize) {
    if let Some(flag) = flags.get_mut(at) {
        *flag = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(json: serde_json::Value) -> Attributes {
        Value::from(json).as_map().unwrap().clone()
    }

    #[track_caller]
    fn check(unique: serde_json::Value, recorded: Option<serde_json::Value>, expected: serde_json::Value) {
        let mut configured = map(json!({"primaryKey": {"columns": ["a"]}, "unique": unique}));
        fold(&mut configured, recorded.map(|unique| map(json!({"unique": unique}))).as_ref());
        assert_eq!(configured["unique"], Value::from(expected));
    }

    #[test]
    fn unique_constraint_of_the_primary_key_is_omitted() {
        let (a, b, named) =
            (json!({"columns": ["a"]}), json!({"columns": ["b"]}), json!({"name": "x", "columns": ["b"]}));
        check(json!([a, b]), None, json!([b]));
        check(json!([b, named, b]), None, json!([named]));
        check(json!([{"columns": ["a", "b"]}]), None, json!([{"columns": ["a", "b"]}]));
    }

    #[test]
    fn existing_unique_constraint_stays() {
        let a = json!({"columns": ["a"]});
        check(json!([a]), Some(json!([{"name": "x", "columns": ["a"]}])), json!([a]));
        check(json!([a, a]), Some(json!([a])), json!([a]));
        check(json!([a]), Some(json!([])), json!([]));
    }

    #[test]
    fn own_schema_of_a_foreign_key_is_spelled_as_recorded() {
        let key = |references| json!({"schema": "s", "foreignKeys": [{"columns": ["a"], "references": references}]});
        let (named, unnamed) =
            (json!({"schema": "s", "table": "t", "columns": ["b"]}), json!({"table": "t", "columns": ["b"]}));
        for (configured, recorded) in [(&named, &unnamed), (&unnamed, &named)] {
            let (mut configured, recorded) = (map(key(configured.clone())), map(key(recorded.clone())));
            fold(&mut configured, Some(&recorded));
            assert_eq!(Table::of(&configured), Table::of(&recorded));
        }
    }

    proptest! {
        #[test]
        fn folding_is_idempotent(
            primary in proptest::option::of(proptest::sample::subsequence(vec!["a", "b"], 1..3)),
            unique in proptest::collection::vec(
                (proptest::option::of("[xy]"), proptest::sample::subsequence(vec!["a", "b"], 1..3)), 0..5),
        ) {
            let unique: Vec<_> = unique.iter().map(|(name, columns)| json!({"name": name, "columns": columns})).collect();
            let primary = primary.map(|columns| json!({"columns": columns}));
            let configured = map(json!({"primaryKey": primary, "unique": unique}));
            let mut once = configured.clone();
            fold(&mut once, None);
            let (mut from_nothing, mut from_recorded, mut configured_again) = (once.clone(), once.clone(), configured);
            fold(&mut from_nothing, None);
            fold(&mut from_recorded, Some(&once));
            fold(&mut configured_again, Some(&once));
            prop_assert_eq!(&from_nothing, &once);
            prop_assert_eq!(&from_recorded, &once);
            prop_assert_eq!(&configured_again, &once);
        }
    }
}
