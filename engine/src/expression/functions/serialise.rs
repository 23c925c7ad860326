//! Values as text: JSON, YAML.

use terrace_provider::Value;

/// Compact JSON.
pub(super) fn json(value: &Value) -> Result<Value, String> {
    Ok(value.revealed().to_json_text().into())
}

/// YAML, block style.
pub(super) fn yaml(value: &Value) -> Result<Value, String> {
    serde_saphyr::to_string(&value.to_revealed_json()).map(Value::from).map_err(|error| error.to_string())
}
