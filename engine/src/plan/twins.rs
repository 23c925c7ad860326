//! Two resources that name one object: each would undo what the other does. And a resource that names the object of one
//! that goes: it is the same one under another name.

use super::{Change, StackPlan};
use crate::action::{Action, Reason};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::registry::Registry;
use std::collections::HashMap;
use std::fmt;
use terrace_provider::{Attributes, ResourceType};

/// Reports the resources of a plan that name the same object of the same provider instance.
pub(super) fn check(registry: &Registry, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: HashMap<(&str, &str, String), (&StackPlan, &Change)> = HashMap::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some(after) = change.after.as_ref().filter(|_| change.action.leaves_object()) else { continue };
        let Some((_, ty)) = registry.resource_type(&change.address.ty) else { continue };
        let names = names(ty, &after.attributes);
        let keys: Vec<_> = names.iter().map(|name| (change.provider.as_str(), ty.identity_space, name.key())).collect();
        let same = names.iter().zip(&keys).find_map(|(name, key)| {
            let (other_stack, other) = *first.get(key)?;
            // What objects that are there have for ids is their provider's business.
            let counts = !name.is_id || [change, other].iter().any(|one| one.action == Action::Create);
            counts.then_some((name, (other_stack, other)))
        });
        let Some((name, (other_stack, other))) = same else {
            first.extend(keys.into_iter().map(|key| (key, (stack, change))));
            continue;
        };
        let mut diagnostic = Diagnostic::error(
            "one_object_twice",
            format!(
                "{}:{} and {}:{} name one object: {name}",
                other_stack.stack, other.address, stack.stack, change.address
            ),
        );
        for place in [&change.place, &other.place].into_iter().flatten() {
            diagnostic = diagnostic.at_place(place.clone());
        }
        diagnostics.push(diagnostic.hint("give one of them another name, or declare it once"));
    }
    // Another mistake may be why something goes.
    if has_errors(diagnostics) {
        return;
    }
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some((ty, name)) = left_name(registry, change) else { continue };
        let key = (change.provider.as_str(), ty.identity_space, name.key());
        let takes_it = |other: &Change| match change.action {
            // What is dropped from state may be taken over.
            Action::Forget => other.action == Action::Create,
            _ => matches!(other.action, Action::Create | Action::Adopt),
        };
        if let Some((other_stack, other)) = first.get(&key).filter(|(_, other)| takes_it(other)) {
            diagnostics.push(renamed((stack, change), (other_stack, other), &name));
        }
    }
}

/// The name of an object whose row goes, as long as the object is there.
fn left_name<'a>(registry: &'a Registry, change: &Change) -> Option<(&'a ResourceType, Name)> {
    if change.action.leaves_object() || change.reason == Some(Reason::Gone) || change.deposed.is_some() {
        return None;
    }
    let (_, ty) = registry.resource_type(&change.address.ty)?;
    let name = names(ty, &change.prior.as_ref()?.attributes).into_iter().find(|name| !name.is_id)?;
    Some((ty, name))
}

/// An object that is recorded as one resource and declared as another: to make it fails, and to remove it takes it from
/// both.
fn renamed(
    (stack, change): (&StackPlan, &Change),
    (other_stack, other): (&StackPlan, &Change),
    name: &Name,
) -> Diagnostic {
    let (from, to) = (&change.address, &other.address);
    let message =
        format!("{}:{to} names the object that is recorded as {}:{from}: {name}", other_stack.stack, stack.stack);
    let diagnostic = Diagnostic::error("renamed_without_moved", message);
    let diagnostic = other.place.iter().fold(diagnostic, |told, place| told.at_place(place.clone()));
    match stack.stack == other_stack.stack && from.ty == to.ty && !from.is_shared() && !to.is_shared() {
        true => diagnostic.hint(format!("say that it is the same one: `moved: [{{from: '{from}', to: '{to}'}}]`")),
        false => diagnostic.hint("apply the removal of the one first, then declare the other"),
    }
}

/// One of the names of an object.
struct Name {
    parts: Attributes,
    is_id: bool,
}

impl Name {
    /// What tells it from others. Nobody gets to see it: it says what is sensitive.
    fn key(&self) -> String {
        let mut key = String::new();
        for (name, value) in &self.parts {
            // Most are texts, and there are as many as there are objects.
            match value.as_str() {
                Some(text) => key.extend([name, "=", text, "\0"]),
                None => key.extend([name, ":", &value.to_revealed_json().to_string(), "\0"]),
            }
        }
        key
    }
}

impl fmt::Display for Name {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().map(|(name, value)| format!("{name} {}", value.to_json()));
        to.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

/// What names an object: how it is written, and its id, where that is known before the object is there. Two ways of
/// writing may lead to one id.
fn names(ty: &ResourceType, attributes: &Attributes) -> Vec<Name> {
    let Some(identity) = ty.identity_of(attributes).filter(|identity| !identity.is_empty()) else { return Vec::new() };
    let id = attributes.get("id").filter(|id| id.as_str().is_some());
    let id = id.map(|id| Name { parts: Attributes::from([("id".to_owned(), id.clone())]), is_id: true });
    std::iter::once(Name { parts: identity, is_id: false }).chain(id).collect()
}
