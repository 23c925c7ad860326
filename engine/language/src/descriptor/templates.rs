//! Reading of templates, and of texts that may not be templates.

use crate::decode::{Fields, expect_text};
use crate::diagnostic::{Diagnostic, Label, Location};
use crate::expression::Template;
use crate::source::{Sources, Span};
use crate::yaml::{Entry, Node, NodeKind};

/// Compiles the field of that name.
pub(crate) fn template(fields: &mut Fields<'_, '_>, name: &'static str, sources: &Sources) -> Option<Template> {
    let entry = fields.optional(name)?;
    Some(template_of(entry, fields, sources))
}

pub(super) fn template_of(entry: &Entry, fields: &mut Fields<'_, '_>, sources: &Sources) -> Template {
    compile(&entry.value, sources, fields.diagnostics)
}

/// Compiles a node. If YAML's comment syntax (` #`) cut an expression off, the hint explains that.
pub(crate) fn compile(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Template {
    let before = diagnostics.len();
    let template = Template::compile(node, sources, diagnostics);
    if diagnostics.len() > before {
        let mut truncated = Vec::new();
        find_truncated(node, sources, &mut truncated);
        let is_in = |label: &Label, text: &Span| match label.at {
            Location::Span(span) => span.source == text.source && text.start <= span.start && span.start <= text.end,
            Location::Place(_) => false,
        };
        for diagnostic in diagnostics.iter_mut().skip(before) {
            if diagnostic.labels.first().is_some_and(|label| truncated.iter().any(|text| is_in(label, text))) {
                diagnostic.hint = Some(
                    "put the whole value in single quotes: the ` #` in it begins a comment in plain YAML text"
                        .to_owned(),
                );
            }
        }
    }
    template
}

/// Finds texts with an open expression that end where a comment begins.
pub(super) fn find_truncated(node: &Node, sources: &Sources, truncated: &mut Vec<Span>) {
    match &node.kind {
        NodeKind::List(items) => items.iter().for_each(|item| find_truncated(item, sources, truncated)),
        NodeKind::Map(entries) => entries.iter().for_each(|entry| find_truncated(&entry.value, sources, truncated)),
        NodeKind::Text(text) => {
            let is_open = text.rsplit_once("${{").is_some_and(|(_, rest)| !rest.contains("}}"));
            let source = sources.get(node.span.source);
            let after = source.and_then(|source| source.text.get(node.span.end as usize..)).unwrap_or_default();
            let is_comment = after.trim_start_matches([' ', '\t']).starts_with('#');
            if is_open && is_comment && after.starts_with([' ', '\t']) {
                truncated.push(node.span);
            }
        }
        _ => {}
    }
}

pub(super) fn holds_expression(node: &Node) -> bool {
    node.as_text().is_some_and(|text| text.contains("${{"))
}

/// The text of an error message. It is not evaluated, so an expression in it is an error.
pub(crate) fn required_plain_text(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<String> {
    let entry = fields.required(name)?;
    if holds_expression(&entry.value) {
        fields.diagnostics.push(
            Diagnostic::error("no_expression_here", format!("`{name}` is plain text and cannot contain an expression"))
                .at(entry.value.span)
                .hint("write a plain message; only `assert` is evaluated"),
        );
    }
    expect_text(entry, fields.diagnostics).map(|text| text.value)
}
