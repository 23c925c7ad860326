//! Which half of a replacement comes first.
//!
//! `createBeforeDestroy` goes down to all that the resource comes after: were one of those deleted first, what it made
//! room for would have to wait for a deletion that waits for it. Where the new object cannot stand beside the old one
//! the deletion comes first all the same, and so it does for whatever is replaced and was made after such an object.

use super::key::{RowKey, row_key};
use super::needed::{keys_of, needs_of};
use super::object_identity::ObjectKey;
use super::{Change, StackPlan};
use crate::action::Action;
use crate::address::{Address, InstanceKey};
use crate::diagnostic::Diagnostic;
use crate::registry::Registry;
use std::collections::{HashMap, HashSet};

/// Decides for each replacement which half comes first.
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
            true if change.lifecycle.create_before_destroy => diagnostics.push(cannot_create_first(registry, change)),
            true => {}
        }
    }
}

/// The positions of the changes whose old object goes first; `None` when nothing is created first.
fn deleted_first(registry: &Registry, stacks: &[StackPlan], changes: &[&Change]) -> Option<HashSet<usize>> {
    let declared = |change: &Change| change.lifecycle.create_before_destroy && change.after.is_some();
    let is_any = |is_meant: &dyn Fn(&Change) -> bool| changes.iter().any(|change| is_meant(change));
    if !is_any(&|change| change.action == Action::Replace) || !is_any(&declared) {
        return None;
    }
    let graph = Graph::of(stacks, changes);
    let positions = |is_meant: &dyn Fn(&Change) -> bool| -> Vec<usize> {
        changes.iter().enumerate().filter(|(_, change)| is_meant(change)).map(|(at, _)| at).collect()
    };
    let wanted = reached(&graph.needs, positions(&declared), |_| true);
    let mut first = positions(&|change| change.action == Action::Replace);
    first.retain(|at| !wanted.contains(at) || changes.get(*at).is_some_and(|it| !can_stand_beside(registry, it)));
    // What is kept has no removal that could wait for another; what stands for many changes leads on to them.
    let goes = |at: usize| changes.get(at).is_none_or(|it| it.is_given_up() || it.action.is_replace());
    // A deposed object whose name is needed goes before anything is made, and what was made after it before that.
    let users = needed_names(changes).into_iter().filter_map(|at| graph.users.get(at)).flatten();
    first.extend(users.copied().filter(|at| goes(*at)));
    Some(reached(&graph.users, first, goes))
}

/// True when the new object can be there while the old one still is: it has another name, or none of its own.
fn can_stand_beside(registry: &Registry, change: &Change) -> bool {
    let (Some((_, ty)), Some(prior), Some(after)) =
        (registry.resource_type(&change.address.ty), &change.prior, &change.after)
    else {
        return false;
    };
    // What is not recorded yet cannot be kept on record beside its successor.
    if change.generation == 0 {
        return false;
    }
    if ty.identity.is_empty() {
        return ty.can_coexist || ty.state_only;
    }
    let (before, made, instance) = (&prior.attributes, &after.attributes, change.provider.as_str());
    let is_in_place = |one: &[ObjectKey<'_>], other: &[ObjectKey<'_>]| one.iter().any(|key| other.contains(key));
    // A file cannot stand beside a folder in its place.
    if is_in_place(&keys_of(ty, before, instance), &needs_of(registry, ty, made, instance))
        || is_in_place(&keys_of(ty, made, instance), &needs_of(registry, ty, before, instance))
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
    let (why, hint) = match can_stand_beside(registry, change) {
        false => ("the new object has the name of the old one", "change what names it, too, to have both for a while"),
        true => ("what it was made after is deleted first", "an object that keeps its name is deleted first"),
    };
    let warning = Diagnostic::warning(
        "cannot_create_first",
        format!("{} cannot be created before it is destroyed: {why}", change.address),
    );
    let warning = match &change.place {
        Some(place) => warning.at_place(place.clone()),
        None => warning,
    };
    warning.hint(hint)
}

/// Names a block: stack, component, type, name.
type Block<'a> = (usize, &'a str, &'a str, &'a str);

fn block(stack: usize, address: &Address) -> Block<'_> {
    (stack, &address.component, &address.ty, &address.name)
}

/// What comes after what, by the positions of changes. Beyond those stand nodes for blocks that are depended on as a
/// whole and for components, so that the number of edges grows with what the plan holds.
struct Graph {
    /// Those that each comes after, in the descriptor or as recorded.
    needs: Vec<Vec<usize>>,
    /// Those whose recorded objects were made after the one of each.
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
        let mut blocks: HashMap<Block<'_>, usize> = HashMap::new();
        for (_, stack, change) in current() {
            let recorded = change.prior.iter().flat_map(|prior| &prior.dependencies);
            for address in recorded.chain(&change.depends_on).filter(|it| it.key == Some(InstanceKey::All)) {
                blocks.entry(block(stack, address)).or_insert_with(|| graph.node());
            }
        }
        for (at, stack, change) in current() {
            if let Some(block) = blocks.get(&block(stack, &change.address)) {
                add(&mut graph.needs, *block, at);
                add(&mut graph.users, at, *block);
            }
            let node = |address: &Address| match address.key {
                Some(InstanceKey::All) => blocks.get(&block(stack, address)).copied(),
                _ => rows.get(&row_key(stack, address)).copied(),
            };
            for needed in change.prior.iter().flat_map(|prior| &prior.dependencies).filter_map(node) {
                add(&mut graph.users, needed, at);
                add(&mut graph.needs, at, needed);
            }
            for needed in change.depends_on.iter().filter_map(node) {
                add(&mut graph.needs, at, needed);
            }
        }
        for (stack, plan) in stacks.iter().enumerate() {
            graph.add_components(plan, all.iter().copied().filter(|(_, of, _)| *of == stack));
        }
        graph
    }

    /// All of a component comes after all of those that it depends on.
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
    let needs_one = |change: &Change| {
        deposed.get(&change.address).is_some_and(|deposed| deposed.iter().any(|it| change.takes_name_of(it)))
    };
    changes.iter().enumerate().filter(|(_, change)| needs_one(change)).map(|(at, _)| at).collect()
}

fn add(edges: &mut [Vec<usize>], from: usize, to: usize) {
    if let Some(edges) = edges.get_mut(from) {
        edges.push(to);
    }
}

/// The nodes that edges lead to from the given ones, through such nodes only; the given ones among them.
fn reached(edges: &[Vec<usize>], mut waiting: Vec<usize>, leads_on: impl Fn(usize) -> bool) -> HashSet<usize> {
    let mut found = HashSet::new();
    while let Some(at) = waiting.pop() {
        if found.insert(at) {
            waiting.extend(edges.get(at).into_iter().flatten().filter(|to| leads_on(**to)));
        }
    }
    found
}
