//! Differences of a resource's attributes, line by line: maps by key, lists by item name or position, texts by line.

use super::line::{Line, Mark};
use super::text_diff::hunks;
use std::borrow::Cow;
use terrace_language::action::Action;
use terrace_language::text::value::{
    Limits, SENSITIVE, SENSITIVE_CHANGED, UNKNOWN, brief, brief_change, hidden_like, item,
};
use terrace_language::text::{counted, visible};
use terrace_plan::Change;
use terrace_provider::{Attributes, Map, Path, Value};
use terrace_store::diff::is_same;
use terrace_store::marks;
use terrace_store::record::Prior;

mod list;

/// The amount of detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// The number of unchanged lines around changed lines of a text.
    pub(crate) context: usize,
    /// If true, unchanged parts are counted, long texts are cut, and removed objects are not listed.
    pub(crate) is_folded: bool,
    /// The limits of a value on one line.
    pub(crate) limits: Limits,
}

impl Style {
    /// The overview for a person.
    pub(crate) const COMPACT: Self = Self { context: 1, is_folded: true, limits: Limits { items: 6, characters: 80 } };
    /// All details.
    pub(crate) const FULL: Self = Self { context: usize::MAX, is_folded: false, limits: Limits::NONE };
}

/// Number of lines shown of an added or removed text when folded.
const FOLDED_TEXT_LINES: usize = 6;
/// Longer names do not widen the column of names.
const WIDEST_LABEL: usize = 28;

/// The lines of a change's attributes.
pub(crate) fn body(change: &Change, style: Style) -> Vec<Line> {
    let nothing = Attributes::default();
    let before = change.basis.prior.as_ref().map_or(&nothing, |prior| &prior.attributes);
    let after = change.after.as_ref().map_or(&nothing, |after| &after.attributes);
    let mut lines = match (&change.basis.prior, change.why.drift.is_empty()) {
        (Some(prior), false) => drifted(prior, change.after.as_ref().map(|after| &after.attributes), style),
        _ => Vec::new(),
    };
    let mut writing = Writing::new(style, &change.why.replace_paths);
    if change.is_in_doubt() {
        lines.push(Line::new(0, Mark::Plain, "resolve it with `terrace recover`"));
    }
    let is_shown = change.in_doubt.is_none()
        && match change.action {
            Action::NoOp | Action::Forget | Action::Retain => false,
            Action::Delete => !style.is_folded,
            _ => true,
        };
    if is_shown {
        lines.extend(
            change.why.because.iter().map(|why| Line::new(0, Mark::Reason, format!("because {}", visible(why)))),
        );
        let after = without_write_only(change, after);
        let (before, after) = marks::mark_both(before, &after);
        writing.maps(&before, &after, &Path::default(), 0);
        lines.append(&mut writing.lines);
        if let (Some(prior), Some(after)) = (&change.basis.prior, &change.after) {
            lines.extend(write_only(prior, &after.write_only, &change.why.replace_paths));
        }
    }
    lines
}

/// The lines of the drift that the refresh found.
fn drifted(prior: &Prior, after: Option<&Attributes>, style: Style) -> Vec<Line> {
    let Some(recorded) = &prior.recorded else { return Vec::new() };
    let mut writing = Writing::new(Style { is_folded: true, ..style }, &[]);
    writing.is_counting = false;
    let (recorded, found) = (hidden_like(recorded, after), hidden_like(&prior.attributes, after));
    writing.maps(&recorded, &found, &Path::default(), 1);
    let title = Line::new(0, Mark::Plain, "drifted: recorded → found");
    if writing.lines.is_empty() { Vec::new() } else { std::iter::once(title).chain(writing.lines).collect() }
}

/// The differences of two sets of attributes.
pub(crate) fn between(before: &Attributes, after: &Attributes, style: Style) -> Vec<Line> {
    let mut writing = Writing::new(style, &[]);
    writing.is_counting = false;
    let (before, after) = marks::mark_both(before, after);
    writing.maps(&before, &after, &Path::default(), 0);
    writing.lines
}

/// The planned attributes without write-only ones. For an existing object these have lines of their own, because the row never has
/// them.
pub(crate) fn without_write_only<'a>(change: &Change, after: &'a Attributes) -> Cow<'a, Attributes> {
    let (Some(prior), Some(planned)) = (&change.basis.prior, &change.after) else { return Cow::Borrowed(after) };
    if planned.write_only.is_empty() {
        return Cow::Borrowed(after);
    }
    let is_stored = |name: &str| !planned.write_only.contains_key(name) || prior.attributes.contains_key(name);
    let stored = after.iter().filter(|(name, _)| is_stored(name));
    Cow::Owned(stored.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The lines of changed write-only attributes: their values are not stored.
fn write_only<'a>(
    prior: &'a Prior,
    planned: &'a std::collections::BTreeMap<String, String>,
    replace_paths: &'a [Path],
) -> impl Iterator<Item = Line> + 'a {
    let recorded = |name: &str| prior.write_only.get(name).map(String::as_str).unwrap_or_default();
    let changed = planned.iter().filter(move |(name, digest)| recorded(name) != digest.as_str());
    let removed = prior.write_only.keys().filter(|name| !planned.contains_key(*name));
    changed
        .map(|(name, _)| (name, format!("{} = {SENSITIVE_CHANGED}", visible(name))))
        .chain(removed.map(|name| (name, format!("{} = {SENSITIVE} → null", visible(name)))))
        .map(|(name, text)| {
            let mut line = Line::new(0, Mark::Change, text);
            line.is_forcing = replace_paths.iter().any(|path| path.first_key() == Some(name));
            line
        })
}

/// Collects the lines of a comparison.
struct Writing<'a> {
    style: Style,
    replace_paths: &'a [Path],
    /// True if folded parts are counted in a line.
    is_counting: bool,
    lines: Vec<Line>,
}

/// Both sides of an attribute; null counts as absent.
#[derive(Clone, Copy)]
struct Pair<'a> {
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

impl<'a> Pair<'a> {
    fn new(before: Option<&'a Value>, after: Option<&'a Value>) -> Self {
        let present = |side: Option<&'a Value>| side.filter(|value| !matches!(value, Value::Null));
        Self { before: present(before), after: present(after) }
    }

    fn is_absent(self) -> bool {
        self.before.is_none() && self.after.is_none()
    }

    fn is_same(self) -> bool {
        is_same(self.before, self.after)
    }

    fn mark(self) -> Mark {
        match (self.before, self.after) {
            _ if self.is_same() => Mark::Same,
            (None, _) => Mark::Add,
            (_, None) => Mark::Remove,
            _ => Mark::Change,
        }
    }

    /// A mark on either side covers both, because an unmarked value may equal the sensitive one.
    fn is_sensitive(self) -> bool {
        [self.before, self.after].into_iter().flatten().any(|value| matches!(value, Value::Sensitive(_)))
    }
}

impl<'a> Writing<'a> {
    fn new(style: Style, replace_paths: &'a [Path]) -> Self {
        Self { style, replace_paths, is_counting: true, lines: Vec::new() }
    }

    fn maps(&mut self, before: &Map, after: &Map, path: &Path, depth: usize) {
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        let pairs: Vec<(&String, Pair<'_>)> = names
            .map(|name| (name, Pair::new(before.get(name), after.get(name))))
            .filter(|(_, pair)| !pair.is_absent())
            .collect();
        let (shown, folded): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(_, pair)| !self.style.is_folded || !pair.is_same());
        let labels: Vec<String> = shown.iter().map(|(name, _)| visible(name).into_owned()).collect();
        let width = labels.iter().map(|label| label.chars().count()).filter(|width| *width <= WIDEST_LABEL).max();
        for ((name, pair), label) in shown.into_iter().zip(labels) {
            self.value(&format!("{label:<width$}", width = width.unwrap_or_default()), pair, &path.key(name), depth);
        }
        self.fold(folded.len(), if depth == 0 { "unchanged attributes" } else { "unchanged entries" }, depth);
    }

    /// Adds the number of folded parts.
    fn fold(&mut self, count: usize, noun: &str, depth: usize) {
        if count > 0 && self.is_counting {
            // "entries" has an irregular singular.
            let noun = if count == 1 { noun.replace("entries", "entry") } else { noun.to_owned() };
            self.lines.push(Line::new(depth, Mark::Plain, format!("({} hidden)", counted(count, &noun))));
        }
    }

    fn value(&mut self, label: &str, pair: Pair<'_>, path: &Path, depth: usize) {
        let mark = pair.mark();
        if pair.is_sensitive() {
            let text = match (mark, pair.after) {
                (Mark::Change, Some(after)) if after.is_unknown() => format!("{SENSITIVE} → {UNKNOWN}"),
                (Mark::Change, _) => SENSITIVE_CHANGED.to_owned(),
                _ => SENSITIVE.to_owned(),
            };
            return self.leaf(mark, format!("{label} = {text}"), path, depth);
        }
        let limits = self.style.limits;
        match (pair.before, pair.after) {
            (_, Some(value)) if mark == Mark::Same => self.whole(mark, label, value, path, depth),
            (None, Some(value)) => self.whole(mark, label, value, path, depth),
            (Some(value), None) => self.whole(mark, label, value, path, depth),
            (Some(Value::String(before)), Some(Value::String(after)))
                if before.contains('\n') || after.contains('\n') =>
            {
                self.texts(label, before, after, path, depth);
            }
            (Some(Value::Map(before)), Some(Value::Map(after))) => {
                self.header(Mark::Change, label, path, depth);
                self.maps(before, after, path, depth + 1);
            }
            (Some(Value::List(before)), Some(Value::List(after))) => {
                self.header(Mark::Change, label, path, depth);
                self.lists(before, after, path, depth + 1);
            }
            (Some(before), Some(after)) => {
                let (before, after) = brief_change(before, after, limits);
                let text = format!("{label} = {before} → {after}");
                self.leaf(mark, text, path, depth);
            }
            (None, None) => {}
        }
    }

    /// A whole value that is added, removed or unchanged.
    fn whole(&mut self, mark: Mark, label: &str, value: &Value, path: &Path, depth: usize) {
        let limits = self.style.limits;
        match value {
            Value::String(text) if text.contains('\n') => self.long_text(mark, label, text, path, depth),
            Value::Map(entries) if !self.style.is_folded && !entries.is_empty() => {
                self.header(mark, label, path, depth);
                for (key, value) in entries {
                    self.whole(mark, &visible(key), value, &path.key(key), depth + 1);
                }
            }
            Value::List(items) if !self.style.is_folded && !items.is_empty() => {
                self.header(mark, label, path, depth);
                for (position, value) in items.iter().enumerate() {
                    self.leaf(mark, item(value, limits), &path.index(position), depth + 1);
                }
            }
            _ => self.leaf(mark, format!("{label} = {}", brief(value, limits)), path, depth),
        }
    }

    /// A whole text of several lines that is added, removed or unchanged.
    fn long_text(&mut self, mark: Mark, label: &str, text: &str, path: &Path, depth: usize) {
        let total = text.lines().count();
        self.leaf(mark, format!("{label} = ({})", counted(total, "lines")), path, depth);
        // "1 more line" is as long as the line.
        let shown = match self.style.is_folded && total > FOLDED_TEXT_LINES + 1 {
            true => FOLDED_TEXT_LINES,
            false => total,
        };
        for line in text.lines().take(shown) {
            self.lines.push(Line::new(depth + 1, mark, visible(line)));
        }
        if shown < total {
            let rest = format!("… {}", counted(total - shown, "more lines"));
            self.lines.push(Line::new(depth + 1, Mark::Plain, rest));
        }
    }

    fn texts(&mut self, label: &str, before: &str, after: &str, path: &Path, depth: usize) {
        let Some(hunks) = hunks(before, after, self.style.context) else {
            let lines = |text: &str| format!("({})", counted(text.lines().count(), "lines"));
            return self.leaf(Mark::Change, format!("{label} = {} → {}", lines(before), lines(after)), path, depth);
        };
        for (position, hunk) in hunks.into_iter().enumerate() {
            match position {
                0 => self.leaf(Mark::Change, format!("{label}   {}", hunk.header), path, depth),
                _ => self.lines.push(Line::new(depth + 1, Mark::Hunk, hunk.header)),
            }
            self.lines.extend(hunk.lines.into_iter().map(|(mark, text)| Line::new(depth + 1, mark, text)));
        }
    }

    fn header(&mut self, mark: Mark, label: &str, path: &Path, depth: usize) {
        let mut line = Line::new(depth, mark, label.trim_end());
        line.is_forcing = self.replace_paths.contains(path);
        self.lines.push(line);
    }

    fn leaf(&mut self, mark: Mark, text: String, path: &Path, depth: usize) {
        let mut line = Line::new(depth, mark, text);
        line.is_forcing = mark != Mark::Same && self.replace_paths.iter().any(|forcing| path.covers(forcing));
        self.lines.push(line);
    }
}
