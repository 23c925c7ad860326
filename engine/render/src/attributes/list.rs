//! Differences of lists: by item names, including renames, as a sequence of plain values, or by position.

use super::{Line, Mark, Pair, Writing};
use similar::{Algorithm, ChangeTag, capture_diff_slices};
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::text::value::{Limits, brief, item, name_of};
use terrace_language::text::{cut, visible};
use terrace_provider::renames::{Named, PREVIOUS_NAME, former};
use terrace_provider::{Path, Value};

/// Longer lists are compared by position, because the shortest difference would take too long.
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
        let was = former_positions(before, after);
        let now: BTreeMap<usize, usize> =
            was.iter().enumerate().filter_map(|(position, at)| Some(((*at)?, position))).collect();
        let limits = self.style.limits;
        let mut unchanged = 0;
        for (at, (name, value)) in before.0.iter().zip(before.1).enumerate() {
            let found = now.get(&at).and_then(|position| Some((*position, after.1.get(*position)?)));
            let Some((position, now)) = found else {
                self.leaf(Mark::Remove, item(value, limits), path, depth);
                continue;
            };
            match (Pair::new(Some(value), Some(now)).is_same(), value, now) {
                (false, Value::Map(before), Value::Map(after)) => {
                    let at = path.index(position);
                    self.header(Mark::Change, &visible(name), &at, depth);
                    self.maps(before, after, &at, depth + 1);
                }
                (true, ..) if !self.style.is_folded => {
                    self.lines.push(Line::new(depth, Mark::Same, item(now, limits)));
                }
                _ => unchanged += 1,
            }
        }
        for (position, (value, was)) in after.1.iter().zip(&was).enumerate() {
            if was.is_none() {
                self.leaf(Mark::Add, item(value, limits), &path.index(position), depth);
            }
        }
        let kept: Vec<&str> =
            before.0.iter().enumerate().filter(|(at, _)| now.contains_key(at)).map(|(_, name)| *name).collect();
        let in_new_order = was.iter().zip(after.0).filter_map(|(at, name)| Some((*before.0.get((*at)?)?, *name)));
        let (moved, named): (Vec<&str>, Vec<&str>) = in_new_order.unzip();
        if kept != moved {
            let text = format!("order: {} → {}", name_list(&kept, limits), name_list(&named, limits));
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

/// The names of the items, if all have different ones.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = items.iter().map(name_of).collect::<Option<_>>()?;
    (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
}

/// The former position of each item, found by its name or its previous name.
fn former_positions<'a>(before: (&[&'a str], &'a [Value]), after: (&[&'a str], &'a [Value])) -> Vec<Option<usize>> {
    let named = |(names, items): (&[&'a str], &'a [Value])| -> Vec<Named<'a>> {
        names.iter().copied().zip(items.iter().map(previous_name)).collect()
    };
    let has_renames = after.1.iter().any(|item| previous_name(item).is_some());
    if has_renames && before.0.len().max(after.0.len()) <= MOST_ITEMS {
        return former(&named(before), &named(after), str::eq);
    }
    let positions: BTreeMap<&str, usize> = before.0.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    after.0.iter().map(|name| positions.get(name).copied()).collect()
}

/// The previous name of an item, if it has one.
fn previous_name(value: &Value) -> Option<&str> {
    match value {
        Value::Map(entries) => match entries.get(PREVIOUS_NAME) {
            Some(Value::String(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// True for values that their text identifies.
fn is_plain_value(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::String(_))
}

fn name_list(names: &[&str], limits: Limits) -> String {
    let shown = if limits.items == 0 { names.len() } else { limits.items };
    let mut text =
        names.iter().take(shown).map(|name| cut(&visible(name), limits.characters).into_owned()).collect::<Vec<_>>();
    if names.len() > shown {
        text.push(format!("… {} more", names.len() - shown));
    }
    format!("[{}]", text.join(", "))
}
