//! Private data of a row.

use serde::{Deserialize, Serialize};
use terrace_provider::Private;

/// Private data of a row, stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PrivateData {
    /// The id of the recorded object; a recreated object has another id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The plan sends the secrets again. Only used between plan and apply.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sends_secrets: bool,
    /// Paths of the configured secrets, without their values: a removed secret is deleted in Airbyte.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<Vec<String>>,
    /// Paths of the secrets that the plan deletes. Only used between plan and apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets_gone: Vec<Vec<String>>,
}

impl PrivateData {
    pub(crate) fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    pub(crate) fn to_private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }
}
