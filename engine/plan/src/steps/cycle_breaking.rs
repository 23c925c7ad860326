//! Breaks cycles of recorded dependencies, and of changes that are planned from recorded rows.
//!
//! Each dependency was right when it was recorded, but they were recorded at different times. For example, an instance that left
//! its `forEach` may depend now on a dependent of all instances.

use crate::StackPlan;
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{HashMap, HashSet};
use terrace_language::address::{Address, BlockName, InstanceKey};
use terrace_language::selector::is_same_block;

/// The recorded dependencies of a stack to ignore, so that the rest contains no cycle.
#[derive(Default)]
pub(super) struct Cycles<'p> {
    /// Instances to exclude from dependencies on their whole block.
    excluded_instances: HashSet<&'p Address>,
    /// Further dependencies within a cycle.
    edges: HashSet<(&'p Address, &'p Address)>,
    /// Dependencies within a cycle of resources that no descriptor declares.
    undeclared: HashSet<(&'p Address, &'p Address)>,
}

type Edges<'p> = DiGraphMap<&'p Address, ()>;

impl<'p> Cycles<'p> {
    pub(super) fn of(stack: &'p StackPlan) -> Self {
        let instances = Instances::of(stack);
        let mut edges = instances.edges(stack.changes.iter().flat_map(|change| {
            let needed = change.basis.prior.iter().flat_map(|prior| &prior.dependencies);
            needed.map(|needed| (&change.address, needed))
        }));
        let is_of_block = |(from, to): &(&Address, &Address)| is_same_block(from, to);
        let excluded_instances: Vec<(&Address, &Address)> =
            cycle_edges(&edges).into_iter().filter(is_of_block).collect();
        for (block, member) in &excluded_instances {
            edges.remove_edge(block, member);
        }
        // Descriptors contain no cycles, so every cycle contains an undeclared resource.
        let undeclared: HashSet<&Address> =
            stack.changes.iter().filter(|change| change.basis.place.is_none()).map(|change| &change.address).collect();
        let forward = instances.edges(
            stack
                .changes
                .iter()
                .filter(|_| !undeclared.is_empty())
                .flat_map(|change| change.how.depends_on.iter().map(|needed| (&change.address, needed))),
        );
        let is_undeclared = |(from, _): &(&Address, &Address)| undeclared.contains(from);
        Self {
            excluded_instances: excluded_instances.into_iter().map(|(_, member)| member).collect(),
            edges: cycle_edges(&edges).into_iter().collect(),
            undeclared: cycle_edges(&forward).into_iter().filter(is_undeclared).collect(),
        }
    }

    /// True if dependents of the whole block depend on this instance.
    pub(super) fn is_one_of_all(&self, address: &Address) -> bool {
        !self.excluded_instances.contains(address)
    }

    /// True if the recorded dependency counts.
    pub(super) fn follows(&self, address: &Address, needed: &Address) -> bool {
        self.edges.is_empty() || !self.edges.contains(&(address, needed))
    }

    /// True if the planned dependency counts.
    pub(super) fn waits(&self, address: &Address, needed: &Address) -> bool {
        self.undeclared.is_empty() || !self.undeclared.contains(&(address, needed))
    }
}

/// The instances of each block of a stack.
struct Instances<'p>(HashMap<BlockName<&'p str>, Vec<&'p Address>>);

impl<'p> Instances<'p> {
    fn of(stack: &'p StackPlan) -> Self {
        let mut instances: HashMap<_, Vec<&Address>> = HashMap::new();
        for address in stack.changes.iter().map(|change| &change.address).filter(|address| address.key.is_some()) {
            instances.entry(BlockName::of(address)).or_default().push(address);
        }
        Self(instances)
    }

    /// The graph of these edges, with edges from each block to its instances.
    fn edges(&self, edges: impl Iterator<Item = (&'p Address, &'p Address)>) -> Edges<'p> {
        let mut edges: Edges<'p> = edges.collect();
        let blocks: Vec<&Address> = edges.nodes().filter(|node| node.key == Some(InstanceKey::All)).collect();
        for block in blocks {
            for member in self.0.get(&BlockName::of(block)).into_iter().flatten() {
                edges.add_edge(block, member, ());
            }
        }
        edges
    }
}

/// The edges within cycles.
fn cycle_edges<'p>(edges: &Edges<'p>) -> Vec<(&'p Address, &'p Address)> {
    let mut group: HashMap<&Address, usize> = HashMap::new();
    for (number, members) in kosaraju_scc(edges).into_iter().enumerate().filter(|(_, members)| members.len() > 1) {
        group.extend(members.into_iter().map(|member| (member, number)));
    }
    let is_within = |(from, to): &(&Address, &Address)| group.get(from).is_some_and(|of| group.get(to) == Some(of));
    edges.all_edges().map(|(from, to, ())| (from, to)).filter(is_within).collect()
}
