//! Reading of the JSON Schemas of a blueprint.

use super::SpecificSchema;
use crate::decode::wrong_type;
use crate::diagnostic::Diagnostic;
use crate::yaml::Entry;
use std::sync::Arc;

/// Returns the text of a file by its path relative to the blueprint; `None` if the file does not exist.
pub type Files<'f> = dyn Fn(&str) -> Option<String> + 'f;

/// Reads a JSON Schema that is written in the blueprint or in a file.
pub(super) fn read_schema(
    entry: &Entry,
    field: &'static str,
    files: &Files<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Arc<SpecificSchema>> {
    let node = &entry.value;
    let schema = match node.as_text() {
        None if node.as_map().is_some() || node.as_bool().is_some() => node.to_json(),
        None => {
            diagnostics.push(wrong_type(&format!("`{field}`"), "a JSON Schema, or its path", node));
            return None;
        }
        Some(path) => match files(path).map(|text| serde_json::from_str(&text)) {
            Some(Ok(schema)) => schema,
            Some(Err(error)) => {
                diagnostics.push(
                    Diagnostic::error("bad_schema", format!("`{path}` is not JSON: {error}"))
                        .at(node.span)
                        .hint("correct the file, or write the schema here"),
                );
                return None;
            }
            None => {
                diagnostics.push(
                    Diagnostic::error("missing_file", format!("there is no file `{path}`"))
                        .at(node.span)
                        .hint("give the path of a JSON Schema relative to this blueprint, or write the schema here"),
                );
                return None;
            }
        },
    };
    Some(Arc::new(SpecificSchema::new(field, schema, node.span)))
}
