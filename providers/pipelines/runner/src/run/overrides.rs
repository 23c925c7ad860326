//! Values that a run has in place of those of its spec.

use crate::execution_options::ExecutionOptions;
use crate::spec::model::Pipeline;
use crate::spec::params;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values in place of those of a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Values of parameters by name, which records show.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Options of the execution.
    #[serde(skip_serializing_if = "ExecutionOptions::is_empty")]
    pub execution: ExecutionOptions,
}

impl Overrides {
    /// Returns true without any value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.params.is_empty() && self.execution.is_empty()
    }

    /// The pipeline with these values.
    #[must_use]
    pub fn of<'a>(&self, pipeline: &'a Pipeline) -> Cow<'a, Pipeline> {
        if self.is_empty() {
            return Cow::Borrowed(pipeline);
        }
        let mut pipeline = pipeline.clone();
        params::replace(&mut pipeline, &self.params);
        pipeline.execution = self.execution.or(&pipeline.execution);
        Cow::Owned(pipeline)
    }
}
