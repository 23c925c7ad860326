//! Blueprint tests: components with their expected resources.
//!
//! A test file is in the folder of the blueprints that it tests. A case is a component, written as in a data product or
//! a stack, or a whole descriptor. [`super::expectation`] defines the expected result. Matching chooses the blueprint,
//! so a case also tests `match`.

mod optional_parts;

use super::check::sample;
use super::expectation::Expected;
use super::matching::Templates;
use super::schema::Files;
use crate::access::Access;
use crate::address::ComponentKey;
use crate::decode::{Fields, expect_text, wrong_type};
use crate::descriptor::stack::{API_VERSION, check_api_version};
use crate::descriptor::{self, Descriptor};
use crate::diagnostic::Diagnostic;
use crate::source::{Located, SourceId, Sources, Span};
use crate::yaml::{self, Budget, Entry, Node, NodeKind};
use std::collections::BTreeSet;
use terrace_provider::Value;

/// The content of a test file.
#[derive(Debug, Default)]
pub struct TestFile {
    /// The overlay to test in, if it differs from the environment's.
    pub overlay: Option<String>,
    /// Blueprints by template id, as in an environment. They precede the environment's own.
    pub templates: Templates,
    /// The cases, in the order written.
    pub cases: Vec<Case>,
}

/// A component with its expected resources.
#[derive(Debug)]
pub struct Case {
    /// The name of the case.
    pub name: Located<String>,
    /// The descriptors; several only if the case is wrong.
    pub descriptors: Vec<Descriptor>,
    /// The diagnostics of the descriptor. They are part of the result that the case compares.
    pub diagnostics: Vec<Diagnostic>,
    /// The components to act on; empty for all.
    pub chosen: BTreeSet<ComponentKey>,
    /// `settings` in expressions, if they differ from the environment's.
    pub settings: Option<Value>,
    /// The access list of the component, if any.
    pub access: Option<Located<Access>>,
    /// The source of the last provisioned data product, if the case has one.
    pub latest_enriched: Option<SourceId>,
    /// The expected result; `None` until it is accepted.
    pub expected: Option<Expected>,
    /// The place of its first key.
    pub span: Span,
}

/// Reads a test file. `files` returns texts by path relative to it; `environment` is the name of the environment to
/// test in.
///
/// Returns content even if there are errors; check for errors before using it.
#[must_use]
pub fn read(
    id: SourceId,
    sources: &mut Sources,
    files: &Files<'_>,
    environment: &str,
    budget: &Budget,
) -> (TestFile, Vec<Diagnostic>) {
    let Some(text) = sources.get(id).map(|source| source.text.clone()) else { return Default::default() };
    let node = match yaml::parse(id, &text, budget) {
        Ok(node) => node,
        Err(diagnostics) => return (TestFile::default(), diagnostics),
    };
    let mut diagnostics = Vec::new();
    let file = read_file(&node, sources, files, environment, &mut diagnostics).unwrap_or_default();
    (file, diagnostics)
}

fn read_file(
    node: &Node,
    sources: &mut Sources,
    files: &Files<'_>,
    environment: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<TestFile> {
    let mut fields = Fields::open(node, "a blueprint test", diagnostics)?;
    check_api_version(&mut fields);
    if let Some(kind) = fields.required_text("kind").filter(|kind| kind.value != "BlueprintTest") {
        fields.diagnostics.push(
            Diagnostic::error("wrong_value", format!("`kind` is `{}`: expected `BlueprintTest`", kind.value))
                .at(kind.span)
                .hint("write `kind: BlueprintTest`, or give the file a name that does not end in `.test.yaml`"),
        );
    }
    let overlay = fields.text("overlay").map(|text| text.value);
    let mut templates = Templates::default();
    for entry in fields.map("templates") {
        templates.extend(expect_text(entry, fields.diagnostics).map(|name| (entry.key.clone(), name.value)));
    }
    let cases = fields.list("cases").iter();
    let cases = cases.filter_map(|case| read_case(case, sources, files, environment, fields.diagnostics)).collect();
    fields.finish();
    Some(TestFile { overlay, templates, cases })
}

fn read_case(
    node: &Node,
    sources: &mut Sources,
    files: &Files<'_>,
    environment: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Case> {
    let mut fields = Fields::open(node, "a case", diagnostics)?;
    let name = fields.required_text("name");
    let (component, whole) = (fields.optional("component"), fields.optional("descriptor"));
    let product = fields.optional("product");
    let settings = fields.optional("settings").map(|entry| entry.value.to_value());
    let access = fields.optional("acl").and_then(|entry| optional_parts::access(entry, fields.diagnostics));
    let request = fields.optional("request");
    let latest_enriched = request.and_then(|entry| optional_parts::latest_enriched(entry, sources, fields.diagnostics));
    let expected = fields.optional("expect").and_then(|entry| Expected::read(entry, fields.diagnostics));
    let read = match (component, whole) {
        (Some(component), None) => Some(read_component(component, product, environment, sources, fields.diagnostics)),
        (chosen, Some(whole)) => {
            fields.diagnostics.extend(product.map(|entry| {
                Diagnostic::error("unknown_field", "`product` cannot be combined with `descriptor`")
                    .at(entry.key_span)
                    .hint("move it into the descriptor")
            }));
            let chosen = chosen.and_then(|entry| expect_text(entry, fields.diagnostics));
            let read = read_whole(whole, sources, files, fields.diagnostics);
            read.map(|read| Read { chosen: chosen.map(|key| key.value.into()).into_iter().collect(), ..read })
        }
        (None, None) => {
            fields.diagnostics.push(
                Diagnostic::error("missing_field", "a case needs `component` or `descriptor`")
                    .at(heading(node))
                    .hint("add `component:`, written as in a data product or in a stack"),
            );
            None
        }
    };
    fields.finish();
    let Read { descriptors, diagnostics, chosen } = read?;
    let (name, span) = (name?, heading(node));
    Some(Case { name, descriptors, diagnostics, chosen, settings, access, latest_enriched, expected, span })
}

/// The place of a map's first key, because a whole block is hard to read.
fn heading(node: &Node) -> Span {
    node.as_map().and_then(<[_]>::first).map_or(node.span, |entry| entry.key_span)
}

/// A case's descriptor with its diagnostics.
#[derive(Default)]
struct Read {
    descriptors: Vec<Descriptor>,
    diagnostics: Vec<Diagnostic>,
    chosen: BTreeSet<ComponentKey>,
}

/// Reads a descriptor that is written in the case, or in the file of that path.
fn read_whole(
    entry: &Entry,
    sources: &mut Sources,
    files: &Files<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Read> {
    let read = |(descriptors, diagnostics)| Some(Read { descriptors, diagnostics, ..Read::default() });
    let Some(path) = entry.value.as_text() else { return read(descriptor::read_tree(&entry.value, sources)) };
    let Some(text) = files(path) else {
        diagnostics.push(
            Diagnostic::error("missing_file", format!("there is no file `{path}`"))
                .at(entry.value.span)
                .hint("give the path of a descriptor relative to this file, or write the descriptor here"),
        );
        return None;
    };
    let id = sources.add(path, text);
    read(descriptor::read(sources, &[id], &Budget::default()))
}

/// Wraps a component in a sample stack or data product.
fn read_component(
    entry: &Entry,
    product: Option<&Entry>,
    environment: &str,
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Read {
    let is_of_stack = entry.value.get("blueprint").is_some();
    if let Some(product) = product.filter(|_| is_of_stack) {
        diagnostics.push(
            Diagnostic::error(
                "unknown_field",
                "a component with `blueprint` belongs to a stack, not to a data product",
            )
            .at(product.key_span)
            .hint("remove `product`, or remove `blueprint` to match by template or kind"),
        );
    }
    if let Some(product) = product.filter(|product| product.value.as_map().is_none()) {
        diagnostics.push(wrong_type("`product`", "a map", &product.value));
    }
    let wrapped = match is_of_stack {
        true => wrap_in_stack(entry),
        false => wrap_in_product(entry, product, environment),
    };
    let (descriptors, diagnostics) = descriptor::read_tree(&wrapped, sources);
    Read { descriptors, diagnostics, chosen: BTreeSet::new() }
}

fn wrap_in_stack(component: &Entry) -> Node {
    let span = component.key_span;
    let metadata = map(span, vec![text("name", "sample", span)]);
    let named = Entry { key: "component".to_owned(), key_span: span, value: component.value.clone() };
    map(
        span,
        vec![
            text("apiVersion", API_VERSION, span),
            text("kind", "Stack", span),
            Entry { key: "metadata".to_owned(), key_span: span, value: metadata },
            Entry { key: "components".to_owned(), key_span: span, value: map(span, vec![named]) },
        ],
    )
}

/// Builds a data product with the component, from the sample and the fields of the case.
fn wrap_in_product(component: &Entry, product: Option<&Entry>, environment: &str) -> Node {
    let span = component.key_span;
    let mut fields = match Node::of(&sample::product(), span).kind {
        NodeKind::Map(entries) => entries,
        _ => Vec::new(),
    };
    set(&mut fields, text("environment", environment, span));
    for entry in product.and_then(|product| product.value.as_map()).unwrap_or_default() {
        set(&mut fields, entry.clone());
    }
    let product_id = fields.iter().find(|entry| entry.key == "id").and_then(|entry| entry.value.as_text());
    let id = product_id.unwrap_or_default().replacen("urn:dmb:dp:", "urn:dmb:cmp:", 1) + ":component";
    let mut component = component.value.clone();
    if let NodeKind::Map(entries) = &mut component.kind {
        for (name, value) in [("id", id.as_str()), ("name", "Component")] {
            if !entries.iter().any(|entry| entry.key == name) {
                entries.push(text(name, value, span));
            }
        }
    }
    let components = Node { span, kind: NodeKind::List(vec![component]) };
    set(&mut fields, Entry { key: "components".to_owned(), key_span: span, value: components });
    map(span, fields)
}

fn set(fields: &mut Vec<Entry>, entry: Entry) {
    match fields.iter_mut().find(|other| other.key == entry.key) {
        Some(other) => *other = entry,
        None => fields.push(entry),
    }
}

fn map(span: Span, entries: Vec<Entry>) -> Node {
    Node { span, kind: NodeKind::Map(entries) }
}

fn text(key: &str, value: &str, span: Span) -> Entry {
    Entry { key: key.to_owned(), key_span: span, value: Node { span, kind: NodeKind::Text(value.to_owned()) } }
}

#[cfg(test)]
mod tests;
