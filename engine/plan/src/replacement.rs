//! Order of the two halves of a replacement.
//!
//! `createBeforeDestroy` extends to all dependencies of the resource. If a dependency were deleted first, its new object would wait
//! for a deletion that waits for the new object. The deletion comes first where the new object cannot exist beside the old one. It
//! also comes first for every replaced resource that depends on such an object.

use super::key::{RowKey, row_key};
use super::needed::{keys_of, needs_of};
use super::object_identity::ObjectKey;
use super::{Change, StackPlan};
use std::collections::{HashMap, HashSet};
use terrace_language::action::Action;
use terrace_language::address::{Address, BlockName, InstanceKey};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::registry::Registry;

/// Decides the order for each replacement.
pub(super) fn order(registry: &Registry, stacks: &mut [StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let deleted_first = {
        let changes: Vec<&Change> = stacks.iter().flat_map(|stack| &stack.changes).collect();
        deleted_first(registry, stacks, &changes)
    };
    let Some(deleted_first) = deleted_first else { return };
    let changes = stacks.iter_mut().flat_map(|stack| &mut stack.changes).enumerate();
    for (at, change) in changes.filter(|(_, change)| change.action == Action::Replace) {
        match deleted_first.contains(&at) {
            false => change.action = Action::ReplaceCreateFirst,
            true if change.how.lifecycle.create_before_destroy => {
                diagnostics.push(cannot_create_first(registry, change))
            }
            true => {}
        }
    }
}

/// The positions of the changes whose old object is deleted first; `None` if no object is created first.
fn deleted_first(registry: &Registry, stacks: &[StackPlan], changes: &[&Change]) -> Option<HashSet<usize>> {
    let declared = |change: &Change| change.how.lifecycle.create_before_destroy && change.after.is_some();
    let is_any = |matches: &dyn Fn(&Change) -> bool| changes.iter().any(|change| matches(change));
    if !is_any(&|change| change.action == Action::Replace) || !is_any(&declared) {
        return None;
    }
    let graph = Graph::of(stacks, changes);
    let positions = |matches: &dyn Fn(&Change) -> bool| -> Vec<usize> {
        changes.iter().enumerate().filter(|(_, change)| matches(change)).map(|(at, _)| at).collect()
    };
    let eager = reached(&graph.needs, positions(&declared), |_| true);
    let mut first = positions(&|change| change.action == Action::Replace);
    first.retain(|at| !eager.contains(at) || changes.get(*at).is_some_and(|it| !can_coexist(registry, it)));
    // A kept object has no removal that could wait. A node that stands for many changes passes the order on.
    let removes_old =
        |at: usize| changes.get(at).is_none_or(|change| change.leaves_state() || change.action.is_replace());
    // A deposed object whose name is reused is deleted before any create, and its dependents before it.
    let users = needed_names(changes).into_iter().filter_map(|at| graph.users.get(at)).flatten();
    first.extend(users.copied().filter(|at| removes_old(*at)));
    Some(reached(&graph.users, first, removes_old))
}

/// True if the new object can exist beside the old one: it has another name, or its type needs none.
fn can_coexist(registry: &Registry, change: &Change) -> bool {
    let (Some((_, ty)), Some(prior), Some(after)) =
        (registry.resource_type(&change.address.ty), &change.basis.prior, &change.after)
    else {
        return false;
    };
    // An object without a row cannot be deposed.
    if change.basis.generation == 0 {
        return false;
    }
    if ty.identity.is_empty() {
        return ty.can_coexist || ty.state_only;
    }
    let (before, planned, instance) = (&prior.attributes, &after.attributes, change.how.provider.as_str());
    let is_in_place = |keys: &[ObjectKey<'_>], other: &[ObjectKey<'_>]| keys.iter().any(|key| other.contains(key));
    // A file cannot exist beside a folder of the same path.
    if is_in_place(&keys_of(ty, before, instance), &needs_of(registry, ty, planned, instance))
        || is_in_place(&keys_of(ty, planned, instance), &needs_of(registry, ty, before, instance))
    {
        return false;
    }
    let before = ty.compared(&prior.identity);
    let is_same = |identity: &terrace_provider::Attributes| {
        identity.iter().all(|(name, value)| before.get(name).is_some_and(|before| before.is_same_as(value)))
    };
    !ty.identity_of(&after.attributes).is_some_and(|identity| is_same(&ty.compared(&identity)))
}

fn cannot_create_first(registry: &Registry, change: &Change) -> Diagnostic {
    let (why, hint) = match can_coexist(registry, change) {
        false => ("the new object has the name of the old one", "change its name too, so that both can exist"),
        true => ("a dependency of it is deleted first", "an object that keeps its name is deleted first"),
    };
    let warning = Diagnostic::warning(
        "cannot_create_first",
        format!("{} cannot be created before it is destroyed: {why}", change.address),
    );
    let warning = match &change.basis.place {
        Some(place) => warning.at_place(place.clone()),
        None => warning,
    };
    warning.hint(hint)
}

/// Dependencies between changes, by position. Further nodes stand for components and for blocks that are dependencies as a whole,
/// so that the number of edges stays linear.
struct Graph {
    /// The dependencies of each change, declared or recorded.
    needs: Vec<Vec<usize>>,
    /// The recorded dependents of each change's object.
    users: Vec<Vec<usize>>,
}

impl Graph {
    fn of(stacks: &[StackPlan], changes: &[&Change]) -> Self {
        let mut graph = Self { needs: vec![Vec::new(); changes.len()], users: vec![Vec::new(); changes.len()] };
        let of_stacks = stacks.iter().enumerate().flat_map(|(stack, plan)| plan.changes.iter().map(move |_| stack));
        let all: Vec<(usize, usize, &Change)> =
            of_stacks.zip(changes).enumerate().map(|(at, (stack, change))| (at, stack, *change)).collect();
        let current = || all.iter().copied().filter(|(_, _, change)| change.deposed.is_none());
        let rows: HashMap<RowKey<'_>, usize> =
            current().map(|(at, stack, change)| (row_key(stack, &change.address), at)).collect();
        let mut blocks: HashMap<(usize, BlockName<&str>), usize> = HashMap::new();
        for (_, stack, change) in current() {
            let recorded = change.basis.prior.iter().flat_map(|prior| &prior.dependencies);
            for address in
                recorded.chain(&change.how.depends_on).filter(|address| address.key == Some(InstanceKey::All))
            {
                blocks.entry((stack, BlockName::of(address))).or_insert_with(|| graph.node());
            }
        }
        for (at, stack, change) in current() {
            if let Some(block) = blocks.get(&(stack, BlockName::of(&change.address))) {
                add(&mut graph.needs, *block, at);
                add(&mut graph.users, at, *block);
            }
            let node = |address: &Address| match address.key {
                Some(InstanceKey::All) => blocks.get(&(stack, BlockName::of(address))).copied(),
                _ => rows.get(&row_key(stack, address)).copied(),
            };
            for needed in change.basis.prior.iter().flat_map(|prior| &prior.dependencies).filter_map(node) {
                add(&mut graph.users, needed, at);
                add(&mut graph.needs, at, needed);
            }
            for needed in change.how.depends_on.iter().filter_map(node) {
                add(&mut graph.needs, at, needed);
            }
        }
        for (stack, plan) in stacks.iter().enumerate() {
            graph.add_components(plan, all.iter().copied().filter(|(_, of, _)| *of == stack));
        }
        graph
    }

    /// All changes of a component depend on all changes of its dependencies.
    fn add_components<'a>(&mut self, plan: &StackPlan, changes: impl Iterator<Item = (usize, usize, &'a Change)>) {
        let nodes: HashMap<&str, (usize, usize)> =
            plan.components.iter().map(|component| (component.key.as_str(), (self.node(), self.node()))).collect();
        for (at, _, change) in changes {
            if let Some((whole, needs)) = nodes.get(change.address.component.as_str()) {
                add(&mut self.needs, *whole, at);
                add(&mut self.needs, at, *needs);
            }
        }
        for component in &plan.components {
            let Some((_, needs)) = nodes.get(component.key.as_str()) else { continue };
            for (whole, _) in component.depends_on.iter().filter_map(|key| nodes.get(key.as_str())) {
                add(&mut self.needs, *needs, *whole);
            }
        }
    }

    fn node(&mut self) -> usize {
        self.needs.push(Vec::new());
        self.users.push(Vec::new());
        self.needs.len() - 1
    }
}

/// The changes whose new object has the name of a deposed one.
fn needed_names(changes: &[&Change]) -> Vec<usize> {
    let mut deposed: HashMap<&Address, Vec<&Change>> = HashMap::new();
    for change in changes.iter().filter(|change| change.deposed.is_some()) {
        deposed.entry(&change.address).or_default().push(change);
    }
    let reuses_name = |change: &Change| {
        deposed.get(&change.address).is_some_and(|deposed| deposed.iter().any(|old| change.takes_name_of(old)))
    };
    changes.iter().enumerate().filter(|(_, change)| reuses_name(change)).map(|(at, _)| at).collect()
}

fn add(edges: &mut [Vec<usize>], from: usize, to: usize) {
    if let Some(edges) = edges.get_mut(from) {
        edges.push(to);
    }
}

/// The nodes reachable from the given ones through nodes that lead on; includes the given ones.
fn reached(edges: &[Vec<usize>], mut waiting: Vec<usize>, leads_on: impl Fn(usize) -> bool) -> HashSet<usize> {
    let mut found = HashSet::new();
    while let Some(at) = waiting.pop() {
        if found.insert(at) {
            waiting.extend(edges.get(at).into_iter().flatten().filter(|to| leads_on(**to)));
        }
    }
    found
}
