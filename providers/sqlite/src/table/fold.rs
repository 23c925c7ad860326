//! Removes unique constraints from plans that SQLite merges with others.

use super::read::is_same_key;
use terrace_provider::attributes::{texts, texts_of};
use terrace_provider::{Attributes, Value};

/// Removes unique constraints on the columns of the primary key or of another unique constraint, unless the table has
/// them: SQLite creates a single index for all of them.
pub(crate) fn fold(configured: &mut Attributes, recorded: Option<&Attributes>) {
    let is_unknown = |name: &str| configured.get(name).is_some_and(Value::has_unknown);
    if is_unknown("primaryKey") || is_unknown("unique") {
        return;
    }
    let primary = texts(configured, "primaryKey");
    let recorded = recorded.and_then(|recorded| recorded.get("unique")).and_then(Value::as_list).unwrap_or_default();
    let mut free: Vec<Vec<String>> = recorded.iter().map(|key| texts_of(Some(key))).collect();
    let mut kept = vec![primary];
    if let Some(Value::List(keys)) = configured.get_mut("unique") {
        keys.retain(|key| {
            let key = texts_of(Some(key));
            let existing = free.iter().position(|existing| is_same_key(existing, &key));
            let is_kept = existing.is_some() || !kept.iter().any(|other| is_same_key(other, &key));
            existing.map(|at| free.remove(at));
            if is_kept {
                kept.push(key);
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn folded(unique: &serde_json::Value, recorded: Option<&serde_json::Value>) -> Value {
        let map = |json: serde_json::Value| Value::from(json).as_map().unwrap().clone();
        let mut configured = map(json!({"primaryKey": ["ID"], "unique": unique}));
        fold(&mut configured, recorded.map(|unique| map(json!({"unique": unique}))).as_ref());
        configured["unique"].clone()
    }

    #[test]
    fn implied_unique_constraint_is_left_out() {
        assert_eq!(folded(&json!([["id"], ["A", "b"], ["a", "B"]]), None), json!([["A", "b"]]).into());
        assert_eq!(folded(&json!([["id", "a"]]), None), json!([["id", "a"]]).into());
    }

    #[test]
    fn existing_unique_constraint_stays() {
        assert_eq!(folded(&json!([["id"]]), Some(&json!([["ID"]]))), json!([["id"]]).into());
        assert_eq!(folded(&json!([["a"], ["a"]]), Some(&json!([["A"]]))), json!([["a"]]).into());
    }

    proptest! {
        #[test]
        fn folding_is_idempotent(
            unique in proptest::collection::vec(proptest::collection::vec("[aAiI][dD]", 1..3), 0..5),
        ) {
            let unique = json!(unique);
            let once = folded(&unique, None);
            let recorded = once.to_json();
            prop_assert_eq!(folded(&recorded, None), once.clone());
            prop_assert_eq!(folded(&unique, Some(&recorded)), once);
        }
    }
}
