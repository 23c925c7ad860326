//! Totals of a plan: the line that Terraform wrappers search for, and terrace's own line below it.

use std::collections::BTreeSet;
use terrace_language::action::Action;
use terrace_language::address::ComponentKey;
use terrace_language::text::{counted, environment_option, shell_word, thousands, visible};
use terrace_plan::{Change, Counts, Mode, Part, Plan, StackPlan};

/// The code of warnings about a source spec whose plugin was not asked yet.
pub const SOURCE_SPEC: &str = "source_spec";

/// `6 to add, 1 to change, 1 to destroy`, in exactly Terraform's words and digits.
pub(crate) fn to_do(counts: &Counts) -> String {
    let imports = match counts.imported + counts.adopted {
        0 => String::new(),
        count => format!("{count} to import, "),
    };
    format!("{imports}{} to add, {} to change, {} to destroy", counts.add, counts.change, counts.destroy)
}

/// The line that wrappers match by regular expression, or its replacement.
pub(crate) fn verdict(plan: &Plan) -> String {
    match (plan.has_changes(), plan.is_errored) {
        (true, _) => format!("Plan: {}.", to_do(&plan.counts())),
        // A deferred resource does not match the configuration yet.
        (false, false) if plan.deferred().next().is_some() => format!("Plan: {}.", to_do(&plan.counts())),
        (false, false) if plan.mode == Mode::Destroy => "No changes. There is nothing to destroy.".to_owned(),
        (false, false) => match not_expanded(plan) {
            None => "No changes. Your infrastructure matches the configuration.".to_owned(),
            Some(specs) if plan.stacks.iter().all(|stack| stack.components.is_empty()) => {
                format!("nothing planned: {specs} not expanded")
            }
            Some(specs) => format!("No changes. Not planned: {specs} not expanded."),
        },
        (false, true) => "Planning failed with errors; the resources that could be planned have no changes.".to_owned(),
    }
}

/// The source specs without an answer of their plugin: `2 source specs`. `None` without such specs.
fn not_expanded(plan: &Plan) -> Option<String> {
    let count = plan.notes.iter().filter(|note| note.code == SOURCE_SPEC).count();
    (count > 0).then(|| counted(count, "source specs"))
}

/// `1 replaced, 1 retained in 2 of 5 components`; `None` if the verdict says everything.
pub(crate) fn details(plan: &Plan) -> Option<String> {
    let counts = plan.counts();
    let kinds = [
        (counts.replaced, "replaced"),
        (counts.moved, "moved"),
        (counts.imported, "imported"),
        (counts.adopted, "adopted"),
        (counts.forgotten, "forgotten"),
        (counts.retained, "retained"),
        (counts.drifted, "drifted"),
        (counts.in_doubt, "in doubt"),
        (counts.held_back, "waiting"),
    ];
    let parts: Vec<String> = kinds
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", thousands(count)))
        .collect();
    let scope = match (counts.components, counts.components_total) {
        (0, _) | (_, 0 | 1) => None,
        (touched, total) => Some(format!("in {} of {} components", thousands(touched), thousands(total))),
    };
    match (parts.is_empty(), scope) {
        (true, scope) => scope,
        (false, None) => Some(parts.join(", ")),
        // The components include those of other changes.
        (false, Some(scope)) if !plan.stacks.iter().all(is_counted_by_components) => {
            Some(format!("{}; changes {scope}", parts.join(", ")))
        }
        (false, Some(scope)) => Some(format!("{} {scope}", parts.join(", "))),
    }
}

/// True if the changes that `details` counts are in exactly the components that have changes.
fn is_counted_by_components(stack: &StackPlan) -> bool {
    let components = |changes: &mut dyn Iterator<Item = &Change>| -> BTreeSet<ComponentKey> {
        changes.map(|change| change.address.component.clone()).collect()
    };
    let counted_components = components(&mut stack.changes.iter().filter(|change| is_counted_by_kind(change)));
    let mut touched = components(&mut stack.changes.iter().filter(|change| change.is_change()));
    // Changes outside components do not count.
    touched.retain(|key| stack.components.iter().any(|component| !key.is_stack() && component.key == *key));
    counted_components == touched
}

/// True for a change that `details` counts by kind.
fn is_counted_by_kind(change: &Change) -> bool {
    change.action.is_replace()
        || matches!(change.action, Action::Adopt | Action::Forget | Action::Retain)
        || change.moves_from().is_some()
        || !change.why.drift.is_empty()
        || change.is_in_doubt()
        || change.is_held_back()
}

/// The sentence about a partial plan; `None` for a complete one.
pub(crate) fn part(plan: &Plan) -> Option<String> {
    const MOST: usize = 3;
    let components = || plan.stacks.iter().flat_map(|stack| &stack.components);
    let planned: Vec<String> = components()
        .filter(|component| component.part != Part::Untouched && !component.key.is_stack())
        .map(|component| format!("`{}`", visible(&component.key)))
        .collect();
    let untouched = components().filter(|component| component.part == Part::Untouched).count();
    let chosen = match planned.len() {
        0 if components().any(|component| component.part != Part::Untouched) => "the stack's own resources".to_owned(),
        0 => "the chosen resources".to_owned(),
        1..=MOST => planned.join(", "),
        many => format!("{many} of {} components", many + untouched),
    };
    // With targets and changes a warning already reports this.
    let has_targets = plan.notes.iter().any(|note| note.code == "partial_plan");
    match (untouched, plan.has_changes()) {
        _ if plan.is_complete || plan.is_errored => None,
        (_, true) if has_targets => None,
        (_, false) if has_targets => Some("Only the named resources were checked: the others may differ.".to_owned()),
        (1.., true) => Some(format!("This is a plan of {chosen} only.")),
        (1.., false) => Some(format!("Checked only {chosen}: the rest may differ.")),
        // Deferred changes have their own sentence.
        (0, _) => None,
    }
}

/// The sentence about deferred changes; `None` without them.
pub(crate) fn deferred_sentence(plan: &Plan) -> Option<String> {
    let count = plan.deferred().count();
    let resources = || counted(count, "resources");
    let again = format!("another `{}` goes on from there", next_apply(plan));
    match (count, plan.is_errored) {
        (0, _) => None,
        (_, true) => Some(format!("{} left for later.", resources())),
        (_, false) => Some(format!("{} left for later: once this plan is applied, {again}.", resources())),
    }
}

/// The command that continues with deferred changes.
fn next_apply(plan: &Plan) -> String {
    let files: String = plan.origin.descriptors.keys().map(|file| format!(" {}", shell_word(file))).collect();
    format!("terrace apply{files}{} --allow-deferral", environment_option(&plan.environment))
}

/// The sentence about deferred changes after an apply; `None` without them.
#[must_use]
pub fn remaining_deferred(plan: &Plan) -> Option<String> {
    let count = plan.deferred().count();
    let left = || format!("{} left: `{}` goes on from here.", counted(count, "resources"), next_apply(plan));
    (count > 0).then(left)
}

/// True for changes that a plan lists, including drift.
pub(crate) fn is_listed(change: &Change) -> bool {
    change.is_change() || !change.why.drift.is_empty()
}
