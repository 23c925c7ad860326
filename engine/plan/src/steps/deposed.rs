//! Deposed objects: each is removed after its possible users have switched to its successor.

use super::step::Removal;
use crate::{Change, StackPlan};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use terrace_language::address::{Address, InstanceKey};

/// The removals of deposed objects.
#[derive(Default)]
pub(super) struct Deposed<'p> {
    by_address: HashMap<&'p Address, Vec<DeposedRemoval<'p>>>,
    /// By the address of the whole block.
    by_block: HashMap<Address, Vec<DeposedRemoval<'p>>>,
    /// The direct and indirect dependencies of objects with the same recorded dependencies.
    reach: HashMap<&'p [Address], Rc<HashSet<&'p Address>>>,
    index: Option<Index<'p>>,
}

/// The removal of one deposed object.
#[derive(Clone)]
pub(super) struct DeposedRemoval<'p> {
    key: Option<&'p str>,
    removal: Removal,
    /// The dependencies of this object. A dependency that depends on this object's address now must not delay the removal.
    dependencies: Rc<HashSet<&'p Address>>,
}

impl<'p> Deposed<'p> {
    /// Adds the removal of a deposed object.
    pub(super) fn add(&mut self, stack: &'p StackPlan, change: &'p Change, removal: Removal) {
        let needed = change.basis.prior.as_ref().map(|prior| prior.dependencies.as_slice()).unwrap_or_default();
        let dependencies = self.reach.entry(needed).or_insert_with(|| match needed {
            [] => Rc::default(),
            _ => Rc::new(self.index.get_or_insert_with(|| Index::of(stack)).reach(needed)),
        });
        let dependencies = Rc::clone(dependencies);
        let deposed_removal = DeposedRemoval { key: change.deposed.as_deref(), removal, dependencies };
        if let Some(block) = block(&change.address) {
            self.by_block.entry(block).or_default().push(deposed_removal.clone());
        }
        self.by_address.entry(&change.address).or_default().push(deposed_removal);
    }

    /// The removals of shared objects, which other stacks of the plan may use too.
    pub(super) fn shared(&self) -> Vec<(&'p Address, Vec<DeposedRemoval<'p>>)> {
        let shared = self.by_address.iter().filter(|(address, _)| address.is_shared());
        shared.map(|(address, deposed_removals)| (*address, deposed_removals.clone())).collect()
    }

    /// Adds the removals of shared objects of all stacks.
    pub(super) fn extend(&mut self, shared: &[(&'p Address, Vec<DeposedRemoval<'p>>)]) {
        self.by_address.extend(shared.iter().cloned());
    }

    /// The removing step of a deposed object.
    pub(super) fn step(&self, change: &Change) -> Option<usize> {
        let deposed_removals = self.by_address.get(&change.address)?;
        deposed_removals.iter().find(|old| old.key == change.deposed.as_deref()).map(|old| old.removal.step)
    }

    /// True if the deposed object depends on an object of that address that the same operation deposed.
    pub(super) fn depends_on_sibling(&self, needed: &Address, change: &Change) -> bool {
        let of_address = self.by_address.get(needed).into_iter().flatten();
        change.deposed.is_some() && of_address.into_iter().any(|old| old.key == change.deposed.as_deref())
    }

    /// The removals that wait for the change of an object that depends on that address.
    pub(super) fn used(&self, needed: &Address, change: &Change) -> Vec<Removal> {
        let of_block = self.by_block.get(needed).into_iter().flatten();
        let of_address = self.by_address.get(needed).into_iter().flatten();
        of_address
            .chain(of_block)
            .filter(|old| !old.dependencies.contains(&change.address))
            .map(|old| old.removal)
            .collect()
    }
}

/// The recorded objects of a stack, by address.
struct Index<'p> {
    recorded: HashMap<&'p Address, Vec<&'p Change>>,
    blocks: HashMap<Address, Vec<&'p Address>>,
}

impl<'p> Index<'p> {
    fn of(stack: &'p StackPlan) -> Self {
        let mut index = Self { recorded: HashMap::new(), blocks: HashMap::new() };
        for change in &stack.changes {
            index.recorded.entry(&change.address).or_default().push(change);
            if let Some(block) = block(&change.address) {
                index.blocks.entry(block).or_default().push(&change.address);
            }
        }
        index
    }

    /// The addresses that recorded dependencies lead to, directly or indirectly.
    fn reach(&self, from: &'p [Address]) -> HashSet<&'p Address> {
        let mut found = HashSet::new();
        let mut waiting: Vec<&Address> = from.iter().collect();
        while let Some(address) = waiting.pop() {
            if found.insert(address) {
                waiting.extend(self.blocks.get(address).into_iter().flatten());
                let priors =
                    self.recorded.get(address).into_iter().flatten().filter_map(|change| change.basis.prior.as_ref());
                waiting.extend(priors.flat_map(|prior| &prior.dependencies));
            }
        }
        found
    }
}

/// The address of the instance's whole block.
fn block(address: &Address) -> Option<Address> {
    address.key.as_ref().map(|_| Address { key: Some(InstanceKey::All), ..address.clone() })
}
