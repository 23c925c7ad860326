//! Dependencies on a whole `forEach`: the key `[*]` stands for all instances, also in the state.
//!
//! Each such block has barriers, so that 100 instances that depend on 100 others need 200 edges instead of 10,000.

use super::step::Removal;
use super::{StepId, Steps};
use std::collections::HashMap;
use terrace_language::address::{Address, BlockName, InstanceKey};

/// The blocks that are dependencies as a whole.
#[derive(Default)]
pub(super) struct Blocks<'a> {
    known: HashMap<BlockName<&'a str>, Block>,
}

/// The steps of a block's instances.
#[derive(Default)]
struct Block {
    forward: Vec<StepId>,
    remove: Vec<Removal>,
    /// Opens after all forward steps.
    after_all: Option<StepId>,
    /// Opens before all removals.
    before_any: Option<StepId>,
    /// Opens before all removals but the early ones.
    before_final: Option<StepId>,
}

impl<'a> Blocks<'a> {
    /// Registers the block of that address as a dependency.
    pub(super) fn require(&mut self, address: &'a Address) {
        if address.key == Some(InstanceKey::All) {
            self.known.entry(BlockName::of(address)).or_default();
        }
    }

    /// Adds the steps of an instance if its block is registered.
    pub(super) fn add(&mut self, address: &'a Address, forward: Option<StepId>, remove: Option<Removal>) {
        if address.key.is_none() || self.known.is_empty() {
            return;
        }
        if let Some(block) = self.known.get_mut(&BlockName::of(address)) {
            block.forward.extend(forward);
            block.remove.extend(remove);
        }
    }

    /// The step that opens after all instances exist; `None` if the address is no block.
    pub(super) fn after_all_created(&mut self, steps: &mut Steps, address: &'a Address) -> Option<StepId> {
        let block = self.block(address).filter(|block| !block.forward.is_empty())?;
        let forward = &block.forward;
        Some(*block.after_all.get_or_insert_with(|| {
            let barrier = steps.barrier();
            forward.iter().for_each(|step| steps.order(*step, barrier));
            barrier
        }))
    }

    /// The step before which no instance is removed. A step that only creates or keeps an object (`is_kept`) does not delay the
    /// early removals of replaced instances, because it needs the new ones.
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
        self.known.get_mut(&BlockName::of(address))
    }
}

/// True if the address is an instance of the block, which does not wait for itself.
pub(super) fn is_own(address: &Address, block: &Address) -> bool {
    block.key == Some(InstanceKey::All) && address.key.is_some() && BlockName::of(address) == BlockName::of(block)
}
