//! Locals: values of a stack or a blueprint that are computed once, from variables, the component and other locals.

use super::facts::FactScope;
use super::names::LOCALS;
use crate::descriptor::{Descriptor, Local};
use crate::diagnostic::{Diagnostic, did_you_mean, first_of};
use crate::expression::{Functions, Missing, ReferenceStep, Scope, descend};
use crate::graph::loops;
use crate::source::Span;
use indexmap::IndexMap;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use std::borrow::Cow;
use std::collections::HashSet;
use terrace_provider::{Map, Value};

/// The values of the locals of a stack.
pub(super) fn of_stack(
    descriptor: &Descriptor,
    facts: &FactScope,
    functions: &Functions,
    diagnostics: &mut Vec<Diagnostic>,
) -> Map {
    if descriptor.locals.is_empty() {
        return Map::default();
    }
    let mut scope = facts.clone();
    // A variable without a value was reported before.
    if let Some(Value::Map(variables)) = scope.roots.get_mut("vars") {
        for variable in &descriptor.variables {
            variables.entry(variable.name.value.clone()).or_insert(Value::Unknown);
        }
    }
    // Messages list `locals` among the known variables.
    scope.roots.insert(LOCALS.to_owned(), Value::Map(Map::default()));
    resolve(&descriptor.locals, &scope, functions, diagnostics)
}

/// Returns the values of all locals, in the order written. Reports errors. A local without a value is unknown to its
/// readers, so that one mistake causes one message.
pub(crate) fn resolve(
    locals: &[Local],
    scope: &dyn Scope,
    functions: &Functions,
    diagnostics: &mut Vec<Diagnostic>,
) -> Map {
    let Some(order) = order(locals, diagnostics) else { return Map::default() };
    let values = locals.iter().map(|local| (local.name.value.clone(), Value::Unknown)).collect();
    let mut scope = WithLocals { scope, locals: Value::Map(values) };
    for local in order {
        let value = local.value.evaluate(&scope, functions).unwrap_or_else(|found| {
            diagnostics.extend(found);
            Value::Unknown
        });
        if let Value::Map(locals) = &mut scope.locals {
            locals.insert(local.name.value.clone(), value);
        }
    }
    match scope.locals {
        Value::Map(locals) => locals,
        _ => Map::default(),
    }
}

/// A scope extended by locals.
struct WithLocals<'a> {
    scope: &'a dyn Scope,
    locals: Value,
}

impl Scope for WithLocals<'_> {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        if root == LOCALS { descend(&self.locals, root, steps) } else { self.scope.resolve(root, steps) }
    }
}

/// Sorts the locals by their dependencies, without those that read unknown locals. Reports unknown locals and cycles;
/// returns `None` for a cycle.
fn order<'d>(locals: &'d [Local], diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<&'d Local>> {
    let mut edges: DiGraph<&Local, Span> = DiGraph::new();
    let nodes: IndexMap<&str, NodeIndex> =
        locals.iter().map(|local| (local.name.value.as_str(), edges.add_node(local))).collect();
    let mut faulty = HashSet::new();
    for local in locals {
        let Some(reader) = nodes.get(local.name.value.as_str()) else { continue };
        let before = diagnostics.len();
        for (reference, span) in local.value.located_references().filter(|(reference, _)| reference.root == LOCALS) {
            match reference.steps.first() {
                Some(ReferenceStep::Key(name)) => match nodes.get(name.as_str()) {
                    Some(read) => drop(edges.update_edge(*read, *reader, span)),
                    None => diagnostics.push(unknown_local(name, span, nodes.keys().copied())),
                },
                _ => diagnostics.push(
                    Diagnostic::error("whole_locals", "a local must read other locals by name")
                        .at(span)
                        .hint("write `locals.name`"),
                ),
            }
        }
        if diagnostics.len() > before {
            faulty.insert(*reader);
        }
    }
    match toposort(&edges, None) {
        Ok(order) => {
            let order = order.into_iter().filter(|node| !faulty.contains(node));
            Some(order.filter_map(|node| edges.node_weight(node).copied()).collect())
        }
        Err(_) => {
            let name = |node| edges.node_weight(node).map(|local| format!("locals.{}", local.name.value));
            diagnostics.extend(loops::explain(&edges, "remove one of these references", name));
            None
        }
    }
}

fn unknown_local<'n>(name: &str, span: Span, known: impl Iterator<Item = &'n str> + Clone) -> Diagnostic {
    let names: Vec<&str> = known.clone().collect();
    Diagnostic::error("unknown_local", format!("there is no local `{name}`"))
        .at(span)
        .hint(did_you_mean(name, known).unwrap_or_else(|| format!("declared: {}", first_of(&names))))
}
