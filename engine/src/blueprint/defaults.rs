//! Filling in what a JSON Schema says of absent properties.
//!
//! JSON Schema itself only describes defaults. They are taken from `properties`, `items`, `allOf` and local `$ref`s:
//! the places where it is certain which schema a value has. A property that is there, null included, stays as it is.

use serde_json::Value as Json;
use terrace_provider::Value;

/// How deep references and nested schemas are followed; a schema may refer to itself.
const DEPTH: usize = 64;

/// So many values one component may get by default.
const MOST: usize = 100_000;

/// Defaults that hold each other without end, or as good as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the schema has more than {MOST} values by default: its defaults hold each other")]
pub struct EndlessDefaults;

/// The value with defaults; `root` is where references begin.
pub(super) fn fill(value: Value, schema: &Json, root: &Json) -> Result<Value, EndlessDefaults> {
    Filling { root, left: MOST }.fill(DEPTH, value, schema, &mut Vec::new())
}

struct Filling<'s> {
    root: &'s Json,
    /// So many more values may be filled in.
    left: usize,
}

impl<'s> Filling<'s> {
    /// Fills in what a schema says; `seen` are those that filled in this very value already, by way of references.
    fn fill(
        &mut self,
        depth: usize,
        mut value: Value,
        schema: &'s Json,
        seen: &mut Vec<&'s Json>,
    ) -> Result<Value, EndlessDefaults> {
        // What is no map and no list has no place for any: most values of a component are neither.
        let has_places = matches!(value, Value::Map(_) | Value::List(_));
        let Some(depth) = depth.checked_sub(1).filter(|_| has_places) else { return Ok(value) };
        if seen.iter().any(|other| std::ptr::eq(*other, schema)) {
            return Ok(value);
        }
        seen.push(schema);
        let referred = schema.get("$ref").and_then(Json::as_str).and_then(|reference| resolve(reference, self.root));
        let parts = schema.get("allOf").and_then(Json::as_array).into_iter().flatten();
        for part in referred.into_iter().chain(parts) {
            value = self.fill(depth, value, part, seen)?;
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
