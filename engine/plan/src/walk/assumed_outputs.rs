//! Assumed outputs of components that a validation leaves out and that are not deployed yet: unknown values.

use std::collections::{HashMap, HashSet};
use terrace_language::address::ComponentKey;
use terrace_language::compile::CompiledStack;
use terrace_language::expression::{Reference, ReferenceStep};
use terrace_language::graph::templates;
use terrace_language::scope::ComponentOutputs;
use terrace_provider::Value;

/// Adds unknown outputs of the assumed components: those that they declare, and those that others read.
pub(super) fn add_unknown_outputs(
    compiled: &CompiledStack,
    urns: &HashMap<String, ComponentKey>,
    assumed: &HashSet<&str>,
    outputs: &mut ComponentOutputs,
) {
    for component in compiled.components.iter().filter(|component| assumed.contains(component.key.as_str())) {
        let declared = component.declarations.outputs.iter();
        let unknown = declared.map(|output| (output.name.value.clone(), Value::Unknown)).collect();
        outputs.insert(component.key.clone(), unknown);
    }
    for declarations in compiled.components.iter().map(|component| &component.declarations) {
        let declared = declarations.resources.iter().chain(&declarations.data).flat_map(templates);
        let all = declared.chain(declarations.outputs.iter().map(|output| &output.value));
        for reference in all.flat_map(|template| template.references()) {
            if let Some((component, name)) = output_of(reference)
                && let key = urns.get(component).map_or(component, ComponentKey::as_str)
                && assumed.contains(key)
                && let Some(known) = outputs.get_mut(key)
            {
                known.entry(name.to_owned()).or_insert(Value::Unknown);
            }
        }
    }
}

/// The component and the output that a reference reads.
fn output_of(reference: &Reference) -> Option<(&str, &str)> {
    match reference.steps.as_slice() {
        [ReferenceStep::Key(component), ReferenceStep::Key(outputs), ReferenceStep::Key(name), ..]
            if reference.root == "components" && outputs == "outputs" =>
        {
            Some((component, name))
        }
        _ => None,
    }
}
