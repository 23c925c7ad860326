//! How lists differ: by the names of their items, which may be new ones, as a sequence of plain values, else by position.

use super::{Line, Mark, Pair, Writing};
use crate::render::text::{cut, visible};
use crate::render::value::{Limits, brief, item, name_of};
use similar::{Algorithm, ChangeTag, capture_diff_slices};
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::renames::PREVIOUS_NAME;
use terrace_provider::{Path, Value};

/// Lists with more items than this are compared by position: finding the shortest difference would take too long.
const MOST_ITEMS: usize = 2_000;

impl Writing<'_> {
    pub(super) fn lists(&mut self, before: &[Value], after: &[Value], path: &Path, depth: usize) {
        if let (Some(old), Some(new)) = (names(before), names(after)) {
            return self.by_name((&old, before), (&new, after), path, depth);
        }
        let is_plain = |items: &[Value]| items.len() <= MOST_ITEMS && items.iter().all(is_plain_value);
        if is_plain(before) && is_plain(after) {
            return self.by_sequence(before, after, path, depth);
        }
        self.by_position(before, after, path, depth);
    }

    fn by_name<'a>(
        &mut self,
        before: (&[&'a str], &'a [Value]),
        after: (&[&'a str], &'a [Value]),
        path: &Path,
        depth: usize,
    ) {
        let old: BTreeMap<&str, &Value> = before.0.iter().copied().zip(before.1).collect();
        let new: BTreeMap<&str, (usize, &Value)> = after.0.iter().copied().zip(after.1.iter().enumerate()).collect();
        let renamed = renamed(&old, &new);
        let by_position: BTreeMap<usize, &str> =
            renamed.iter().map(|(name, (position, _))| (*position, *name)).collect();
        let before_it = |(position, name): (usize, &'a str)| {
            by_position.get(&position).copied().or_else(|| old.contains_key(name).then_some(name))
        };
        let limits = self.style.limits;
        let mut unchanged = 0;
        for (name, value) in before.0.iter().zip(before.1) {
            match new.get(name).or_else(|| renamed.get(name)) {
                None => self.leaf(Mark::Remove, item(value, limits), path, depth),
                Some((position, now)) => {
                    let pair = Pair::new(Some(value), Some(now));
                    match (pair.is_same(), value, now) {
                        (false, Value::Map(before), Value::Map(after)) => {
                            let at = path.index(*position);
                            self.header(Mark::Change, &visible(name), &at, depth);
                            self.maps(before, after, &at, depth + 1);
                        }
                        (true, ..) if !self.style.is_folded => {
                            self.lines.push(Line::new(depth, Mark::Same, item(now, limits)));
                        }
                        _ => unchanged += 1,
                    }
                }
            }
        }
        for (position, (name, value)) in after.0.iter().zip(after.1).enumerate() {
            if before_it((position, name)).is_none() {
                self.leaf(Mark::Add, item(value, limits), &path.index(position), depth);
            }
        }
        let is_kept = |name: &&str| new.contains_key(name) || renamed.contains_key(name);
        let kept: Vec<&str> = before.0.iter().copied().filter(is_kept).collect();
        let now = after.0.iter().enumerate().filter_map(|(position, name)| Some((before_it((position, name))?, *name)));
        let (now, named): (Vec<&str>, Vec<&str>) = now.unzip();
        if kept != now {
            let text = format!("order: {} → {}", told(&kept, limits), told(&named, limits));
            self.leaf(Mark::Change, text, path, depth);
        }
        self.fold(unchanged, "unchanged items", depth);
    }

    fn by_sequence(&mut self, before: &[Value], after: &[Value], path: &Path, depth: usize) {
        let text = |items: &[Value]| items.iter().map(|value| brief(value, Limits::NONE)).collect::<Vec<_>>();
        let (old, new) = (text(before), text(after));
        let limits = self.style.limits;
        let shown = |items: &[Value], position: Option<usize>| {
            position.and_then(|position| items.get(position)).map(|value| brief(value, limits)).unwrap_or_default()
        };
        let mut unchanged = 0;
        for operation in capture_diff_slices(Algorithm::Myers, &old, &new) {
            for change in operation.iter_changes(&old, &new) {
                match change.tag() {
                    ChangeTag::Delete => self.leaf(Mark::Remove, shown(before, change.old_index()), path, depth),
                    ChangeTag::Insert => self.leaf(Mark::Add, shown(after, change.new_index()), path, depth),
                    ChangeTag::Equal if self.style.is_folded => unchanged += 1,
                    ChangeTag::Equal => {
                        self.lines.push(Line::new(depth, Mark::Same, shown(after, change.new_index())));
                    }
                }
            }
        }
        self.fold(unchanged, "unchanged items", depth);
    }

    fn by_position(&mut self, before: &[Value], after: &[Value], path: &Path, depth: usize) {
        let mut unchanged = 0;
        for position in 0..before.len().max(after.len()) {
            let pair = Pair::new(before.get(position), after.get(position));
            if pair.is_same() && self.style.is_folded {
                unchanged += usize::from(!pair.is_absent());
                continue;
            }
            self.value(&format!("[{position}]"), pair, &path.index(position), depth);
        }
        self.fold(unchanged, "unchanged items", depth);
    }
}

/// The names of the items, when each has one of its own.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = items.iter().map(name_of).collect::<Option<_>>()?;
    (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
}

/// The items that have another name than before, by the one that they had.
fn renamed<'a>(
    old: &BTreeMap<&str, &Value>,
    new: &BTreeMap<&str, (usize, &'a Value)>,
) -> BTreeMap<&'a str, (usize, &'a Value)> {
    new.iter()
        .filter(|(name, _)| !old.contains_key(*name))
        .filter_map(|(_, (position, value))| Some((previous_name(value)?, (*position, *value))))
        .filter(|(previous, _)| old.contains_key(previous) && !new.contains_key(previous))
        .collect()
}

/// The name that an item had before, where it says that it had another one.
fn previous_name(value: &Value) -> Option<&str> {
    match value {
        Value::Map(entries) => match entries.get(PREVIOUS_NAME) {
            Some(Value::String(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// True for what can be told apart by its text.
fn is_plain_value(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::String(_))
}

fn told(names: &[&str], limits: Limits) -> String {
    let shown = if limits.items == 0 { names.len() } else { limits.items };
    let mut text =
        names.iter().take(shown).map(|name| cut(&visible(name), limits.characters).into_owned()).collect::<Vec<_>>();
    if names.len() > shown {
        text.push(format!("… {} more", names.len() - shown));
    }
    format!("[{}]", text.join(", "))
}
