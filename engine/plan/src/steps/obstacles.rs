//! Order of steps by the names of objects, where no reference determines it. An object obstructs another object of its name, and a
//! file obstructs a folder. A container is removed after its content.

use crate::key::Position;
use crate::needed::{keys_of, needs_of, removed};
use crate::object_identity::ObjectKey;
use crate::{Change, StackPlan};
use std::collections::{HashMap, HashSet};
use terrace_language::action::Action;
use terrace_language::registry::Registry;
use terrace_provider::{Attributes, ResourceType};

/// A removed object that obstructs a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Obstacle {
    pub(super) removed: Position,
    pub(super) created: Position,
}

/// The obstacles that a plan removes.
pub(super) fn obstacles(registry: &Registry, stacks: &[StackPlan]) -> Vec<Obstacle> {
    let is_removed = |change: &Change| change.action.removes_object() && change.deposed.is_none();
    if !stacks.iter().flat_map(|stack| &stack.changes).any(is_removed) {
        return Vec::new();
    }
    let mut named: HashMap<ObjectKey<'static>, Vec<Position>> = HashMap::new();
    let mut within: HashMap<ObjectKey<'static>, Vec<Position>> = HashMap::new();
    for (at, change) in positions(stacks).filter(|(_, change)| is_removed(change)) {
        let Some((ty, prior)) = object_type(registry, change).zip(change.basis.prior.as_ref()) else { continue };
        for key in keys_of(ty, &prior.attributes, &change.how.provider) {
            named.entry(key).or_default().push(at);
        }
        for key in needs_of(registry, ty, &prior.attributes, &change.how.provider) {
            within.entry(key).or_default().push(at);
        }
    }
    let mut found = Vec::new();
    for (at, change) in positions(stacks) {
        let Some((ty, created)) = object_type(registry, change).zip(created_attributes(change)) else { continue };
        let own = keys_of(ty, created, &change.how.provider);
        let needed = needs_of(registry, ty, created, &change.how.provider);
        let in_place = own.iter().chain(&needed).filter_map(|key| named.get(key));
        let inside = own.iter().filter_map(|key| within.get(key));
        let removed: HashSet<Position> = in_place.chain(inside).flatten().copied().filter(|of| *of != at).collect();
        found.extend(removed.into_iter().map(|removed| Obstacle { removed, created: at }));
    }
    found.sort_unstable_by_key(|obstacle| (obstacle.removed, obstacle.created));
    found
}

/// The objects that need a removed object, such as a container or an owner, each with that object.
pub(super) fn users(registry: &Registry, stacks: &[StackPlan]) -> Vec<(Position, Position)> {
    let removed = removed(registry, stacks);
    if removed.is_empty() {
        return Vec::new();
    }
    let current = positions(stacks).filter(|(_, change)| change.deposed.is_none());
    let users = current
        .filter_map(|(at, change)| Some((at, change, object_type(registry, change)?, change.basis.prior.as_ref()?)));
    let needs = users.flat_map(|(at, change, ty, prior)| {
        let needed = needs_of(registry, ty, &prior.attributes, &change.how.provider);
        let needed: HashSet<Position> = needed.iter().filter_map(|key| removed.get(key).copied()).collect();
        needed.into_iter().filter(move |needed| *needed != at).map(move |needed| (at, needed))
    });
    let mut found: Vec<_> = needs.collect();
    found.sort_unstable();
    found
}

fn positions(stacks: &[StackPlan]) -> impl Iterator<Item = (Position, &Change)> {
    stacks
        .iter()
        .enumerate()
        .flat_map(|(stack, plan)| plan.changes.iter().enumerate().map(move |(at, change)| ((stack, at), change)))
}

/// The type of a change's object; `None` for a state-only resource.
fn object_type<'r>(registry: &'r Registry, change: &Change) -> Option<&'r ResourceType> {
    registry.resource_type(&change.address.ty).map(|(_, ty)| ty).filter(|ty| !ty.state_only)
}

/// The attributes of the object that a change creates.
fn created_attributes(change: &Change) -> Option<&Attributes> {
    let creates_object = change.action == Action::Create || change.action.is_replace();
    change.after.as_ref().filter(|_| creates_object && change.deposed.is_none()).map(|after| &after.attributes)
}
