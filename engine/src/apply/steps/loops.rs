//! Recorded dependencies that go round. Each was right when it was recorded, but not all were at one time: an instance that
//! stayed when it left its `forEach` may have come after what comes after all of the instances by now.

use crate::address::{Address, InstanceKey};
use crate::plan::StackPlan;
use crate::selector::is_same_block;
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{HashMap, HashSet};

/// What of the recorded dependencies of a stack is not followed, so that none of them go round.
#[derive(Default)]
pub(super) struct Loops<'p> {
    /// Instances that what comes after all of their block does not come after.
    apart: HashSet<&'p Address>,
    /// Resources that depend on each other, and what the others do not break.
    edges: HashSet<(&'p Address, &'p Address)>,
}

type Edges<'p> = DiGraphMap<&'p Address, ()>;

impl<'p> Loops<'p> {
    pub(super) fn of(stack: &'p StackPlan) -> Self {
        let recorded = || {
            stack.changes.iter().flat_map(|change| {
                let needed = change.prior.iter().flat_map(|prior| &prior.dependencies);
                needed.map(|needed| (&change.address, needed))
            })
        };
        let mut instances: HashMap<(&str, &str, &str), Vec<&Address>> = HashMap::new();
        for address in stack.changes.iter().map(|change| &change.address).filter(|address| address.key.is_some()) {
            instances.entry((&address.component, &address.ty, &address.name)).or_default().push(address);
        }
        let blocks: HashSet<&Address> =
            recorded().map(|(_, needed)| needed).filter(|needed| needed.key == Some(InstanceKey::All)).collect();
        let of_blocks = blocks.into_iter().flat_map(|block| {
            let members = instances.get(&(block.component.as_str(), block.ty.as_str(), block.name.as_str()));
            members.into_iter().flatten().map(move |member| (block, *member))
        });
        let mut edges: Edges<'p> = recorded().chain(of_blocks).collect();
        let is_of_block = |(one, other): &(&Address, &Address)| is_same_block(one, other);
        let apart: Vec<(&Address, &Address)> = within_loops(&edges).into_iter().filter(is_of_block).collect();
        for (block, member) in &apart {
            edges.remove_edge(block, member);
        }
        Self {
            apart: apart.into_iter().map(|(_, member)| member).collect(),
            edges: within_loops(&edges).into_iter().collect(),
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
