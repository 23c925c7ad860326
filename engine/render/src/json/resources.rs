//! Resources in Terraform's shape: changes, drift, and the trees of planned and prior values.

use super::facts::{actions, qualified};
use super::redact::{Sides, values};
use serde_json::{Map as Object, Value as Json, json};
use std::collections::BTreeMap;
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, InstanceKey, LOOKUP};
use terrace_language::text::value::hidden_like;
use terrace_plan::{Change, DeferredChange, Lookup, Plan, StackPlan};
use terrace_provider::{Attributes, Value};
use terrace_store::record::Prior;

/// The provider of a resource type, as the three-part name that readers expect.
pub(crate) fn provider_name(address: &Address) -> String {
    provider_of(&address.ty)
}

fn provider_of(ty: &str) -> String {
    let provider = ty.split_once('_').map_or(ty, |(provider, _)| provider);
    format!("terrace.dev/terrace/{provider}")
}

/// The module address of a component for readers of Terraform plans; `None` for the stack's own resources.
pub(crate) fn module_address(address: &Address) -> Option<String> {
    (!address.component.is_stack()).then(|| format!("component.{}", address.component))
}

/// An entry of `resource_changes`.
pub(crate) fn change(plan: &Plan, stack: &StackPlan, change: &Change) -> Json {
    let before = change.basis.prior.as_ref().map(|prior| &prior.attributes);
    let mut sides = Sides::of_attributes(before, after(change)).to_json();
    sides.insert("actions".to_owned(), actions(change));
    if change.action.is_replace() && !change.why.replace_paths.is_empty() {
        sides.insert("replace_paths".to_owned(), json!(change.why.replace_paths));
    }
    if change.action == Action::Adopt {
        let id = change.import_id.clone().or_else(|| remote_id(change));
        sides.insert("importing".to_owned(), json!({ "id": id }));
    }
    let mut entry = identification(plan, stack, change);
    if let Some(from) = change.moves_from() {
        entry.insert("previous_address".to_owned(), qualified(plan, &stack.stack, &from.to_string()).into());
    }
    entry.insert("change".to_owned(), Json::Object(sides));
    if let Some(reason) = change.why.reason.as_ref().and_then(Reason::terraform) {
        entry.insert("action_reason".to_owned(), reason.into());
    }
    entry.insert("terrace".to_owned(), super::facts::of_change(stack, change));
    Json::Object(entry)
}

/// The entry of `resource_changes` for a lookup that is read during the apply; `None` if planning answered it.
pub(crate) fn read(plan: &Plan, stack: &StackPlan, lookup: &Lookup) -> Option<Json> {
    let reason = lookup.reason?;
    let address = &lookup.address;
    let mut sides = Sides::of(None, Some(&lookup.result)).to_json();
    sides.insert("actions".to_owned(), json!(["read"]));
    let mut entry = Object::new();
    let mut put = |name: &str, value: Json| entry.insert(name.to_owned(), value);
    put("address", qualified(plan, &stack.stack, &address.to_string()).into());
    if let Some(module) = module_address(address) {
        put("module_address", qualified(plan, &stack.stack, &module).into());
    }
    put("mode", "data".into());
    put("type", lookup.name().into());
    put("name", address.name.as_str().into());
    put("provider_name", provider_of(lookup.name()).into());
    put("change", Json::Object(sides));
    put("action_reason", reason.terraform().into());
    put("terrace", super::facts::of_lookup(stack, lookup));
    Some(Json::Object(entry))
}

/// An entry of `deferred_changes`. The object is unknown; `index_unknown` marks unknown instances.
pub(crate) fn deferred(plan: &Plan, stack: &StackPlan, deferred: &DeferredChange) -> Json {
    let address = &deferred.address;
    let is_lookup = deferred.action == Action::Read;
    let ty = address.ty.strip_prefix(LOOKUP).unwrap_or(&address.ty);
    let mut change = Sides::of(None, deferred.action.leaves_object().then_some(&Value::Unknown)).to_json();
    change.insert("actions".to_owned(), json!([super::facts::deferred_action(deferred.action)]));
    let mut entry = Object::new();
    let mut put = |name: &str, value: Json| entry.insert(name.to_owned(), value);
    put("address", qualified(plan, &stack.stack, &address.to_string()).into());
    if let Some(module) = module_address(address) {
        put("module_address", qualified(plan, &stack.stack, &module).into());
    }
    put("mode", if is_lookup { "data" } else { "managed" }.into());
    put("type", ty.into());
    put("name", name(address).into());
    match address.key {
        Some(InstanceKey::All) => drop(put("index_unknown", true.into())),
        _ => drop(index(address).map(|index| put("index", index))),
    }
    put("provider_name", provider_of(ty).into());
    put("change", Json::Object(change));
    put("terrace", super::facts::of_deferred(stack, deferred));
    json!({ "reason": deferred.reason.terraform(), "resource_change": entry })
}

/// An entry of `resource_drift`; `None` for a resource without drift.
pub(crate) fn drift(plan: &Plan, stack: &StackPlan, change: &Change) -> Option<Json> {
    let is_gone = change.why.reason == Some(Reason::Gone);
    let prior = change.basis.prior.as_ref();
    let recorded = prior.and_then(|prior| prior.recorded.as_ref());
    let after = change.after.as_ref().map(|after| &after.attributes);
    let found = prior.map(|prior| hidden_like(&prior.attributes, after));
    let sides = match (is_gone, recorded) {
        (true, _) => Sides::of_attributes(found.as_ref(), None),
        (false, Some(recorded)) => Sides::of_attributes(Some(&hidden_like(recorded, after)), found.as_ref()),
        (false, None) => return None,
    };
    let mut sides = sides.to_json();
    sides.insert("actions".to_owned(), json!([if is_gone { "delete" } else { "update" }]));
    let mut entry = identification(plan, stack, change);
    entry.insert("change".to_owned(), Json::Object(sides));
    Some(Json::Object(entry))
}

/// The object after the apply.
fn after(change: &Change) -> Option<&Attributes> {
    match change.action {
        // A change in doubt or held back keeps the object.
        _ if change.in_doubt.is_some() => change.basis.prior.as_ref().map(|prior| &prior.attributes),
        action if action.leaves_object() => change.after.as_ref().map(|after| &after.attributes),
        _ => None,
    }
}

fn identification(plan: &Plan, stack: &StackPlan, change: &Change) -> Object<String, Json> {
    let address = &change.address;
    let mut entry = Object::new();
    let mut put = |name: &str, value: Json| entry.insert(name.to_owned(), value);
    put("address", qualified(plan, &change.stack(&stack.stack), &address.to_string()).into());
    if let Some(module) = module_address(address) {
        put("module_address", qualified(plan, &stack.stack, &module).into());
    }
    put("mode", if change.action == Action::Read { "data" } else { "managed" }.into());
    put("type", address.ty.as_str().into());
    put("name", name(address).into());
    if let Some(index) = index(address) {
        put("index", index);
    }
    put("provider_name", provider_name(address).into());
    if let Some(deposed) = &change.deposed {
        put("deposed", deposed.as_str().into());
    }
    entry
}

/// The name within the component; for a shared resource its key, because readers require a name.
pub(crate) fn name(address: &Address) -> &str {
    if address.is_shared() { address.component.as_str() } else { address.name.as_str() }
}

pub(crate) fn index(address: &Address) -> Option<Json> {
    address.key.as_ref().map(|key| match key {
        InstanceKey::Index(index) => (*index).into(),
        InstanceKey::Text(text) => text.as_str().into(),
        InstanceKey::All => "*".into(),
    })
}

/// The remote id of the object, or else the values of its identity.
fn remote_id(change: &Change) -> Option<String> {
    let prior = change.basis.prior.as_ref()?;
    let after = change.after.as_ref().map(|after| &after.attributes);
    if let Some(Value::String(id)) = hidden_like(&prior.attributes, after).get("id") {
        return Some(id.clone());
    }
    let identity = hidden_like(&prior.identity, after);
    let parts = identity.values().map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    });
    let parts: Vec<String> = parts.collect::<Option<_>>()?;
    Some(parts.join("/"))
}

/// The module tree of the resources for which `select` returns attributes.
pub(crate) fn module(plan: &Plan, select: fn(&Change) -> Option<(Json, Json)>) -> Json {
    let mut own = Vec::new();
    let mut modules: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for (stack, change) in plan.changes() {
        let Some((values, sensitive)) = select(change) else { continue };
        let mut resource = identification(plan, stack, change);
        let module = resource.shift_remove("module_address");
        resource.insert("values".to_owned(), values);
        resource.insert("sensitive_values".to_owned(), sensitive);
        match module {
            Some(Json::String(module)) => modules.entry(module).or_default().push(Json::Object(resource)),
            _ => own.push(Json::Object(resource)),
        }
    }
    let children: Vec<Json> =
        modules.into_iter().map(|(address, resources)| json!({ "address": address, "resources": resources })).collect();
    let mut root = Object::new();
    for (name, list) in [("resources", own), ("child_modules", children)] {
        if !list.is_empty() {
            root.insert(name.to_owned(), Json::Array(list));
        }
    }
    Json::Object(root)
}

/// The attributes after the apply.
pub(crate) fn planned_values(change: &Change) -> Option<(Json, Json)> {
    Some(values(after(change)?, change.basis.prior.as_ref().map(|prior| &prior.attributes)))
}

/// The recorded and refreshed attributes; `None` for an object that is adopted now.
pub(crate) fn prior_values(change: &Change) -> Option<(Json, Json)> {
    let prior: &Prior = change.basis.prior.as_ref().filter(|_| change.basis.generation > 0)?;
    Some(values(&prior.attributes, change.after.as_ref().map(|after| &after.attributes)))
}
