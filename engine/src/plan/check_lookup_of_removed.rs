//! Refuses lookups of objects that the same plan removes: their consumers would depend on a missing object, and the lookup
//! would fail in the next plan.

use super::lookup_dependencies::LookupDependencies;
use super::object_identity::{ObjectKey, keys_of};
use super::{Change, StackPlan};
use crate::action::Reason;
use crate::diagnostic::Diagnostic;
use crate::registry::Registry;
use std::collections::HashMap;

/// Reports lookups of objects that the plan removes and does not make again.
pub(super) fn check(
    registry: &Registry,
    stacks: &[StackPlan],
    looking: &LookupDependencies,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if stacks.iter().all(|stack| looking.asked_by(&stack.stack).is_empty()) {
        return;
    }
    let mut removed: HashMap<ObjectKey<'_>, (&StackPlan, &Change)> = HashMap::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        if let Some(prior) = change.prior.as_ref().filter(|_| goes(change)) {
            let keys = keys_of(registry, change, &prior.attributes).into_iter();
            removed.extend(keys.map(|key| (key, (stack, change))));
        }
    }
    for asked in stacks.iter().flat_map(|stack| looking.asked_by(&stack.stack)) {
        if asked.failed.is_some() || asked.keys.iter().any(|key| looking.is_there(asked.types, key)) {
            continue;
        }
        if let Some((of, change)) = asked.keys.iter().find_map(|key| removed.get(key)) {
            let message = format!(
                "{}:{} looks at an object that this plan removes: {}:{}",
                asked.stack, asked.address, of.stack, change.address
            );
            let diagnostic = asked.tell(Diagnostic::error("lookup_of_removed", message));
            diagnostics
                .push(diagnostic.hint("look at what is there once the plan is applied, or take the lookup away"));
        }
    }
}

/// True when the object that was there is gone once the plan is applied.
fn goes(change: &Change) -> bool {
    change.action.removes_object() && change.reason != Some(Reason::Gone)
}
