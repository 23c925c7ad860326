//! `terrace graph`: draws the declared resources and their references for Graphviz and Mermaid, or as SVG. Draws the
//! order of actions for a saved plan.

mod svg;

use crate::args::{GraphArguments, GraphFormat};
use crate::context::{Context, unreadable_plan};
use crate::failure::{Exit, Failure};
use crate::input::{Named, PlanClaims, named};
use crate::planning::{SelectedStack, compile_offline};
use crate::wiring::EnvironmentContext;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use terrace_engine::address::{Address, ComponentKey, SHARED, StackId};
use terrace_engine::compile::{CompiledComponent, CompiledStack};
use terrace_engine::descriptor::ResourceDeclaration;
use terrace_engine::expression::{Reference, ReferenceStep};
use terrace_engine::graph::{lookup_name, templates};
use terrace_engine::plan::{Change, Plan, file};

/// Nodes and edges by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Drawing {
    nodes: BTreeSet<String>,
    /// From the dependent node to its dependency.
    edges: BTreeSet<(String, String)>,
}

/// Draws the graph.
///
/// # Errors
/// When the descriptors are invalid.
pub(super) fn run(context: &Context<'_>, arguments: &GraphArguments) -> Result<Exit, Failure> {
    let files = &arguments.input.files;
    let drawing = match named(files, context.ui)? {
        Named::Plan(text) => {
            let claims = PlanClaims::of(&text);
            let settings = context.settings_of_plan(&claims)?;
            let seal = EnvironmentContext::seal(&settings, claims.environment.as_deref(), false, context.ui)?;
            let plan = file::read(&text, &seal).map_err(|error| unreadable_plan(error, &settings, &claims))?;
            Drawing::of_plan(&plan)
        }
        _ => {
            let project = compile_offline(context, files, &arguments.input.choice, true)?;
            Drawing::of_stacks(&project.stacks, &project.env_context)
        }
    };
    if drawing.nodes.is_empty() {
        context.ui.print_note("there are no resources to draw");
    }
    context.ui.print(&match arguments.format {
        GraphFormat::Dot => drawing.to_dot(),
        GraphFormat::Mermaid => drawing.to_mermaid(),
        GraphFormat::Svg => svg::draw(&drawing)?,
    })?;
    Ok(Exit::Done)
}

impl Drawing {
    fn of_stacks(stacks: &[SelectedStack], env_context: &EnvironmentContext) -> Self {
        let mut drawing = Self::default();
        for SelectedStack { compiled, .. } in stacks {
            let within = Within::of(&compiled.stack, stacks.len());
            drawing.add(compiled, &within, env_context);
        }
        drawing
    }

    /// The actions of a plan with their signs, and the order between them.
    fn of_plan(plan: &Plan) -> Self {
        let mut drawing = Self::default();
        for stack in &plan.stacks {
            let within = Within::of(&stack.stack, plan.stacks.len());
            let name = |change: &Change| {
                let deposed = change.deposed.as_ref().map(|key| format!(" (deposed {key})")).unwrap_or_default();
                let sign = if change.is_in_doubt() { "?" } else { change.action.sign() };
                format!("{sign} {}{deposed}", within.address(&change.address)).trim_start().to_owned()
            };
            let present = stack.changes.iter().filter(|change| change.deposed.is_none());
            let names: HashMap<&Address, String> = present.map(|change| (&change.address, name(change))).collect();
            for change in &stack.changes {
                let own = name(change);
                let after = change.how.depends_on.iter().filter_map(|other| names.get(other));
                drawing.edges.extend(after.map(|other| (own.clone(), other.clone())));
                drawing.nodes.insert(own);
            }
        }
        drawing
    }

    fn add(&mut self, stack: &CompiledStack, within: &Within, env_context: &EnvironmentContext) {
        for component in &stack.components {
            let heading = |key: &ComponentKey| if key.is_stack() { stack.stack.to_string() } else { within.named(key) };
            for dependency in component.depends_on.iter().filter_map(|dependency| dependency.key.as_ref()) {
                self.edges.insert((heading(&component.key), heading(dependency)));
                self.nodes.extend([heading(&component.key), heading(dependency)]);
            }
            self.add_declarations(stack, within, component, env_context);
        }
    }

    fn add_declarations(
        &mut self,
        stack: &CompiledStack,
        within: &Within,
        component: &CompiledComponent,
        env_context: &EnvironmentContext,
    ) {
        let declarations = &component.declarations;
        let nodes: HashMap<&str, String> = declarations
            .resources
            .iter()
            .map(|resource| (resource.name.value.as_str(), node(stack, within, component, resource, env_context)))
            .collect();
        let lookups: HashMap<&str, String> = declarations
            .data
            .iter()
            .map(|lookup| {
                let (ty, name) = (&lookup.ty.value, lookup.name.value.as_str());
                (name, within.named(&Address::lookup(&component.key, ty, name).to_string()))
            })
            .collect();
        let resources = declarations.resources.iter().map(|resource| (resource, &nodes));
        let data = declarations.data.iter().map(|lookup| (lookup, &lookups));
        for (declaration, named) in resources.chain(data) {
            let Some(own) = named.get(declaration.name.value.as_str()) else { continue };
            let read = || templates(declaration).flat_map(|template| template.references());
            let declared = declaration.depends_on.iter().map(|other| other.value.as_str());
            let triggers = declaration.replace_triggered_by.iter().map(|trigger| trigger.name.as_str());
            let dependencies =
                read().filter_map(resource_of).chain(declared).chain(triggers).filter_map(|name| nodes.get(name));
            let lookup_dependencies = read().filter_map(lookup_name).filter_map(|name| lookups.get(name));
            self.edges.extend(dependencies.chain(lookup_dependencies).map(|other| (own.clone(), other.clone())));
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

/// The stack prefix of nodes, if there are several stacks.
struct Within(Option<StackId>);

impl Within {
    fn of(stack: &StackId, stacks: usize) -> Self {
        Self((stacks > 1).then(|| stack.clone()))
    }

    fn named(&self, text: &str) -> String {
        self.0.as_ref().map_or_else(|| text.to_owned(), |stack| format!("{stack}:{text}"))
    }

    /// Shared resources belong to no stack.
    fn address(&self, address: &Address) -> String {
        if address.is_shared() { address.to_string() } else { self.named(&address.to_string()) }
    }
}

/// The name of a resource's node. Components that declare the same shared resource have one node.
fn node(
    stack: &CompiledStack,
    within: &Within,
    component: &CompiledComponent,
    resource: &ResourceDeclaration,
    env_context: &EnvironmentContext,
) -> String {
    let ty = &resource.ty.value;
    if resource.shared.is_some() {
        let address =
            stack.shared_address(component, resource, &env_context.engine.environment, &env_context.engine.functions);
        // The key of an instance may depend on the instance.
        return address.map_or_else(|| format!("{SHARED}/{ty}[*]"), |address| address.to_string());
    }
    let name = format!("{ty}.{}", resource.name.value);
    within.named(&component.key.qualified(name).to_string())
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
    fn graphviz_names_are_quoted() {
        assert!(drawing().to_dot().contains("\"a.x\" -> \"b.\\\"y\\\"\""));
    }

    #[test]
    fn mermaid_nodes_are_numbered() {
        assert_eq!(drawing().to_mermaid(), "flowchart RL\n  n0[\"a.x\"]\n  n1[\"b.#quot;y#quot;\"]\n  n0 --> n1\n");
    }
}
