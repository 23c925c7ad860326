//! The read set of a plan: the rows that it changes or takes a value from.
//!
//! Another apply in the same component makes a plan stale only if it changed a row of this set.

use super::{Change, ComponentPlan, OutputChange, StackPlan, row_stack};
use std::collections::{HashMap, HashSet};
use terrace_language::address::{Address, InstanceKey, StackId};
use terrace_store::Read;

/// The rows of `reads` that the plans depend on.
pub(super) fn needed(stacks: &[StackPlan], reads: Vec<Read>) -> Vec<Read> {
    let mut needed = Needed::default();
    for stack in stacks {
        let components: HashMap<&str, &ComponentPlan> =
            stack.components.iter().map(|component| (component.key.as_str(), component)).collect();
        let is_written = |change: &&Change| change.is_change() || change.has_refreshed() || change.is_newly_sensitive();
        for change in stack.changes.iter().filter(is_written) {
            needed.change(&stack.stack, change);
            // Values of other components come from their outputs.
            let own = components.get(change.address.component.as_str());
            for key in own.into_iter().flat_map(|component| &component.depends_on) {
                needed.components.insert((&stack.stack, key));
            }
        }
        for output in stack.outputs.iter().filter(|output| OutputChange::is_change(output)) {
            needed.components.insert((&stack.stack, &output.component));
        }
        for owner in &stack.owners {
            needed.address(&stack.stack, &owner.ownership.address);
        }
        let changed = changed(stack);
        for need in stack.needs.iter().filter(|need| changed.contains(need.component.as_str())) {
            needed.components.insert((&need.stack, &need.of));
        }
    }
    reads.into_iter().filter(|read| needed.covers(read)).collect()
}

/// The outputs of `output_reads` that the plan depends on.
pub(super) fn needed_outputs(stack: &mut StackPlan) {
    let mut reads = std::mem::take(&mut stack.output_reads);
    let changed = changed(stack);
    reads.retain(|read| changed.contains(read.by.as_str()));
    stack.output_reads = reads;
}

/// The components with a change.
fn changed(stack: &StackPlan) -> HashSet<&str> {
    let mut sharing: HashMap<&Address, Vec<&str>> = HashMap::new();
    for component in &stack.components {
        for shared in &component.shared {
            sharing.entry(&shared.address).or_default().push(&component.key);
        }
    }
    let mut changed = HashSet::new();
    for address in stack.changes.iter().filter(|change| change.is_change()).map(|change| &change.address) {
        match address.is_shared() {
            true => changed.extend(sharing.get(address).into_iter().flatten()),
            false => drop(changed.insert(address.component.as_str())),
        }
    }
    changed.extend(
        stack.outputs.iter().filter(|output| OutputChange::is_change(output)).map(|output| output.component.as_str()),
    );
    changed
}

#[derive(Default)]
struct Needed<'p> {
    rows: HashSet<(StackId, &'p Address)>,
    /// Blocks that a change depends on as a whole.
    blocks: HashSet<(&'p StackId, &'p str, &'p str, &'p str)>,
    /// Components whose outputs are computed from their rows.
    components: HashSet<(&'p StackId, &'p str)>,
}

impl<'p> Needed<'p> {
    fn change(&mut self, stack: &'p StackId, change: &'p Change) {
        self.address(stack, &change.address);
        if let Some(from) = &change.moved_from {
            self.address(stack, from);
        }
        // A removal reads no values of its dependencies.
        let needed = if change.after.is_some() { change.how.depends_on.as_slice() } else { &[] };
        for address in needed {
            match address.key {
                Some(InstanceKey::All) => {
                    self.blocks.insert((stack, &address.component, &address.ty, &address.name));
                }
                _ => self.address(stack, address),
            }
        }
    }

    fn address(&mut self, stack: &StackId, address: &'p Address) {
        self.rows.insert((row_stack(stack, address), address));
    }

    fn covers(&self, read: &Read) -> bool {
        let address = &read.address;
        self.rows.contains(&(read.stack.clone(), address))
            || self.components.contains(&(&read.stack, address.component.as_str()))
            || self.blocks.contains(&(
                &read.stack,
                address.component.as_str(),
                address.ty.as_str(),
                address.name.as_str(),
            ))
    }
}
