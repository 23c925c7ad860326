//! What a row keeps besides attributes.

use serde::{Deserialize, Serialize};
use terrace_provider::Private;

/// Kept with a row, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// The id of the object that is on record: another one of its name has another id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// A plan says that secrets are sent anew. It is of no use afterwards, and not kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sends_secrets: bool,
    /// Where secrets were given, never what they are: one that is given no more is taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<Vec<String>>,
    /// A plan says that those are taken away. It is of no use afterwards, and not kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets_gone: Vec<Vec<String>>,
}

impl Kept {
    pub(crate) fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    pub(crate) fn to_private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }
}
