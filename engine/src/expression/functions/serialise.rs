//! Values as text: JSON, YAML, digests.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use terrace_provider::Value;

/// Compact JSON.
pub(super) fn json(value: &Value) -> Result<Value, String> {
    Ok(value.revealed().to_json_text().into())
}

/// YAML, block style.
pub(super) fn yaml(value: &Value) -> Result<Value, String> {
    serde_saphyr::to_string(&value.to_revealed_json()).map(Value::from).map_err(|error| error.to_string())
}

/// The digest in hexadecimal digits.
pub(super) fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
