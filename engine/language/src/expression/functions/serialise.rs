//! Functions that serialise values: JSON, YAML.

use terrace_provider::Value;
use terrace_provider::value::OtherFormat;

/// Compact JSON, keys sorted.
pub(super) fn json(value: &Value) -> Result<Value, String> {
    let mut value = value.revealed();
    value.sort_keys();
    Ok(value.to_json_text().into())
}

/// YAML, block style, keys sorted.
pub(super) fn yaml(value: &Value) -> Result<Value, String> {
    let mut value = value.to_revealed_json();
    value.sort_all_objects();
    serde_saphyr::to_string(&OtherFormat(&value)).map(Value::from).map_err(|error| error.to_string())
}
