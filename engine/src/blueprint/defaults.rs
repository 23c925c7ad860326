//! Filling in what a JSON Schema says of absent properties.
//!
//! JSON Schema itself only describes defaults. They are taken from `properties`, `items`, `allOf` and local `$ref`s:
//! the places where it is certain which schema a value has. A property that is there, null included, stays as it is.

use serde_json::Value as Json;
use terrace_provider::Value;

/// How deep references and nested schemas are followed; a schema may refer to itself.
const DEPTH: usize = 64;

/// The value with defaults; `root` is where references begin.
pub(super) fn fill(value: Value, schema: &Json, root: &Json) -> Value {
    fill_to(DEPTH, value, schema, root)
}

fn fill_to(depth: usize, value: Value, schema: &Json, root: &Json) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return value };
    let mut value = value;
    if let Some(target) = schema.get("$ref").and_then(Json::as_str).and_then(|reference| resolve(reference, root)) {
        value = fill_to(depth, value, target, root);
    }
    for part in schema.get("allOf").and_then(Json::as_array).into_iter().flatten() {
        value = fill_to(depth, value, part, root);
    }
    match value {
        Value::Map(mut entries) => {
            for (name, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
                let present = match entries.get_mut(name) {
                    Some(present) => std::mem::take(present),
                    None => match default_of(depth, property, root) {
                        Some(default) => Value::from(default.clone()),
                        None => continue,
                    },
                };
                entries.insert(name.clone(), fill_to(depth, present, property, root));
            }
            Value::Map(entries)
        }
        Value::List(items) => match schema.get("items") {
            Some(each) => Value::List(items.into_iter().map(|item| fill_to(depth, item, each, root)).collect()),
            None => Value::List(items),
        },
        other => other,
    }
}

/// The default of a schema, or of the one that it refers to.
fn default_of<'s>(depth: usize, schema: &'s Json, root: &'s Json) -> Option<&'s Json> {
    let depth = depth.checked_sub(1)?;
    let referred = || resolve(schema.get("$ref")?.as_str()?, root);
    schema.get("default").or_else(|| default_of(depth, referred()?, root))
}

/// The target of a reference within the schema: `#/$defs/column`.
pub(super) fn resolve<'s>(reference: &str, root: &'s Json) -> Option<&'s Json> {
    root.pointer(reference.strip_prefix('#')?)
}
