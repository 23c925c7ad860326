//! Order of components that read outputs or look up objects of other stacks: created after those, and removed before them.

use super::{Nodes, Steps};
use crate::StackPlan;
use crate::row_moves::between;
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{BTreeSet, HashMap};

/// A component, by the position of its stack.
type Component<'p> = (usize, &'p str);

impl Steps {
    /// Orders a component after the components of other stacks that it reads or looks up. Components that it read according to the
    /// state are removed after it.
    pub(super) fn order_stacks(&mut self, stacks: &[StackPlan], nodes: &[Nodes<'_>]) {
        for (stack, own) in stacks.iter().zip(nodes) {
            for need in &stack.needs {
                let other = stacks.iter().zip(nodes).find(|(other, _)| other.stack == need.stack);
                let source = other.and_then(|(_, other)| other.barriers.get(need.of.as_str()));
                if let (Some(source), Some(reader)) = (source, own.barriers.get(need.component.as_str())) {
                    self.order(source.done, reader.begin);
                }
            }
        }
        for ((reader_stack, reader), (stack, read)) in recorded(stacks) {
            let barriers = |stack: usize, component| nodes.get(stack)?.barriers.get(component).copied();
            if let Some((reader, read)) = barriers(reader_stack, reader).zip(barriers(stack, read)) {
                self.order(reader.remove_done, read.remove_begin);
                self.order(reader.done, read.remove_begin);
            }
        }
    }
}

/// The recorded reads between components of different stacks of the plan. Separate applies may have created cycles of reads; reads
/// within a cycle are left out.
fn recorded(stacks: &[StackPlan]) -> Vec<(Component<'_>, Component<'_>)> {
    let mut reads = Vec::new();
    if !stacks.iter().flat_map(|stack| &stack.components).any(|component| !component.recorded_reads.is_empty()) {
        return reads;
    }
    let moved = moved(stacks);
    for (position, stack) in stacks.iter().enumerate() {
        for component in &stack.components {
            for read in &component.recorded_reads {
                let Some(other) = stacks.iter().position(|other| other.stack == read.stack) else { continue };
                let reader = (position, component.key.as_str());
                let moved = moved.get(&(other, read.component.as_str())).into_iter().flatten();
                let all = [read.component.as_str()].into_iter().chain(moved.copied());
                reads.extend(all.map(|read| (reader, (other, read))));
            }
        }
    }
    let within = stacks.iter().enumerate().flat_map(|(position, stack)| depending(position, stack));
    let graph: DiGraphMap<Component<'_>, ()> = within.chain(reads.iter().copied()).collect();
    let mut group: HashMap<Component<'_>, usize> = HashMap::new();
    for (number, members) in kosaraju_scc(&graph).into_iter().enumerate() {
        group.extend(members.into_iter().map(|component| (component, number)));
    }
    reads.retain(|(reader, read)| group.get(reader) != group.get(read));
    reads
}

/// The components to which the plan moves objects of each component. Recorded readers of the old component depend on them.
fn moved(stacks: &[StackPlan]) -> HashMap<Component<'_>, BTreeSet<&str>> {
    let mut moved: HashMap<Component<'_>, BTreeSet<&str>> = HashMap::new();
    for (position, stack) in stacks.iter().enumerate() {
        let changes = stack.changes.iter().filter_map(|change| Some((change.moved_from.as_ref()?, &change.address)));
        for (from, to) in changes.filter_map(|(from, to)| between(from, to)) {
            moved.entry((position, from)).or_default().insert(to);
        }
    }
    moved
}

/// The recorded dependencies within a stack.
fn depending(position: usize, stack: &StackPlan) -> impl Iterator<Item = (Component<'_>, Component<'_>)> {
    stack.components.iter().flat_map(move |component| {
        let on = component.depended_on.iter();
        on.map(move |on| ((position, component.key.as_str()), (position, on.as_str())))
    })
}
