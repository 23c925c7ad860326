//! The private data of a command: the digest of the applied output, and the process of a call.

use super::process::Started;
use base16ct::lower::encode_string;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use terrace_provider::{Private, Value};

/// The private data of a resource or of a running call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PrivateState {
    /// The digest of the output of the last `create` or `update`; `read` with another output is drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) applied: Option<String>,
    /// The process of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Started>,
}

impl PrivateState {
    /// Reads private data; missing or unreadable data is an empty state.
    pub(super) fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    /// Serializes the state.
    pub(super) fn to_private(&self) -> Private {
        // Two optional plain fields always serialize.
        Private(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A digest that does not depend on the order of keys.
pub(super) fn digest(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(&value.to_revealed_json(), &mut text);
    encode_string(&Sha256::digest(text))
}

fn write_canonical(json: &serde_json::Value, text: &mut String) {
    match json {
        serde_json::Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        serde_json::Value::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in sorted {
                text.push_str(&serde_json::Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}
