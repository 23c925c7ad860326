//! Merge of an environment's values into an entity: maps merge deeply, other values replace.

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::yaml::{Entry, Node, NodeKind};
use std::collections::BTreeMap;

/// Merges `over` into `base`. Warns where a value replaces more than a value: a list with items, or a map.
pub(super) fn merge(base: &mut Node, over: Node, diagnostics: &mut Vec<Diagnostic>) {
    match (&mut base.kind, over.kind) {
        (NodeKind::Map(entries), NodeKind::Map(overs)) => {
            // Of equal keys, the last counts.
            let mut positions: BTreeMap<String, usize> =
                entries.iter().enumerate().map(|(position, own)| (own.key.clone(), position)).collect();
            for entry in overs {
                match positions.get(&entry.key).and_then(|position| entries.get_mut(*position)) {
                    Some(own) => {
                        warn(&entry.key, &own.value, &entry.value, diagnostics);
                        merge(&mut own.value, entry.value, diagnostics);
                    }
                    None => {
                        warn_of_typing_error(&entry, entries, diagnostics);
                        positions.insert(entry.key.clone(), entries.len());
                        entries.push(entry);
                    }
                }
            }
        }
        (_, kind) => *base = Node { span: over.span, kind },
    }
}

fn warn(key: &str, base: &Node, over: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let (code, message) = match (&base.kind, &over.kind) {
        (NodeKind::List(items), NodeKind::List(others)) if !items.is_empty() && !others.is_empty() => {
            ("replaced_list", format!("this list replaces the items of `{key}`; Witboost may combine the two"))
        }
        (NodeKind::Map(entries), kind) if !entries.is_empty() && !matches!(kind, NodeKind::Map(_)) => {
            ("replaced_map", format!("`{key}` is a map, which this value replaces"))
        }
        (base, over) if is_scalar(base) && matches!(over, NodeKind::List(_) | NodeKind::Map(_)) => {
            ("replaced_value", format!("`{key}` is a single value, which a list or a map replaces"))
        }
        _ => return,
    };
    diagnostics.push(
        Diagnostic::warning(code, message)
            .at(over.span)
            .at_with(base.span, "the replaced value")
            .hint("write the value in one of the two files"),
    );
}

/// Warns of a new key that is close to one of the base. New keys are fine: a value may exist in an environment only.
fn warn_of_typing_error(entry: &Entry, base: &[Entry], diagnostics: &mut Vec<Diagnostic>) {
    if let Some(meant) = did_you_mean(&entry.key, base.iter().map(|own| own.key.as_str())) {
        let message = format!("`{}` is new: catalog-info.yaml has no such key here", entry.key);
        diagnostics.push(Diagnostic::warning("unknown_key", message).at(entry.key_span).hint(meant));
    }
}

/// True for a value other than null that holds no others.
fn is_scalar(kind: &NodeKind) -> bool {
    !matches!(kind, NodeKind::List(_) | NodeKind::Map(_) | NodeKind::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{SourceId, Span};
    use crate::yaml::{Budget, parse};
    use proptest::prelude::*;

    fn node(text: &str) -> Node {
        parse(SourceId::default(), text, &Budget::default()).unwrap()
    }

    fn merged(base: &str, over: &str) -> (String, Vec<&'static str>) {
        let (mut base, mut diagnostics) = (node(base), Vec::new());
        merge(&mut base, node(over), &mut diagnostics);
        (base.to_json().to_string(), diagnostics.iter().map(|diagnostic| diagnostic.code).collect())
    }

    #[test]
    fn maps_merge_and_other_values_replace() {
        let (text, codes) = merged("{a: {b: 1, c: [x]}, d: 2}", "{a: {b: null, e: 3}, f: {g: 4}}");
        assert_eq!((text.as_str(), codes.len()), (r#"{"a":{"b":null,"c":["x"],"e":3},"d":2,"f":{"g":4}}"#, 0));
        let (text, codes) = merged("{a: [], b: [1], c: {d: 1}, e: 1}", "{a: [1], b: [2], c: 3, e: {f: 1}}");
        assert_eq!(text, r#"{"a":[1],"b":[2],"c":3,"e":{"f":1}}"#);
        assert_eq!(codes, ["replaced_list", "replaced_map", "replaced_value"]);
    }

    fn trees() -> impl Strategy<Value = Node> {
        let leaf =
            prop_oneof![Just(NodeKind::Null), (0_i64..9).prop_map(NodeKind::Int), "[a-c]".prop_map(NodeKind::Text),]
                .prop_map(|kind| Node { span: Span::default(), kind });
        leaf.prop_recursive(4, 32, 4, |inner| {
            let span = Span::default();
            let list = proptest::collection::vec(inner.clone(), 0..3).prop_map(NodeKind::List);
            let map = proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(move |map| {
                let entry = |(key, value)| Entry { key, key_span: span, value };
                NodeKind::Map(map.into_iter().map(entry).collect())
            });
            prop_oneof![list, map].prop_map(move |kind| Node { span, kind })
        })
    }

    /// The merge of values, defined by paths: a leaf of `over` wins, other leaves of `base` stay.
    fn expected(base: &Node, over: &Node) -> Node {
        let (Some(own), Some(others)) = (base.as_map(), over.as_map()) else { return over.clone() };
        let changed = own.iter().map(|entry| match over.get(&entry.key) {
            Some(other) => Entry { value: expected(&entry.value, other), ..entry.clone() },
            None => entry.clone(),
        });
        let added = others.iter().filter(|entry| base.get(&entry.key).is_none()).cloned();
        Node { span: over.span, kind: NodeKind::Map(changed.chain(added).collect()) }
    }

    proptest! {
        #[test]
        fn merge_is_defined_by_paths(base in trees(), over in trees()) {
            let mut merged = base.clone();
            merge(&mut merged, over.clone(), &mut Vec::new());
            prop_assert_eq!(merged.to_value(), expected(&base, &over).to_value());
            let mut again = merged.clone();
            merge(&mut again, over, &mut Vec::new());
            prop_assert_eq!(again.to_value(), merged.to_value());
        }
    }
}
