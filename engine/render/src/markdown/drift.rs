//! Renders drift as the comment or issue of a scheduled job.
//!
//! Verdict and counts come first, then missing objects, which are never folded. Then follows one fold per stack with the recorded
//! and the present values. Budget and escaping are those of a plan's comment.

use super::budget::{Budget, LONGEST, Page};
use super::escape::{code, fenced, marker};
use super::fitting::{self, Entry, Fold, Words, bodies, first_column};
use super::{Markdown, named, notes};
use crate::drift::{lines, name_of, nothing_found, sign, verdict};
use indexmap::IndexMap;
use terrace_language::address::StackId;
use terrace_language::text::{cut, thousands, visible};
use terrace_plan::Note;
use terrace_plan::drift::{DriftItem, DriftKind};

/// The findings of a drift detection, with the options of the comment.
#[derive(Debug, Clone, Copy)]
pub struct Drift<'a> {
    /// The checked stacks.
    pub stacks: &'a [StackId],
    /// The differences.
    pub items: &'a [DriftItem],
    /// Further diagnostics: errors name the objects that could not be read.
    pub notes: &'a [Note],
    /// Why there may be unknown drift; `None` if all objects were read.
    pub uncertainty: Option<&'a str>,
    /// Maximum number of characters, counted in UTF-16; at least [`Markdown::LEAST_CHARS`].
    pub max_chars: usize,
    /// The command that shows all drift: `terrace drift --all`.
    pub command: &'a str,
}

/// The comment. It never exceeds its budget, and all fences and folds in it are closed.
#[must_use]
pub fn drift(drift: &Drift<'_>) -> String {
    let characters = drift.max_chars.max(Markdown::LEAST_CHARS);
    let budget = Budget { characters, bytes: Markdown::DEFAULT_BYTES };
    let tail = tail(drift);
    let mut page = Page::new(budget.without(&tail));
    let stacks = by_stack(drift.items);
    head(drift, &mut page, budget);
    table(&stacks, &mut page, budget);
    notes(drift.notes, &mut page, budget);
    lists(drift, &mut page, budget);
    fitting::push(&folds(&stacks), Words { entries: "resources", folds: "stacks" }, &mut page);
    let mut text = page.finish();
    text.push_str(&tail);
    text
}

type ByStack<'a> = IndexMap<&'a StackId, Vec<&'a DriftItem>>;

fn by_stack(items: &[DriftItem]) -> ByStack<'_> {
    let mut stacks = ByStack::new();
    for item in items {
        stacks.entry(&item.stack).or_default().push(item);
    }
    stacks
}

/// The number of resources by kind of drift.
#[derive(Default, Clone, Copy)]
struct Counts {
    changed: usize,
    deleted: usize,
    recreated: usize,
    foreign: usize,
}

impl Counts {
    fn of<'a>(items: impl IntoIterator<Item = &'a DriftItem>) -> Self {
        items.into_iter().fold(Self::default(), |mut counts, item| {
            match item.kind {
                DriftKind::Changed => counts.changed += 1,
                DriftKind::Deleted => counts.deleted += 1,
                DriftKind::Recreated => counts.recreated += 1,
                DriftKind::Foreign => counts.foreign += 1,
            }
            counts
        })
    }

    fn to_line(self, name: &str) -> String {
        format!("| {name} | {} | {} | {} | {} |\n", self.changed, self.deleted, self.recreated, self.foreign)
    }

    fn words(self) -> String {
        let kinds = [
            (self.changed, DriftKind::Changed),
            (self.deleted, DriftKind::Deleted),
            (self.recreated, DriftKind::Recreated),
            (self.foreign, DriftKind::Foreign),
        ];
        kinds
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{} {}", thousands(count), kind.word()))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn head(drift: &Drift<'_>, page: &mut Page, budget: Budget) {
    // Each stack has a marker, so that tools find the comment by any of its stacks.
    page.fill(budget.part(10), drift.stacks.iter().map(|stack| marker("drift", stack)), |_| String::new());
    page.push(&match drift.stacks {
        [] => "### terrace drift\n\n".to_owned(),
        stacks => format!("### terrace drift: {}\n\n", named(stacks.iter())),
    });
    if drift.items.is_empty() {
        page.push(&match drift.uncertainty {
            None => format!("{}\n", nothing_found(drift.stacks)),
            Some(why) => format!("**There may be drift: {why}.**\n"),
        });
    } else {
        page.push(&format!("{}\n({})\n", verdict(drift.items.len()), Counts::of(drift.items).words()));
        if let Some(why) = drift.uncertainty {
            page.push(&format!("\n**There may be more drift: {why}.**\n"));
        }
    }
    page.push("\n");
}

fn table(stacks: &ByStack<'_>, page: &mut Page, budget: Budget) {
    if stacks.len() < 2 {
        return;
    }
    page.push("| stack | changed | deleted | recreated | foreign |\n|---|--:|--:|--:|--:|\n");
    let of = |items: &[&DriftItem]| Counts::of(items.iter().copied());
    let lines = stacks.iter().map(|(stack, items)| of(items).to_line(&code(&stack.to_string(), 120)));
    page.fill(budget.part(6), lines, |shown| {
        let rest = Counts::of(stacks.values().skip(shown).flatten().copied());
        rest.to_line(&format!("… {} more", stacks.len() - shown))
    });
    page.push("\n");
}

/// Adds the lists that a reader must see: missing or recreated objects, and external grants.
fn lists(drift: &Drift<'_>, page: &mut Page, budget: Budget) {
    listed(drift, page, budget, "Deleted or recreated", &[DriftKind::Deleted, DriftKind::Recreated]);
    listed(drift, page, budget, "External grants", &[DriftKind::Foreign]);
}

fn listed(drift: &Drift<'_>, page: &mut Page, budget: Budget, title: &str, kinds: &[DriftKind]) {
    let items: Vec<&DriftItem> = drift.items.iter().filter(|item| kinds.contains(&item.kind)).collect();
    if items.is_empty() {
        return;
    }
    page.push(&format!("#### {title}: {}\n\n", thousands(items.len())));
    let is_one_stack = drift.stacks.len() == 1;
    let lines = items.iter().map(|item| {
        let address = match is_one_stack && drift.stacks.contains(&item.stack) {
            true => name_of(item),
            false => format!("{}:{}", item.stack, name_of(item)),
        };
        format!("- `{}` {} {}\n", sign(item.kind), code(&address, LONGEST), item.kind.word())
    });
    page.fill(budget.part(3), lines, |shown| {
        let rest = Counts::of(items.iter().skip(shown).copied());
        format!("- … {} more: {}\n", thousands(items.len() - shown), rest.words())
    });
    page.push("\n");
}

fn folds(stacks: &ByStack<'_>) -> Vec<Fold> {
    let fold = |(stack, items): (&&StackId, &Vec<&DriftItem>)| Fold {
        title: stack.to_string(),
        entries: items.iter().map(|item| entry(item)).collect(),
    };
    stacks.iter().map(fold).collect()
}

fn entry(item: &DriftItem) -> Entry {
    let column = first_column(sign(item.kind));
    let text = format!("{}   {}", visible(&name_of(item)), item.kind.word());
    Entry {
        is_minor: item.kind == DriftKind::Changed,
        head: format!("{column} {}\n", fenced(&cut(&text, 400))),
        bodies: bodies(|style| lines(item, style)),
        group: format!("{column} {}", item.kind.word()),
    }
}

fn tail(drift: &Drift<'_>) -> String {
    let command = code(drift.command, LONGEST);
    match drift.items.is_empty() {
        true => format!("Checked with {command}\n"),
        false if drift.items.iter().all(|item| item.kind == DriftKind::Foreign) => format!(
            "Plans keep external grants, or revoke them if `settings.access.foreign` is `revoke`.\n\
             The full list: {command}\n"
        ),
        false => format!(
            "The value before the arrow is the recorded one, the value after it is the present one. An apply restores the described \
             values; with `--refresh-only` it records the present values.\nThe full list: {command}\n"
        ),
    }
}
