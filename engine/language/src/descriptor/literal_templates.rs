//! Warnings about expressions in the syntax of another tool, which terrace keeps as plain text.
//!
//! Scripts and queries hold such text rightly (`${HOME}`, `{{ ref('x') }}`), so only forms count that can mean nothing else.

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::yaml::{Node, NodeKind, RENDER};

/// The beginnings of expressions of a skeleton: Witboost's and cookiecutter's.
const OF_SKELETONS: [(&str, &str); 2] = [("${{", "values."), ("{{", "cookiecutter.")];
/// The beginnings of expressions of other tools.
const OF_OTHER_TOOLS: [&str; 2] = ["${", "{{"];

/// Warns about the first expression of a skeleton in a data product: Witboost did not render it.
pub(super) fn check_rendered(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let found = first(node, &|text| {
        OF_SKELETONS.iter().find_map(|(open, root)| {
            text.match_indices(open)
                .map(|(at, _)| (at, at + open.len()))
                .find(|(_, inside)| text.get(*inside..).is_some_and(|rest| rest.trim_start().starts_with(root)))
                .map(|(at, _)| shown(text.get(at..).unwrap_or_default(), "}}"))
        })
    });
    if let Some((text, span)) = found {
        let message = format!("`{text}` is plain text: a data product has no expressions");
        diagnostics.push(Diagnostic::warning("unrendered_template", message).at(span).hint(RENDER));
    }
}

/// Warns about the first variable or local of a stack in another tool's syntax: `${vars.name}`, `{{ vars.name }}`.
pub(super) fn check_syntax(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let is_declared = |path: &str| {
        [("vars.", "variables"), ("locals.", "locals")].iter().any(|(root, field)| {
            path.strip_prefix(root).zip(node.get(field)).is_some_and(|(name, of)| of.get(name).is_some())
        })
    };
    // Text with an expression may quote any other text.
    let found = first(node, &|text| {
        let mut opened = OF_OTHER_TOOLS.iter().filter(|_| !text.contains("${{")).flat_map(|open| {
            text.match_indices(open).filter_map(|(at, _)| text.get(at..).zip(text.get(at + open.len()..)))
        });
        opened.find_map(|(from, inside)| {
            let inside = inside.trim_start();
            let end = inside.find(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).unwrap_or(inside.len());
            let path = inside.get(..end).filter(|path| is_declared(path))?;
            Some((shown(from, if from.starts_with("{{") { "}}" } else { "}" }), path.to_owned()))
        })
    });
    if let Some(((text, path), span)) = found {
        let message = format!("`{text}` is plain text: expressions stand between `${{{{` and `}}}}`");
        let hint = format!("write `${{{{ {path} }}}}`");
        diagnostics.push(Diagnostic::warning("not_an_expression", message).at(span).hint(hint));
    }
}

/// The result for the first text with one, and its place.
fn first<T>(node: &Node, of: &dyn Fn(&str) -> Option<T>) -> Option<(T, Span)> {
    match &node.kind {
        NodeKind::Text(text) | NodeKind::Typed { text, .. } => of(text).map(|found| (found, node.span)),
        NodeKind::List(items) => items.iter().find_map(|item| first(item, of)),
        NodeKind::Map(entries) => entries.iter().find_map(|entry| first(&entry.value, of)),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Int(_) | NodeKind::Number(_) => None,
    }
}

/// A text up to and with its end, shortened.
fn shown(text: &str, end: &str) -> String {
    const LONGEST: usize = 60;
    let length = text.find(end).map_or(text.len(), |at| at + end.len());
    text.chars().take(text.get(..length).unwrap_or(text).chars().count().min(LONGEST)).collect()
}
