//! Private bytes of a source's row.

use serde::{Deserialize, Serialize};
use terrace_provider::Private;

/// Private data of a row, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PrivateData {
    /// Paths of secrets in the configuration, which are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets: Option<Vec<Vec<String>>>,
}

impl PrivateData {
    pub(crate) fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    pub(crate) fn with(secrets: Vec<Vec<String>>) -> Self {
        Self { secrets: Some(secrets) }
    }

    pub(crate) fn to_private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }
}
