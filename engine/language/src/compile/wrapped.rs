//! Descriptors of components as other tools receive them: a data product with one component and its dependencies, the
//! target's id, and each dependency separately.

use super::names::{DEPENDENCIES, SIBLINGS, WRAPPED};
use crate::blueprint::Blueprint;
use crate::descriptor::{BlueprintUse, Body, Component, Dependency, Descriptor, FrontEnd};
use std::collections::HashSet;
use terrace_provider::{Map, Value};

/// The field of a sibling with the name of its blueprint.
const BLUEPRINT: &str = "blueprint";

/// Adds the fields that a blueprint reads; unread fields are not built. `blueprint_of` returns the name of another
/// component's blueprint.
pub(super) fn add_reads(
    entries: &mut Map,
    blueprint: &Blueprint,
    whole: &Descriptor,
    component: &Component,
    blueprint_of: &dyn Fn(&Component, &BlueprintUse) -> Option<String>,
) {
    let is_read = |name: &str| blueprint.reads("component", Some(name));
    if is_read(WRAPPED) {
        entries.insert(WRAPPED.to_owned(), descriptor(whole, component));
    }
    if is_read(DEPENDENCIES) {
        entries.insert(DEPENDENCIES.to_owned(), dependencies(whole, component));
    }
    if is_read(SIBLINGS) {
        entries.insert(SIBLINGS.to_owned(), siblings(whole, blueprint_of));
    }
}

/// The descriptor; null in a stack, which has no data product.
fn descriptor(descriptor: &Descriptor, component: &Component) -> Value {
    let Value::Map(mut product) = descriptor.product.clone() else { return Value::Null };
    let mut included = HashSet::from([component.key.as_str()]);
    let mut open = vec![component];
    while let Some(next) = open.pop() {
        let keys = next.depends_on.iter().filter_map(|dependency| dependency.key.as_deref());
        for key in keys.filter(|key| included.insert(key)).collect::<Vec<_>>() {
            open.extend(descriptor.components.iter().find(|other| other.key == key));
        }
    }
    let components = descriptor.components.iter().filter(|component| included.contains(component.key.as_str()));
    product.insert("components".to_owned(), Value::List(components.filter_map(written).collect()));
    let mut wrapped = Map::default();
    wrapped.insert("dataProduct".to_owned(), Value::Map(product));
    wrapped.insert("componentIdToProvision".to_owned(), component.id.as_deref().map(Value::from).unwrap_or_default());
    Value::Map(wrapped)
}

/// The components named by `dependsOn` and `readsFrom`, as written, by the id used there. Empty in a stack, whose
/// components contain unevaluated expressions.
fn dependencies(descriptor: &Descriptor, component: &Component) -> Value {
    if descriptor.front_end != FrontEnd::Witboost {
        return Value::Map(Map::default());
    }
    let named = |key: &str| descriptor.components.iter().find(|other| other.key == key);
    let entry = |dependency: &Dependency| Some((dependency.text.clone(), written(named(dependency.key.as_deref()?)?)?));
    let read = |id: &str| {
        let other = descriptor.components.iter().find(|other| other.id.as_deref() == Some(id)).or_else(|| named(id))?;
        Some((id.to_owned(), written(other)?))
    };
    let all: Map = component.depends_on.iter().filter_map(entry).chain(read_by(component).filter_map(read)).collect();
    Value::Map(all)
}

/// The components of the data product by their keys, as written, each with the name of its `blueprint`. Empty in a stack.
///
/// The name of the blueprint is the engine's: the author of the descriptor writes all other fields.
fn siblings(descriptor: &Descriptor, blueprint_of: &dyn Fn(&Component, &BlueprintUse) -> Option<String>) -> Value {
    if descriptor.front_end != FrontEnd::Witboost {
        return Value::Map(Map::default());
    }
    let entry = |component: &Component| {
        let Body::Blueprint(wanted) = &component.body else { return None };
        let Value::Map(mut fields) = wanted.node.to_value() else { return None };
        fields.insert(BLUEPRINT.to_owned(), blueprint_of(component, wanted).map(Value::from).unwrap_or_default());
        Some((component.key.to_string(), Value::Map(fields)))
    };
    Value::Map(descriptor.components.iter().filter_map(entry).collect())
}

/// The ids in a component's `readsFrom`, which may belong to other products.
fn read_by(component: &Component) -> impl Iterator<Item = &str> {
    let node = match &component.body {
        Body::Blueprint(wanted) => Some(&wanted.node),
        Body::Resources(_) => None,
    };
    let read = node.and_then(|node| node.entry("readsFrom")).and_then(|entry| entry.value.as_list());
    read.unwrap_or_default().iter().filter_map(|item| item.as_text())
}

/// A component as it is written.
fn written(component: &Component) -> Option<Value> {
    match &component.body {
        Body::Blueprint(wanted) => Some(wanted.node.to_value()),
        Body::Resources(_) => None,
    }
}
