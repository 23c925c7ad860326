//! Refuses lookups of objects that the same plan removes: their consumers would depend on a missing object, and the lookup
//! would fail in the next plan.

use super::lookup_dependencies::LookupDependencies;
use super::object_identity::{ObjectKey, keys_of};
use super::{Change, StackPlan};
use std::collections::HashMap;
use terrace_language::action::Reason;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::registry::Registry;

/// Reports lookups of objects that the plan removes without creating them again.
pub(super) fn check(
    registry: &Registry,
    stacks: &[StackPlan],
    lookups: &LookupDependencies,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if stacks.iter().all(|stack| lookups.requests_of(&stack.stack).is_empty()) {
        return;
    }
    let mut removed: HashMap<ObjectKey<'_>, (&StackPlan, &Change)> = HashMap::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        if let Some(prior) = change.basis.prior.as_ref().filter(|_| is_removed(change)) {
            let keys = keys_of(registry, change, &prior.attributes).into_iter();
            removed.extend(keys.map(|key| (key, (stack, change))));
        }
    }
    for request in stacks.iter().flat_map(|stack| lookups.requests_of(&stack.stack)) {
        if request.failed.is_some() || request.keys.iter().any(|key| lookups.exists(request.types, key)) {
            continue;
        }
        if let Some((of, change)) = request.keys.iter().find_map(|key| removed.get(key)) {
            let message = format!(
                "{}:{} looks up an object that this plan removes: {}:{}",
                request.stack, request.address, of.stack, change.address
            );
            let diagnostic = request.at_places(Diagnostic::error("lookup_of_removed", message));
            diagnostics.push(diagnostic.hint("look up an object that exists after the apply, or remove the lookup"));
        }
    }
}

/// True if the plan removes an existing object.
fn is_removed(change: &Change) -> bool {
    change.action.removes_object() && change.why.reason != Some(Reason::Gone)
}
