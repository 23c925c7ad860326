//! Values as text: JSON, YAML.

use terrace_provider::Value;

/// Compact JSON, keys sorted.
pub(super) fn json(value: &Value) -> Result<Value, String> {
    let mut value = value.revealed();
    sort(&mut value);
    Ok(value.to_json_text().into())
}

/// YAML, block style, keys sorted.
pub(super) fn yaml(value: &Value) -> Result<Value, String> {
    let mut value = value.to_revealed_json();
    value.sort_all_objects();
    serde_saphyr::to_string(&value).map(Value::from).map_err(|error| error.to_string())
}

fn sort(value: &mut Value) {
    match value {
        Value::List(items) => items.iter_mut().for_each(sort),
        Value::Map(entries) => {
            entries.values_mut().for_each(sort);
            entries.sort_unstable_keys();
        }
        _ => {}
    }
}
