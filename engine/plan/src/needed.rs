//! Objects that other objects need: the schema of a table, the owner of a schema.
//!
//! The planner retains the objects that a retained object needs. It refuses to delete an object that a kept object still
//! needs: the system would refuse that, or delete more than the plan shows. A replacement deletes the old object, too.

use super::failure::PlanFailure;
use super::key::Position;
use super::object_identity::{ObjectKey, names, owned};
use super::owner::OwnerAction;
use super::planner::Planner;
use super::{Change, StackPlan, row_stack};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, StackId};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::registry::Registry;
use terrace_provider::{Attributes, ResourceType};
use terrace_store::RowStatus;
use terrace_store::record;

/// The code of errors about the deletion of a needed object.
const STILL_NEEDED: &str = "still_needed";

/// Retains the objects that retained objects need, and reports deletions of objects that kept objects need.
pub(super) async fn settle(
    planner: &Planner<'_>,
    stacks: &mut [StackPlan],
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    let mut removed = removed(planner.registry, stacks);
    if removed.is_empty() {
        return Ok(());
    }
    let kept = retained_with(planner, stacks, &mut removed).await?;
    check(planner.registry, stacks, &removed, diagnostics);
    // From the last to the first: a change that is taken out leaves the positions before it as they are.
    for (at, by) in kept.into_iter().rev() {
        match replaced(stacks, at) {
            Some((stack, change)) => diagnostics.push(needed_by_retained(stack, change, &by)),
            None => retain(stacks, at, diagnostics),
        }
    }
    Ok(())
}

/// The objects that a plan deletes or replaces and that objects of other types may need.
pub(super) fn removed(registry: &Registry, stacks: &[StackPlan]) -> HashMap<ObjectKey<'static>, Position> {
    let types = registry.schemas().flat_map(|schema| &schema.resources);
    let needed: HashSet<&str> = types.flat_map(|ty| ty.needs).map(|need| need.ty).collect();
    let mut removed = HashMap::new();
    for (stack, plan) in stacks.iter().enumerate() {
        let deleted = plan.changes.iter().enumerate().filter(|(_, change)| {
            let is_deleted = change.action.removes_object() && change.why.reason != Some(Reason::Gone);
            is_deleted
                && change.deposed.is_none()
                && change.in_doubt.is_none()
                && needed.contains(change.address.ty.as_str())
        });
        for (at, change) in deleted {
            let Some((_, ty)) = registry.resource_type(&change.address.ty) else { continue };
            let attributes = change.basis.prior.iter().map(|prior| &prior.attributes);
            let keys = attributes.flat_map(|attributes| keys_of(ty, attributes, &change.how.provider));
            removed.extend(keys.map(|key| (key, (stack, at))));
        }
    }
    removed
}

/// The comparison keys of an object, one for each of its names.
pub(super) fn keys_of(ty: &ResourceType, attributes: &Attributes, instance: &str) -> Vec<ObjectKey<'static>> {
    names(ty, attributes).iter().map(|name| owned(name.of(ty, instance))).collect()
}

/// The keys of the objects that an object of these attributes needs.
pub(super) fn needs_of(
    registry: &Registry,
    ty: &ResourceType,
    attributes: &Attributes,
    instance: &str,
) -> Vec<ObjectKey<'static>> {
    let needed = ty.needs.iter().filter_map(|need| Some((registry.resource_type(need.ty)?.1, need)));
    let keys = needed.flat_map(|(needed, need)| {
        (need.identities)(attributes).into_iter().flat_map(move |identity| keys_of(needed, &identity, instance))
    });
    keys.collect()
}

/// The removals of objects that retained objects need, each with the address of such an object. They are taken out of `removed`.
async fn retained_with(
    planner: &Planner<'_>,
    stacks: &[StackPlan],
    removed: &mut HashMap<ObjectKey<'static>, Position>,
) -> Result<BTreeMap<Position, String>, PlanFailure> {
    let registry = planner.registry;
    let mut waiting: Vec<(ObjectKey<'static>, String)> = Vec::new();
    let mut planned: HashSet<(StackId, &Address)> = HashSet::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        planned.insert((row_stack(&stack.stack, &change.address), &change.address));
        if change.action == Action::Retain {
            let by = format!("{}:{}", change.stack(&stack.stack), change.address);
            waiting.extend(needs_before(registry, change).into_iter().map(|key| (key, by.clone())));
        }
    }
    let positions: BTreeSet<Position> = removed.values().copied().collect();
    let removed_types: HashSet<&str> = positions
        .iter()
        .filter_map(|(stack, at)| Some(stacks.get(*stack)?.changes.get(*at)?.address.ty.as_str()))
        .collect();
    for row in planner.store.retained_rows(&planner.environment.name).await? {
        let ty = registry.resource_type(&row.address.ty).map(|(_, ty)| ty);
        let needs_removed = |ty: &&ResourceType| ty.needs.iter().any(|need| removed_types.contains(need.ty));
        let Some(ty) = ty.filter(needs_removed) else { continue };
        if planned.contains(&(row.stack.clone(), &row.address)) {
            continue;
        }
        let sealed = |error| PlanFailure::Sealed { address: format!("{}:{}", row.stack, row.address), error };
        let attributes = record::open_attributes(&row, planner.seal).map_err(sealed)?;
        let by = format!("{}:{}", row.stack, row.address);
        let needed = needs_of(registry, ty, &attributes, &row.provider);
        waiting.extend(needed.into_iter().map(|key| (key, by.clone())));
    }
    let mut kept = BTreeMap::new();
    while let Some((key, by)) = waiting.pop() {
        let Some((stack, at)) = removed.get(&key).copied().filter(|at| !kept.contains_key(at)) else { continue };
        kept.insert((stack, at), by.clone());
        let change = stacks.get(stack).and_then(|plan| plan.changes.get(at));
        let needed = change.into_iter().flat_map(|change| needs_before(registry, change));
        waiting.extend(needed.map(|key| (key, by.clone())));
    }
    removed.retain(|_, at| !kept.contains_key(at));
    Ok(kept)
}

fn needs_before(registry: &Registry, change: &Change) -> Vec<ObjectKey<'static>> {
    let ty = registry.resource_type(&change.address.ty).map(|(_, ty)| ty);
    let known = ty.zip(change.basis.prior.as_ref());
    known.map(|(ty, prior)| needs_of(registry, ty, &prior.attributes, &change.how.provider)).unwrap_or_default()
}

/// The keys of the objects that an object needs after the apply. An earlier need persists unless another value replaces it, because
/// a provider keeps an owner that is no longer configured.
fn needs_after(registry: &Registry, ty: &ResourceType, change: &Change, after: &Attributes) -> Vec<ObjectKey<'static>> {
    let configured = ty.attributes.0.iter().filter(|attribute| attribute.configurable);
    let is_known = configured.filter_map(|attribute| after.get(attribute.name)).all(|value| !value.has_unknown());
    let prior = change.basis.prior.as_ref().filter(|_| is_known);
    let needed = ty.needs.iter().filter_map(|need| Some((registry.resource_type(need.ty)?.1, need)));
    let keys = needed.flat_map(|(needed, need)| {
        let stated = (need.identities)(after);
        let identities = match prior.filter(|_| stated.is_empty()) {
            Some(prior) => (need.identities)(&prior.attributes),
            None => stated,
        };
        identities.into_iter().flat_map(move |identity| keys_of(needed, &identity, &change.how.provider))
    });
    keys.collect()
}

/// The change at a position, if it replaces its object.
fn replaced(stacks: &[StackPlan], (stack, at): Position) -> Option<(&StackPlan, &Change)> {
    let plan = stacks.get(stack)?;
    Some((plan, plan.changes.get(at).filter(|change| change.action.is_replace())?))
}

/// The error about a replacement of an object that a retained object needs.
fn needed_by_retained(stack: &StackPlan, change: &Change, by: &str) -> Diagnostic {
    let address = &change.address;
    let about = format!("{}:{address}", change.stack(&stack.stack));
    let message = format!("{about} would be replaced, and {by}, whose data is retained, needs it");
    stack
        .at_places(Diagnostic::error(STILL_NEEDED, message).about(about), address)
        .hint(format!("keep {address} as it is, or declare {by} again, or remove its data first with `--remove-data`"))
}

/// Retains an object instead of deleting it; an object that is retained already has no change.
fn retain(stacks: &mut [StackPlan], (stack, at): Position, diagnostics: &mut Vec<Diagnostic>) {
    let Some(plan) = stacks.get_mut(stack) else { return };
    let Some(change) = plan.changes.get_mut(at) else { return };
    let address = change.address.clone();
    let about = format!("{}:{address}", change.stack(&plan.stack));
    diagnostics.retain(|it| it.code != super::resource::PREVENT_DESTROY || it.address.as_ref() != Some(&about));
    // The last owner stays on record with the object, so that a later removal finds it.
    plan.owners.retain(|owner| {
        let is_last = matches!(owner.action, OwnerAction::Drop { is_last: true });
        !(is_last && owner.ownership.address == address)
    });
    if change.basis.prior.as_ref().is_some_and(|prior| prior.status == RowStatus::Retained) {
        plan.changes.remove(at);
    } else {
        change.action = Action::Retain;
        change.why.reason = Some(Reason::Needed);
        change.data_loss = None;
    }
}

/// Reports objects that stay and need an object that the plan deletes, or that has another name after its replacement.
fn check(
    registry: &Registry,
    stacks: &[StackPlan],
    removed: &HashMap<ObjectKey<'static>, Position>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let staying = || {
        let changes = stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)));
        changes.filter_map(|(stack, change)| {
            let after = change.after.as_ref().filter(|_| change.action.leaves_object() && change.deposed.is_none())?;
            Some((stack, change, registry.resource_type(&change.address.ty)?.1, &after.attributes))
        })
    };
    if removed.is_empty() {
        return;
    }
    // Another resource continues with the object; `check_duplicate_identity` reports whether it may.
    let left: HashSet<ObjectKey<'static>> =
        staying().flat_map(|(_, change, ty, after)| keys_of(ty, after, &change.how.provider)).collect();
    // A new object waits until an object in its way is gone.
    let is_kept = |change: &Change| change.basis.prior.is_some() && !change.action.is_replace();
    for (stack, change, ty, after) in staying().filter(|(_, change, ty, _)| is_kept(change) && !ty.needs.is_empty()) {
        let needed = needs_after(registry, ty, change, after).into_iter().find_map(|key| {
            let (of, at) = removed.get(&key).filter(|_| !left.contains(&key))?;
            let of = stacks.get(*of)?;
            Some((of, of.changes.get(*at)?))
        });
        let Some((of, needed)) = needed else { continue };
        let effect = if needed.action.is_replace() { "replaced" } else { "deleted" };
        let message = format!(
            "{}:{} would be {effect}, and {}:{} needs it",
            of.stack, needed.address, stack.stack, change.address
        );
        let error = Diagnostic::error(STILL_NEEDED, message).about(format!("{}:{}", stack.stack, change.address));
        diagnostics.push(stack.at_places(error, &change.address).hint(format!(
            "keep {}, or let {} name another object: the system keeps an omitted attribute",
            needed.address, change.address
        )));
    }
}
