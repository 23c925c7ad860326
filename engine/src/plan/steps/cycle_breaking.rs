//! Breaks cycles of recorded dependencies, and of changes that are planned from recorded rows.
//!
//! Each dependency was right when it was recorded, but they were recorded at different times: an instance that stayed when it
//! left its `forEach` may depend by now on a dependent of all instances.

use super::blocks::{Name, name};
use crate::address::{Address, InstanceKey};
use crate::plan::StackPlan;
use crate::selector::is_same_block;
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{HashMap, HashSet};

/// What of the recorded dependencies of a stack is not followed, so that none of them go round.
#[derive(Default)]
pub(super) struct Cycles<'p> {
    /// Instances that what comes after all of their block does not come after.
    apart: HashSet<&'p Address>,
    /// Resources that depend on each other, and what the others do not break.
    edges: HashSet<(&'p Address, &'p Address)>,
    /// The same of what no descriptor declares: it is made, or kept, as recorded at one time or another.
    undeclared: HashSet<(&'p Address, &'p Address)>,
}

type Edges<'p> = DiGraphMap<&'p Address, ()>;

impl<'p> Cycles<'p> {
    pub(super) fn of(stack: &'p StackPlan) -> Self {
        let instances = Instances::of(stack);
        let mut edges = instances.edges(stack.changes.iter().flat_map(|change| {
            let needed = change.prior.iter().flat_map(|prior| &prior.dependencies);
            needed.map(|needed| (&change.address, needed))
        }));
        let is_of_block = |(one, other): &(&Address, &Address)| is_same_block(one, other);
        let apart: Vec<(&Address, &Address)> = within_loops(&edges).into_iter().filter(is_of_block).collect();
        for (block, member) in &apart {
            edges.remove_edge(block, member);
        }
        // No descriptor that goes round is planned, so that what is not declared is part of every loop.
        let undeclared: HashSet<&Address> =
            stack.changes.iter().filter(|change| change.place.is_none()).map(|change| &change.address).collect();
        let forward = instances.edges(
            stack
                .changes
                .iter()
                .filter(|_| !undeclared.is_empty())
                .flat_map(|change| change.depends_on.iter().map(|needed| (&change.address, needed))),
        );
        let is_undeclared = |(one, _): &(&Address, &Address)| undeclared.contains(one);
        Self {
            apart: apart.into_iter().map(|(_, member)| member).collect(),
            edges: within_loops(&edges).into_iter().collect(),
            undeclared: within_loops(&forward).into_iter().filter(is_undeclared).collect(),
        }
    }

    /// True when what comes after all instances comes after this one, too.
    pub(super) fn is_one_of_all(&self, address: &Address) -> bool {
        !self.apart.contains(address)
    }

    /// True when the one resource still goes before the other that it came after.
    pub(super) fn follows(&self, address: &Address, needed: &Address) -> bool {
        self.edges.is_empty() || !self.edges.contains(&(address, needed))
    }

    /// True when the one resource is still made after the other.
    pub(super) fn waits(&self, address: &Address, needed: &Address) -> bool {
        self.undeclared.is_empty() || !self.undeclared.contains(&(address, needed))
    }
}

/// The instances of each block of a stack.
struct Instances<'p>(HashMap<Name<'p>, Vec<&'p Address>>);

impl<'p> Instances<'p> {
    fn of(stack: &'p StackPlan) -> Self {
        let mut instances: HashMap<_, Vec<&Address>> = HashMap::new();
        for address in stack.changes.iter().map(|change| &change.address).filter(|address| address.key.is_some()) {
            instances.entry(name(address)).or_default().push(address);
        }
        Self(instances)
    }

    /// The graph of those edges; what leads to a block leads on to its instances.
    fn edges(&self, edges: impl Iterator<Item = (&'p Address, &'p Address)>) -> Edges<'p> {
        let mut edges: Edges<'p> = edges.collect();
        let blocks: Vec<&Address> = edges.nodes().filter(|it| it.key == Some(InstanceKey::All)).collect();
        for block in blocks {
            for member in self.0.get(&name(block)).into_iter().flatten() {
                edges.add_edge(block, member, ());
            }
        }
        edges
    }
}

/// The edges that are part of a loop.
fn within_loops<'p>(edges: &Edges<'p>) -> Vec<(&'p Address, &'p Address)> {
    let mut group: HashMap<&Address, usize> = HashMap::new();
    for (number, members) in kosaraju_scc(edges).into_iter().enumerate().filter(|(_, members)| members.len() > 1) {
        group.extend(members.into_iter().map(|member| (member, number)));
    }
    let is_within = |(one, other): &(&Address, &Address)| group.get(one).is_some_and(|of| group.get(other) == Some(of));
    edges.all_edges().map(|(one, other, ())| (one, other)).filter(is_within).collect()
}
