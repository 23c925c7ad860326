//! Lookups of objects that the same plan removes: what reads their answers would stand on what is not there any more, and
//! the next plan would have no answer.

use super::twins::names;
use super::{Change, Lookup, StackPlan};
use crate::action::Reason;
use crate::diagnostic::Diagnostic;
use crate::registry::Registry;
use std::collections::{HashMap, HashSet};
use terrace_provider::{Attributes, ResourceType, Value};

/// What names an object: its provider instance, what its type shares names with, its name or id.
type Key<'a> = (&'a str, &'static str, String);

/// Reports lookups of objects that the plan removes and does not make again.
pub(super) fn check(registry: &Registry, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    if stacks.iter().all(|stack| stack.lookups.is_empty()) {
        return;
    }
    let changes = || stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)));
    let keys = |change: &'_ Change, attributes: &Attributes| -> Vec<(&'static str, String)> {
        let Some((_, ty)) = registry.resource_type(&change.address.ty) else { return Vec::new() };
        names(ty, attributes).iter().map(|name| (ty.identity_space, name.key())).collect()
    };
    let mut removed: HashMap<Key<'_>, (&StackPlan, &Change)> = HashMap::new();
    for (stack, change) in changes() {
        if let Some(prior) = change.prior.as_ref().filter(|_| goes(change)) {
            let keys = keys(change, &prior.attributes).into_iter();
            removed.extend(keys.map(|(space, key)| ((change.provider.as_str(), space, key), (stack, change))));
        }
    }
    if removed.is_empty() {
        return;
    }
    let mut there: HashSet<Key<'_>> = HashSet::new();
    for (_, change) in changes().filter(|(_, change)| change.action.leaves_object()) {
        if let Some(after) = &change.after {
            let keys = keys(change, &after.attributes).into_iter();
            there.extend(keys.map(|(space, key)| (change.provider.as_str(), space, key)));
        }
    }
    for (stack, lookup) in stacks.iter().flat_map(|stack| stack.lookups.iter().map(move |lookup| (stack, lookup))) {
        let asked = asked(registry, lookup);
        if asked.iter().any(|key| there.contains(key)) {
            continue;
        }
        if let Some((of, change)) = asked.iter().find_map(|key| removed.get(key)) {
            let message = format!(
                "{}:{} looks at an object that this plan removes: {}:{}",
                stack.stack, lookup.address, of.stack, change.address
            );
            let diagnostic = Diagnostic::error("lookup_of_removed", message);
            let diagnostic = lookup.place.iter().fold(diagnostic, |told, place| told.at_place(place.clone()));
            diagnostics
                .push(diagnostic.hint("look at what is there once the plan is applied, or take the lookup away"));
        }
    }
}

/// True when the object that was there is gone once the plan is applied.
fn goes(change: &Change) -> bool {
    change.action.removes_object() && change.reason != Some(Reason::Gone)
}

/// The objects that a lookup may look at: by what it asks, and by the id of what was found.
fn asked<'a>(registry: &Registry, lookup: &'a Lookup) -> Vec<Key<'a>> {
    let Some((_, schema)) = registry.lookup(lookup.name()) else { return Vec::new() };
    let mut known = lookup.arguments.clone();
    if let Value::Map(answer) = &lookup.result {
        known.extend(answer.get("id").map(|id| ("id".to_owned(), id.clone())));
    }
    let types = schema.objects.iter().filter_map(|name| Some(registry.resource_type(name)?.1));
    let keys = |ty: &ResourceType| -> Vec<Key<'a>> {
        let names = names(ty, &known);
        names.iter().map(|name| (lookup.provider.as_str(), ty.identity_space, name.key())).collect()
    };
    types.flat_map(keys).collect()
}
