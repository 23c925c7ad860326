//! The recorded outputs that a plan reads: those of untouched components and of stacks outside the plan. No row holds them, so the
//! read set of rows does not show their changes.

use super::cross_stack_outputs::references;
use super::needs::OutputRead;
use super::planner::Planner;
use super::{ComponentPlan, Part, StackPlan};
use terrace_language::address::{ComponentKey, StackId};
use terrace_language::compile::CompiledStack;
use terrace_language::expression::ReferenceStep;
use terrace_language::scope::other_stacks::{split, stack_of};
use terrace_language::scope::urns;
use terrace_provider::Attributes;

/// The recorded outputs that the chosen components read.
pub(super) fn of(planner: &Planner<'_>, compiled: &CompiledStack, plan: &StackPlan) -> Vec<OutputRead> {
    let is_left = |component: &ComponentPlan| component.part == Part::Untouched;
    if plan.recorded_outputs.is_empty() && !plan.components.iter().any(is_left) {
        return Vec::new();
    }
    let urns = urns(compiled);
    let mut reads = Vec::new();
    for (component, reference, _) in references(planner, compiled) {
        let mut add = |stack: &StackId, of: ComponentKey, rest: &[ReferenceStep]| {
            let name = match rest.first() {
                Some(ReferenceStep::Key(name)) => Some(name.clone()),
                _ => None,
            };
            reads.push(OutputRead { stack: stack.clone(), of, name, by: component.key.clone() });
        };
        match (reference.root.as_str(), reference.steps.as_slice()) {
            ("stacks", steps) => {
                if let Some((stack, of, rest)) = split(steps) {
                    add(&stack_of(stack, &planner.environment.name), of, rest);
                }
            }
            ("components", [ReferenceStep::Key(key), _, rest @ ..]) => {
                add(&compiled.stack, urns.get(key).cloned().unwrap_or_else(|| key.as_str().into()), rest);
            }
            // The key is computed: it may be any of its dependencies.
            ("components", _) => {
                let needed = component.depends_on.iter().filter_map(|dependency| dependency.key.clone());
                needed.for_each(|key| add(&compiled.stack, key, &[]));
            }
            _ => {}
        }
    }
    reads.retain(|read| plan.as_recorded(read).is_some());
    reads.sort();
    reads.dedup();
    reads
}

impl StackPlan {
    /// The recorded outputs that a read refers to; `None` if the plan computes them.
    pub fn as_recorded(&self, read: &OutputRead) -> Option<&Attributes> {
        if read.stack == self.stack {
            let own = self.components.iter().find(|component| component.key == read.of);
            return own.filter(|own| own.part == Part::Untouched).map(|own| &own.recorded_outputs);
        }
        let other = self.recorded_outputs.iter().find(|other| other.stack == read.stack && other.component == read.of);
        other.map(|other| &other.outputs)
    }
}
