//! Tells whether a configuration with its secrets is the one that was sent, without keeping the secrets.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use terrace_provider::{Private, ProviderError};

/// What a row of a source keeps besides attributes, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// What fingerprints of this source are made with, so that nobody can compare them with those of another.
    pub(crate) salt: String,
    /// Where in the configuration secrets are: they are not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<Vec<String>>,
}

impl Kept {
    pub(crate) fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    /// With a new salt.
    pub(crate) fn salted(secrets: Vec<Vec<String>>) -> Result<Self, ProviderError> {
        let mut salt = [0_u8; 16];
        getrandom::fill(&mut salt)
            .map_err(|error| ProviderError::bug(format!("this machine gives no random numbers: {error}")))?;
        Ok(Self { salt: base16ct::lower::encode_string(&salt), secrets })
    }

    pub(crate) fn to_private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The fingerprint of a configuration.
    pub(crate) fn fingerprint(&self, configuration: &Json) -> String {
        let mut text = self.salt.clone();
        text.push('\0');
        write(configuration, &mut text);
        base16ct::lower::encode_string(&Sha256::digest(text.as_bytes()))
    }
}

/// JSON with its keys in order.
fn write(json: &Json, text: &mut String) {
    match json {
        Json::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            text.push('{');
            for (name, value) in sorted {
                text.push_str(&Json::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Json::Array(items) => {
            text.push('[');
            for item in items {
                write(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_makes_no_difference_and_the_salt_does() {
        let kept = Kept { salt: "a".to_owned(), secrets: Vec::new() };
        let one = kept.fingerprint(&json!({"a": 1, "b": {"c": [1, 2], "d": "x"}}));
        let text: Json = serde_json::from_str(r#"{"b": {"d": "x", "c": [1, 2]}, "a": 1}"#).unwrap();
        assert_eq!(one, kept.fingerprint(&text));
        assert_ne!(one, kept.fingerprint(&json!({"a": 1, "b": {"c": [2, 1], "d": "x"}})));
        assert_ne!(one, Kept { salt: "b".to_owned(), secrets: Vec::new() }.fingerprint(&text));
    }
}
