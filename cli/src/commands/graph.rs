//! `terrace graph`: what is declared, and what reads what, for Graphviz and Mermaid.

use super::Context;
use crate::args::{GraphArguments, GraphFormat};
use crate::failure::{Exit, Failure};
use crate::planning::compile;
use crate::wiring::World;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use terrace_engine::address::SHARED;
use terrace_engine::compile::{CompiledComponent, CompiledStack};
use terrace_engine::descriptor::ResourceDeclaration;
use terrace_engine::expression::{Reference, ReferenceStep};
use terrace_engine::graph::templates;

/// Nodes and edges by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Drawing {
    nodes: BTreeSet<String>,
    /// From what depends to what it depends on.
    edges: BTreeSet<(String, String)>,
}

/// Draws the graph.
///
/// # Errors
/// When the descriptors are wrong.
pub(super) fn run(context: &Context<'_>, arguments: &GraphArguments) -> Result<Exit, Failure> {
    let project = compile(context, &arguments.input.files, &arguments.input.choice, true)?;
    let mut drawing = Drawing::default();
    for described in &project.stacks {
        drawing.add(&described.compiled, &project.world);
    }
    context.ui.print(&match arguments.format {
        GraphFormat::Dot => drawing.to_dot(),
        GraphFormat::Mermaid => drawing.to_mermaid(),
    })?;
    Ok(Exit::Done)
}

impl Drawing {
    fn add(&mut self, stack: &CompiledStack, world: &World) {
        for component in &stack.components {
            let heading = |key: &str| if key.is_empty() { stack.stack.to_string() } else { key.to_owned() };
            for dependency in component.depends_on.iter().filter_map(|dependency| dependency.key.as_deref()) {
                self.edges.insert((heading(&component.key), heading(dependency)));
                self.nodes.extend([heading(&component.key), heading(dependency)]);
            }
            self.add_resources(stack, component, world);
        }
    }

    fn add_resources(&mut self, stack: &CompiledStack, component: &CompiledComponent, world: &World) {
        let declarations = &component.declarations;
        let nodes: HashMap<&str, String> = declarations
            .resources
            .iter()
            .map(|resource| (resource.name.value.as_str(), node(stack, component, resource, world)))
            .collect();
        for resource in &declarations.resources {
            let Some(own) = nodes.get(resource.name.value.as_str()) else { continue };
            let read = templates(resource).flat_map(|template| template.references());
            let asked = resource.depends_on.iter().map(|other| other.value.as_str());
            for other in read.filter_map(resource_of).chain(asked).filter_map(|name| nodes.get(name)) {
                self.edges.insert((own.clone(), other.clone()));
            }
            self.nodes.insert(own.clone());
        }
    }

    fn to_dot(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut text = "digraph {\n  rankdir = \"RL\"\n  node [shape = box]\n".to_owned();
        // Writing to a string cannot fail.
        for node in &self.nodes {
            let _ = writeln!(text, "  {}", quoted(node));
        }
        for (from, to) in &self.edges {
            let _ = writeln!(text, "  {} -> {}", quoted(from), quoted(to));
        }
        text + "}\n"
    }

    fn to_mermaid(&self) -> String {
        let number = |wanted: &str| self.nodes.iter().position(|node| node == wanted).unwrap_or_default();
        let mut text = "flowchart RL\n".to_owned();
        for (position, node) in self.nodes.iter().enumerate() {
            let _ = writeln!(text, "  n{position}[\"{}\"]", node.replace('"', "#quot;"));
        }
        for (from, to) in &self.edges {
            let _ = writeln!(text, "  n{} --> n{}", number(from), number(to));
        }
        text
    }
}

/// What a resource is called: a shared one is one node, whichever components declare it.
fn node(stack: &CompiledStack, component: &CompiledComponent, resource: &ResourceDeclaration, world: &World) -> String {
    let ty = &resource.ty.value;
    if resource.shared.is_some() {
        let address = stack.shared_address(component, resource, &world.environment, &world.functions);
        // A key that each instance computes for itself is not known here.
        return address.map_or_else(|| format!("{SHARED}/{ty}[*]"), |address| address.to_string());
    }
    let prefix = if component.key.is_empty() { String::new() } else { format!("{}/", component.key) };
    format!("{prefix}{ty}.{}", resource.name.value)
}

/// The resource that a reference reads.
fn resource_of(reference: &Reference) -> Option<&str> {
    match reference.steps.first() {
        Some(ReferenceStep::Key(name)) if reference.root == "resources" => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing() -> Drawing {
        Drawing {
            nodes: ["a.x".to_owned(), "b.\"y\"".to_owned()].into(),
            edges: [("a.x".to_owned(), "b.\"y\"".to_owned())].into(),
        }
    }

    #[test]
    fn names_are_quoted_for_graphviz() {
        assert!(drawing().to_dot().contains("\"a.x\" -> \"b.\\\"y\\\"\""));
    }

    #[test]
    fn names_are_numbered_for_mermaid() {
        assert_eq!(drawing().to_mermaid(), "flowchart RL\n  n0[\"a.x\"]\n  n1[\"b.#quot;y#quot;\"]\n  n0 --> n1\n");
    }
}
