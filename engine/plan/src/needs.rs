//! The outputs and objects of other components that a plan reads.

use std::fmt;
use terrace_language::address::{ComponentKey, StackId, outputs_in_words};
use terrace_provider::{Attributes, Map};
use terrace_store::StackRead;

/// A component that reads outputs of another stack's component or looks up one of its objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StackNeed {
    /// The consumer.
    pub component: ComponentKey,
    /// The other stack.
    pub stack: StackId,
    /// That stack's component.
    pub of: ComponentKey,
}

impl StackNeed {
    /// The component that is read.
    pub(super) fn read(&self) -> StackRead {
        StackRead { stack: self.stack.clone(), component: self.of.clone() }
    }
}

/// The recorded outputs of a component of another stack.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedOutputs {
    /// The stack.
    pub stack: StackId,
    /// The component.
    pub component: ComponentKey,
    /// The outputs.
    pub outputs: Attributes,
}

/// A recorded output that a plan reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct OutputRead {
    /// The output's stack.
    pub stack: StackId,
    /// The output's component.
    pub of: ComponentKey,
    /// The output's name; absent if the plan reads all outputs of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The consumer.
    pub by: ComponentKey,
}

impl OutputRead {
    /// True if the output has the same value as before.
    pub fn is_as_before(&self, before: &Attributes, now: &Map) -> bool {
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

impl fmt::Display for OutputRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, of, name, .. } = self;
        match name {
            Some(name) => write!(f, "the output `{}` of {stack}", of.qualified(name)),
            None => f.write_str(&outputs_in_words(stack, of)),
        }
    }
}
