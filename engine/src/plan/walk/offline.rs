//! What a validation takes for granted that asks nobody: components that are left out say whatever is read of them.

use super::super::scope::ComponentOutputs;
use crate::compile::CompiledStack;
use crate::expression::{Reference, ReferenceStep};
use crate::graph::templates;
use std::collections::HashMap;
use terrace_provider::Value;

/// Adds unknown outputs of the components that are left out: those that they declare, and those that others read. What
/// is on record may be of another version of them.
pub(super) fn add_unknown_outputs(
    compiled: &CompiledStack,
    urns: &HashMap<String, String>,
    is_chosen: &dyn Fn(&str) -> bool,
    outputs: &mut ComponentOutputs,
) {
    for component in compiled.components.iter().filter(|component| !is_chosen(&component.key)) {
        let declared = component.declarations.outputs.iter();
        let unknown = declared.map(|output| (output.name.value.clone(), Value::Unknown)).collect();
        outputs.insert(component.key.clone(), unknown);
    }
    for declarations in compiled.components.iter().map(|component| &component.declarations) {
        let declared = declarations.resources.iter().chain(&declarations.data).flat_map(templates);
        let all = declared.chain(declarations.outputs.iter().map(|output| &output.value));
        for reference in all.flat_map(|template| template.references()) {
            if let Some((component, name)) = output_of(reference)
                && let Some(known) = outputs.get_mut(urns.get(component).map_or(component, String::as_str))
            {
                known.entry(name.to_owned()).or_insert(Value::Unknown);
            }
        }
    }
}

/// The component and the output that a path reads.
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
