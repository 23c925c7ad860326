//! Private data of a row.

use crate::fingerprint::Fingerprint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_provider::Private;

/// Private data of a row, stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PrivateData {
    /// Privileges or the level from before terrace: terrace must not revoke them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) preexisting: Vec<String>,
    /// Set in the intent of an unmarked object: its call has read the prior content, and may have created the object.
    /// Without it, a lost call's object would look like a preexisting one.
    #[serde(rename = "isLookedFor", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_journalled: bool,
    /// For a repository at a tag: the tag's commit. The API does not report the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tagged: Option<String>,
    /// For a job or pipeline: a digest of its settings after the last call of terrace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<String>,
    /// For a view, schema or catalog: the id or creation time of the recorded object. A recreated object has
    /// another value.
    #[serde(rename = "made", skip_serializing_if = "Option::is_none", alias = "tableId")]
    pub(crate) incarnation: Option<String>,
    /// For an unmanaged job, pipeline or view: its mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    /// For a Git credential: the fingerprint of the instance's token that was sent last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Fingerprint>,
    /// Time when the token was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_sent: Option<Timestamp>,
    /// Paths of the secrets in the sent settings, without their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secret_paths: Vec<Vec<String>>,
}

impl PrivateData {
    pub(crate) fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    pub(crate) fn to_private(&self) -> Private {
        if *self == Self::default() {
            return Private::default();
        }
        Private(serde_json::to_vec(self).unwrap_or_default())
    }
}
