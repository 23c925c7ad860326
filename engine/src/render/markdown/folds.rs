//! One fold per component, with what changes in it. What does not fit is dropped step by step, later things first;
//! the fewest steps that make it fit are found by bisection.

use super::attention::group;
use super::budget::{Budget, Page};
use super::escape::{fenced, html};
use crate::action::Action;
use crate::plan::{Change, Lookup, OutputChange, OwnerChange, Plan, ReadReason, StackPlan};
use crate::render::attributes::{Style, body};
use crate::render::headline;
use crate::render::human::{output_difference, output_name};
use crate::render::json::qualified;
use crate::render::line::{FORCES, Line, Mark};
use crate::render::text::{counted, cut, thousands, visible};
use crate::render::totals::is_listed;
use crate::render::value::Limits;
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// How much of a change is shown, from all of it downwards.
const STYLES: [Style; 3] = [
    Style { context: 3, is_folded: true, limits: Limits { items: 20, characters: 300 } },
    Style { context: 0, is_folded: true, limits: Limits { items: 20, characters: 300 } },
    Style { context: 0, is_folded: true, limits: Limits::SHORT },
];
/// Longer lines are cut, by style.
const WIDTHS: [usize; 3] = [400, 400, 120];
/// More lines of one change are counted, by style.
const HEIGHTS: [usize; 3] = [400, 400, 40];
/// More names of counted changes in one fold are counted, too.
const MOST_GROUPS: usize = 20;

/// The name of a component in titles; with the stack in front when a plan has several.
pub(super) fn title(plan: &Plan, stack: &StackPlan, component: &str) -> String {
    match component.is_empty() {
        true => stack.stack.to_string(),
        false => qualified(plan, &stack.stack, component),
    }
}

pub(super) fn section(plan: &Plan, page: &mut Page) {
    let folds = folds(plan);
    let creates = folds.iter().flat_map(|fold| &fold.entries).filter(|entry| entry.is_create).count();
    let entries = folds.iter().map(|fold| fold.entries.len()).sum();
    let steps = Steps { creates, entries, folds: folds.len() };
    let room = page.left();
    let (mut fitting, mut least) = (steps.last(), 0);
    // Every step makes the text shorter, but for a few characters where counting begins: what is found fits, and is
    // at most a step from the best.
    while least < fitting {
        let middle = least + (fitting - least) / 2;
        match fits(&folds, steps, middle, room) {
            true => fitting = middle,
            false => least = middle + 1,
        }
    }
    page.push(&assemble(&folds, steps, fitting));
}

fn fits(folds: &[Fold], steps: Steps, step: usize, room: Budget) -> bool {
    room.fits(&assemble(folds, steps, step))
}

/// A fold before it is cut to size.
struct Fold {
    title: String,
    entries: Vec<Entry>,
}

/// A change before it is cut to size.
struct Entry {
    is_create: bool,
    head: String,
    bodies: [String; STYLES.len()],
    /// Under what it is counted.
    group: String,
}

/// The order in which things are dropped, as numbers.
#[derive(Clone, Copy)]
struct Steps {
    creates: usize,
    entries: usize,
    folds: usize,
}

enum Shown {
    Style(usize),
    Head,
    Counted,
}

impl Steps {
    /// Styles, then bodies of creates and of the rest, then their heads, then whole folds.
    const fn last(self) -> usize {
        STYLES.len() - 1 + 2 * self.entries + self.folds
    }

    /// How the entry is shown that has `after` others of its class behind it.
    const fn shown(self, step: usize, is_create: bool, after: usize) -> Shown {
        let rank = STYLES.len() + after + if is_create { 0 } else { self.creates };
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

    /// How many folds are left.
    const fn folds_left(self, step: usize) -> usize {
        let before = STYLES.len() - 1 + 2 * self.entries;
        self.folds.saturating_sub(step.saturating_sub(before))
    }
}

fn folds(plan: &Plan) -> Vec<Fold> {
    let mut folds: Vec<Fold> = Vec::new();
    for stack in &plan.stacks {
        let mut components: IndexMap<&str, Vec<Entry>> = IndexMap::new();
        for change in stack.changes.iter().filter(|change| is_listed(change)) {
            components.entry(&change.address.component).or_default().push(Entry::of(plan, change));
        }
        for lookup in stack.lookups.iter().filter(|lookup| lookup.reason.is_some()) {
            components.entry(&lookup.address.component).or_default().push(Entry::of_lookup(lookup));
        }
        for owner in stack.owners.iter().filter(|owner| owner.is_change()) {
            components.entry(&owner.ownership.component).or_default().push(Entry::of_owner(owner));
        }
        let fold = |(component, entries)| Fold { title: title(plan, stack, component), entries };
        folds.extend(components.into_iter().map(fold));
        let outputs: Vec<Entry> =
            stack.outputs.iter().filter(|output| output.is_change()).map(Entry::of_output).collect();
        if !outputs.is_empty() {
            folds.push(Fold { title: qualified(plan, &stack.stack, "outputs"), entries: outputs });
        }
    }
    folds
}

impl Entry {
    fn of(plan: &Plan, change: &Change) -> Self {
        let sign = headline::sign(change);
        let note = headline::note(change, plan.mode);
        let deposed = change.deposed.as_ref().map(|key| format!(" (deposed object {key})")).unwrap_or_default();
        let gap = if note.is_empty() { "" } else { "   " };
        let danger = match &change.data_loss {
            Some(_) => format!("   {}", headline::DESTROYS_DATA),
            None => String::new(),
        };
        let text = format!("{}{}{gap}{note}", visible(&change.address.local().to_string()), visible(&deposed));
        let bodies = std::array::from_fn(|style| lines(change, style));
        Self {
            is_create: change.action == Action::Create && change.in_doubt.is_none(),
            head: format!("{} {}{danger}\n", first_column(sign), fenced(&cut(&text, 400))),
            bodies,
            group: format!("{} {}", first_column(sign), cut(&visible(&group(change)), 100)),
        }
    }

    fn of_line(sign: &str, text: &str, group: &str) -> Self {
        Self {
            is_create: false,
            head: format!("{} {}\n", first_column(sign), fenced(&cut(text, 400))),
            bodies: Default::default(),
            group: group.to_owned(),
        }
    }

    fn of_lookup(lookup: &Lookup) -> Self {
        let name = lookup.address.local().to_string();
        let text = format!("{}   {}", visible(&name), lookup.reason.map(ReadReason::text).unwrap_or_default());
        Self::of_line(Action::Read.sign(), &text, "  lookup")
    }

    fn of_owner(owner: &OwnerChange) -> Self {
        let address = owner.ownership.address.to_string();
        Self::of_line(owner.action.sign(), &format!("owner of {}", visible(&address)), "  ownership")
    }

    fn of_output(output: &OutputChange) -> Self {
        let (mark, value) = output_difference(output, Limits { items: 20, characters: 300 });
        Self::of_line(mark.sign().unwrap_or(" "), &format!("{} = {value}", output_name(output)), "  output")
    }
}

fn lines(change: &Change, style: usize) -> String {
    let (Some(how), Some(width), Some(height)) = (STYLES.get(style), WIDTHS.get(style), HEIGHTS.get(style)) else {
        return String::new();
    };
    let lines = body(change, *how);
    let mut text: String = lines.iter().take(*height).map(|line| diff_line(line, *width)).collect();
    if lines.len() > *height {
        text.push_str(&format!("      … {}\n", counted(lines.len() - height, "more lines")));
    }
    text
}

/// A line with its sign in the first column, where it is coloured.
fn diff_line(line: &Line, width: usize) -> String {
    let sign = match line.mark.sign() {
        Some(sign) => first_column(sign),
        None => " ",
    };
    let suffix = if line.is_forcing { FORCES } else { "" };
    let indent = " ".repeat(5 + 4 * line.depth);
    let text = fenced(&cut(&line.text, width));
    match line.mark {
        Mark::Hunk => format!("{text}\n"),
        _ => format!("{sign}{indent}{text}{suffix}\n"),
    }
}

/// The sign as `diff` colours it.
const fn first_column(sign: &str) -> &str {
    match sign.as_bytes() {
        b"~" | b"?" => "!",
        _ => sign,
    }
}

fn assemble(folds: &[Fold], steps: Steps, step: usize) -> String {
    let mut text = String::new();
    let left = steps.folds_left(step);
    let (mut creates, mut others) = (steps.creates, steps.entries - steps.creates);
    let mut dropped = 0;
    for (position, fold) in folds.iter().enumerate() {
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lines = String::new();
        for entry in &fold.entries {
            let class = if entry.is_create { &mut creates } else { &mut others };
            *class = class.saturating_sub(1);
            match steps.shown(step, entry.is_create, *class) {
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
        let changes = counted(fold.entries.len(), "changes");
        text.push_str(&format!("<details><summary>{title}: {changes}</summary>\n\n```diff\n{lines}"));
        for (name, count) in groups.iter().take(MOST_GROUPS) {
            text.push_str(&format!("{} × {}\n", fenced(name), thousands(*count)));
        }
        if groups.len() > MOST_GROUPS {
            let rest: usize = groups.values().skip(MOST_GROUPS).sum();
            text.push_str(&format!("  … {}\n", counted(rest, "more changes")));
        }
        text.push_str("```\n\n</details>\n\n");
    }
    if dropped > 0 {
        let folds = counted(folds.len() - left.min(folds.len()), "components");
        text.push_str(&format!("… and {} in {folds}.\n\n", counted(dropped, "more changes")));
    }
    text
}
