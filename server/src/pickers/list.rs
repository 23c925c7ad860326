//! From a lookup of a provider to the objects of a picker.

use super::answers::{Failed, Item};
use super::cache::{ListError, Listed};
use super::picker::Picker;
use crate::environments::EnvironmentContext;
use serde_json::{Map, Value as JsonValue};
use std::collections::BTreeMap;
use terrace_engine::plan::single_lookup;
use terrace_provider::wrap::silence::with_silence_limit;
use terrace_provider::{Attributes, ErrorKind, ProviderError, Value};

/// The longest value of a parameter, in bytes.
const LONGEST_PARAMETER: usize = 1_000;

/// The parameters of a call by the name of their argument.
pub(super) type Parameters = BTreeMap<String, String>;

/// The parameters of a picker in the fields of a call: a text, or an object that another picker returned.
///
/// # Errors
/// When a parameter has another form or is missing.
pub(super) fn parameters(picker: &Picker, fields: &Map<String, JsonValue>) -> Result<Parameters, Failed> {
    let mut parameters = Parameters::new();
    for name in &picker.parameters {
        let field = match fields.get(name) {
            // A field for several values has a list.
            Some(JsonValue::Array(items)) if items.len() == 1 => items.first(),
            field => field,
        };
        let text = match field {
            None | Some(JsonValue::Null) => {
                return Err(Failed::bad_request(format!("`{name}` is missing: choose it first")));
            }
            Some(JsonValue::String(text)) => Some(text.as_str()),
            Some(JsonValue::Object(object)) => object.get("id").and_then(JsonValue::as_str),
            Some(_) => None,
        };
        match text {
            Some("") => return Err(Failed::bad_request(format!("`{name}` is empty: choose it first"))),
            Some(text) if text.len() <= LONGEST_PARAMETER => drop(parameters.insert(name.clone(), text.to_owned())),
            Some(_) => return Err(Failed::bad_request(format!("`{name}` is too long"))),
            None => return Err(Failed::bad_request(format!("`{name}` has to be text, or an object with a text `id`"))),
        }
    }
    Ok(parameters)
}

/// Reads the list of a picker from its provider.
pub(super) async fn read(picker: &Picker, env: &EnvironmentContext, parameters: &Parameters) -> Listed {
    let registry = &env.engine.registry;
    // The check at the start found both.
    let Some((provider, lookup)) = registry.lookup(&picker.lookup) else {
        return Err(ListError::Provider(format!("the lookup `{}` is unknown", picker.lookup)));
    };
    let field = picker.list_of(lookup).map_err(|error| ListError::Provider(error.message))?;
    let given = parameters.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
    let arguments: Attributes = picker.arguments.clone().into_iter().chain(given).collect();
    let instance = picker.instance(provider.name);
    let found = single_lookup::run(registry, lookup, instance, &arguments);
    let found = with_silence_limit(&env.engine.environment.silence_limit, found).await;
    let found = found.map_err(|error| list_error(picker, &error))?;
    let items = match found.get(field) {
        Some(Value::List(items)) => items.as_slice(),
        None | Some(Value::Null) => &[],
        Some(_) => return Err(ListError::Provider(format!("`{field}` of `{}` is not a list", picker.lookup))),
    };
    if found.has_sensitive() {
        return Err(ListError::Provider(format!(
            "`{}` returns sensitive values, which a form must not show",
            picker.lookup
        )));
    }
    Ok(items.iter().filter_map(|value| item(picker, value)).collect())
}

/// The failure of a lookup. The caller sees the reason if its parameters may be the cause: the session has redacted it.
/// Fixed arguments are the operator's.
fn list_error(picker: &Picker, error: &ProviderError) -> ListError {
    match error.kind {
        ErrorKind::NotFound | ErrorKind::InvalidInput { .. } if !picker.parameters.is_empty() => {
            ListError::Input(error.message.clone())
        }
        _ => ListError::Provider(error.with_problems()),
    }
}

/// An item of the list; `None` if it has no id.
fn item(picker: &Picker, value: &Value) -> Option<Item> {
    let Value::Map(attributes) = value else {
        let id = text(value)?;
        return Some(Item { value: id.clone(), id, more: Map::new() });
    };
    let id = attributes.get(&picker.id).and_then(text)?;
    let value = attributes.get(&picker.value).and_then(text).unwrap_or_else(|| id.clone());
    let is_own = |name: &str| name == "id" || name == "value";
    let more = attributes.iter().filter(|(name, value)| !is_own(name) && !value.is_null());
    Some(Item { id, value, more: more.map(|(name, value)| (name.clone(), value.to_json())).collect() })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}
