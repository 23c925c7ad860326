//! The graph of declared resources: their order in a plan, or the cycle that prevents an order.
//!
//! Nodes are declarations, not instances: a `forEach` of 100,000 is one node. Each component has two more nodes, its
//! beginning and its end, so that the number of edges grows linearly with the descriptor.

pub mod loops;

use crate::address::LOOKUP;
use crate::compile::{CompiledComponent, by_name};
use crate::descriptor::{Declarations, OutputDeclaration, ResourceDeclaration};
use crate::diagnostic::{Diagnostic, did_you_mean, first_of};
use crate::expression::{Reference, ReferenceStep, Template};
use crate::quick::QuickMap;
use crate::source::Span;
use indexmap::IndexMap;
use petgraph::Direction::{self, Incoming, Outgoing};
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

/// A declaration, as the position of its component and its position within the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// Position of the component.
    pub component: usize,
    /// Position of the resource in the component.
    pub resource: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Begin(usize),
    Block(Block),
    Lookup(Block),
    End(usize),
}

/// One stop of the planner's walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// A declared resource.
    Block(Block),
    /// A lookup. It is as late as its readers allow, because other resources may create the object that it reads.
    Lookup(Block),
    /// The end of a component: all its declarations were visited.
    End(usize),
}

/// Returns the order in which the planner visits declarations.
///
/// # Errors
/// Unknown references, and cycles with the place of each edge.
pub fn order(components: &[CompiledComponent]) -> Result<Vec<Visit>, Vec<Diagnostic>> {
    order_with(components, &BTreeSet::new())
}

/// Returns the same order with extra edges from declarations to the lookups that read their objects.
///
/// # Errors
/// As [`order`].
pub fn order_with(
    components: &[CompiledComponent],
    lookup_edges: &BTreeSet<(Block, Block)>,
) -> Result<Vec<Visit>, Vec<Diagnostic>> {
    let mut graph = Graph::default();
    let mut diagnostics = Vec::new();
    graph.add_components(components);
    graph.link_components(components, &mut diagnostics);
    graph.link_references(components, &mut diagnostics);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    for (target, lookup) in lookup_edges {
        let (Some(from), Some(to)) = (graph.blocks.get(target), graph.lookups.get(lookup)) else { continue };
        graph.edges.add_edge(*from, *to, Span::default());
    }
    match toposort(&graph.edges, None) {
        Ok(nodes) => Ok(graph.delay_lookups(nodes).into_iter().filter_map(|node| graph.visit(node)).collect()),
        Err(_) => {
            let hint = "remove one of these references, or split a resource in two";
            Err(loops::explain(&graph.edges, hint, |node| graph.describe(node, components)))
        }
    }
}

/// The direction in which to follow dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// To the dependencies of a declaration.
    Dependencies,
    /// To the dependents of a declaration.
    Dependents,
}

/// Returns all declarations reachable from the given ones, including these. Unknown references are skipped.
#[must_use]
pub fn reach(components: &[CompiledComponent], from: &BTreeSet<Block>, towards: Towards) -> BTreeSet<Block> {
    if from.is_empty() {
        return BTreeSet::new();
    }
    let graph = Graph::of(components);
    let direction = match towards {
        Towards::Dependencies => Incoming,
        Towards::Dependents => Outgoing,
    };
    graph.reached(from.iter().filter_map(|block| graph.blocks.get(block).copied()).collect(), direction)
}

/// Dependents of lookups.
pub struct Readers(Graph);

impl Readers {
    /// Builds the graph of these components.
    #[must_use]
    pub fn of(components: &[CompiledComponent]) -> Self {
        Self(Graph::of(components))
    }

    /// Returns all dependents of a lookup, direct and transitive.
    pub fn of_lookup(&self, lookup: Block) -> BTreeSet<Block> {
        self.0.reached(self.0.lookups.get(&lookup).copied().into_iter().collect(), Outgoing)
    }
}

#[derive(Default)]
struct Graph {
    edges: DiGraph<Node, Span>,
    begins: Vec<NodeIndex>,
    ends: Vec<NodeIndex>,
    blocks: QuickMap<Block, NodeIndex>,
    lookups: HashMap<Block, NodeIndex>,
}

impl Graph {
    /// Builds the graph and drops its errors.
    fn of(components: &[CompiledComponent]) -> Self {
        let mut graph = Self::default();
        let mut ignored = Vec::new();
        graph.add_components(components);
        graph.link_components(components, &mut ignored);
        graph.link_references(components, &mut ignored);
        graph
    }

    /// Returns the resources reachable from the given nodes, including these.
    fn reached(&self, mut waiting: Vec<NodeIndex>, direction: Direction) -> BTreeSet<Block> {
        let mut reached: HashSet<NodeIndex> = HashSet::new();
        while let Some(node) = waiting.pop() {
            if reached.insert(node) {
                waiting.extend(self.edges.neighbors_directed(node, direction));
            }
        }
        let blocks = reached.into_iter().filter_map(|node| match self.edges.node_weight(node) {
            Some(Node::Block(block)) => Some(*block),
            _ => None,
        });
        blocks.collect()
    }

    fn visit(&self, node: NodeIndex) -> Option<Visit> {
        match self.edges.node_weight(node)? {
            Node::Block(block) => Some(Visit::Block(*block)),
            Node::Lookup(lookup) => Some(Visit::Lookup(*lookup)),
            Node::End(component) => Some(Visit::End(*component)),
            Node::Begin(_) => None,
        }
    }

    fn add_components(&mut self, components: &[CompiledComponent]) {
        for (position, component) in components.iter().enumerate() {
            let begin = self.edges.add_node(Node::Begin(position));
            let end = self.edges.add_node(Node::End(position));
            self.begins.push(begin);
            self.ends.push(end);
            self.edges.add_edge(begin, end, component.span);
            for (resource, declaration) in component.declarations.resources.iter().enumerate() {
                let block = Block { component: position, resource };
                let node = self.edges.add_node(Node::Block(block));
                self.blocks.insert(block, node);
                self.edges.add_edge(begin, node, declaration.span);
                self.edges.add_edge(node, end, declaration.span);
            }
            for (resource, declaration) in component.declarations.data.iter().enumerate() {
                let lookup = Block { component: position, resource };
                let node = self.edges.add_node(Node::Lookup(lookup));
                self.lookups.insert(lookup, node);
                self.edges.add_edge(begin, node, declaration.span);
                self.edges.add_edge(node, end, declaration.span);
            }
        }
    }

    /// Moves lookups as late as possible: a lookup comes only when no resource is ready. Any resource may create the
    /// object that a lookup reads, without a reference that shows it.
    fn delay_lookups(&self, nodes: Vec<NodeIndex>) -> Vec<NodeIndex> {
        if self.lookups.is_empty() {
            return nodes;
        }
        let mut waits_for: HashMap<NodeIndex, usize> =
            nodes.iter().map(|node| (*node, self.edges.neighbors_directed(*node, Incoming).count())).collect();
        let rank: HashMap<NodeIndex, usize> = nodes.iter().enumerate().map(|(rank, node)| (*node, rank)).collect();
        let key = |node: NodeIndex| {
            let is_lookup = matches!(self.edges.node_weight(node), Some(Node::Lookup(_)));
            Reverse((is_lookup, rank.get(&node).copied().unwrap_or_default(), node))
        };
        let mut ready: BinaryHeap<_> =
            nodes.iter().filter(|node| waits_for.get(*node) == Some(&0)).map(|node| key(*node)).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(Reverse((_, _, node))) = ready.pop() {
            order.push(node);
            for next in self.edges.neighbors(node) {
                if let Some(left) = waits_for.get_mut(&next) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(key(next));
                    }
                }
            }
        }
        order
    }

    fn link_components(&mut self, components: &[CompiledComponent], diagnostics: &mut Vec<Diagnostic>) {
        let positions = by_name(components);
        for (position, component) in components.iter().enumerate() {
            for dependency in &component.depends_on {
                let Some(key) = &dependency.key else { continue };
                let Some(other) = positions.get(key.as_str()) else { continue };
                let (Some(end), Some(begin)) = (self.ends.get(*other), self.begins.get(position)) else { continue };
                self.edges.add_edge(*end, *begin, dependency.span);
            }
            for (reference, span) in component_references(&component.declarations) {
                check_component_reference(component, components, &positions, reference, span, diagnostics);
            }
        }
    }

    fn link_references<'c>(&mut self, components: &'c [CompiledComponent], diagnostics: &mut Vec<Diagnostic>) {
        for (position, component) in components.iter().enumerate() {
            let names = names(&component.declarations);
            let lookups = lookup_names(&component.declarations);
            let blocks = component.declarations.resources.iter().enumerate();
            let blocks = blocks.map(|(at, declaration)| (declaration, self.blocks.get(&block(position, at)).copied()));
            let data = component.declarations.data.iter().enumerate();
            let data = data.map(|(at, declaration)| (declaration, self.lookups.get(&block(position, at)).copied()));
            for (declaration, to) in blocks.chain(data).collect::<Vec<_>>() {
                let Some(to) = to else { continue };
                // Collect each name once. Checking for an existing edge would walk all edges of the dependency, and a
                // resource that everything reads has an edge for each reader.
                let mut dependencies: IndexMap<&str, Span> = IndexMap::new();
                let mut depend_on = |name: &'c str, span: Span, diagnostics: &mut Vec<Diagnostic>| {
                    if names.contains_key(name) {
                        dependencies.insert(name, span);
                    } else {
                        diagnostics.push(unknown_resource(name, span, names.keys().copied()));
                    }
                };
                for name in &declaration.depends_on {
                    depend_on(&name.value, name.span, diagnostics);
                }
                for trigger in &declaration.replace_triggered_by {
                    depend_on(&trigger.name, trigger.span, diagnostics);
                }
                for (reference, span) in templates(declaration).flat_map(Template::located_references) {
                    match resource_name(reference) {
                        Some(Ok(name)) => depend_on(name, span, diagnostics),
                        Some(Err(())) => diagnostics.push(whole_resources_error(span)),
                        None => {}
                    }
                }
                for (reference, span) in templates(declaration).flat_map(Template::located_references) {
                    let from = lookup_read(reference, span, &lookups, diagnostics);
                    if let Some(from) = from.and_then(|from| self.lookups.get(&block(position, from))) {
                        self.edges.add_edge(*from, to, span);
                    }
                }
                for (name, span) in dependencies {
                    let from = names.get(name).map(|resource| Block { component: position, resource: *resource });
                    if let Some(from) = from.and_then(|from| self.blocks.get(&from)) {
                        self.edges.add_edge(*from, to, span);
                    }
                }
            }
            let outputs = component.declarations.outputs.iter().map(|output| &output.value);
            let checks = component.declarations.checks.iter().map(|check| &*check.assert);
            for template in outputs.chain(checks) {
                for (reference, span) in template.located_references() {
                    match resource_name(reference) {
                        Some(Ok(name)) if !names.contains_key(name) => {
                            diagnostics.push(unknown_resource(name, span, names.keys().copied()));
                        }
                        _ => {}
                    }
                    lookup_read(reference, span, &lookups, diagnostics);
                }
            }
        }
    }

    fn describe(&self, node: NodeIndex, components: &[CompiledComponent]) -> Option<String> {
        match self.edges.node_weight(node)? {
            Node::Begin(position) => {
                Some(components.get(*position).map(|component| format!("component `{}`", component.key))?)
            }
            Node::End(_) => None,
            node @ (Node::Block(block) | Node::Lookup(block)) => {
                let component = components.get(block.component)?;
                let (mode, declarations) = match node {
                    Node::Lookup(_) => (LOOKUP, &component.declarations.data),
                    _ => ("", &component.declarations.resources),
                };
                let declaration = declarations.get(block.resource)?;
                let name = format!("{mode}{}.{}", declaration.ty.value, declaration.name.value);
                Some(component.key.qualified(name).to_string())
            }
        }
    }
}

/// All templates of a declaration, in the order in which they are evaluated.
pub fn templates(declaration: &ResourceDeclaration) -> impl Iterator<Item = &Template> {
    [&declaration.for_each, &declaration.key, &declaration.when, &declaration.provider, &declaration.shared]
        .into_iter()
        .flatten()
        .chain(std::iter::once(&declaration.config))
        .chain(declaration.checks.iter().map(|check| &*check.assert))
}

/// Positions of resources by name.
#[must_use]
pub fn names(declarations: &Declarations) -> QuickMap<&str, usize> {
    declarations
        .resources
        .iter()
        .enumerate()
        .map(|(position, declaration)| (declaration.name.value.as_str(), position))
        .collect()
}

/// Positions of lookups by name.
#[must_use]
pub fn lookup_names(declarations: &Declarations) -> HashMap<&str, usize> {
    let named = declarations.data.iter().enumerate();
    named.map(|(position, declaration)| (declaration.name.value.as_str(), position)).collect()
}

/// The name of the lookup that a reference reads.
#[must_use]
pub fn lookup_name(reference: &Reference) -> Option<&str> {
    match reference.steps.first() {
        Some(ReferenceStep::Key(name)) if reference.root == "data" => Some(name),
        _ => None,
    }
}

fn block(component: usize, resource: usize) -> Block {
    Block { component, resource }
}

/// The position of the lookup that a reference reads. Reports unknown lookups.
fn lookup_read(
    reference: &Reference,
    span: Span,
    lookups: &HashMap<&str, usize>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<usize> {
    if reference.root != "data" {
        return None;
    }
    let Some(name) = lookup_name(reference) else {
        diagnostics.push(
            Diagnostic::error("whole_data", "`data` needs the name of one lookup as plain text")
                .at(span)
                .hint("write `data.name.attribute`"),
        );
        return None;
    };
    if let Some(position) = lookups.get(name) {
        return Some(*position);
    }
    let mut known: Vec<&str> = lookups.keys().copied().collect();
    known.sort_unstable();
    let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.len() {
        0 => "this component declares no lookups: declare it under `data:`".to_owned(),
        _ => format!("declared: {}", first_of(&known)),
    });
    let error = Diagnostic::error("unknown_lookup", format!("there is no lookup `{name}` in this component"));
    diagnostics.push(error.at(span).hint(hint));
    None
}

/// The resource that a reference reads, or an error for `resources` as a whole.
fn resource_name(reference: &Reference) -> Option<Result<&str, ()>> {
    if reference.root != "resources" {
        return None;
    }
    match reference.steps.first() {
        Some(ReferenceStep::Key(name)) => Some(Ok(name)),
        _ => Some(Err(())),
    }
}

/// The references to other components, with their places.
pub(crate) fn component_references(declarations: &Declarations) -> impl Iterator<Item = (&Reference, Span)> {
    let of_resources = declarations.resources.iter().chain(&declarations.data).flat_map(templates);
    let of_outputs = declarations.outputs.iter().map(|output| &output.value);
    let of_checks = declarations.checks.iter().map(|check| &*check.assert);
    of_resources
        .chain(of_outputs)
        .chain(of_checks)
        .flat_map(Template::located_references)
        .filter(|(reference, _)| reference.root == "components")
}

fn check_component_reference(
    component: &CompiledComponent,
    components: &[CompiledComponent],
    positions: &HashMap<&str, usize>,
    reference: &Reference,
    span: Span,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(ReferenceStep::Key(wanted)) = reference.steps.first() else {
        diagnostics.push(
            Diagnostic::error("computed_component", "`components` needs the component's key as plain text")
                .at(span)
                .hint("write `components[\"key\"].outputs.name`"),
        );
        return;
    };
    let Some(other) = positions.get(wanted.as_str()).and_then(|position| components.get(*position)) else {
        let keys: Vec<&str> = components
            .iter()
            .map(|component| &component.key)
            .filter(|key| !key.is_stack())
            .map(|key| key.as_str())
            .collect();
        let hint = did_you_mean(wanted, keys.iter().copied()).unwrap_or_else(|| match keys.is_empty() {
            true => "the descriptor has no components: remove the reference".to_owned(),
            false => format!("components: {}", first_of(&keys)),
        });
        diagnostics.push(
            Diagnostic::error("unknown_component", format!("there is no component `{wanted}`")).at(span).hint(hint),
        );
        return;
    };
    let is_declared = component.depends_on.iter().any(|dependency| dependency.key.as_ref() == Some(&other.key));
    if !is_declared && !component.key.is_stack() {
        diagnostics.push(
            Diagnostic::error(
                "undeclared_dependency",
                format!("component `{}` reads an output of `{}` but does not depend on it", component.key, other.key),
            )
            .at(span)
            .hint(format!("add `{}` to `dependsOn` of `{}`", other.key, component.key)),
        );
    }
}

fn unknown_resource<'a>(name: &str, span: Span, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.len() {
        0 => "this component declares no resources".to_owned(),
        _ => format!("declared: {}", first_of(&known)),
    });
    Diagnostic::error("unknown_resource", format!("there is no resource `{name}` in this component"))
        .at(span)
        .hint(hint)
}

fn whole_resources_error(span: Span) -> Diagnostic {
    Diagnostic::error("whole_resources", "`resources` needs the name of one resource as plain text")
        .at(span)
        .hint("write `resources.name.attribute`")
}

/// All templates of an output.
pub(crate) fn output_templates(output: &OutputDeclaration) -> impl Iterator<Item = &Template> {
    std::iter::once(&output.value).chain(&output.label)
}
