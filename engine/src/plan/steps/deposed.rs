//! Objects that replacements left over: each goes once what may still use it has moved on.

use super::Removal;
use crate::address::{Address, InstanceKey};
use crate::plan::{Change, StackPlan};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The removals of deposed objects.
#[derive(Default)]
pub(super) struct Deposed<'p> {
    by_address: HashMap<&'p Address, Vec<LeftOver<'p>>>,
    /// By the address of the whole block.
    by_block: HashMap<Address, Vec<LeftOver<'p>>>,
    /// What objects with the same dependencies were made after, however indirectly.
    reach: HashMap<&'p [Address], Rc<HashSet<&'p Address>>>,
    index: Option<Index<'p>>,
}

/// The removal of one deposed object.
#[derive(Clone)]
pub(super) struct LeftOver<'p> {
    key: Option<&'p str>,
    removal: Removal,
    /// What has turned around since: it may come after the address of this object now, and this object came after it.
    made_after: Rc<HashSet<&'p Address>>,
}

impl<'p> Deposed<'p> {
    /// Takes up the removal of a deposed object.
    pub(super) fn add(&mut self, stack: &'p StackPlan, change: &'p Change, removal: Removal) {
        let needed = change.prior.as_ref().map(|prior| prior.dependencies.as_slice()).unwrap_or_default();
        let made_after = self.reach.entry(needed).or_insert_with(|| match needed {
            [] => Rc::default(),
            _ => Rc::new(self.index.get_or_insert_with(|| Index::of(stack)).reach(needed)),
        });
        let made_after = Rc::clone(made_after);
        let left_over = LeftOver { key: change.deposed.as_deref(), removal, made_after };
        if let Some(block) = block(&change.address) {
            self.by_block.entry(block).or_default().push(left_over.clone());
        }
        self.by_address.entry(&change.address).or_default().push(left_over);
    }

    /// The removals of shared objects: other stacks of the plan may use those, too.
    pub(super) fn shared(&self) -> Vec<(&'p Address, Vec<LeftOver<'p>>)> {
        let shared = self.by_address.iter().filter(|(address, _)| address.is_shared());
        shared.map(|(address, left_over)| (*address, left_over.clone())).collect()
    }

    /// Takes up what all stacks share.
    pub(super) fn extend(&mut self, shared: &[(&'p Address, Vec<LeftOver<'p>>)]) {
        self.by_address.extend(shared.iter().cloned());
    }

    /// The removing step of a deposed object.
    pub(super) fn step(&self, change: &Change) -> Option<usize> {
        let left_over = self.by_address.get(&change.address)?;
        left_over.iter().find(|it| it.key == change.deposed.as_deref()).map(|it| it.removal.step)
    }

    /// True when a deposed object was made after one of that address that the same operation left over.
    pub(super) fn has_beside(&self, needed: &Address, change: &Change) -> bool {
        let of_address = self.by_address.get(needed).into_iter().flatten();
        change.deposed.is_some() && of_address.into_iter().any(|it| it.key == change.deposed.as_deref())
    }

    /// The removals that wait for what is done about a change whose object was made after that address.
    pub(super) fn used(&self, needed: &Address, change: &Change) -> Vec<Removal> {
        let of_block = self.by_block.get(needed).into_iter().flatten();
        let of_address = self.by_address.get(needed).into_iter().flatten();
        of_address.chain(of_block).filter(|it| !it.made_after.contains(&change.address)).map(|it| it.removal).collect()
    }
}

/// What is recorded of a stack, by address.
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

    /// The addresses that recorded dependencies lead to.
    fn reach(&self, from: &'p [Address]) -> HashSet<&'p Address> {
        let mut found = HashSet::new();
        let mut waiting: Vec<&Address> = from.iter().collect();
        while let Some(address) = waiting.pop() {
            if found.insert(address) {
                waiting.extend(self.blocks.get(address).into_iter().flatten());
                let priors = self.recorded.get(address).into_iter().flatten().filter_map(|it| it.prior.as_ref());
                waiting.extend(priors.flat_map(|prior| &prior.dependencies));
            }
        }
        found
    }
}

/// The address of all instances that one is among.
fn block(address: &Address) -> Option<Address> {
    address.key.as_ref().map(|_| Address { key: Some(InstanceKey::All), ..address.clone() })
}
