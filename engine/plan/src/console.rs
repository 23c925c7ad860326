//! Evaluates single expressions against a plan: the descriptor and the state.

use super::StackPlan;
use super::cross_stack_outputs;
use super::failure::PlanFailure;
use super::planner::Planner;
use super::walk::planned_value;
use indexmap::IndexMap;
use std::sync::Arc;
use terrace_language::access::Access;
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::diagnostic::{Diagnostic, has_errors};
use terrace_language::expression::{Functions, Template};
use terrace_language::registry::Registry;
use terrace_language::scope::other_stacks::CrossStackOutputs;
use terrace_language::scope::{
    BlockValue, ComponentOutputs, Facts, LookupValues, PlanScope, ResourceValues, roots, urns,
};
use terrace_language::source::{Sources, Span};
use terrace_language::yaml::{Node, NodeKind};
use terrace_provider::{Map, Value};

/// The values that expressions of a component see, or of a stack that has only components.
pub struct Console {
    facts: Facts,
    resources: ResourceValues,
    /// Results of lookups; unknown without a result.
    data: LookupValues,
    outputs: ComponentOutputs,
    /// Recorded outputs of other stacks.
    other_stacks: CrossStackOutputs,
}

impl Console {
    /// Collects the values that the component's or the stack's expressions see after the apply; values known after apply are
    /// unknown.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn new(
        planner: &Planner<'_>,
        compiled: &CompiledStack,
        component: Option<&CompiledComponent>,
        plan: &StackPlan,
    ) -> Result<Self, PlanFailure> {
        let mut outputs = ComponentOutputs::new();
        for planned in &plan.components {
            outputs.insert(planned.key.clone(), planned.recorded_outputs.clone());
        }
        for output in &plan.outputs {
            let of_component: &mut Map = outputs.entry(output.component.clone()).or_default();
            match &output.after {
                Some(value) => of_component.insert(output.name.clone(), value.clone()),
                None => of_component.shift_remove(&output.name),
            };
        }
        let planned =
            plan.components.iter().find(|planned| component.is_some_and(|component| component.key == planned.key));
        let access = planned.and_then(|planned| planned.access.as_ref());
        let facts = Facts {
            component: component.map(|component| component.value.clone()),
            acl: access.map(Access::to_value),
            locals: component.and_then(|component| component.locals.clone()).map(Value::Map),
            roots: Arc::new(roots(planner.environment, compiled)),
            urns: Arc::new(urns(compiled)),
        };
        let lookups = component.iter().flat_map(|component| &component.declarations.data);
        let mut data: LookupValues = lookups.map(|lookup| (lookup.name.value.clone(), Value::Unknown)).collect();
        let is_own = |key: &str| component.is_some_and(|component| component.key == key);
        let answered = plan.lookups.iter().filter(|lookup| is_own(&lookup.address.component));
        data.extend(answered.map(|lookup| (lookup.address.name.clone(), lookup.result.clone())));
        let resources = component.map(|component| resources(component, plan, planner.registry)).unwrap_or_default();
        let other_stacks = cross_stack_outputs::recorded(planner).await?;
        Ok(Self { facts, resources, data, outputs, other_stacks })
    }

    /// Evaluates an expression, written without `${{` and `}}`. Locations refer to `${{ TEXT }}`.
    ///
    /// # Errors
    /// If the text is not an expression, or its evaluation fails.
    pub fn evaluate(&self, text: &str, sources: &mut Sources, functions: &Functions) -> Result<Value, Vec<Diagnostic>> {
        let text = format!("${{{{ {text} }}}}");
        let id = sources.add("expression", text.as_str());
        let node = Node { span: Span::new(id, 0, text.len()), kind: NodeKind::Text(text) };
        let mut diagnostics = Vec::new();
        let template = Template::compile(&node, sources, &mut diagnostics);
        if has_errors(&diagnostics) {
            return Err(diagnostics);
        }
        let scope = PlanScope {
            facts: &self.facts,
            resources: &self.resources,
            data: &self.data,
            outputs: &self.outputs,
            stacks: Some(&self.other_stacks),
            each: None,
            own: None,
        };
        template.evaluate(&scope, functions)
    }
}

/// The values of a component's resources by name.
fn resources(component: &CompiledComponent, plan: &StackPlan, registry: &Registry) -> ResourceValues {
    let planned = plan.components.iter().find(|planned| planned.key == component.key);
    let shared = || planned.into_iter().flat_map(|planned| &planned.shared);
    let mut values = ResourceValues::default();
    for declaration in &component.declarations.resources {
        let name = &declaration.name.value;
        let mut instances = IndexMap::new();
        let mut single = Value::Unknown;
        for change in plan.changes.iter().filter(|change| change.after.is_some()) {
            let address = &change.address;
            let is_own = address.component == component.key && address.name == *name && !address.is_shared();
            let named = shared().find(|named| named.name == *name && named.address == *address);
            let key = match (is_own, named) {
                (true, _) => &address.key,
                (false, Some(named)) => &named.key,
                (false, None) => continue,
            };
            let Some((_, ty)) = registry.resource_type(&address.ty) else { continue };
            let value = planned_value(ty, Some(change));
            match key {
                Some(key) => {
                    instances.insert(key.clone(), value);
                }
                None => single = value,
            }
        }
        let value = match declaration.for_each {
            Some(_) => BlockValue::Instances(instances),
            None => BlockValue::Single(single),
        };
        values.insert(name.clone(), value);
    }
    values
}
