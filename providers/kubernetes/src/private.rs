//! Private bytes of a row.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use terrace_provider::Private;

/// Private data of a row, as JSON. May hold the content of a Secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PrivateData {
    /// The fields of the manifest in the form in which the server stored them at the last apply; `None` if that is the form
    /// of the recorded manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<Json>,
    /// The address in the object's mark, at the last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
}

impl PrivateData {
    pub(crate) fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    pub(crate) fn to_private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }
}
