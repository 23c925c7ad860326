//! Samples generated from a JSON Schema, and resolution of paths in a schema.

use crate::compile::names::{DEPENDENCIES, LATEST, SIBLINGS, WRAPPED};
use serde_json::Value as Json;
use terrace_provider::{Map, Step, Value};

/// A field that a schema does not have.
pub(super) struct Missing {
    pub(super) name: String,
    pub(super) known: Vec<String>,
}

/// Maximum depth of samples, because a schema may refer to itself.
const MAX_DEPTH: usize = 12;

/// Checks that a schema has a path. An open part of a schema has every field.
pub(super) fn resolve(schema: &Json, path: &[Step]) -> Result<(), Missing> {
    let mut at = vec![schema];
    for step in path {
        let current: Vec<&Json> = at.iter().flat_map(|part| alternatives(part, schema, 0)).collect();
        let mut next = Vec::new();
        let mut known = Vec::new();
        let mut is_open = current.is_empty();
        for part in &current {
            match step {
                Step::Key(name) => match part.get("properties").and_then(Json::as_object) {
                    Some(properties) => {
                        known.extend(properties.keys().cloned());
                        next.extend(properties.get(name));
                        next.extend(part.get("additionalProperties").filter(|schema| schema.is_object()));
                        is_open |= part.get("patternProperties").is_some();
                    }
                    None => is_open = true,
                },
                Step::Index(_) => match part.get("items") {
                    Some(items) => next.push(items),
                    None => is_open = true,
                },
            }
        }
        if next.is_empty() {
            return match step {
                Step::Key(name) if !is_open => Err(Missing { name: name.clone(), known }),
                _ => Ok(()),
            };
        }
        at = next;
    }
    Ok(())
}

/// Generates a value that matches a schema as far as possible: every property, one item in each list, one entry in each
/// map.
pub(in crate::blueprint) fn of(schema: &Json) -> Value {
    sample(schema, schema, 0)
}

/// A component with the given `specific`.
pub(super) fn component(specific: Value) -> Value {
    let column = serde_json::json!({
        "name": "ID", "description": "sample", "dataType": "NUMBER", "precision": 38, "scale": 0,
        "constraint": "PRIMARY_KEY", "tags": [{"tagFQN": "sample", "source": "Tag", "value": "sample"}],
    });
    let outside = serde_json::json!({
        "id": "urn:dmb:cmp:domain:sample:0:component", "key": "component", "name": "Sample",
        "description": "sample", "kind": "storage", "version": "0.0.0", "platform": "sample", "technology": "sample",
        "dependsOn": ["urn:dmb:cmp:domain:sample:0:other"], "readsFrom": [], "tags": [{"tagFQN": "sample", "source": "Tag"}],
        "dataContract": {"schema": [column]},
    });
    let mut entries = match Value::from(outside) {
        Value::Map(entries) => entries,
        _ => Map::default(),
    };
    entries.insert("specific".to_owned(), specific);
    let id = entries.get("id").cloned().unwrap_or_default();
    let mut product = match product() {
        Value::Map(fields) => fields,
        _ => Map::default(),
    };
    let mut enriched = entries.clone();
    enriched.insert("info".to_owned(), Value::Unknown);
    product.insert("components".to_owned(), Value::List(vec![Value::Map(enriched)]));
    let descriptor = [("dataProduct".to_owned(), Value::Map(product)), ("componentIdToProvision".to_owned(), id)];
    entries.insert(WRAPPED.to_owned(), descriptor.into_iter().collect());
    entries.insert(DEPENDENCIES.to_owned(), Value::Unknown);
    entries.insert(SIBLINGS.to_owned(), Value::Unknown);
    Value::Map(entries)
}

/// A sample of `request` with the last provisioned data product. Its provisioners' results and its components are
/// unknown.
pub(super) fn request() -> Value {
    let mut latest = match product() {
        Value::Map(fields) => fields,
        _ => Map::default(),
    };
    latest.extend(["info", "components"].map(|name| (name.to_owned(), Value::Unknown)));
    [(LATEST.to_owned(), Value::Map(latest))].into_iter().collect()
}

/// A sample of `acl`. The further fields are unknown.
pub(super) fn access() -> Value {
    let principals = vec![Value::from("user:jane.roe_example.com"), Value::from("group:analysts")];
    let entries = [("principals", Value::List(principals)), ("fields", Value::Unknown)];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A data product.
pub(in crate::blueprint) fn product() -> Value {
    Value::from(serde_json::json!({
        "id": "urn:dmb:dp:domain:sample:0", "name": "Sample", "description": "sample", "domain": "domain",
        "kind": "dataproduct", "version": "0.1.0", "environment": "sample", "tags": [],
        "dataProductOwner": "user:jane.roe_example.com", "devGroup": "group:dev", "ownerGroup": "jane.roe_example.com",
        "email": "jane.roe@example.com", "specific": {},
    }))
}

/// A schema with all its parts: the targets of references, and the branches of `anyOf`, `oneOf` and `allOf`.
fn alternatives<'s>(schema: &'s Json, root: &'s Json, depth: usize) -> Vec<&'s Json> {
    if depth > MAX_DEPTH {
        return Vec::new();
    }
    if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map(|target| alternatives(target, root, depth + 1)).unwrap_or_default();
    }
    let mut parts = vec![schema];
    for keyword in ["anyOf", "oneOf", "allOf"] {
        let inner = schema.get(keyword).and_then(Json::as_array).into_iter().flatten();
        parts.extend(inner.flat_map(|inner| alternatives(inner, root, depth + 1)));
    }
    // A part without fields does not open what another part closes.
    let has_structure = |part: &&Json| part.get("properties").is_some() || part.get("items").is_some();
    if parts.iter().any(has_structure) { parts.into_iter().filter(has_structure).collect() } else { parts }
}

fn sample(schema: &Json, root: &Json, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    // The fields of an object are a better sample than a default that omits them.
    let has_fields = schema.get("properties").is_some();
    for keyword in ["default", "const"] {
        if let Some(value) = schema.get(keyword).filter(|value| !value.is_null() && !has_fields) {
            return Value::from(value.clone());
        }
    }
    for keyword in ["examples", "enum"] {
        let first = schema
            .get(keyword)
            .and_then(Json::as_array)
            .and_then(|values| values.iter().find(|value| !value.is_null()));
        if let Some(value) = first {
            return Value::from(value.clone());
        }
    }
    if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map(|target| sample(target, root, depth + 1)).unwrap_or_default();
    }
    for keyword in ["anyOf", "oneOf"] {
        let inner = schema.get(keyword).and_then(Json::as_array).into_iter().flatten();
        if let Some(value) = inner.map(|inner| sample(inner, root, depth + 1)).find(|value| !value.is_null()) {
            return value;
        }
    }
    match type_of(schema) {
        Some("string") => Value::from(text(schema)),
        Some("integer") => Value::Int(schema.get("minimum").and_then(Json::as_i64).unwrap_or(1)),
        Some("number") => Value::Int(1),
        Some("boolean") => Value::Bool(true),
        Some("array") => {
            let item = schema.get("items").map(|items| sample(items, root, depth + 1));
            Value::List(item.into_iter().collect())
        }
        Some("object") => {
            let mut entries = Map::default();
            let parts =
                std::iter::once(schema).chain(schema.get("allOf").and_then(Json::as_array).into_iter().flatten());
            for part in parts {
                for (name, property) in part.get("properties").and_then(Json::as_object).into_iter().flatten() {
                    entries.insert(name.clone(), sample(property, root, depth + 1));
                }
            }
            if let Some(each) = schema.get("additionalProperties").filter(|each| each.is_object()) {
                entries.insert("sample".to_owned(), sample(each, root, depth + 1));
            }
            Value::Map(entries)
        }
        _ => Value::Null,
    }
}

/// The type of a schema: the first that is not null, or an object if the schema has properties.
fn type_of(schema: &Json) -> Option<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => Some(name),
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).find(|name| *name != "null"),
        _ if schema.get("properties").is_some() => Some("object"),
        _ => None,
    }
}

/// A text sample; a digit if the pattern asks for a number.
fn text(schema: &Json) -> &'static str {
    let pattern = schema.get("pattern").and_then(Json::as_str).unwrap_or_default();
    let has_digits = pattern.contains("\\d") || pattern.contains("[0-9]");
    let has_letters = pattern.contains("a-z") || pattern.contains("A-Z") || pattern.contains("\\w");
    if has_digits && !has_letters { "1" } else { "sample" }
}
