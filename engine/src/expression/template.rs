//! A YAML value with expressions in it.

use super::{Template, TemplateKind};
use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use crate::yaml::Node;

impl Template {
    /// Compiles a node.
    #[must_use]
    pub fn compile(node: &Node, _sources: &Sources, _diagnostics: &mut Vec<Diagnostic>) -> Self {
        Self::literal(node)
    }

    /// A node as it stands.
    #[must_use]
    pub fn literal(node: &Node) -> Self {
        Self { span: node.span, kind: TemplateKind::Literal(node.to_value()) }
    }
}
