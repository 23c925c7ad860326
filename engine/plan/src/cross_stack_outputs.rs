//! Outputs of other stacks: `stacks["name"].components["key"].outputs.NAME`, recorded or planned in the same run.
//!
//! The stacks of a run are planned in the order in which they read and look up each other (`lookup_dependencies`). Recorded
//! outputs are read as they are now and belong to the read set: an apply of the other stack makes the plan stale, by a row or
//! by an output (`output_reads`).

use super::failure::PlanFailure;
use super::needs::{RecordedOutputs, StackNeed};
use super::planner::Planner;
use super::{Part, StackPlan};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::algo::{has_path_connecting, is_cyclic_directed};
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use terrace_language::address::{ComponentKey, StackId};
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{Reference, ReferenceStep, Template};
use terrace_language::graph::{loops, templates};
use terrace_language::scope::other_stacks::{CrossStackOutputs, malformed, split, stack_of};
use terrace_language::source::Span;
use terrace_provider::Map;
use terrace_store::{Read, Selection};

/// A reference of a component to a component of another stack.
struct StackReference<'c> {
    component: &'c ComponentKey,
    stack: StackId,
    of: ComponentKey,
    span: Span,
}

/// The references of the chosen components, with their locations.
pub(super) fn references<'c>(
    planner: &Planner<'_>,
    compiled: &'c CompiledStack,
) -> impl Iterator<Item = (&'c CompiledComponent, &'c Reference, Span)> {
    let chosen = &planner.options.components;
    let components =
        compiled.components.iter().filter(|component| chosen.is_empty() || chosen.contains(&component.key));
    components.flat_map(|component| {
        let declarations = &component.declarations;
        let declared = declarations.resources.iter().chain(&declarations.data).flat_map(templates);
        let all = declared.chain(declarations.outputs.iter().map(|output| &output.value));
        all.flat_map(Template::located_references).map(move |(reference, span)| (component, reference, span))
    })
}

/// The references to other stacks. Names have to be plain text, because they determine the order of planning.
fn stack_references<'c>(
    planner: &Planner<'_>,
    compiled: &'c CompiledStack,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<StackReference<'c>> {
    let mut found = Vec::new();
    for (component, reference, span) in
        references(planner, compiled).filter(|(_, reference, _)| reference.root == "stacks")
    {
        match split(&reference.steps) {
            Some((stack, of, _)) => found.push(StackReference {
                component: &component.key,
                stack: stack_of(stack, &planner.environment.name),
                of,
                span,
            }),
            None if reference.steps.iter().take(4).any(|step| matches!(step, ReferenceStep::Path(_))) => {
                diagnostics.push(
                    Diagnostic::error("computed_stack", "`stacks` needs stack and component as plain text")
                        .at(span)
                        .maybe_hint(malformed().hint),
                );
            }
            // The evaluation reports any other malformed reference.
            None => {}
        }
    }
    found
}

/// The order in which stacks are planned: each after the stacks whose outputs it reads or whose objects it looks up.
pub(super) struct StackOrder<'s> {
    stacks: &'s [CompiledStack],
    /// The position of a node is the position of its stack.
    graph: DiGraph<usize, Span>,
    nodes: HashMap<&'s StackId, NodeIndex>,
}

impl<'s> StackOrder<'s> {
    /// Creates the order from the outputs that the stacks read.
    pub(super) fn of(planner: &Planner<'_>, stacks: &'s [CompiledStack]) -> Self {
        let mut graph = DiGraph::new();
        let nodes = stacks.iter().enumerate().map(|(at, stack)| (&stack.stack, graph.add_node(at))).collect();
        let mut order = Self { stacks, graph, nodes };
        for stack in stacks {
            // Planning the stack reports malformed references.
            for reference in stack_references(planner, stack, &mut Vec::new()) {
                if let Some((from, to)) = order.endpoints(&reference.stack, &stack.stack) {
                    order.graph.add_edge(from, to, reference.span);
                }
            }
        }
        order
    }

    fn endpoints(&self, first: &StackId, then: &StackId) -> Option<(NodeIndex, NodeIndex)> {
        Some((*self.nodes.get(first)?, *self.nodes.get(then)?))
    }

    /// Orders one stack before another; false if it was so already or would create a cycle.
    pub(super) fn add(&mut self, first: &StackId, then: &StackId, span: Span) -> bool {
        let Some((first, then)) = self.endpoints(first, then) else { return false };
        if self.graph.contains_edge(first, then) || has_path_connecting(&self.graph, then, first, None) {
            return false;
        }
        self.graph.add_edge(first, then, span);
        true
    }

    /// The stack's position in the run.
    pub(super) fn position(&self, stack: &StackId) -> Option<usize> {
        self.graph.node_weight(*self.nodes.get(stack)?).copied()
    }

    /// The errors for stacks that read each other in a cycle; empty without a cycle.
    pub(super) fn explain_cycles(&self) -> Vec<Diagnostic> {
        if !is_cyclic_directed(&self.graph) {
            return Vec::new();
        }
        let hint = "stacks of one run are planned one after the other: remove the references of one stack to the other";
        let name = |node| Some(self.stacks.get(*self.graph.node_weight(node)?)?.stack.to_string());
        loops::explain(&self.graph, hint, name)
    }

    /// Sorts some of the stacks by their dependencies, and otherwise in the given order.
    pub(super) fn positions(&self, chosen: &BTreeSet<usize>) -> Vec<usize> {
        let mut order = Vec::new();
        let mut visited = BTreeSet::new();
        for start in chosen {
            let mut open = vec![(NodeIndex::new(*start), false)];
            while let Some((node, is_ready)) = open.pop() {
                if is_ready {
                    order.push(node.index());
                } else if chosen.contains(&node.index()) && visited.insert(node) {
                    open.push((node, true));
                    open.extend(self.graph.neighbors_directed(node, Incoming).map(|read| (read, false)));
                }
            }
        }
        order
    }

    /// These stacks and all that depend on them.
    pub(super) fn after(&self, first: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut open: Vec<NodeIndex> = first.iter().map(|at| NodeIndex::new(*at)).collect();
        let mut visited = BTreeSet::new();
        while let Some(node) = open.pop() {
            if visited.insert(node.index()) {
                open.extend(self.graph.neighbors_directed(node, Outgoing));
            }
        }
        visited
    }
}

/// A stack's reads of other stacks: values, dependencies of its steps, and rows that the plan depends on.
pub(super) struct CrossStackReads {
    pub(super) other_stacks: CrossStackOutputs,
    pub(super) needs: Vec<StackNeed>,
    /// Recorded outputs of stacks outside the run.
    pub(super) recorded: Vec<RecordedOutputs>,
    pub(super) reads: Vec<Read>,
}

/// Collects a stack's reads of other stacks, from those planned before and from the store.
pub(super) async fn find<'p>(
    planner: &Planner<'_>,
    compiled: &CompiledStack,
    run: &BTreeSet<&StackId>,
    planned: &impl Fn(&StackId) -> Option<&'p StackPlan>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<CrossStackReads, PlanFailure> {
    let mut found = CrossStackReads {
        other_stacks: CrossStackOutputs::of(&planner.environment.name),
        needs: Vec::new(),
        recorded: Vec::new(),
        reads: Vec::new(),
    };
    let stack_references = stack_references(planner, compiled, diagnostics);
    if stack_references.is_empty() {
        return Ok(found);
    }
    found.other_stacks.recorded = planner.store.stacks().await?;
    found.other_stacks.known = planner.store.known_stacks().await?;
    let mut needed: BTreeMap<&StackId, BTreeSet<&ComponentKey>> = BTreeMap::new();
    for reference in &stack_references {
        needed.entry(&reference.stack).or_default().insert(&reference.of);
        found.needs.push(StackNeed {
            component: reference.component.clone(),
            stack: reference.stack.clone(),
            of: reference.of.clone(),
        });
    }
    found.needs.sort();
    found.needs.dedup();
    for (stack, components) in needed {
        if let Some(plan) = planned(stack) {
            if plan.components.is_empty() {
                found.other_stacks.stacks.insert(stack.clone(), None);
            }
            let deferred = plan.components.iter().filter(|component| component.is_deferred);
            found.other_stacks.deferred.extend(deferred.map(|component| (stack.clone(), component.key.clone())));
            outputs_of(plan).into_iter().for_each(|(key, outputs)| found.other_stacks.set(stack, &key, outputs));
            continue;
        }
        if run.contains(stack) || planner.options.offline {
            // The stack reads this one, which is reported, or the planner is offline: its outputs are unknown.
            found.other_stacks.stacks.insert(stack.clone(), None);
            continue;
        }
        for (key, component) in planner.recorded_components(stack).await? {
            if components.contains(&key) {
                found.other_stacks.undecryptable.insert((stack.clone(), key.clone()), component.undecryptable.clone());
                let (component, outputs) = (key.clone(), component.outputs.clone());
                found.recorded.push(RecordedOutputs { stack: stack.clone(), component, outputs });
            }
            found.other_stacks.set(stack, &key, component.outputs);
        }
        let components = components.into_iter().cloned().collect();
        for row in planner.store.rows(stack, &Selection::Components(components)).await? {
            let (address, deposed, generation) = (row.address, row.deposed, row.generation);
            found.reads.push(Read { stack: row.stack, address, deposed, generation });
        }
    }
    Ok(found)
}

/// The recorded outputs of all stacks, for expressions that are entered later.
pub(super) async fn recorded(planner: &Planner<'_>) -> Result<CrossStackOutputs, PlanFailure> {
    let mut other_stacks = CrossStackOutputs::of(&planner.environment.name);
    other_stacks.known = planner.store.known_stacks().await?;
    other_stacks.recorded = planner.store.stacks().await?;
    for stack in other_stacks.recorded.clone() {
        for (key, component) in planner.recorded_components(&stack).await? {
            other_stacks.undecryptable.insert((stack.clone(), key.clone()), component.undecryptable.clone());
            other_stacks.set(&stack, &key, component.outputs);
        }
    }
    Ok(other_stacks)
}

/// The planned outputs of a stack, by component.
pub fn outputs_of(plan: &StackPlan) -> BTreeMap<ComponentKey, Map> {
    let mut outputs: BTreeMap<ComponentKey, Map> = plan
        .components
        .iter()
        .filter(|component| component.part != Part::Removed)
        .map(|component| (component.key.clone(), component.recorded_outputs.clone()))
        .collect();
    for output in &plan.outputs {
        if let (Some(after), Some(of)) = (&output.after, outputs.get_mut(&output.component)) {
            of.insert(output.name.clone(), after.clone());
        }
    }
    outputs
}
