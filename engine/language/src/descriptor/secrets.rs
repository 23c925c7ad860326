//! Hides the declarations of sensitive variables, so that no error quotes their defaults.

use crate::source::Sources;
use crate::yaml::Node;

/// Hides the lines of sensitive variables. Any `sensitive` other than `false` counts, because it may be a typing error.
pub(super) fn hide(node: &Node, sources: &mut Sources) {
    let variables = node.get("variables").and_then(Node::as_map).unwrap_or_default();
    let is_sensitive = |value: &Node| value.get("sensitive").is_some_and(|flag| flag.as_bool() != Some(false));
    for entry in variables.iter().filter(|entry| is_sensitive(&entry.value)) {
        let Some(text) = sources.get(entry.key_span.source).map(|source| source.text.clone()) else { continue };
        let (start, end) = (entry.key_span.start as usize, entry.value.span.end as usize);
        let before = text.get(..start).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(end..).unwrap_or_default();
        let end = end + rest.find('\n').unwrap_or(rest.len());
        sources.hide(entry.key_span.source, line..end);
    }
}
