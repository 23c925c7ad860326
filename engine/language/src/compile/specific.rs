//! Expressions in `specific` of a stack's component, evaluated before the blueprint's schema checks it.

use super::Compiler;
use super::facts::FactScope;
use crate::diagnostic::Diagnostic;
use crate::expression::Template;
use crate::yaml::{Entry, Node, NodeKind};

/// Replaces every expression of a component by its value. Places remain those of the expressions.
pub(super) fn evaluate(
    compiler: &Compiler<'_>,
    node: &Node,
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let kind = match &node.kind {
        NodeKind::Text(_) => return evaluate_text(compiler, node, scope, diagnostics),
        NodeKind::List(items) => {
            let items = items.iter().map(|item| evaluate(compiler, item, scope, diagnostics));
            NodeKind::List(items.collect::<Option<_>>()?)
        }
        NodeKind::Map(entries) => {
            let entries = entries.iter().map(|entry| {
                Some(Entry { value: evaluate(compiler, &entry.value, scope, diagnostics)?, ..entry.clone() })
            });
            NodeKind::Map(entries.collect::<Option<_>>()?)
        }
        other => other.clone(),
    };
    Some(Node { span: node.span, kind })
}

fn evaluate_text(
    compiler: &Compiler<'_>,
    node: &Node,
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let before = diagnostics.len();
    let template = Template::compile(node, compiler.sources, diagnostics);
    if diagnostics.len() > before {
        return None;
    }
    match template.evaluate(scope, compiler.functions) {
        // Messages of the blueprint's validation may quote the value.
        Ok(value) if value.has_sensitive() => {
            diagnostics.push(
                Diagnostic::error("sensitive_specific", "`specific` reads a sensitive value")
                    .at(node.span)
                    .hint("put secrets into the environment's provider settings"),
            );
            None
        }
        Ok(value) => Some(Node::of(&value, node.span)),
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}
