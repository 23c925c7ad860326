//! What a row keeps besides attributes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_provider::{Private, Recorded};

/// Kept with a row, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// When the table was made that is on record: another one of its name has another time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_on: Option<Timestamp>,
    /// Privileges that were there before terrace took them over: they are not terrace's to revoke.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) preexisting: Vec<String>,
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

    /// Whether the object that was read is another one than the one on record: of the same name, made at another time.
    pub(crate) fn is_another(&self, read: &Recorded) -> bool {
        let now = read.text("createdOn").and_then(|text| text.parse::<Timestamp>().ok());
        matches!((self.created_on, now), (Some(kept), Some(now)) if kept != now)
    }
}
