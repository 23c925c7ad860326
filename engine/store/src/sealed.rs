//! Sealed texts of rows.

use serde::{Deserialize, Serialize};
use std::fmt;
use terrace_provider::Attributes;
use terrace_provider::value::wire::{Sealing, WireError, decode_map, encode_map};

/// A JSON object whose sensitive values are sealed. A store keeps its text; only a [`Sealing`] reads its values.
///
/// `Debug` prints no content, because a store without a state key may hold secrets in the clear.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// Seals values.
    ///
    /// # Errors
    /// When a sensitive value cannot be sealed.
    pub fn seal(values: &Attributes, sealing: &dyn Sealing) -> Result<Self, WireError> {
        encode_map(values, sealing).map(|json| Self(json.to_string()))
    }

    /// Opens the values.
    ///
    /// # Errors
    /// When the text is damaged or a sealed value cannot be opened.
    pub fn open(&self, sealing: &dyn Sealing) -> Result<Attributes, WireError> {
        decode_map(serde_json::from_str(&self.0).map_err(|error| WireError::Damaged(error.to_string()))?, sealing)
    }

    /// The value of a text that [`Sealed::as_str`] returned.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when nothing was stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(sealed, {} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_and_json_of_a_sealed_text() {
        let sealed = Sealed::from_stored(r#"{"a":"secret"}"#);
        assert_eq!(format!("{sealed:?}"), "(sealed, 14 bytes)");
        assert_eq!(serde_json::to_string(&sealed).unwrap(), r#""{\"a\":\"secret\"}""#);
        assert_eq!(serde_json::from_str::<Sealed>(r#""{}""#).unwrap(), Sealed::from_stored("{}"));
    }
}
