//! The data that a change destroys, with its amount.

/// Data that a change destroys.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DataLossNote {
    /// The reasons, in words.
    pub reasons: Vec<String>,
    /// The amount: `3 rows`; absent without data.
    pub amount: Option<String>,
    /// The amount as a number, if it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The user consented.
    pub is_allowed: bool,
    /// Why consent is not enough, with the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_empty: Option<String>,
}

/// The amount if it cannot be counted.
pub const UNKNOWN_AMOUNT: &str = "an unknown amount of data";

impl DataLossNote {
    /// The reasons and the amount: `column evil is dropped (1 row)`.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("{} ({})", self.reasons.join(", "), self.amount.as_deref().unwrap_or("no data"))
    }

    /// True if data would be destroyed.
    #[must_use]
    pub const fn destroys(&self) -> bool {
        self.amount.is_some()
    }

    /// True if the amount is unknown. Consent then covers any amount.
    #[must_use]
    pub fn is_uncounted(&self) -> bool {
        self.count.is_none() && self.amount.as_deref() == Some(UNKNOWN_AMOUNT)
    }

    /// True if this amount does not exceed the amount that the plan showed.
    #[must_use]
    pub fn covers(&self, count: u64, text: &str) -> bool {
        match (&self.amount, self.count) {
            (None, _) => false,
            (Some(_), Some(shown)) => count <= shown,
            // A plan file without a number has the amount in words only.
            (Some(shown), None) => self.is_uncounted() || shown == text,
        }
    }
}
