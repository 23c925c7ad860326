//! Detects misspelt keys that a schema permits: keys that are close to a listed property that is absent.
//!
//! The search covers only values whose schema is certain, like the search for defaults.

use super::defaults::resolve;
use super::schema_errors::MAX_ERRORS;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::yaml::{Entry, Node, NodeKind};
use serde_json::Value as Json;
use std::collections::HashSet;
use terrace_provider::{Path, Step};

/// Maximum depth of references and nested schemas, because a schema may refer to itself.
const DEPTH: usize = 64;

/// Returns a warning for each key of a valid `specific` that looks misspelt.
pub(super) fn check(specific: &Node, schema: &Json) -> Vec<Diagnostic> {
    let mut search = Search { root: schema, found: Vec::new() };
    search.check_value(DEPTH, specific, &[schema], &Path(vec![Step::Key("specific".to_owned())]));
    search.found
}

/// Schemas that were visited.
type Visited = HashSet<*const Json>;

struct Search<'a> {
    root: &'a Json,
    found: Vec<Diagnostic>,
}

impl<'a> Search<'a> {
    /// Checks a value to which all of the schemas apply.
    fn check_value(&mut self, depth: usize, node: &Node, schemas: &[&'a Json], path: &Path) {
        let Some(depth) = depth.checked_sub(1).filter(|_| self.found.len() < MAX_ERRORS) else { return };
        let (mut all, mut visited) = (Vec::new(), HashSet::new());
        schemas.iter().for_each(|schema| self.collect_schemas(DEPTH, schema, &mut all, &mut visited));
        let each: Vec<&Json> = all.iter().filter_map(|schema| schema.get("items")).collect();
        let items = node.as_list().unwrap_or_default().iter().enumerate();
        for (position, item) in items.filter(|(_, item)| has_parts(item)) {
            self.check_value(depth, item, &each, &path.index(position));
        }
        let entries = node.as_map().unwrap_or_default();
        let listed: Vec<(&str, &Json)> = all.iter().flat_map(|schema| properties(schema)).collect();
        let is_listed = |entry: &Entry| listed.iter().any(|(name, _)| *name == entry.key);
        if !entries.iter().all(is_listed) && !is_open(&all) {
            let (mut known, mut visited) = (HashSet::new(), HashSet::new());
            all.iter().for_each(|schema| self.collect_names(DEPTH, schema, &mut known, &mut visited));
            let absent: Vec<&(&str, &Json)> = listed.iter().filter(|(name, _)| node.get(name).is_none()).collect();
            for entry in entries.iter().filter(|entry| !known.contains(entry.key.as_str())) {
                let fitting = absent.iter().filter(|(_, schema)| may_have_type(&entry.value, schema, self.root));
                let Some(hint) = did_you_mean(&entry.key, fitting.map(|(name, _)| *name)) else { continue };
                let message = format!("the blueprint has no field `{}`", path.key(&entry.key));
                self.found.push(Diagnostic::warning("unknown_field", message).at(entry.key_span).hint(hint));
            }
        }
        for entry in entries.iter().filter(|entry| has_parts(&entry.value)) {
            let own = listed.iter().filter(|(name, _)| *name == entry.key).map(|(_, schema)| *schema);
            let own: Vec<&Json> = own.collect();
            if !own.is_empty() {
                self.check_value(depth, &entry.value, &own, &path.key(&entry.key));
            }
        }
    }

    /// Collects a schema and all schemas that apply together with it.
    fn collect_schemas(&self, depth: usize, schema: &'a Json, all: &mut Vec<&'a Json>, visited: &mut Visited) {
        // Visit each schema once: a schema that refers to itself twice would double the work with every step.
        let Some(depth) = depth.checked_sub(1).filter(|_| visited.insert(std::ptr::from_ref(schema))) else { return };
        all.push(schema);
        for part in self.combined_schemas(schema) {
            self.collect_schemas(depth, part, all, visited);
        }
    }

    fn combined_schemas(&self, schema: &'a Json) -> Vec<&'a Json> {
        let referred = schema.get("$ref").and_then(Json::as_str).and_then(|reference| resolve(reference, self.root));
        referred.into_iter().chain(parts(schema, "allOf")).collect()
    }

    /// Collects every property name in a schema, including conditional ones.
    fn collect_names(&self, depth: usize, schema: &'a Json, known: &mut HashSet<&'a str>, visited: &mut Visited) {
        let Some(depth) = depth.checked_sub(1).filter(|_| visited.insert(std::ptr::from_ref(schema))) else { return };
        known.extend(properties(schema).map(|(name, _)| name));
        let conditions = ["if", "then", "else", "not"].into_iter().filter_map(|keyword| schema.get(keyword));
        let branches = ["anyOf", "oneOf"].into_iter().flat_map(|keyword| parts(schema, keyword));
        let dependent =
            schema.get("dependentSchemas").and_then(Json::as_object).into_iter().flat_map(|schemas| schemas.values());
        for part in self.combined_schemas(schema).into_iter().chain(conditions).chain(branches).chain(dependent) {
            self.collect_names(depth, part, known, visited);
        }
    }
}

/// True if a value may have the schema's type. A close name with another type belongs to another field.
pub(super) fn may_have_type(node: &Node, schema: &Json, root: &Json) -> bool {
    let referred = || resolve(schema.get("$ref")?.as_str()?, root);
    let Some(types) = schema.get("type").or_else(|| referred()?.get("type")) else { return true };
    let is_of = |name: &str| match name {
        "null" => node.is_null(),
        "boolean" => matches!(node.kind, NodeKind::Bool(_)),
        "integer" => matches!(node.kind, NodeKind::Int(_)),
        "number" => matches!(node.kind, NodeKind::Int(_) | NodeKind::Number(_)),
        "string" => matches!(node.kind, NodeKind::Text(_)),
        "array" => matches!(node.kind, NodeKind::List(_)),
        "object" => matches!(node.kind, NodeKind::Map(_)),
        _ => true,
    };
    node.is_null() || types.as_str().map_or_else(|| texts(types).any(is_of), is_of)
}

fn texts(json: &Json) -> impl Iterator<Item = &str> {
    json.as_array().into_iter().flatten().filter_map(Json::as_str)
}

/// True for a map or a list that is not empty.
fn has_parts(node: &Node) -> bool {
    match &node.kind {
        NodeKind::List(items) => !items.is_empty(),
        NodeKind::Map(entries) => !entries.is_empty(),
        _ => false,
    }
}

/// True when the author may choose keys freely.
fn is_open(schemas: &[&Json]) -> bool {
    schemas.iter().any(|schema| {
        schema.get("patternProperties").is_some() || schema.get("additionalProperties").is_some_and(Json::is_object)
    })
}

fn properties(schema: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let listed = schema.get("properties").and_then(Json::as_object);
    listed.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}

fn parts<'a>(schema: &'a Json, keyword: &str) -> impl Iterator<Item = &'a Json> + use<'a> {
    schema.get(keyword).and_then(Json::as_array).into_iter().flatten()
}
