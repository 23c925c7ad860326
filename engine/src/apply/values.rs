//! What expressions of a plan see while it is applied: planned values, replaced one by one by real ones.

use crate::address::Address;
use crate::expression::{Functions, Layered};
use crate::plan::scope::{BlockValue, ComponentOutputs, Facts, PlanScope, ResourceValues};
use crate::plan::walk::attributes_value;
use crate::plan::{Deferred, OutputChange, Part, StackPlan};
use crate::registry::Registry;
use std::collections::HashMap;
use terrace_provider::{Attributes, Map, Value};

/// The values of one stack.
pub(crate) struct Values {
    facts: Facts,
    /// By component.
    resources: HashMap<String, ResourceValues>,
    /// The component and name under which a shared resource is declared, by address.
    shared: HashMap<Address, Vec<(String, String)>>,
    outputs: ComponentOutputs,
}

impl Values {
    /// The values as planned.
    pub(crate) fn of(stack: &StackPlan, registry: &Registry) -> Self {
        let mut values = Self {
            facts: Facts::default(),
            resources: HashMap::new(),
            shared: HashMap::new(),
            outputs: HashMap::new(),
        };
        for component in &stack.components {
            for (name, address) in &component.shared {
                values.shared.entry(address.clone()).or_default().push((component.key.clone(), name.clone()));
            }
            if component.part == Part::Untouched {
                values.outputs.insert(component.key.clone(), component.recorded_outputs.clone());
            }
        }
        for output in &stack.outputs {
            if let Some(after) = &output.after {
                values.set_output(output, after.clone());
            }
        }
        for change in stack.changes.iter().filter(|change| change.action.leaves_object()) {
            if let Some(after) = &change.after {
                values.set(registry, &change.address, &after.attributes);
            }
        }
        values
    }

    /// Replaces the value of one resource.
    pub(crate) fn set(&mut self, registry: &Registry, address: &Address, attributes: &Attributes) {
        let Some((_, ty)) = registry.resource_type(&address.ty) else { return };
        let value = attributes_value(ty, attributes);
        if address.is_shared() {
            for (component, name) in self.shared.get(address).cloned().unwrap_or_default() {
                let values = self.resources.entry(component).or_default();
                values.insert(name, BlockValue::Single(value.clone()));
            }
            return;
        }
        let values = self.resources.entry(address.component.clone()).or_default();
        match &address.key {
            None => {
                values.insert(address.name.clone(), BlockValue::Single(value));
            }
            Some(key) => {
                let block = values
                    .entry(address.name.clone())
                    .or_insert_with(|| BlockValue::Instances(indexmap::IndexMap::new()));
                if let BlockValue::Instances(instances) = block {
                    instances.insert(key.clone(), value);
                }
            }
        }
    }

    /// Replaces the value of one output.
    pub(crate) fn set_output(&mut self, output: &OutputChange, value: Value) {
        self.outputs.entry(output.component.clone()).or_default().insert(output.name.clone(), value);
    }

    /// Evaluates what had to wait, in the scope of a component.
    ///
    /// # Errors
    /// One sentence for each expression that cannot be evaluated, or that is still unknown.
    pub(crate) fn evaluate(
        &self,
        component: &str,
        deferred: &Deferred,
        functions: &Functions,
    ) -> Result<Value, Vec<String>> {
        let empty = ResourceValues::new();
        let rest = PlanScope {
            facts: &self.facts,
            resources: self.resources.get(component).unwrap_or(&empty),
            outputs: &self.outputs,
            each: None,
        };
        let scope = Layered { captured: &deferred.captured, rest: &rest };
        let value = deferred
            .template
            .evaluate(&scope, functions)
            .map_err(|found| found.into_iter().map(|diagnostic| diagnostic.message).collect::<Vec<_>>())?;
        if value.has_unknown() {
            return Err(vec!["a value that was to be known by now is still unknown".to_owned()]);
        }
        Ok(value)
    }

    /// All outputs of a component.
    pub(crate) fn outputs(&self, component: &str) -> Map {
        self.outputs.get(component).cloned().unwrap_or_default()
    }
}
