//! Results of blueprint tests: the resources of a component as a tree that users can read and write.
//!
//! The tree contains the planned objects of a plan without state: addresses, attributes, outputs, warnings and errors.
//! It contains no ids, places or times.

use serde_json::{Map as JsonMap, Value as Json};
use terrace_language::action::Action;
use terrace_language::diagnostic::{Diagnostic, Severity, has_errors};
use terrace_language::registry::Registry;
use terrace_language::text::value::{SENSITIVE, UNKNOWN};
use terrace_plan::{After, Change, Plan};
use terrace_provider::Value;

/// Builds the result: the plan, if there is one, and the diagnostics.
#[must_use]
pub fn outcome(plan: Option<&Plan>, registry: &Registry, diagnostics: &[Diagnostic]) -> Json {
    let mut tree = JsonMap::new();
    let mut add = |name: &str, part: Json| {
        if part.as_object().is_some_and(|map| !map.is_empty()) || part.as_array().is_some_and(|list| !list.is_empty()) {
            tree.insert(name.to_owned(), part);
        }
    };
    // A component with errors has no resources.
    let plan = plan.filter(|_| !has_errors(diagnostics));
    let stacks = || plan.into_iter().flat_map(|plan| &plan.stacks);
    add(
        "resources",
        stacks().flat_map(|stack| &stack.changes).filter_map(|change| resource(change, registry)).collect(),
    );
    let outputs = stacks().flat_map(|stack| &stack.outputs).filter_map(|output| {
        let name = output.component.qualified(&output.name).to_string();
        Some((name, shown(output.after.as_ref()?)))
    });
    add("outputs", outputs.collect());
    for (name, severity) in [("warnings", Severity::Warning), ("errors", Severity::Error)] {
        let messages = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
        add(name, messages.map(|diagnostic| Json::from(diagnostic.message.as_str())).collect());
    }
    Json::Object(tree)
}

/// The address and the attributes of a planned object, without attributes that only the provider computes.
fn resource(change: &Change, registry: &Registry) -> Option<(String, Json)> {
    let After { attributes, .. } = change.after.as_ref()?;
    let ty = registry.resource_type(&change.address.ty).map(|(_, ty)| ty);
    let is_computed = |name: &str| {
        ty.and_then(|ty| ty.attributes.get(name)).is_some_and(|attribute| attribute.computed && !attribute.configurable)
    };
    let visible = attributes.iter().filter(|(name, value)| !(is_computed(name) && value.has_unknown()));
    let attributes = visible.map(|(name, value)| (name.clone(), shown(value))).collect();
    let address = match change.action {
        Action::Create => change.address.to_string(),
        // Without state, nearly all actions are `create`.
        other => format!("{} ({})", change.address, other.word()),
    };
    Some((address, Json::Object(attributes)))
}

fn shown(value: &Value) -> Json {
    match value {
        Value::Unknown => UNKNOWN.into(),
        Value::Sensitive(_) => SENSITIVE.into(),
        Value::List(items) => items.iter().map(shown).collect(),
        Value::Map(entries) => Json::Object(entries.iter().map(|(name, value)| (name.clone(), shown(value))).collect()),
        plain => plain.to_json(),
    }
}
