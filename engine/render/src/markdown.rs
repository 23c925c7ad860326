//! Renders a plan as a comment on a pull request, and drift as the comment of a scheduled job.
//!
//! Verdict and counts come first, then destructive changes, which are never folded. Then follow one fold per component, the digest,
//! and the command that shows the full plan. A comment has a budget: parts that do not fit are dropped in a fixed order, and the
//! comment says so. The order is: unchanged lines around changes, long values, the bodies of creates, then of updates. Values
//! cannot break out of their place: fences, folds, mentions and the hidden marker are escaped in them.

mod attention;
mod budget;
mod deferred;
mod drift;
pub(super) mod escape;
mod fitting;
mod folds;

pub use drift::{Drift, drift};
pub use escape::{code, prose};

use super::headline::CONSENT;
use super::totals::{details, is_listed, part, verdict};
use budget::{Budget, LONGEST, Page};
use escape::marker;
use std::collections::BTreeMap;
use terrace_language::action::Action;
use terrace_language::address::{ComponentKey, StackId};
use terrace_plan::{Change, Note, Plan};
use terrace_provider::Severity;

/// The budget and the ending of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Markdown<'a> {
    /// Maximum number of characters, counted in UTF-16; at least [`Markdown::LEAST_CHARS`].
    pub max_chars: usize,
    /// Maximum number of bytes; at least four times [`Markdown::LEAST_CHARS`].
    pub max_bytes: usize,
    /// The digest of [`terrace_plan::file::digest`]. A plan with errors is shown without it.
    pub digest: &'a str,
    /// The command that shows the full plan: `terrace show plan.tplan`.
    pub command: &'a str,
    /// The remark about a loss of data that the user allowed: [`Markdown::CONSENT`].
    pub consent: &'a str,
}

impl Markdown<'_> {
    /// The remark about an allowed loss of data, if the user of the plan gave the consent.
    pub const CONSENT: &'static str = CONSENT;
    /// The minimum size of a comment's frame.
    pub const LEAST_CHARS: usize = 4_000;
    /// The size of a comment on GitHub, with room for additions of a workflow.
    pub const DEFAULT_CHARS: usize = 60_000;
    /// The same in bytes.
    pub const DEFAULT_BYTES: usize = 240_000;

    fn budget(&self) -> Budget {
        Budget { characters: self.max_chars.max(Self::LEAST_CHARS), bytes: self.max_bytes.max(4 * Self::LEAST_CHARS) }
    }
}

/// The comment. It never exceeds its budget, and all fences and folds in it are closed.
#[must_use]
pub fn plan(plan: &Plan, options: &Markdown<'_>) -> String {
    let budget = options.budget();
    let tail = tail(plan, options);
    let mut page = Page::new(budget.without(&tail));
    head(plan, &mut page, budget);
    notes(&plan.notes, &mut page, budget);
    attention::section(plan, &mut page, budget, options.consent);
    deferred::section(plan, &mut page, budget);
    folds::section(plan, &mut page);
    let mut text = page.finish();
    text.push_str(&tail);
    text
}

fn head(plan: &Plan, page: &mut Page, budget: Budget) {
    // Each stack has a marker, so that tools find the comment by any of its stacks.
    page.fill(budget.part(10), plan.stacks.iter().map(|stack| marker("plan", &stack.stack)), |_| String::new());
    page.push(&format!("### terrace plan: {}\n\n", named(plan.stacks.iter().map(|stack| &stack.stack))));
    page.push(&format!("{}\n", verdict(plan)));
    if let Some(details) = details(plan) {
        page.push(&format!("({details})\n"));
    }
    if let Some(part) = part(plan) {
        page.push(&format!("{part}\n"));
    }
    if let Some(note) = &plan.environment_note {
        page.push(&format!("\n{}\n", prose(note, LONGEST)));
    }
    if plan.is_errored {
        page.push("\n**This plan has errors and cannot be applied.**\n");
    }
    page.push("\n");
    table(plan, page, budget);
}

/// The first three stacks by name, and the number of the others.
fn named<'a>(stacks: impl ExactSizeIterator<Item = &'a StackId>) -> String {
    let total = stacks.len();
    let mut names: Vec<String> = stacks.take(3).map(|stack| code(&stack.to_string(), 120)).collect();
    if total > names.len() {
        names.push(format!("{} more", total - names.len()));
    }
    names.join(", ")
}

/// The counts of a component in the table.
#[derive(Default, Clone, Copy)]
struct Row {
    add: usize,
    change: usize,
    destroy: usize,
    other: usize,
}

impl Row {
    fn count(&mut self, change: &Change) {
        match change.action {
            _ if change.in_doubt.is_some() => self.other += 1,
            Action::Create => self.add += 1,
            Action::Update => self.change += 1,
            Action::Delete => self.destroy += 1,
            Action::Replace | Action::ReplaceCreateFirst => {
                self.add += 1;
                self.destroy += 1;
            }
            Action::Adopt if change.is_aligned() => {
                self.change += 1;
                self.other += 1;
            }
            Action::NoOp | Action::Read | Action::Adopt | Action::Forget | Action::Retain => self.other += 1,
        }
    }

    fn to_line(self, name: &str) -> String {
        format!("| {name} | {} | {} | {} | {} |\n", self.add, self.change, self.destroy, self.other)
    }
}

fn table(plan: &Plan, page: &mut Page, budget: Budget) {
    let mut rows: Vec<(String, Row)> = Vec::new();
    for stack in &plan.stacks {
        let mut positions: BTreeMap<&ComponentKey, usize> = BTreeMap::new();
        for change in stack.changes.iter().filter(|change| is_listed(change)) {
            let component = &change.address.component;
            let position = *positions.entry(component).or_insert_with(|| {
                rows.push((folds::title(plan, stack, component), Row::default()));
                rows.len() - 1
            });
            if let Some((_, row)) = rows.get_mut(position) {
                row.count(change);
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    page.push("| component | add | change | destroy | other |\n|---|--:|--:|--:|--:|\n");
    let lines = rows.iter().map(|(name, row)| row.to_line(&code(name, 120)));
    page.fill(budget.part(6), lines, |shown| {
        let rest = rows.iter().skip(shown).fold(Row::default(), |sum, (_, row)| Row {
            add: sum.add + row.add,
            change: sum.change + row.change,
            destroy: sum.destroy + row.destroy,
            other: sum.other + row.other,
        });
        rest.to_line(&format!("… {} more", rows.len() - shown))
    });
    if plan.stacks.len() > 1 {
        page.push("\n");
        let lines = plan.stacks.iter().map(|stack| {
            format!("- {}: {}\n", code(&stack.stack.to_string(), 120), super::totals::to_do(&stack.counts()))
        });
        page.fill(budget.part(10), lines, |shown| format!("- … {} more stacks\n", plan.stacks.len() - shown));
    }
    page.push("\n");
}

/// Adds errors and warnings, because readers of the comment do not see the terminal.
fn notes(notes: &[Note], page: &mut Page, budget: Budget) {
    let lines: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning")]
        .into_iter()
        .flat_map(|(severity, word)| {
            notes.iter().filter(move |note| note.severity == severity).map(move |note| {
                let place = note.place.as_ref().map(|place| format!(" at {}", code(&place.to_string(), 120)));
                let hint = note.hint.as_ref().map(|hint| format!("; hint: {}", prose(hint, LONGEST)));
                format!(
                    "- **{word}**{}: {}{}\n",
                    place.unwrap_or_default(),
                    prose(&note.message, LONGEST),
                    hint.unwrap_or_default()
                )
            })
        })
        .collect();
    if lines.is_empty() {
        return;
    }
    let total = lines.len();
    page.fill(budget.part(10), lines.into_iter(), |shown| format!("- … {} more\n", total - shown));
    page.push("\n");
}

fn tail(plan: &Plan, options: &Markdown<'_>) -> String {
    let command = code(options.command, LONGEST);
    // A plan with errors is never applied, so its digest approves nothing.
    match plan.is_errored {
        true => format!("The full plan: {command}\n"),
        false => format!("Plan digest {}. The full plan: {command}\n", code(options.digest, 130)),
    }
}
