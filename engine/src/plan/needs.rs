//! The outputs and objects of other components that a plan reads.

use crate::address::{StackId, outputs_in_words};
use crate::store::StackRead;
use std::fmt;
use terrace_provider::{Attributes, Map};

/// A component that reads outputs of another stack's component or looks up one of its objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StackNeed {
    /// The consumer.
    pub component: String,
    /// The other stack.
    pub stack: StackId,
    /// That stack's component; empty for outputs of the stack itself.
    pub of: String,
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
    pub component: String,
    /// The outputs.
    pub outputs: Attributes,
}

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
