//! Refuses two resources that name one object, because each would undo the changes of the other.
//!
//! It also finds a resource that names the object of a removed resource: a rename without `moved`.

use super::key::Position;
use super::object_identity::{Name, ObjectKey, names};
use super::steps::Steps;
use super::{Change, StackPlan};
use std::collections::{HashMap, HashSet};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, ComponentKey};
use terrace_language::diagnostic::{Diagnostic, has_errors};
use terrace_language::moves::{as_command, temporary_address};
use terrace_language::quick::QuickMap;
use terrace_language::registry::Registry;
use terrace_language::text::shell_word;
use terrace_provider::ResourceType;

/// Reports the resources of a plan that name the same object of the same provider instance.
pub(super) fn check(registry: &Registry, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: QuickMap<ObjectKey<'_>, (&StackPlan, &Change)> = QuickMap::default();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some(after) = change.after.as_ref().filter(|_| change.action.leaves_object()) else { continue };
        // A state-only resource has no object that another resource could name.
        let ty = registry.resource_type(&change.address.ty).map(|(_, ty)| ty).filter(|ty| !ty.state_only);
        let Some(ty) = ty else { continue };
        let names = names(ty, &after.attributes);
        let keys: Vec<_> = names.iter().map(|name| name.of(ty, &change.how.provider)).collect();
        let same = names.iter().zip(&keys).find_map(|(name, key)| {
            let (other_stack, other) = *first.get(key)?;
            // The provider assigns the ids of existing objects.
            let counts = !name.is_id || [change, other].iter().any(|change| acquires_object(change.action));
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
        let diagnostic = other_stack.at_places(stack.at_places(diagnostic, &change.address), &other.address);
        diagnostics.push(diagnostic.hint("give one of them another name, or declare it once"));
    }
    // Another error may be the cause of a removal.
    if has_errors(diagnostics) {
        return;
    }
    let mut conflicts = Vec::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some((ty, released)) = released_names(registry, change) else { continue };
        let claimant = released.iter().find_map(|name| {
            let (other_stack, other) = *first.get(&name.of(ty, &change.how.provider))?;
            claims(other, name, ty, change).then_some((name.to_string(), (other_stack, other)))
        });
        conflicts.extend(claimant.map(|(name, claimant)| NameConflict { ty, name, owner: (stack, change), claimant }));
    }
    if conflicts.is_empty() {
        return;
    }
    let steps = Steps::of(registry, stacks);
    let positions: HashMap<*const Change, Position> = stacks
        .iter()
        .enumerate()
        .flat_map(|(stack, plan)| plan.changes.iter().enumerate().map(move |(at, change)| (change, (stack, at))))
        .map(|(change, at)| (std::ptr::from_ref(change), at))
        .collect();
    let is_resolved_by_order = |conflict: &NameConflict<'_>| {
        let at = |change: &Change| positions.get(&std::ptr::from_ref(change)).copied();
        let cleared = at(conflict.owner.1)
            .zip(at(conflict.claimant.1))
            .is_some_and(|(owner, claimant)| steps.clears(owner, claimant));
        waits_for(conflict.claimant, conflict.owner) || (conflict.may_wait() && cleared)
    };
    let chains = Chains::of(&conflicts);
    let mut refused: Vec<&NameConflict<'_>> =
        conflicts.iter().filter(|conflict| !is_resolved_by_order(conflict)).collect();
    // The error about the first resource of a chain has the moves of all.
    refused.sort_by_key(|conflict| !std::ptr::eq(chains.first(conflict), conflict.claimant.1));
    let mut reported = Reported::default();
    diagnostics.extend(refused.into_iter().map(|conflict| rename_error(conflict, &chains, &mut reported)));
}

/// An object whose resource leaves it while another resource of the plan names it.
struct NameConflict<'p> {
    ty: &'p ResourceType,
    /// The name of the object, in words.
    name: String,
    owner: (&'p StackPlan, &'p Change),
    claimant: (&'p StackPlan, &'p Change),
}

impl NameConflict<'_> {
    /// True if only the name is reused: the old object is removed, and a new one is created afterwards. A resource that merely changed its
    /// address keeps its object, and so does one whose object holds data.
    fn may_wait(&self) -> bool {
        let (owner, claimant) = (self.owner.1, self.claimant.1);
        let is_created = claimant.action == Action::Create || claimant.action.is_replace();
        let is_of_type = owner.address.ty == claimant.address.ty;
        let is_renamed = is_of_type && owner.action == Action::Delete && claimant.action == Action::Create;
        let holds_data = owner.basis.prior.as_ref().is_none_or(|prior| self.ty.is_holding_data(&prior.attributes));
        owner.action.removes_object() && is_created && !is_renamed && !(is_of_type && self.ty.holds_data && holds_data)
    }

    /// True if both resources belong to one stack, or both are shared, so that a row can move between them.
    fn is_movable(&self) -> bool {
        let ((owner_stack, owner), (claimant_stack, claimant)) = (self.owner, self.claimant);
        let is_own =
            owner_stack.stack == claimant_stack.stack && !owner.address.is_shared() && !claimant.address.is_shared();
        let is_shared = owner.address.is_shared() && claimant.address.is_shared();
        (is_own || is_shared) && owner.address.ty == claimant.address.ty
    }
}

/// True if the resource may not have had the object before.
const fn acquires_object(action: Action) -> bool {
    matches!(action, Action::Create | Action::Adopt) || action.is_replace()
}

/// The names of an object that its resource leaves, while the object exists.
fn released_names<'a>(registry: &'a Registry, change: &Change) -> Option<(&'a ResourceType, Vec<Name>)> {
    let is_released = !change.action.leaves_object() || change.action.is_replace();
    if !is_released || change.why.reason == Some(Reason::Gone) || change.deposed.is_some() {
        return None;
    }
    let (_, ty) = registry.resource_type(&change.address.ty).filter(|(_, ty)| !ty.state_only)?;
    Some((ty, names(ty, &change.basis.prior.as_ref()?.attributes)))
}

/// True if the other resource would hold the object after the apply.
fn claims(other: &Change, name: &Name, ty: &ResourceType, owner: &Change) -> bool {
    match other.action {
        // Both rows record the object, and the removal of one takes it from the other.
        Action::NoOp | Action::Update => owner.action.removes_object() && !name.is_id,
        Action::Create => true,
        // A forgotten object may be adopted.
        Action::Adopt => owner.action != Action::Forget,
        action if action.is_replace() => {
            let old_names = other.basis.prior.as_ref().map(|prior| names(ty, &prior.attributes)).unwrap_or_default();
            !old_names.iter().any(|name_before| name_before.key() == name.key())
        }
        _ => false,
    }
}

/// True if the object with that name is created only after the old one is removed.
fn waits_for((other_stack, other): (&StackPlan, &Change), (stack, change): (&StackPlan, &Change)) -> bool {
    let is_gone_first = change.action == Action::Replace && other.action != Action::Adopt;
    if !is_gone_first || other_stack.stack != stack.stack {
        return false;
    }
    let component = stack.components.iter().find(|component| component.key == other.address.component);
    let is_before = |key: &ComponentKey| *key == change.address.component;
    other.how.depends_on.contains(&change.address)
        || component.is_some_and(|component| component.depends_on.iter().any(is_before))
}

/// The error for an object that is recorded as one resource and declared as another. Creating it would fail; removing or replacing it would
/// take it from both.
fn rename_error<'p>(conflict: &'p NameConflict<'p>, chains: &Chains<'p>, reported: &mut Reported) -> Diagnostic {
    let NameConflict { name, owner: (stack, change), claimant: (other_stack, other), .. } = conflict;
    let (from, to) = (&change.address, &other.address);
    let message =
        format!("{}:{to} names the object that is recorded as {}:{from}: {name}", other_stack.stack, stack.stack);
    let diagnostic = Diagnostic::error("renamed_without_moved", message);
    let diagnostic = other_stack.at_places(diagnostic, to);
    if !acquires_object(other.action) {
        let drop = shell_word(&format!("{}:{from}", stack.stack));
        return diagnostic.hint(format!("`terrace state rm {drop}` forgets that row and keeps the object"));
    }
    if conflict.is_movable() && (other.basis.generation != 0 || change.action.is_replace()) {
        let first = chains.first(conflict);
        if let Some(by) = reported.chains.get(&std::ptr::from_ref(first)) {
            return diagnostic.hint(format!("move the rows with the commands in the error about {by}"));
        }
        reported.chains.insert(std::ptr::from_ref(first), to.clone());
        let moves = chains.moves(stack, first, &mut reported.temporary_addresses);
        let commands: Vec<String> =
            moves.iter().map(|(from, to)| format!("`{}`", as_command(&stack.stack, from, to))).collect();
        return diagnostic.hint(format!(
            "if each resource is to keep the object that it names, move the rows first: {}",
            commands.join(", then ")
        ));
    }
    if conflict.is_movable() && (from.is_shared() || stack.is_data_product()) {
        let command = as_command(&stack.stack, from, to);
        return diagnostic.hint(format!("if it is the same resource, move it first: `{command}`"));
    }
    diagnostic.hint(match change.action {
        _ if conflict.is_movable() => format!("declare the move: `moved: [{{from: '{from}', to: '{to}'}}]`"),
        Action::Retain => format!("give {to} another name: the object of {from} stays"),
        Action::Forget => format!("give {to} another name, or `adopt: ifExists`: the object of {from} stays"),
        action if action.is_replace() => format!("give {to} another name, apply, and then the name that {from} leaves"),
        _ => format!("give {to} another name, or apply the removal of {from} first, then declare {to}"),
    })
}

/// What earlier errors already reported.
#[derive(Default)]
struct Reported {
    /// The resource whose error lists the moves, by the first resource of each chain.
    chains: HashMap<*const Change, Address>,
    /// Temporary addresses that moves use.
    temporary_addresses: HashSet<Address>,
}

/// Chains of resources in which each names the object of the next.
struct Chains<'p> {
    /// By the change whose object is named.
    by_owner: HashMap<*const Change, &'p NameConflict<'p>>,
    /// By the change that names it.
    by_claimant: HashMap<*const Change, &'p NameConflict<'p>>,
}

impl<'p> Chains<'p> {
    fn of(conflicts: &'p [NameConflict<'p>]) -> Self {
        let movable = || conflicts.iter().filter(|conflict| conflict.is_movable());
        Self {
            by_owner: movable().map(|conflict| (std::ptr::from_ref(conflict.owner.1), conflict)).collect(),
            by_claimant: movable().map(|conflict| (std::ptr::from_ref(conflict.claimant.1), conflict)).collect(),
        }
    }

    /// The resource at the end of a chain; in a ring, the first by address.
    fn first(&self, conflict: &'p NameConflict<'p>) -> &'p Change {
        let mut visited = HashSet::new();
        let mut at = conflict.claimant.1;
        let mut lowest = at;
        while let Some(next) = self.by_owner.get(&std::ptr::from_ref(at)) {
            if !visited.insert(std::ptr::from_ref(at)) {
                return lowest;
            }
            at = next.claimant.1;
            lowest = if at.address < lowest.address { at } else { lowest };
        }
        at
    }

    /// The moves of rows, in order, by which each resource of a chain gets the row of the object that it names. The row of the first
    /// resource moves to a temporary address before.
    fn moves(
        &self,
        stack: &StackPlan,
        first: &'p Change,
        temporary_addresses: &mut HashSet<Address>,
    ) -> Vec<(Address, Address)> {
        let addresses: HashSet<&Address> = stack.changes.iter().map(|change| &change.address).collect();
        let mut candidates = (1_u32..).map(|number| temporary_address(&first.address, number));
        let is_free = |temporary: &Address| !addresses.contains(temporary) && !temporary_addresses.contains(temporary);
        let temporary = candidates.find(is_free).filter(|_| first.basis.generation != 0);
        temporary_addresses.extend(temporary.clone());
        let mut moves: Vec<(Address, Address)> =
            temporary.iter().map(|temporary| (first.address.clone(), temporary.clone())).collect();
        let mut visited = HashSet::new();
        let mut at = first;
        while let Some(conflict) =
            self.by_claimant.get(&std::ptr::from_ref(at)).filter(|_| visited.insert(std::ptr::from_ref(at)))
        {
            let owner = conflict.owner.1;
            let from = match std::ptr::eq(owner, first) {
                true => temporary.clone().unwrap_or_else(|| owner.address.clone()),
                false => owner.address.clone(),
            };
            moves.push((from, at.address.clone()));
            at = owner;
        }
        moves
    }
}
