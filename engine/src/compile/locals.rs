//! Locals of a stack: values computed once, from variables and each other.

use super::Compiler;
use super::facts::FactScope;
use crate::descriptor::{Descriptor, Local};
use crate::diagnostic::{Diagnostic, did_you_mean, first_of};
use crate::expression::ReferenceStep;
use crate::graph::loops;
use crate::source::Span;
use indexmap::IndexMap;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::HashSet;
use terrace_provider::{Map, Value};

/// The values of all locals, in the order written. What is wrong is reported; a local without a value is unknown to
/// those that read it, so that one mistake gives one message.
pub(super) fn resolve(
    compiler: &Compiler<'_>,
    descriptor: &Descriptor,
    facts: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Map {
    let Some(order) = order(&descriptor.locals, diagnostics) else { return Map::default() };
    let mut scope = facts.clone();
    // A variable without a value was reported already.
    if let Some(Value::Map(variables)) = scope.roots.get_mut("vars") {
        for variable in &descriptor.variables {
            variables.entry(variable.name.value.clone()).or_insert(Value::Unknown);
        }
    }
    let names = descriptor.locals.iter().map(|local| (local.name.value.clone(), Value::Unknown));
    scope.roots.insert("locals".to_owned(), names.collect());
    for local in order {
        let value = local.value.evaluate(&scope, compiler.functions).unwrap_or_else(|found| {
            diagnostics.extend(found);
            Value::Unknown
        });
        if let Some(Value::Map(locals)) = scope.roots.get_mut("locals") {
            locals.insert(local.name.value.clone(), value);
        }
    }
    match scope.roots.swap_remove("locals") {
        Some(Value::Map(locals)) => locals,
        _ => Map::default(),
    }
}

/// The locals, each after those that it reads, without those that read what is no local; `None` when there is no
/// order. Either is reported.
fn order<'d>(locals: &'d [Local], diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<&'d Local>> {
    let mut edges: DiGraph<&Local, Span> = DiGraph::new();
    let nodes: IndexMap<&str, NodeIndex> =
        locals.iter().map(|local| (local.name.value.as_str(), edges.add_node(local))).collect();
    let mut faulty = HashSet::new();
    for local in locals {
        let Some(reader) = nodes.get(local.name.value.as_str()) else { continue };
        let before = diagnostics.len();
        for (reference, span) in local.value.located_references().filter(|(reference, _)| reference.root == "locals") {
            match reference.steps.first() {
                Some(ReferenceStep::Key(name)) => match nodes.get(name.as_str()) {
                    Some(read) => drop(edges.update_edge(*read, *reader, span)),
                    None => diagnostics.push(unknown_local(name, span, nodes.keys().copied())),
                },
                _ => diagnostics.push(
                    Diagnostic::error("whole_locals", "a local reads other locals by name")
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
            diagnostics.extend(loops::explain(&edges, "take one of these references away", name));
            None
        }
    }
}

fn unknown_local<'n>(name: &str, span: Span, known: impl Iterator<Item = &'n str> + Clone) -> Diagnostic {
    let names: Vec<&str> = known.clone().collect();
    Diagnostic::error("unknown_local", format!("there is no local `{name}`"))
        .at(span)
        .hint(did_you_mean(name, known).unwrap_or_else(|| format!("declared are: {}", first_of(&names))))
}
