//! Values of a run in place of those of the spec of its pipeline.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Values in place of those of a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunValues {
    /// Values of parameters by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The image of its pods, with the digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The resources of its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// The resources of pods, as quantities of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Resources {
    /// The CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// The memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
}

impl RunValues {
    /// These values with the parameters of a run, which precede.
    pub(crate) fn with_params(mut self, params: &BTreeMap<String, String>) -> Self {
        self.params.extend(params.clone());
        self
    }

    /// Returns nothing without any value.
    pub(crate) fn non_empty(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }

    /// The fields of the call that starts the run.
    pub(crate) fn fields(&self) -> Map<String, Json> {
        let Self { params, image, resources } = self;
        let Resources { cpu, memory, disk } = resources.clone().unwrap_or_default();
        let options = [("image", image.clone()), ("cpu", cpu), ("memory", memory), ("disk", disk)];
        let options = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        let params = (!params.is_empty()).then(|| ("params".to_owned(), json!(params)));
        options.chain(params).collect()
    }
}
