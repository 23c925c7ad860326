//! Places of the parts of a template.

use super::{Reference, Template, TemplateKind};
use crate::source::Span;
use terrace_provider::{Path, Step, Value};

impl Template {
    /// The paths that its expressions read, each with the place of the expression.
    pub fn located_references(&self) -> impl Iterator<Item = (&Reference, Span)> {
        self.expressions()
            .flat_map(|expression| expression.references().iter().map(move |reference| (reference, expression.span)))
    }

    /// The value without evaluation: expressions are unknown.
    #[must_use]
    pub fn outline(&self) -> Value {
        match &self.kind {
            TemplateKind::Literal(value) => value.clone(),
            TemplateKind::Expression(_) | TemplateKind::Text(_) => Value::Unknown,
            TemplateKind::List(items) => Value::List(items.iter().map(Self::outline).collect()),
            TemplateKind::Map(entries) => {
                Value::Map(entries.iter().map(|entry| (entry.key.clone(), entry.value.outline())).collect())
            }
        }
    }

    /// The place of the value at a path, or of the nearest part that the template has.
    #[must_use]
    pub fn span_at(&self, path: &Path) -> Span {
        let mut at = self;
        let mut span = self.span;
        for step in &path.0 {
            let next = match (&at.kind, step) {
                (TemplateKind::Map(entries), Step::Key(key)) => {
                    let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { break };
                    span = entry.key_span;
                    &entry.value
                }
                (TemplateKind::List(items), Step::Index(index)) => {
                    let Some(item) = items.get(*index) else { break };
                    span = item.span;
                    item
                }
                _ => break,
            };
            at = next;
        }
        span
    }
}
