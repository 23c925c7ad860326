//! Catalog entities: `catalog-info.yaml`, legacy or a skeleton, rendered and merged for an environment.

use super::files::EntityFiles;
use super::merge::merge;
use super::parameters::{Parameters, parse};
use super::source_map::SourceMap;
use super::template::Template;
use crate::decode::wrong_type;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::{SourceId, Sources, Span};
use crate::yaml::{Entry, Node, NodeKind, parse_with};
use std::cell::RefCell;
use std::collections::BTreeMap;
use terrace_provider::names::listed;

/// The first word of a skeleton.
const SKELETON: &str = "%SKELETON";

/// An entity of the catalog.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) kind: EntityKind,
    /// `metadata.name`, the name in the catalog.
    pub(super) name: String,
    /// The place of the name.
    pub(super) name_span: Span,
    /// `metadata`.
    pub(super) metadata: Node,
    /// `spec`, with the values of the environment in `mesh`.
    pub(super) spec: Node,
    /// The data product of a component: `sales.orders.0`.
    pub(super) system: Option<(String, Span)>,
    pub(super) is_requested: bool,
}

/// The kinds of entities that are parts of descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntityKind {
    /// A data product.
    System,
    /// A component.
    Component,
}

impl Entity {
    /// Reads an entity. Entities of other kinds are not part of a descriptor: `None`.
    pub(super) fn read(
        sources: &Sources,
        files: &EntityFiles,
        environment: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let text = &sources.get(files.catalog)?.text;
        let (mut root, parameters) = match skeleton(text) {
            Some(offset) => {
                let node = files.parameters.and_then(|id| parse(id, &sources.get(id)?.text, diagnostics));
                let before = diagnostics.len();
                let parameters = Parameters::read(node, environment, diagnostics);
                if diagnostics.iter().skip(before).any(Diagnostic::is_error) {
                    return None;
                }
                (render(files.catalog, text, offset, &parameters, diagnostics)?, parameters)
            }
            None => (parse_entity(files.catalog, text, diagnostics)?, Parameters::default()),
        };
        let heading = root.as_map().and_then(<[_]>::first).map_or(root.span, |entry| entry.key_span);
        let kind = match root.get("kind").and_then(Node::as_text) {
            Some("System") => EntityKind::System,
            Some("Component") => EntityKind::Component,
            Some(_) => return None,
            None => {
                diagnostics.push(
                    Diagnostic::error("missing_field", "the entity has no `kind`")
                        .at(heading)
                        .hint("write `kind: System` for a data product, `kind: Component` for a component"),
                );
                return None;
            }
        };
        check_environment(files, environment, &parameters, heading, diagnostics);
        let metadata = take(&mut root, "metadata", heading, diagnostics)?;
        let mut spec = take(&mut root, "spec", heading, diagnostics)?;
        let Some((name, name_span)) = text_of(&metadata, "name") else {
            diagnostics.push(
                Diagnostic::error("missing_field", "the entity has no `metadata.name`")
                    .at(metadata.entry("name").map_or(heading, |entry| entry.value.span))
                    .hint("write `name: <domain>.<data product>.<major version>`, with `.<component>` for a component"),
            );
            return None;
        };
        let name = reference(&name).to_owned();
        merge_environment(sources, files, &mut spec, diagnostics);
        if let Some((version, span)) = parameters.text("readonly", "__version__") {
            set_absent(mesh_of(&mut spec)?, "version", version, span);
        }
        let system = text_of(&spec, "system").or_else(|| parameters.text("readonly", "__system__"));
        let system = system.map(|(system, span)| (reference(&system).to_owned(), span));
        Some(Self { kind, name, name_span, metadata, spec, system, is_requested: files.is_requested })
    }

    /// `spec.mesh`.
    pub(super) fn mesh(&self) -> &[Entry] {
        self.spec.get("mesh").and_then(Node::as_map).unwrap_or_default()
    }
}

/// The offset of the template in a skeleton.
fn skeleton(text: &str) -> Option<usize> {
    let rest = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let after = rest.strip_prefix(SKELETON)?;
    Some(text.len() - after.len())
}

/// The name of an entity reference: without its kind and the namespace `default`.
pub(super) fn reference(text: &str) -> &str {
    let text = text.trim();
    let name = text.split_once(':').map_or(text, |(_, name)| name);
    name.strip_prefix("default/").unwrap_or(name)
}

/// A field's text and place.
pub(super) fn text_of(node: &Node, key: &str) -> Option<(String, Span)> {
    let value = node.get(key)?;
    Some((value.as_text()?.to_owned(), value.span))
}

fn parse_entity(id: SourceId, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    match parse_with(id, text, &super::parse_options()) {
        Ok(parsed) => {
            diagnostics.extend(parsed.warnings);
            Some(parsed.node)
        }
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}

/// Renders a skeleton, with places in the files.
fn render(
    id: SourceId,
    text: &str,
    offset: usize,
    parameters: &Parameters,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let template_text = text.get(offset..)?;
    let rendered = Template::new(template_text).and_then(|template| {
        let rendered = template.render(&parameters.scope)?;
        Ok((template, rendered))
    });
    let (template, rendered) = match rendered {
        Ok(rendered) => rendered,
        Err(failure) => {
            let at = failure.at.map_or(offset..offset, |at| at.start + offset..at.end + offset);
            let message = format!("rendering the skeleton fails: {}", failure.message);
            diagnostics.push(
                Diagnostic::error(failure.code, message).at(Span::new(id, at.start, at.end)).maybe_hint(failure.hint),
            );
            return None;
        }
    };
    let map = SourceMap {
        source: id,
        text,
        offset,
        template: &template,
        rendered: &rendered,
        parameters,
        origins: RefCell::new(BTreeMap::new()),
    };
    let mut found = Vec::new();
    let mut node = parse_entity(id, &rendered.text, &mut found);
    map.apply_to(&mut found);
    diagnostics.extend(found);
    if let Some(node) = &mut node {
        map.apply(node);
    }
    node
}

/// Warns of an environment that none of the files knows, although they know others.
fn check_environment(
    files: &EntityFiles,
    environment: &str,
    parameters: &Parameters,
    heading: Span,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let known: Vec<&str> = files.environments.iter().map(String::as_str).chain(parameters.environments()).collect();
    if known.is_empty() || known.contains(&environment) {
        return;
    }
    let message = format!("this entity has no values for the environment `{environment}`");
    diagnostics.push(
        Diagnostic::warning("unknown_environment", message)
            .at(heading)
            .hint(format!("it has values for {}", listed(&known)))
            .maybe_hint(did_you_mean(environment, known.iter().copied())),
    );
}

/// Merges `configurations.yaml` into `spec.mesh`.
fn merge_environment(
    sources: &Sources,
    files: &EntityFiles,
    spec: &mut Node,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<()> {
    let id = files.configuration?;
    let over = parse(id, &sources.get(id)?.text, diagnostics).filter(|node| !node.is_null())?;
    if over.as_map().is_none() {
        diagnostics.push(wrong_type("configurations.yaml", "a map", &over));
        return None;
    }
    merge(mesh_of(spec)?, over, diagnostics);
    Some(())
}

/// `spec.mesh`, which is added if it is absent.
fn mesh_of(spec: &mut Node) -> Option<&mut Node> {
    let span = spec.span;
    let NodeKind::Map(entries) = &mut spec.kind else { return None };
    if !entries.iter().any(|entry| entry.key == "mesh") {
        let value = Node { span, kind: NodeKind::Map(Vec::new()) };
        entries.push(Entry { key: "mesh".to_owned(), key_span: span, value });
    }
    entries.iter_mut().rev().find(|entry| entry.key == "mesh").map(|entry| &mut entry.value)
}

fn set_absent(node: &mut Node, key: &str, text: String, span: Span) {
    let is_absent = node.get(key).is_none_or(Node::is_null);
    if let (NodeKind::Map(entries), true) = (&mut node.kind, is_absent) {
        entries.retain(|entry| entry.key != key);
        let value = Node { span, kind: NodeKind::Text(text) };
        entries.push(Entry { key: key.to_owned(), key_span: span, value });
    }
}

/// Takes a map out of the entity.
fn take(root: &mut Node, key: &'static str, heading: Span, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let NodeKind::Map(entries) = &mut root.kind else { return None };
    let position = entries.iter().rposition(|entry| entry.key == key);
    let Some(position) = position else {
        diagnostics.push(
            Diagnostic::error("missing_field", format!("the entity needs `{key}`"))
                .at(heading)
                .hint(format!("add `{key}:`")),
        );
        return None;
    };
    let entry = entries.remove(position);
    if entry.value.as_map().is_none() {
        diagnostics.push(wrong_type(&format!("`{key}`"), "a map", &entry.value));
        return None;
    }
    Some(entry.value)
}
