//! The `reverse` section of a blueprint: values of a catalog's component that reverse provisioning reads from real
//! objects.

use super::SpecificSchema;
use super::schema::{Files, read_schema};
use crate::decode::Fields;
use crate::descriptor::ResourceDeclaration;
use crate::descriptor::declaration::read_repeated_lookups;
use crate::descriptor::templates::compile;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::expression::{ReferenceStep, Template};
use crate::graph::{lookup_name, templates};
use crate::registry::Registry;
use crate::source::{Located, Sources};
use crate::yaml::Node;
use std::collections::HashMap;
use std::sync::Arc;
use terrace_provider::Object;
use terrace_provider::names::listed;

/// The answer to reverse provisioning.
#[derive(Debug, Clone)]
pub struct Reverse {
    /// The JSON Schema of `params`.
    pub params: Option<Arc<SpecificSchema>>,
    /// Lookups, in order; each may read the results of earlier ones.
    pub data: Vec<ResourceDeclaration>,
    /// The values by dotted paths into the catalog's component.
    pub updates: Vec<Update>,
}

/// A value for the catalog.
#[derive(Debug, Clone)]
pub struct Update {
    /// The path: `spec.mesh.dataContract.schema`.
    pub path: Located<String>,
    /// The value.
    pub value: Template,
}

/// The variables of its expressions; `each` only in lookups with `forEach`.
const ROOTS: [&str; 6] = ["params", "catalogInfo", "environment", "settings", "data", "each"];

/// Reads `reverse` of a blueprint.
pub(super) fn read(
    node: &Node,
    sources: &Sources,
    files: &Files<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Reverse> {
    let mut fields = Fields::open(node, "`reverse`", diagnostics)?;
    let params = fields.optional("params").and_then(|entry| read_schema(entry, "params", files, fields.diagnostics));
    let data = read_repeated_lookups(fields.list("data"), sources, fields.diagnostics);
    let mut updates = Vec::new();
    for entry in fields.map("updates") {
        let value = compile(&entry.value, sources, fields.diagnostics);
        updates.push(Update { path: Located { value: entry.key.clone(), span: entry.key_span }, value });
    }
    if updates.is_empty() {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "`reverse` has no `updates`")
                .at(fields.span())
                .hint("add `updates: {spec.mesh.…: ${{ data.… }}}`"),
        );
    }
    fields.finish();
    Some(Reverse { params, data, updates })
}

impl Reverse {
    /// Returns its errors, without calling a provider.
    pub(super) fn check(&self, registry: &Registry) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = self.params.iter().filter_map(|schema| schema.check()).collect();
        let mut known: HashMap<&str, Option<&Object>> = HashMap::new();
        for lookup in &self.data {
            for template in templates(lookup) {
                check_paths(template, &known, &mut found);
            }
            match registry.lookup(&lookup.ty.value) {
                Some((_, schema)) => {
                    known.insert(&lookup.name.value, lookup.for_each.is_none().then_some(&schema.result));
                }
                None => found.push(registry.unknown_lookup(&lookup.ty.value).at(lookup.ty.span)),
            }
        }
        for update in &self.updates {
            check_paths(&update.value, &known, &mut found);
        }
        found
    }
}

/// Reports unknown variables, lookups and fields in a template.
fn check_paths(template: &Template, known: &HashMap<&str, Option<&Object>>, found: &mut Vec<Diagnostic>) {
    for (reference, span) in template.located_references() {
        if !ROOTS.contains(&reference.root.as_str()) {
            let hint = did_you_mean(&reference.root, ROOTS);
            let error =
                Diagnostic::error("unknown_variable", format!("there is no variable `{}` here", reference.root));
            found.push(error.at(span).hint(hint.unwrap_or_else(|| format!("there are: {}", listed(&ROOTS)))));
            continue;
        }
        let Some(name) = lookup_name(reference) else { continue };
        let Some(result) = known.get(name) else {
            let hint = did_you_mean(name, known.keys().copied())
                .unwrap_or_else(|| "a lookup can read only earlier lookups".to_owned());
            found.push(Diagnostic::error("unknown_lookup", format!("`data` has no `{name}` here")).at(span).hint(hint));
            continue;
        };
        // A lookup with `forEach` returns a list, whose items are not checked.
        let (Some(result), Some(ReferenceStep::Key(field))) = (result, reference.steps.get(1)) else { continue };
        if result.get(field).is_none() {
            let hint = did_you_mean(field, result.names())
                .unwrap_or_else(|| format!("it returns: {}", listed(&result.names().collect::<Vec<_>>())));
            let error = Diagnostic::error("unknown_field", format!("the lookup `{name}` does not return `{field}`"));
            found.push(error.at(span).hint(hint));
        }
    }
}
