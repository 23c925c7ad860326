//! Processing of a complete mapping: expands merge keys, and finds duplicate keys.

use super::options::DuplicateKeys;
use super::{Entry, Node, NodeKind};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

/// Maximum number of entries to compare pairwise; a table is faster for more.
const PAIRWISE_LIMIT: usize = 12;

/// Maximum number of reported errors in a map, and in a text before reading stops.
pub(super) const MAX_ERRORS: usize = 100;

/// A merge key of an incomplete mapping.
#[derive(Debug)]
pub(super) struct Merge {
    /// The number of entries before it.
    pub(super) position: usize,
    /// The place of `<<`.
    pub(super) key_span: Span,
    /// The merged value.
    pub(super) value: Node,
}

/// Reports duplicate keys, and keeps only the last of each unless the policy keeps all.
pub(super) fn deduplicate(entries: &mut Vec<Entry>, policy: DuplicateKeys, diagnostics: &mut Vec<Diagnostic>) {
    let duplicates = duplicates(entries);
    if duplicates.is_empty() {
        return;
    }
    for (first, second) in duplicates.iter().take(MAX_ERRORS) {
        if let (Some(first), Some(second)) = (entries.get(*first), entries.get(*second)) {
            diagnostics.push(duplicate(first, second, policy));
        }
    }
    if policy == DuplicateKeys::Warn {
        return;
    }
    let dropped: HashSet<usize> = duplicates.into_iter().map(|(first, _)| first).collect();
    let mut position = 0..;
    entries.retain(|_| position.next().is_none_or(|position| !dropped.contains(&position)));
}

/// The position of each repeated key, with the position of its next occurrence.
fn duplicates(entries: &[Entry]) -> Vec<(usize, usize)> {
    if entries.len() <= PAIRWISE_LIMIT {
        let later = |(position, entry): (usize, &Entry)| {
            let next = entries.iter().skip(position + 1).position(|other| other.key == entry.key)?;
            Some((position, position + 1 + next))
        };
        return entries.iter().enumerate().filter_map(later).collect();
    }
    let mut last_positions: HashMap<&str, usize, RandomState> =
        HashMap::with_capacity_and_hasher(entries.len(), RandomState::default());
    entries
        .iter()
        .enumerate()
        .filter_map(|(position, entry)| Some((last_positions.insert(&entry.key, position)?, position)))
        .collect()
}

fn duplicate(first: &Entry, second: &Entry, policy: DuplicateKeys) -> Diagnostic {
    let message = format!("the key `{}` appears twice in one map", second.key);
    let diagnostic = match policy {
        DuplicateKeys::WarnWhenEqual if is_same(&first.value, &second.value) => {
            Diagnostic::warning("duplicate_key", message).hint("the values are equal; remove one of the two")
        }
        DuplicateKeys::Warn => {
            Diagnostic::warning("duplicate_key", message).hint("remove one of the two: only the last one counts")
        }
        _ => Diagnostic::error("duplicate_key", message).hint("remove one of the two, or rename it"),
    };
    diagnostic.at_with(second.key_span, "again here").at_with(first.key_span, "first here")
}

/// True when both have the same value, regardless of their places.
fn is_same(first: &Node, second: &Node) -> bool {
    first.to_value() == second.to_value()
}

/// Inserts the entries of merged maps at the place of the merge key. The mapping's own keys win, then earlier merges.
pub(super) fn expand_merges(entries: &mut Vec<Entry>, merges: Vec<Merge>, diagnostics: &mut Vec<Diagnostic>) {
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let mut additions: Vec<(usize, Vec<Entry>)> = Vec::with_capacity(merges.len());
    for merge in merges {
        let maps = merged_maps(merge.value, merge.key_span, diagnostics);
        let new = maps.into_iter().flatten().filter(|entry| known.insert(entry.key.clone())).collect();
        additions.push((merge.position.min(entries.len()), new));
    }
    // From the end, so that the positions of earlier merges stay valid.
    for (position, new) in additions.into_iter().rev() {
        entries.splice(position..position, new);
    }
}

fn merged_maps(value: Node, key_span: Span, diagnostics: &mut Vec<Diagnostic>) -> Vec<Vec<Entry>> {
    let wrong = |node: &Node| {
        Diagnostic::error("merge_key", format!("`<<` merges maps, but this is a {}", node.kind_name()))
            .at(node.span)
            .at_with(key_span, "merged here")
            .hint("write `<<: *anchor` or `<<: [*first, *second]`; quote the key as `\"<<\"` if it is meant literally")
    };
    match value.kind {
        NodeKind::Map(entries) => vec![entries],
        NodeKind::List(items) => {
            let mut maps = Vec::with_capacity(items.len());
            for item in items {
                match item.kind {
                    NodeKind::Map(entries) => maps.push(entries),
                    _ => diagnostics.push(wrong(&item)),
                }
            }
            maps
        }
        _ => {
            diagnostics.push(wrong(&value));
            Vec::new()
        }
    }
}
