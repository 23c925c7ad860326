//! Values of expressions during an apply: planned values, which real ones replace step by step.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use terrace_language::address::{Address, ComponentKey, InstanceKey, StackId};
use terrace_language::expression::{Functions, Layered};
use terrace_language::naming::NamesRule;
use terrace_language::registry::Registry;
use terrace_language::scope::other_stacks::CrossStackOutputs;
use terrace_language::scope::{BlockValue, ComponentOutputs, Facts, LookupValues, PlanScope, ResourceValues};
use terrace_plan::cross_stack_outputs::outputs_of;
use terrace_plan::walk::attributes_value;
use terrace_plan::{CheckStatus, Deferred, OutputChange, Part, Plan, SharedName, StackPlan, checks};
use terrace_provider::{Attributes, Map, Value};

/// The naming rule of the plan, so that deferred names follow the same rule.
fn names_of(stack: &StackPlan) -> NamesRule {
    let mut rules = stack.components.iter().filter_map(|component| component.ids.as_ref()).map(|ids| ids.names);
    rules.find(|rule| !rule.is_ascii()).unwrap_or_default()
}

/// The values of a stack.
pub(crate) struct Values {
    /// Only the keys by URN: templates carry the other facts that they need.
    facts: Facts,
    /// By component.
    resources: HashMap<ComponentKey, ResourceValues>,
    /// The components that declare a shared resource, with their names for it.
    shared: HashMap<Address, Vec<(ComponentKey, SharedName)>>,
    /// Results of lookups, by component.
    data: HashMap<ComponentKey, LookupValues>,
    outputs: ComponentOutputs,
    other_stacks: CrossStackOutputs,
    /// The naming rule of the stack.
    names: NamesRule,
    /// The functions with that rule; created on first use.
    functions: OnceLock<Functions>,
}

impl Values {
    /// The planned values of each stack. All stacks that share a resource get its value.
    pub(crate) fn of(plan: &Plan, registry: &Registry) -> Vec<Self> {
        let mut all: Vec<Self> = plan.stacks.iter().map(|stack| Self::of_stack(stack, registry)).collect();
        for (_, change) in
            plan.changes().filter(|(_, change)| change.address.is_shared() && change.action.leaves_object())
        {
            if let Some(after) = &change.after {
                all.iter_mut().for_each(|values| values.set(registry, &change.address, &after.attributes));
            }
        }
        for (stack, outputs) in plan.stacks.iter().map(|stack| (&stack.stack, outputs_of(stack))) {
            for (component, outputs) in outputs {
                Self::publish_outputs(&mut all, plan, stack, &component, &outputs);
            }
        }
        all
    }

    /// Passes the outputs of a component to the stacks that read them.
    pub(crate) fn publish_outputs(
        all: &mut [Self],
        plan: &Plan,
        stack: &StackId,
        component: &ComponentKey,
        outputs: &Map,
    ) {
        for (values, reader) in all.iter_mut().zip(&plan.stacks) {
            if reader.needs.iter().any(|need| need.stack == *stack && need.of == *component) {
                values.other_stacks.set(stack, component, outputs.clone());
            }
        }
    }

    fn of_stack(stack: &StackPlan, registry: &Registry) -> Self {
        let urns = stack.components.iter().filter_map(|component| Some((component.id.clone()?, component.key.clone())));
        let mut values = Self {
            facts: Facts { urns: Arc::new(urns.collect()), ..Facts::default() },
            resources: HashMap::new(),
            shared: HashMap::new(),
            data: HashMap::new(),
            outputs: HashMap::new(),
            other_stacks: CrossStackOutputs::of(&stack.stack.environment),
            names: names_of(stack),
            functions: OnceLock::new(),
        };
        for other in &stack.recorded_outputs {
            values.other_stacks.set(&other.stack, &other.component, other.outputs.clone());
        }
        for lookup in &stack.lookups {
            values.set_lookup(&lookup.address, lookup.result.clone());
        }
        for component in &stack.components {
            for shared in &component.shared {
                let declared = (component.key.clone(), shared.clone());
                values.shared.entry(shared.address.clone()).or_default().push(declared);
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

    /// Replaces the value of a resource.
    pub(crate) fn set(&mut self, registry: &Registry, address: &Address, attributes: &Attributes) {
        let Some((_, ty)) = registry.resource_type(&address.ty) else { return };
        let value = attributes_value(ty, attributes);
        if address.is_shared() {
            for (component, SharedName { name, key, .. }) in self.shared.get(address).cloned().unwrap_or_default() {
                self.insert(&component, &name, key.as_ref(), value.clone());
            }
            return;
        }
        self.insert(&address.component, &address.name, address.key.as_ref(), value);
    }

    fn insert(&mut self, component: &ComponentKey, name: &str, key: Option<&InstanceKey>, value: Value) {
        let values = self.resources.entry(component.clone()).or_default();
        match key {
            None => {
                values.insert(name.to_owned(), BlockValue::Single(value));
            }
            Some(key) => {
                let block =
                    values.entry(name.to_owned()).or_insert_with(|| BlockValue::Instances(indexmap::IndexMap::new()));
                if let BlockValue::Instances(instances) = block {
                    instances.insert(key.clone(), value);
                }
            }
        }
    }

    /// The present id of a resource's object.
    pub(crate) fn id_of(&self, address: &Address) -> Option<&str> {
        let declared = self.shared.get(address).and_then(|declared| declared.first());
        let (component, name, key) = match declared {
            Some((component, SharedName { name, key, .. })) => (component, name, key.as_ref()),
            None => (&address.component, &address.name, address.key.as_ref()),
        };
        let value = match (self.resources.get(component)?.get(name)?, key) {
            (BlockValue::Single(value), None) => value,
            (BlockValue::Instances(instances), Some(key)) => instances.get(key)?,
            _ => return None,
        };
        value.exposed().as_map()?.get("id")?.exposed().as_str()
    }

    /// Replaces the result of a lookup.
    pub(crate) fn set_lookup(&mut self, address: &Address, answer: Value) {
        self.data.entry(address.component.clone()).or_default().insert(address.name.clone(), answer);
    }

    /// Replaces the value of an output.
    pub(crate) fn set_output(&mut self, output: &OutputChange, value: Value) {
        self.outputs.entry(output.component.clone()).or_default().insert(output.name.clone(), value);
    }

    /// Evaluates a deferred template in the scope of its component.
    ///
    /// # Errors
    /// One message for each expression that fails or is still unknown.
    pub(crate) fn evaluate(&self, deferred: &Deferred, functions: &Functions) -> Result<Value, Vec<String>> {
        self.evaluate_with(deferred, None, functions)
    }

    /// Evaluates a deferred check; `own` is the object of a post check.
    ///
    /// # Errors
    /// If it fails: the reason why it could not be evaluated, or nothing if the condition is false.
    pub(crate) fn check(
        &self,
        deferred: &Deferred,
        own: Option<&Value>,
        functions: &Functions,
    ) -> Result<(), Option<String>> {
        let value = self.evaluate_with(deferred, own, functions).map_err(|messages| messages.into_iter().next())?;
        match checks::decide(&value) {
            (CheckStatus::Pass, _) => Ok(()),
            (_, problem) => Err(problem),
        }
    }

    fn evaluate_with(
        &self,
        deferred: &Deferred,
        own: Option<&Value>,
        functions: &Functions,
    ) -> Result<Value, Vec<String>> {
        let (empty, no_data) = (ResourceValues::default(), LookupValues::new());
        let rest = PlanScope {
            facts: &self.facts,
            resources: self.resources.get(&deferred.component).unwrap_or(&empty),
            data: self.data.get(&deferred.component).unwrap_or(&no_data),
            outputs: &self.outputs,
            stacks: Some(&self.other_stacks),
            each: None,
            own,
        };
        let scope = Layered { captured: &deferred.captured, rest: &rest };
        let functions = match self.names {
            NamesRule::Latin => functions,
            NamesRule::Ascii => self.functions.get_or_init(|| functions.by_rule(NamesRule::Ascii)),
        };
        let value = deferred
            .template
            .evaluate(&scope, functions)
            .map_err(|found| found.into_iter().map(|diagnostic| diagnostic.message).collect::<Vec<_>>())?;
        if value.has_unknown() {
            return Err(vec!["a value is still unknown that should be known now".to_owned()]);
        }
        Ok(value)
    }

    /// All outputs of a component.
    pub(crate) fn outputs(&self, component: &str) -> Map {
        self.outputs.get(component).cloned().unwrap_or_default()
    }
}
