//! Two resources that name one object: each would undo what the other does.

use super::{Change, StackPlan};
use crate::diagnostic::Diagnostic;
use crate::registry::Registry;
use std::collections::HashMap;
use terrace_provider::Attributes;

/// Reports the resources of a plan that name the same object of the same provider instance.
pub(super) fn check(registry: &Registry, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: HashMap<(&str, &str, String), (&StackPlan, &Change)> = HashMap::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some(after) = change.after.as_ref().filter(|_| change.action.leaves_object()) else { continue };
        let Some((_, ty)) = registry.resource_type(&change.address.ty) else { continue };
        let Some(identity) = ty.identity_of(&after.attributes).filter(|identity| !identity.is_empty()) else {
            continue;
        };
        let key = (change.provider.as_str(), ty.name, named(&identity));
        let Some((other_stack, other)) = first.get(&key).copied() else {
            first.insert(key, (stack, change));
            continue;
        };
        let names: Vec<String> = identity.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
        let mut diagnostic = Diagnostic::error(
            "one_object_twice",
            format!(
                "{}:{} and {}:{} name one object: {}",
                other_stack.stack,
                other.address,
                stack.stack,
                change.address,
                names.join(", ")
            ),
        );
        for place in [&change.place, &other.place].into_iter().flatten() {
            diagnostic = diagnostic.at_place(place.clone());
        }
        diagnostics.push(diagnostic.hint("give one of them another name, or declare it once"));
    }
}

fn named(identity: &Attributes) -> String {
    identity.values().map(|value| value.to_revealed_json().to_string()).collect::<Vec<_>>().join("/")
}
