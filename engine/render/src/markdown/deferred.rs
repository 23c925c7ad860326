//! Deferred changes. Never folded, because readers would take the plan for complete.

use super::budget::{Budget, LONGEST, Page};
use super::escape::{code, prose};
use crate::json::facts::qualified;
use crate::totals::deferred_sentence;
use terrace_language::text::thousands;
use terrace_plan::Plan;

pub(super) fn section(plan: &Plan, page: &mut Page, budget: Budget) {
    let Some(left) = deferred_sentence(plan) else { return };
    let total = plan.deferred().count();
    page.push(&format!("#### Left for another apply: {}\n\n", thousands(total)));
    let lines = plan.deferred().map(|(stack, deferred)| {
        let address = qualified(plan, &stack.stack, &deferred.address.to_string());
        format!("- {} {}\n", code(&address, LONGEST), prose(&deferred.text(), LONGEST))
    });
    page.fill(budget.part(10), lines, |shown| format!("- … {} more\n", thousands(total - shown)));
    page.push(&format!("\n{left}\n\n"));
}
