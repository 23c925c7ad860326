//! Dependencies on a whole `forEach`: the key `[*]` stands for all instances, recorded as such.
//!
//! Each such block gets barriers of its own, so that a hundred instances that come after a hundred others are two
//! hundred edges and not ten thousand.

use super::{Removal, StepId, Steps};
use crate::address::{Address, InstanceKey};
use std::collections::HashMap;

/// Names a block: component, type, name.
pub(super) type Name<'a> = (&'a str, &'a str, &'a str);

/// The blocks that something depends on as a whole.
#[derive(Default)]
pub(super) struct Blocks<'a> {
    known: HashMap<Name<'a>, Block>,
}

/// The steps of a block's instances.
#[derive(Default)]
struct Block {
    forward: Vec<StepId>,
    remove: Vec<Removal>,
    /// After all forward steps.
    made: Option<StepId>,
    /// Before all removals.
    before_any: Option<StepId>,
    /// Before all removals but the early ones.
    before_final: Option<StepId>,
}

pub(super) fn name(address: &Address) -> Name<'_> {
    (&address.component, &address.ty, &address.name)
}

impl<'a> Blocks<'a> {
    /// Notes that something depends on the block of that address.
    pub(super) fn want(&mut self, address: &'a Address) {
        if address.key == Some(InstanceKey::All) {
            self.known.entry(name(address)).or_default();
        }
    }

    /// Takes up the steps of one instance, when anything wants its block.
    pub(super) fn add(&mut self, address: &'a Address, forward: Option<StepId>, remove: Option<Removal>) {
        if address.key.is_none() || self.known.is_empty() {
            return;
        }
        if let Some(block) = self.known.get_mut(&name(address)) {
            block.forward.extend(forward);
            block.remove.extend(remove);
        }
    }

    /// The step after which all instances are there; `None` when the address is no block.
    pub(super) fn made(&mut self, steps: &mut Steps, address: &'a Address) -> Option<StepId> {
        let block = self.block(address).filter(|block| !block.forward.is_empty())?;
        let forward = &block.forward;
        Some(*block.made.get_or_insert_with(|| {
            let barrier = steps.barrier();
            forward.iter().for_each(|step| steps.order(*step, barrier));
            barrier
        }))
    }

    /// The step before which no instance is removed. What only makes an object (`is_kept`) does not hold up those that
    /// are deleted to be made anew: it needs the new ones.
    pub(super) fn before_removal(&mut self, steps: &mut Steps, address: &'a Address, is_kept: bool) -> Option<StepId> {
        let block = self.block(address).filter(|block| !block.remove.is_empty())?;
        let removals = &block.remove;
        let barrier = if is_kept { &mut block.before_final } else { &mut block.before_any };
        Some(*barrier.get_or_insert_with(|| {
            let barrier = steps.barrier();
            let held_up = removals.iter().filter(|removal| !is_kept || !removal.is_early);
            held_up.for_each(|removal| steps.order(barrier, removal.step));
            barrier
        }))
    }

    fn block(&mut self, address: &'a Address) -> Option<&mut Block> {
        if address.key != Some(InstanceKey::All) {
            return None;
        }
        self.known.get_mut(&name(address))
    }
}

/// True when the address is an instance of the block: nothing waits for itself.
pub(super) fn is_own(address: &Address, block: &Address) -> bool {
    block.key == Some(InstanceKey::All) && address.key.is_some() && name(address) == name(block)
}
