//! The descriptor of one component as whoever makes it elsewhere is sent it: its data product with the component and
//! those that it depends on, and which of them is meant.

use crate::blueprint::Blueprint;
use crate::descriptor::{Body, Component, Declarations, Descriptor};
use crate::expression::{ReferenceStep, Template};
use crate::graph::templates;
use std::collections::HashSet;
use terrace_provider::{Map, Value};

/// What the field is called that expressions read it by.
pub(crate) const FIELD: &str = "descriptor";

/// True when something in a blueprint reads the descriptor: for all others it is not put together.
pub(super) fn is_read(blueprint: &Blueprint) -> bool {
    let of = |declarations: &Declarations| {
        let resources = declarations.resources.iter().chain(&declarations.data).flat_map(templates);
        let mut all = resources.chain(declarations.outputs.iter().map(|output| &output.value));
        all.any(reads)
    };
    of(&blueprint.declarations) || of(&blueprint.acl) || blueprint.checks.iter().any(|check| reads(&check.assert))
}

fn reads(template: &Template) -> bool {
    let mut references = template.located_references();
    references.any(|(reference, _)| {
        reference.root == "component"
            && matches!(reference.steps.first(), Some(ReferenceStep::Key(name)) if name == FIELD)
    })
}

/// The descriptor; null in a stack, which has no data product.
pub(super) fn descriptor(descriptor: &Descriptor, component: &Component) -> Value {
    let Value::Map(mut product) = descriptor.product.clone() else { return Value::Null };
    let mut wanted = HashSet::from([component.key.as_str()]);
    let mut open = vec![component];
    while let Some(next) = open.pop() {
        let keys = next.depends_on.iter().filter_map(|dependency| dependency.key.as_deref());
        for key in keys.filter(|key| wanted.insert(key)).collect::<Vec<_>>() {
            open.extend(descriptor.components.iter().find(|other| other.key == key));
        }
    }
    let written = |component: &Component| match &component.body {
        Body::Blueprint(wanted) => Some(wanted.node.to_value()),
        Body::Resources(_) => None,
    };
    let components = descriptor.components.iter().filter(|component| wanted.contains(component.key.as_str()));
    product.insert("components".to_owned(), Value::List(components.filter_map(written).collect()));
    let mut wrapped = Map::default();
    wrapped.insert("dataProduct".to_owned(), Value::Map(product));
    wrapped.insert("componentIdToProvision".to_owned(), component.id.as_deref().map(Value::from).unwrap_or_default());
    Value::Map(wrapped)
}
