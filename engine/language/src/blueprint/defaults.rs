//! Default values for absent properties, taken from a JSON Schema.
//!
//! JSON Schema only describes defaults. This module applies those from `properties`, `items`, `allOf` and local
//! `$ref`s, where the schema of a value is certain. A property that is present, even as null, stays unchanged.

use serde_json::Value as Json;
use terrace_provider::Value;

/// Maximum depth of references and nested schemas, because a schema may refer to itself.
const DEPTH: usize = 64;

/// Maximum number of default values in a component.
const MAX_DEFAULTS: usize = 100_000;

/// Defaults that contain each other endlessly, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the schema has more than {MAX_DEFAULTS} default values: its defaults contain each other")]
pub struct EndlessDefaults;

/// Returns the value with defaults. References start at `root`.
pub(super) fn fill(value: Value, schema: &Json, root: &Json) -> Result<Value, EndlessDefaults> {
    DefaultsFiller { root, left: MAX_DEFAULTS }.fill(DEPTH, value, schema, &mut Vec::new())
}

struct DefaultsFiller<'s> {
    root: &'s Json,
    /// Number of values that may still be filled in.
    left: usize,
}

impl<'s> DefaultsFiller<'s> {
    /// Fills in the defaults of a schema. `visited` are the schemas that already filled in this value, through
    /// references.
    fn fill(
        &mut self,
        depth: usize,
        mut value: Value,
        schema: &'s Json,
        visited: &mut Vec<&'s Json>,
    ) -> Result<Value, EndlessDefaults> {
        // Only maps and lists can have defaults inside; most values are neither.
        let has_places = matches!(value, Value::Map(_) | Value::List(_));
        let Some(depth) = depth.checked_sub(1).filter(|_| has_places) else { return Ok(value) };
        if visited.iter().any(|other| std::ptr::eq(*other, schema)) {
            return Ok(value);
        }
        visited.push(schema);
        let referred = schema.get("$ref").and_then(Json::as_str).and_then(|reference| resolve(reference, self.root));
        let parts = schema.get("allOf").and_then(Json::as_array).into_iter().flatten();
        for part in referred.into_iter().chain(parts) {
            value = self.fill(depth, value, part, visited)?;
        }
        match value {
            Value::Map(mut entries) => {
                for (name, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
                    if let Some(present) = entries.get_mut(name) {
                        *present = self.fill(depth, std::mem::take(present), property, &mut Vec::new())?;
                    } else if let Some(default) = default_of(depth, property, self.root) {
                        self.left = self.left.checked_sub(1).ok_or(EndlessDefaults)?;
                        let default = Value::from(default.clone());
                        entries.insert(name.clone(), self.fill(depth, default, property, &mut Vec::new())?);
                    }
                }
                Ok(Value::Map(entries))
            }
            Value::List(items) => match schema.get("items") {
                Some(each) => {
                    let filled = items.into_iter().map(|item| self.fill(depth, item, each, &mut Vec::new()));
                    filled.collect::<Result<_, _>>().map(Value::List)
                }
                None => Ok(Value::List(items)),
            },
            other => Ok(other),
        }
    }
}

/// The default of a schema, or of the schema that it refers to.
fn default_of<'s>(depth: usize, schema: &'s Json, root: &'s Json) -> Option<&'s Json> {
    let depth = depth.checked_sub(1)?;
    let referred = || resolve(schema.get("$ref")?.as_str()?, root);
    schema.get("default").or_else(|| default_of(depth, referred()?, root))
}

/// The target of a reference within the schema: `#/$defs/column`.
pub(super) fn resolve<'s>(reference: &str, root: &'s Json) -> Option<&'s Json> {
    root.pointer(reference.strip_prefix('#')?)
}
