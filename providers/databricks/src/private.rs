//! What a row keeps besides attributes.

use crate::fingerprint::Fingerprint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_provider::Private;

/// Kept with a row, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// Privileges, or the level, that were there before terrace took them over: they are not terrace's to revoke.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) preexisting: Vec<String>,
    /// In the intent of what nothing marks as ours: its call has looked what is there, and may have made it. Who looks for what
    /// a lost call made could not tell it from what was there before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_looked_for: bool,
    /// Of a repository at a tag: the commit that this was. Which tag is checked out is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tagged: Option<String>,
    /// Of a job or pipeline: a digest of its settings as they were after the last call of terrace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<String>,
    /// Of a view, a schema or a catalog: what the one on record was given when it was made. Another one of its name was given
    /// something else.
    #[serde(skip_serializing_if = "Option::is_none", alias = "tableId")]
    pub(crate) made: Option<String>,
    /// Of an unmanaged job, pipeline or view: its mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    /// Of a credential of Git: the token of the instance that it was sent with last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Fingerprint>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_sent: Option<Timestamp>,
    /// Where secrets are in what was sent: paths, and no values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secret_paths: Vec<Vec<String>>,
}

impl Kept {
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
