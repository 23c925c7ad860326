//! Destructive changes that a reviewer must see: deletions, replacements, data loss and steps in doubt. Never folded; omitted ones
//! are counted.

use super::budget::{Budget, LONGEST, Page};
use super::escape::{code, prose};
use crate::headline::{self, DESTROYS_DATA};
use crate::human::is_destructive;
use crate::json::facts::qualified;
use std::collections::BTreeMap;
use terrace_language::text::thousands;
use terrace_plan::{Change, Plan, StackPlan};

pub(super) fn section(plan: &Plan, page: &mut Page, budget: Budget, consent: &str) {
    let changes: Vec<(&StackPlan, &Change)> = plan.changes().filter(|(_, change)| is_destructive(change)).collect();
    if changes.is_empty() {
        return;
    }
    page.push(&format!("#### Destroyed, replaced or in doubt: {}\n\n", thousands(changes.len())));
    let lines = changes.iter().map(|(stack, change)| line(plan, stack, change, consent));
    let shown = page.fill(budget.part(3), lines, |_| String::new());
    rest(plan, changes.get(shown..).unwrap_or_default(), page, budget);
    page.push("\n");
    if plan.refused_data_loss().next().is_some() {
        page.push("Data would be lost: this plan is refused. To allow it, pass `--allow-data-loss=ADDRESS`.\n\n");
    }
}

fn line(plan: &Plan, stack: &StackPlan, change: &Change, consent: &str) -> String {
    let address = qualified(plan, &change.stack(&stack.stack), &change.address.to_string());
    let mut line = format!("- `{}` {}", headline::sign(change), code(&address, LONGEST));
    if let Some(deposed) = &change.deposed {
        line.push_str(&format!(" (deposed object {})", code(deposed, 40)));
    }
    let note = headline::note(change, plan.mode);
    if !note.is_empty() {
        line.push_str(&format!(" {}", prose(&note, LONGEST)));
    }
    if let Some(loss) = &change.data_loss {
        let danger = if loss.destroys() { format!(" **{DESTROYS_DATA}**") } else { String::new() };
        line.push_str(&format!("{danger} ({})", prose(&headline::loss(loss, consent), LONGEST)));
        if let Some(why) = loss.only_empty.as_ref().filter(|_| !loss.is_allowed) {
            line.push_str(&format!("; consent is not enough: {}", prose(why, LONGEST)));
        }
    }
    line.push('\n');
    line
}

/// Adds counts of the omitted changes: `storage/sqlite_table.table[…] × 9,812`.
fn rest(plan: &Plan, changes: &[(&StackPlan, &Change)], page: &mut Page, budget: Budget) {
    let mut groups: BTreeMap<(String, &str, bool), usize> = BTreeMap::new();
    for (stack, change) in changes {
        let name = qualified(plan, &change.stack(&stack.stack), &group(change));
        *groups
            .entry((name, headline::sign(change), change.data_loss.as_ref().is_some_and(|loss| loss.destroys())))
            .or_default() += 1;
    }
    let counts: Vec<usize> = groups.values().copied().collect();
    let lines = groups.iter().map(|((name, sign, loses_data), count)| {
        let danger = if *loses_data { format!(" **{DESTROYS_DATA}**") } else { String::new() };
        format!("- `{sign}` {} × {}{danger}\n", code(name, LONGEST), thousands(*count))
    });
    page.fill(budget.part(6), lines, |shown| {
        let left: usize = counts.iter().skip(shown).sum();
        format!("- … {} more under {} names\n", thousands(left), thousands(counts.len() - shown))
    });
}

/// The common name of a declaration's instances.
pub(super) fn group(change: &Change) -> String {
    let single = terrace_language::address::Address { key: None, ..change.address.clone() };
    match change.address.key {
        Some(_) => format!("{single}[…]"),
        None => single.to_string(),
    }
}
