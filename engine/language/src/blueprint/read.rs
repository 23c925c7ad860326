//! Reading of a blueprint file.

use super::schema::{Files, read_schema};
use super::{Blueprint, Origin, checks, reverse};
use crate::decode::Fields;
use crate::descriptor::declaration::{check_names, read_blueprint_outputs, read_lookups, read_resources};
use crate::descriptor::stack::{check_api_version, read_local};
use crate::descriptor::transitions::read_own_moves;
use crate::descriptor::{Declarations, Facts};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::{Located, SourceId, Sources};
use crate::yaml::{self, Budget, Node};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use terrace_provider::names::listed;

/// Reads a blueprint.
///
/// Returns a blueprint even if there are errors; check for errors before using it.
#[must_use]
pub fn read(
    id: SourceId,
    sources: &Sources,
    origin: Origin,
    files: &Files<'_>,
    budget: &Budget,
) -> (Option<Blueprint>, Vec<Diagnostic>) {
    let Some(source) = sources.get(id) else { return (None, Vec::new()) };
    let node = match yaml::parse(id, &source.text, budget) {
        Ok(node) => node,
        Err(diagnostics) => return (None, diagnostics),
    };
    let mut diagnostics = Vec::new();
    let blueprint = read_node(&node, sources, origin, files, &mut diagnostics);
    (blueprint, diagnostics)
}

fn read_node(
    node: &Node,
    sources: &Sources,
    origin: Origin,
    files: &Files<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Blueprint> {
    let mut fields = Fields::open(node, "a blueprint", diagnostics)?;
    check_api_version(&mut fields);
    check_kind(&mut fields);
    let metadata = fields.required("metadata").and_then(|entry| read_metadata(&entry.value, fields.diagnostics));
    let extends = fields.text("extends");
    let matcher = fields.optional("match").map(|entry| read_match(&entry.value, fields.diagnostics));
    let specific =
        fields.optional("specific").and_then(|entry| read_schema(entry, "specific", files, fields.diagnostics));
    let locals = fields.map("locals").iter();
    let locals = locals.map(|entry| read_local(entry, sources, fields.diagnostics)).collect();
    let checks = fields.list("checks").iter();
    let checks = checks.filter_map(|item| checks::read(item, sources, fields.diagnostics)).collect();
    let resources = read_resources(fields.list("resources"), sources, fields.diagnostics);
    let moved = read_own_moves(fields.list("moved"), fields.diagnostics);
    let data = read_lookups(fields.list("data"), sources, fields.diagnostics);
    let outputs = fields.optional("outputs");
    let outputs = outputs.map(|entry| read_blueprint_outputs(&entry.value, sources, fields.diagnostics));
    let acl = fields.optional("acl").map(|entry| read_acl(&entry.value, sources, fields.diagnostics));
    let reverse =
        fields.optional("reverse").and_then(|entry| reverse::read(&entry.value, sources, files, fields.diagnostics));
    fields.finish();
    let declarations =
        Declarations { resources, data, outputs: outputs.unwrap_or_default(), ..Declarations::default() };
    let acl = acl.unwrap_or_default();
    check_all_names(&declarations, &acl, diagnostics);
    let metadata = metadata?;
    Some(Blueprint {
        name: metadata.name,
        version: metadata.version,
        description: metadata.description,
        overlay: metadata.overlay,
        extends,
        origin,
        has_own_match: matcher.is_some(),
        matcher: matcher.unwrap_or_default(),
        specific,
        locals,
        checks,
        declarations: Arc::new(declarations),
        moved,
        acl: Arc::new(acl),
        reverse,
        span: node.span,
        read: OnceLock::new(),
    })
}

fn check_kind(fields: &mut Fields<'_, '_>) {
    if let Some(kind) = fields.required_text("kind").filter(|kind| kind.value != "Blueprint") {
        fields.diagnostics.push(
            Diagnostic::error("wrong_value", format!("`kind` is `{}`: expected `Blueprint`", kind.value))
                .at(kind.span)
                .hint("write `kind: Blueprint`, or move the file out of the folder of blueprints"),
        );
    }
}

struct Metadata {
    name: Located<String>,
    version: String,
    description: Option<String>,
    overlay: Option<String>,
}

fn read_metadata(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Metadata> {
    let mut fields = Fields::open(node, "`metadata`", diagnostics)?;
    let (name, version) = (fields.required_text("name"), fields.required_text("version"));
    let description = fields.text("description").map(|text| text.value);
    let overlay = fields.text("overlay").map(|text| text.value);
    fields.finish();
    let (name, version) = (name?, version.map_or_else(String::new, |version| version.value));
    Some(Metadata { name, version, description, overlay })
}

fn read_match(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Facts {
    let Some(mut fields) = Fields::open(node, "`match`", diagnostics) else { return Facts::default() };
    let facts = Facts::read(|name| fields.text(name).map(|text| text.value));
    fields.finish();
    facts
}

fn read_acl(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Declarations {
    let Some(mut fields) = Fields::open(node, "`acl`", diagnostics) else { return Declarations::default() };
    let resources = read_resources(fields.list("resources"), sources, fields.diagnostics);
    fields.finish();
    Declarations { resources, ..Declarations::default() }
}

/// Checks names across both lists: resources of `acl` share the namespace of the others, and may depend on them.
fn check_all_names(declarations: &Declarations, acl: &Declarations, diagnostics: &mut Vec<Diagnostic>) {
    check_names(declarations, diagnostics);
    if acl.resources.is_empty() {
        return;
    }
    let mut all = declarations.clone();
    let own = diagnostics.len();
    all.outputs.clear();
    all.data.clear();
    all.resources.extend(acl.resources.iter().cloned());
    check_names(&all, diagnostics);
    // Errors that exist without `acl` were reported above.
    let already: Vec<Diagnostic> = diagnostics.iter().take(own).cloned().collect();
    let mut position = 0..;
    diagnostics.retain(|diagnostic| position.next().is_none_or(|n| n < own) || !already.contains(diagnostic));
}

/// The error for an unknown blueprint.
pub(super) fn unknown(name: &Located<String>, known: &[&str], subject: &str) -> Diagnostic {
    // Overlays have the names of the blueprints that they replace.
    let names: Vec<&str> = known.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    Diagnostic::error("unknown_blueprint", format!("{subject} `{}`, which is not a blueprint here", name.value))
        .at(name.span)
        .hint(format!("known blueprints, including the project's `blueprints/`: {}", listed(&names)))
        .maybe_hint(did_you_mean(&name.value, known.iter().copied()))
}
