//! Fits folds into the rest of a page. Parts are dropped step by step, later ones first; bisection finds the fewest steps that
//! suffice.

use super::budget::{Budget, Page};
use super::escape::{fenced, html};
use crate::attributes::Style;
use crate::line::{FORCES, Line, Mark};
use std::collections::BTreeMap;
use terrace_language::text::value::Limits;
use terrace_language::text::{counted, cut, thousands};

/// The levels of detail, in descending order.
pub(super) const STYLES: [Style; 3] = [
    Style { context: 3, is_folded: true, limits: Limits { items: 20, characters: 300 } },
    Style { context: 0, is_folded: true, limits: Limits { items: 20, characters: 300 } },
    Style { context: 0, is_folded: true, limits: Limits::SHORT },
];
/// Maximum length of a line, by style.
const WIDTHS: [usize; 3] = [400, 400, 120];
/// Maximum number of lines of one change, by style; further lines are counted.
const HEIGHTS: [usize; 3] = [400, 400, 40];
/// Maximum number of groups of counted changes in a fold; further groups are counted.
const MOST_GROUPS: usize = 20;

/// The nouns for folds and their entries.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) entries: &'static str,
    pub(super) folds: &'static str,
}

/// A fold before it is fitted.
pub(super) struct Fold {
    pub(super) title: String,
    pub(super) entries: Vec<Entry>,
}

/// An entry of a fold before it is fitted.
pub(super) struct Entry {
    /// Minor entries are dropped first.
    pub(super) is_minor: bool,
    pub(super) head: String,
    pub(super) bodies: [String; STYLES.len()],
    /// The group in which it is counted.
    pub(super) group: String,
}

/// The order of dropping, as step numbers.
#[derive(Clone, Copy)]
struct Steps {
    minor: usize,
    entries: usize,
    folds: usize,
}

enum Shown {
    Style(usize),
    Head,
    Counted,
}

impl Steps {
    /// The last step: styles, then bodies of minor and other entries, then their heads, then whole folds.
    const fn last(self) -> usize {
        STYLES.len() - 1 + 2 * self.entries + self.folds
    }

    /// The form of an entry at a step, if `after` entries of its class follow it.
    const fn shown(self, step: usize, is_minor: bool, after: usize) -> Shown {
        let rank = STYLES.len() + after + if is_minor { 0 } else { self.minor };
        if step >= rank + self.entries {
            Shown::Counted
        } else if step >= rank {
            Shown::Head
        } else if step < STYLES.len() {
            Shown::Style(step)
        } else {
            Shown::Style(STYLES.len() - 1)
        }
    }

    /// The number of remaining folds.
    const fn folds_left(self, step: usize) -> usize {
        let before = STYLES.len() - 1 + 2 * self.entries;
        self.folds.saturating_sub(step.saturating_sub(before))
    }
}

/// Adds the folds, or as many parts as fit.
pub(super) fn push(folds: &[Fold], words: Words, page: &mut Page) {
    let minor = folds.iter().flat_map(|fold| &fold.entries).filter(|entry| entry.is_minor).count();
    let entries = folds.iter().map(|fold| fold.entries.len()).sum();
    let steps = Steps { minor, entries, folds: folds.len() };
    let room = page.left();
    let (mut fitting, mut least) = (steps.last(), 0);
    // Each step shortens the text, except for a few characters when counting starts. So the result fits, and is at most one step
    // from the best.
    while least < fitting {
        let middle = least + (fitting - least) / 2;
        match fits(folds, words, steps, middle, room) {
            true => fitting = middle,
            false => least = middle + 1,
        }
    }
    page.push(&assemble(folds, words, steps, fitting));
}

fn fits(folds: &[Fold], words: Words, steps: Steps, step: usize, room: Budget) -> bool {
    room.fits(&assemble(folds, words, steps, step))
}

/// An entry's lines in each style.
pub(super) fn bodies(lines: impl Fn(Style) -> Vec<Line>) -> [String; STYLES.len()] {
    std::array::from_fn(|style| body(style, &lines))
}

fn body(style: usize, lines: impl Fn(Style) -> Vec<Line>) -> String {
    let (Some(how), Some(width), Some(height)) = (STYLES.get(style), WIDTHS.get(style), HEIGHTS.get(style)) else {
        return String::new();
    };
    let lines = lines(*how);
    let mut text: String = lines.iter().take(*height).map(|line| diff_line(line, *width)).collect();
    if lines.len() > *height {
        text.push_str(&format!("      … {}\n", counted(lines.len() - height, "more lines")));
    }
    text
}

/// A line with its sign in the first column, where `diff` colours it.
fn diff_line(line: &Line, width: usize) -> String {
    let sign = match line.mark.sign() {
        Some(sign) => first_column(sign),
        None => " ",
    };
    let suffix = if line.is_forcing { FORCES } else { "" };
    let indent = " ".repeat(5 + 4 * line.depth);
    // A reason is never cut.
    let text = if line.mark == Mark::Reason { fenced(&line.text) } else { fenced(&cut(&line.text, width)) };
    match line.mark {
        Mark::Hunk => format!("{text}\n"),
        _ => format!("{sign}{indent}{text}{suffix}\n"),
    }
}

/// The sign that `diff` colours.
pub(super) const fn first_column(sign: &str) -> &str {
    match sign.as_bytes() {
        b"~" | b"?" => "!",
        _ => sign,
    }
}

fn assemble(folds: &[Fold], words: Words, steps: Steps, step: usize) -> String {
    let mut text = String::new();
    let left = steps.folds_left(step);
    let (mut minor, mut major) = (steps.minor, steps.entries - steps.minor);
    let mut dropped = 0;
    let more = format!("more {}", words.entries);
    for (position, fold) in folds.iter().enumerate() {
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lines = String::new();
        for entry in &fold.entries {
            let class = if entry.is_minor { &mut minor } else { &mut major };
            *class = class.saturating_sub(1);
            match steps.shown(step, entry.is_minor, *class) {
                Shown::Style(style) => {
                    lines.push_str(&entry.head);
                    lines.push_str(entry.bodies.get(style).map(String::as_str).unwrap_or_default());
                }
                Shown::Head => lines.push_str(&entry.head),
                Shown::Counted => *groups.entry(entry.group.as_str()).or_default() += 1,
            }
        }
        if position >= left {
            dropped += fold.entries.len();
            continue;
        }
        let title = html(&fold.title, 200);
        let changes = counted(fold.entries.len(), words.entries);
        text.push_str(&format!("<details><summary>{title}: {changes}</summary>\n\n```diff\n{lines}"));
        for (name, count) in groups.iter().take(MOST_GROUPS) {
            text.push_str(&format!("{} × {}\n", fenced(name), thousands(*count)));
        }
        if groups.len() > MOST_GROUPS {
            let rest: usize = groups.values().skip(MOST_GROUPS).sum();
            text.push_str(&format!("  … {}\n", counted(rest, &more)));
        }
        text.push_str("```\n\n</details>\n\n");
    }
    if dropped > 0 {
        let folds = counted(folds.len() - left.min(folds.len()), words.folds);
        text.push_str(&format!("… and {} in {folds}.\n\n", counted(dropped, &more)));
    }
    text
}
