//! Private bytes of a row.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_provider::{Private, Recorded};

/// Private data of a row, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PrivateData {
    /// The creation time of the recorded table: a recreated one has another time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_on: Option<Timestamp>,
    /// Privileges that existed before the adoption: terrace does not revoke them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) preexisting: Vec<String>,
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

    /// True if the read object is not the recorded one: the same name with another creation time.
    pub(crate) fn is_recreated(&self, read: &Recorded) -> bool {
        let now = read.text("createdOn").and_then(|text| text.parse::<Timestamp>().ok());
        matches!((self.created_on, now), (Some(recorded), Some(now)) if recorded != now)
    }
}
