//! The recorded outputs that a plan reads: those of untouched components and of stacks outside the plan. No row holds them, so the
//! read set of rows does not show their changes.

use super::cross_stack_outputs::references;
use super::planner::Planner;
use super::{ComponentPlan, Part, StackPlan};
use crate::address::{StackId, outputs_in_words};
use crate::compile::CompiledStack;
use crate::expression::ReferenceStep;
use crate::scope::other_stacks::{split, stack_of};
use crate::scope::urns;
use std::fmt;
use terrace_provider::{Attributes, Map};

/// A recorded output that a plan reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct OutputRead {
    /// The output's stack.
    pub stack: StackId,
    /// The output's component; empty for an output of the stack.
    pub of: String,
    /// The output's name; absent if the plan reads all outputs of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The consumer.
    pub by: String,
}

/// The recorded outputs that the chosen components read.
pub(super) fn of(planner: &Planner<'_>, compiled: &CompiledStack, plan: &StackPlan) -> Vec<OutputRead> {
    let is_left = |component: &ComponentPlan| component.part == Part::Untouched;
    if plan.recorded_outputs.is_empty() && !plan.components.iter().any(is_left) {
        return Vec::new();
    }
    let urns = urns(compiled);
    let mut reads = Vec::new();
    for (component, reference, _) in references(planner, compiled) {
        let by = component.key.as_str();
        let mut add = |stack: &StackId, of: &str, rest: &[ReferenceStep]| {
            let name = match rest.first() {
                Some(ReferenceStep::Key(name)) => Some(name.clone()),
                _ => None,
            };
            reads.push(OutputRead { stack: stack.clone(), of: of.to_owned(), name, by: by.to_owned() });
        };
        match (reference.root.as_str(), reference.steps.as_slice()) {
            ("stacks", steps) => {
                if let Some((stack, of, rest)) = split(steps) {
                    add(&stack_of(stack, &planner.environment.name), of, rest);
                }
            }
            ("components", [ReferenceStep::Key(key), _, rest @ ..]) => {
                add(&compiled.stack, urns.get(key).unwrap_or(key), rest);
            }
            // The key is computed: it may be any of its dependencies.
            ("components", _) => {
                let needed = component.depends_on.iter().filter_map(|dependency| dependency.key.as_deref());
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

impl OutputRead {
    /// True if the output has the same value as before.
    pub(crate) fn is_as_before(&self, before: &Attributes, now: &Map) -> bool {
        let is_same = |name: &String| match (before.get(name), now.get(name)) {
            (Some(before), Some(now)) => before.is_same_as(now),
            (before, now) => before.is_none() && now.is_none(),
        };
        match &self.name {
            Some(name) => is_same(name),
            None => before.keys().chain(now.keys()).all(is_same),
        }
    }
}

impl StackPlan {
    /// The recorded outputs that a read refers to; `None` if the plan computes them.
    pub(crate) fn as_recorded(&self, read: &OutputRead) -> Option<&Attributes> {
        if read.stack == self.stack {
            let own = self.components.iter().find(|component| component.key == read.of);
            return own.filter(|own| own.part == Part::Untouched).map(|own| &own.recorded_outputs);
        }
        let other = self.recorded_outputs.iter().find(|other| other.stack == read.stack && other.component == read.of);
        other.map(|other| &other.outputs)
    }
}

impl fmt::Display for OutputRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, of, name, .. } = self;
        match (name, of.as_str()) {
            (Some(name), "") => write!(f, "the output `{name}` of {stack}"),
            (Some(name), of) => write!(f, "the output `{of}/{name}` of {stack}"),
            (None, of) => f.write_str(&outputs_in_words(stack, of)),
        }
    }
}
