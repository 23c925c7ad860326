//! Two resources that name one object: each would undo what the other does.

use super::{Change, StackPlan};
use crate::action::Action;
use crate::diagnostic::Diagnostic;
use crate::registry::Registry;
use std::collections::HashMap;
use terrace_provider::{Attributes, ResourceType, Value};

/// Reports the resources of a plan that name the same object of the same provider instance.
pub(super) fn check(registry: &Registry, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: HashMap<(&str, &str, String), (&StackPlan, &Change)> = HashMap::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some(after) = change.after.as_ref().filter(|_| change.action.leaves_object()) else { continue };
        let Some((_, ty)) = registry.resource_type(&change.address.ty) else { continue };
        let names = names(ty, &after.attributes);
        let key = |name: &Name| (change.provider.as_str(), ty.name, name.key.clone());
        let same = names.iter().find_map(|name| {
            let (other_stack, other) = *first.get(&key(name))?;
            // What objects that are there have for ids is their provider's business.
            let counts = !name.is_id || [change, other].iter().any(|one| one.action == Action::Create);
            counts.then_some((name, (other_stack, other)))
        });
        let Some((name, (other_stack, other))) = same else {
            first.extend(names.iter().map(|name| (key(name), (stack, change))));
            continue;
        };
        let mut diagnostic = Diagnostic::error(
            "one_object_twice",
            format!(
                "{}:{} and {}:{} name one object: {}",
                other_stack.stack, other.address, stack.stack, change.address, name.shown
            ),
        );
        for place in [&change.place, &other.place].into_iter().flatten() {
            diagnostic = diagnostic.at_place(place.clone());
        }
        diagnostics.push(diagnostic.hint("give one of them another name, or declare it once"));
    }
}

/// One of the names of an object.
struct Name {
    key: String,
    shown: String,
    is_id: bool,
}

/// What names an object: how it is written, and its id, where that is known before the object is there. Two ways of
/// writing may lead to one id.
fn names(ty: &ResourceType, attributes: &Attributes) -> Vec<Name> {
    let Some(identity) = ty.identity_of(attributes).filter(|identity| !identity.is_empty()) else { return Vec::new() };
    let id = attributes
        .get("id")
        .filter(|id| id.as_str().is_some())
        .map(|id| Attributes::from([("id".to_owned(), id.clone())]));
    let text = |parts: &Attributes, json: fn(&Value) -> serde_json::Value| {
        parts.iter().map(|(name, value)| format!("{name} {}", json(value))).collect::<Vec<_>>().join(", ")
    };
    let written =
        Name { key: text(&identity, Value::to_revealed_json), shown: text(&identity, Value::to_json), is_id: false };
    let id =
        id.map(|id| Name { key: text(&id, Value::to_revealed_json), shown: text(&id, Value::to_json), is_id: true });
    std::iter::once(written).chain(id).collect()
}
