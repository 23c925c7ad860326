//! Reports reference cycles of a graph, with the place of each edge.

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use std::collections::{HashMap, HashSet, VecDeque};

/// Returns one error for each cycle. Edges lead from a dependency to its dependent; nodes without a name are skipped.
pub fn explain<N>(edges: &DiGraph<N, Span>, hint: &str, name: impl Fn(NodeIndex) -> Option<String>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for group in kosaraju_scc(edges) {
        let members: HashSet<NodeIndex> = group.iter().copied().collect();
        let Some(start) = group.iter().copied().min() else { continue };
        let is_loop = group.len() > 1 || edges.contains_edge(start, start);
        if !is_loop {
            continue;
        }
        // Print from dependent to dependency, the direction of references. Component barriers print as their component.
        let mut needs: Vec<(String, Span)> = Vec::new();
        for (node, span) in find(edges, start, &members).into_iter().rev() {
            let Some(name) = name(node) else { continue };
            if needs.last().is_none_or(|(last, _)| *last != name) {
                needs.push((name, span));
            }
        }
        let mut names: Vec<&str> = needs.iter().map(|(name, _)| name.as_str()).collect();
        names.extend(names.first().copied());
        let mut diagnostic = Diagnostic::error("reference_cycle", format!("a cycle: {}", names.join(" → "))).hint(hint);
        for ((name, span), needed) in needs.iter().zip(names.iter().skip(1)) {
            diagnostic = diagnostic.at_with(*span, format!("{name} needs {needed}"));
        }
        diagnostics.push(diagnostic);
    }
    diagnostics
}

/// Finds a cycle through `start`: each node with the place of the edge that leads to it.
fn find<N>(edges: &DiGraph<N, Span>, start: NodeIndex, members: &HashSet<NodeIndex>) -> Vec<(NodeIndex, Span)> {
    let mut predecessors: HashMap<NodeIndex, (NodeIndex, Span)> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for edge in edges.edges(node) {
            let target = edge.target();
            if !members.contains(&target) || predecessors.contains_key(&target) {
                continue;
            }
            predecessors.insert(target, (node, *edge.weight()));
            queue.push_back(target);
        }
        if predecessors.contains_key(&start) {
            break;
        }
    }
    let mut path = Vec::new();
    let mut at = start;
    while let Some((previous, span)) = predecessors.get(&at) {
        path.push((at, *span));
        at = *previous;
        if at == start {
            break;
        }
    }
    path.reverse();
    path
}
