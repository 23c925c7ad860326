//! Two resources that name one object: each would undo what the other does. And a resource that names the object of one
//! that goes: it is the same one under another name.

use super::names::{Name, ObjectKey, names};
use super::{Change, StackPlan};
use crate::action::{Action, Reason};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::moves::as_command;
use crate::quick::QuickMap;
use crate::registry::Registry;
use crate::render::shell_word;
use terrace_provider::ResourceType;

/// Reports the resources of a plan that name the same object of the same provider instance.
pub(super) fn check(registry: &Registry, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: QuickMap<ObjectKey<'_>, (&StackPlan, &Change)> = QuickMap::default();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some(after) = change.after.as_ref().filter(|_| change.action.leaves_object()) else { continue };
        // What lives in the state alone is no object that anybody else could name.
        let ty = registry.resource_type(&change.address.ty).map(|(_, ty)| ty).filter(|ty| !ty.state_only);
        let Some(ty) = ty else { continue };
        let names = names(ty, &after.attributes);
        let keys: Vec<_> = names.iter().map(|name| name.of(ty, &change.provider)).collect();
        let same = names.iter().zip(&keys).find_map(|(name, key)| {
            let (other_stack, other) = *first.get(key)?;
            // What objects that are there have for ids is their provider's business.
            let counts = !name.is_id || [change, other].iter().any(|one| begins_to_have(one.action));
            counts.then_some((name, (other_stack, other)))
        });
        let Some((name, (other_stack, other))) = same else {
            first.extend(keys.into_iter().map(|key| (key, (stack, change))));
            continue;
        };
        let diagnostic = Diagnostic::error(
            "one_object_twice",
            format!(
                "{}:{} and {}:{} name one object: {name}",
                other_stack.stack, other.address, stack.stack, change.address
            ),
        );
        let diagnostic = other_stack.tell(stack.tell(diagnostic, &change.address), &other.address);
        diagnostics.push(diagnostic.hint("give one of them another name, or declare it once"));
    }
    // Another mistake may be why something goes.
    if has_errors(diagnostics) {
        return;
    }
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some((ty, left)) = left_names(registry, change) else { continue };
        let taker = left.iter().find_map(|name| {
            let (other_stack, other) = *first.get(&name.of(ty, &change.provider))?;
            let is_taken = takes(other, name, ty, change) && !waits_for((other_stack, other), (stack, change));
            is_taken.then_some((name, (other_stack, other)))
        });
        if let Some((name, other)) = taker {
            diagnostics.push(renamed((stack, change), other, name));
        }
    }
}

/// True when the resource may not have had the object until now.
const fn begins_to_have(action: Action) -> bool {
    matches!(action, Action::Create | Action::Adopt) || action.is_replace()
}

/// The names of an object whose resource leaves it, as long as the object is there.
fn left_names<'a>(registry: &'a Registry, change: &Change) -> Option<(&'a ResourceType, Vec<Name>)> {
    let is_left = !change.action.leaves_object() || change.action.is_replace();
    if !is_left || change.reason == Some(Reason::Gone) || change.deposed.is_some() {
        return None;
    }
    let (_, ty) = registry.resource_type(&change.address.ty).filter(|(_, ty)| !ty.state_only)?;
    Some((ty, names(ty, &change.prior.as_ref()?.attributes)))
}

/// True when the object is another resource's once the plan is applied, or would be if it were not removed.
fn takes(other: &Change, name: &Name, ty: &ResourceType, left: &Change) -> bool {
    match other.action {
        // Both are recorded as it, and one of them takes it away from the other.
        Action::NoOp | Action::Update => left.action.removes_object() && !name.is_id,
        Action::Create => true,
        // What is dropped from state may be taken over.
        Action::Adopt => left.action != Action::Forget,
        action if action.is_replace() => {
            let had = other.prior.as_ref().map(|prior| names(ty, &prior.attributes)).unwrap_or_default();
            !had.iter().any(|had| had.key() == name.key())
        }
        _ => false,
    }
}

/// True when an object of that name is made only once the old one is gone.
fn waits_for((other_stack, other): (&StackPlan, &Change), (stack, change): (&StackPlan, &Change)) -> bool {
    let is_gone_first = change.action == Action::Replace && other.action != Action::Adopt;
    if !is_gone_first || other_stack.stack != stack.stack {
        return false;
    }
    let component = stack.components.iter().find(|component| component.key == other.address.component);
    let is_before = |key: &String| *key == change.address.component;
    other.depends_on.contains(&change.address)
        || component.is_some_and(|component| component.depends_on.iter().any(is_before))
}

/// An object that is recorded as one resource and declared as another: to make it fails, and to remove it takes it from
/// both. A replacement removes it, too.
fn renamed(
    (stack, change): (&StackPlan, &Change),
    (other_stack, other): (&StackPlan, &Change),
    name: &Name,
) -> Diagnostic {
    let (from, to) = (&change.address, &other.address);
    let message =
        format!("{}:{to} names the object that is recorded as {}:{from}: {name}", other_stack.stack, stack.stack);
    let diagnostic = Diagnostic::error("renamed_without_moved", message);
    let diagnostic = other_stack.tell(diagnostic, to);
    let is_shared = from.is_shared() && to.is_shared();
    let is_own = stack.stack == other_stack.stack && !from.is_shared() && !to.is_shared();
    if !begins_to_have(other.action) {
        let drop = shell_word(&format!("{}:{from}", stack.stack));
        return diagnostic.hint(format!("`terrace state rm {drop}` drops the one record and leaves the object"));
    }
    match change.action.is_replace() {
        true => diagnostic.hint("apply the replacement of the one first, then have the other name what it leaves"),
        false if is_own && from.ty == to.ty => {
            diagnostic.hint(format!("say that it is the same one: `moved: [{{from: '{from}', to: '{to}'}}]`"))
        }
        false if is_shared && from.ty == to.ty => {
            let command = as_command(&stack.stack, from, to);
            diagnostic.hint(format!("where it is the same one, move it first: `{command}`"))
        }
        false => diagnostic.hint("apply the removal of the one first, then declare the other"),
    }
}
