//! Outputs of components: evaluated after their resources and compared with the state.

use super::components::RecordedComponent;
use super::planner::Planner;
use super::{ComponentPlan, Deferred, OutputChange, Part};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use terrace_language::address::ComponentKey;
use terrace_language::compile::CompiledComponent;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::scope::{KEPT_ROOTS, PlanScope};
use terrace_provider::Value;
use terrace_store::diff::is_same;
use terrace_store::marks;

/// A planned output.
pub(crate) struct PlannedOutput {
    pub(crate) component: ComponentKey,
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) deferred: Option<Deferred>,
    pub(crate) is_public: bool,
    pub(crate) label: Option<String>,
    /// False if it is sensitive and no key can seal it.
    pub(crate) is_recorded: bool,
}

/// Evaluates the outputs of a component. Deferred outputs keep their recorded values. Faulty outputs, which have a diagnostic
/// already, are skipped.
pub(crate) fn evaluate(
    planner: &Planner<'_>,
    component: &CompiledComponent,
    is_faulty: &dyn Fn(usize) -> bool,
    scope: &PlanScope<'_>,
    kept: &HashMap<String, Option<Value>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<PlannedOutput> {
    let mut planned = Vec::new();
    for (_, output) in component.declarations.outputs.iter().enumerate().filter(|(position, _)| !is_faulty(*position)) {
        if let Some(recorded) = kept.get(&output.name.value) {
            planned.extend(recorded.clone().map(|value| PlannedOutput {
                component: component.key.clone(),
                name: output.name.value.clone(),
                is_recorded: true,
                value,
                deferred: None,
                is_public: output.is_public,
                label: None,
            }));
            continue;
        }
        let value = match output.value.evaluate(scope, planner.functions) {
            Ok(value) => value,
            Err(found) => {
                diagnostics.extend(found);
                continue;
            }
        };
        if value.has_sensitive() && !output.is_sensitive {
            diagnostics.push(
                Diagnostic::error(
                    "sensitive_output",
                    format!("output `{}` exposes a sensitive value", output.name.value),
                )
                .at(output.name.span)
                .hint("write it as `{value: …, sensitive: true}`"),
            );
            continue;
        }
        let value = if output.is_sensitive { Value::sensitive(value) } else { value };
        let deferred = if value.has_unknown() {
            match output.value.capture(scope, KEPT_ROOTS) {
                Ok(captured) => Some(Deferred {
                    component: component.key.clone(),
                    template: Arc::new(output.value.clone()),
                    captured: Arc::new(captured),
                }),
                Err(found) => {
                    diagnostics.extend(found);
                    continue;
                }
            }
        } else {
            None
        };
        let label = output.label.as_ref().and_then(|label| label.evaluate(scope, planner.functions).ok());
        planned.push(PlannedOutput {
            component: component.key.clone(),
            name: output.name.value.clone(),
            is_recorded: planner.seal.can_store(&value),
            value,
            deferred,
            is_public: output.is_public,
            // A sensitive label is left out, because labels are displayed.
            label: label.and_then(|label| if let Value::String(text) = label { Some(text) } else { None }),
        });
    }
    planned
}

/// Compares planned outputs with the recorded ones. Outputs of removed components are removed. In a partial plan, outputs that are
/// no longer declared stay.
pub(crate) fn changes(
    planned: Vec<PlannedOutput>,
    recorded: &BTreeMap<ComponentKey, RecordedComponent>,
    components: &[ComponentPlan],
    has_moved: &dyn Fn(&str) -> bool,
    is_partial: bool,
) -> Vec<OutputChange> {
    let before = |component: &str, name: &str| {
        let component = recorded.get(component)?;
        component
            .outputs
            .get(name)
            .cloned()
            .or_else(|| component.undecryptable.get(name).map(|_| undecryptable_value()))
    };
    let kept: HashSet<(ComponentKey, String)> =
        planned.iter().map(|output| (output.component.clone(), output.name.clone())).collect();
    let mut changes: Vec<OutputChange> = Vec::new();
    for output in planned {
        let before = before(&output.component, &output.name);
        let is_hidden_now = before.as_ref().is_some_and(|before| marks::has_new_marks(before, &output.value));
        let before = match output.is_recorded || is_hidden_now {
            true => before.map(|before| marks::add_marks(&before, &output.value)),
            // The state does not hold the value, so it counts as unchanged once it is known.
            false => Some(output.value.clone()).filter(|value| !value.has_unknown()),
        };
        changes.push(OutputChange {
            is_newly_sensitive: is_hidden_now && is_same(before.as_ref(), Some(&output.value)),
            before,
            component: output.component,
            name: output.name,
            after: Some(output.value),
            deferred: output.deferred,
            is_public: output.is_public,
            label: output.label,
        });
    }
    for component in components {
        let Some(recorded) = recorded.get(&component.key) else { continue };
        let is_listed = match component.part {
            Part::Planned => true,
            // A component that moves as a whole keeps its outputs under the new key.
            Part::Removed => !has_moved(&component.key),
            Part::Untouched => false,
        };
        let undecryptable = recorded.undecryptable.keys().map(|name| (name, undecryptable_value()));
        let all = recorded.outputs.iter().map(|(name, value)| (name, value.clone())).chain(undecryptable);
        for (name, value) in all.filter(|_| is_listed) {
            if kept.contains(&(component.key.clone(), name.clone())) {
                continue;
            }
            changes.push(OutputChange {
                component: component.key.clone(),
                name: name.clone(),
                after: (is_partial && component.part == Part::Planned).then(|| value.clone()),
                before: Some(value),
                deferred: None,
                is_newly_sensitive: false,
                is_public: true,
                label: None,
            });
        }
    }
    changes.sort_by(|left, right| (&left.component, &left.name).cmp(&(&right.component, &right.name)));
    changes
}

/// Stands for a recorded output that cannot be decrypted.
fn undecryptable_value() -> Value {
    Value::sensitive(Value::Unknown)
}
