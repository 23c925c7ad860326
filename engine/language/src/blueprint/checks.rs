//! Checks of a component that a schema cannot express: their parsing and evaluation.

use crate::decode::{Fields, expect_text};
use crate::descriptor::checks::undecided;
use crate::descriptor::templates::compile;
use crate::diagnostic::{Diagnostic, Severity};
use crate::expression::{Functions, Missing, ReferenceStep, Scope, Template, descend};
use crate::source::{Sources, Span};
use crate::yaml::{Entry, Node};
use std::borrow::Cow;
use terrace_provider::{Path, Value};

/// A condition that a component must meet.
#[derive(Debug, Clone)]
pub struct Check {
    /// The list or map whose entries are checked, as `each`; without it the check is evaluated once.
    pub for_each: Option<Template>,
    /// The condition.
    pub assert: Template,
    /// The message for its failure.
    pub error: Template,
    /// The hint for its failure.
    pub hint: Option<Template>,
    /// The path in the component to report.
    pub at: Option<Template>,
    /// The severity of a failure: an error, or a warning that does not stop anything.
    pub severity: Severity,
}

impl Check {
    /// All templates of the check.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        let texts = [&self.for_each, &self.hint, &self.at].into_iter().flatten();
        [&self.assert, &self.error].into_iter().chain(texts)
    }

    /// The reported path, if it contains no expressions.
    pub(crate) fn fixed_path(&self) -> Option<(Path, Span)> {
        let at = self.at.as_ref()?;
        Some((at.fixed_text()?.parse().ok()?, at.span))
    }

    /// Evaluates the check for a component that begins at `span`, and returns its failures. An evaluation error counts
    /// as a failure.
    pub(crate) fn decide(
        &self,
        scope: &dyn Scope,
        functions: &Functions,
        component: &Node,
        span: Span,
    ) -> Vec<Diagnostic> {
        let failed = |scope: &dyn Scope| {
            let reason = match self.assert.evaluate(scope, functions) {
                Ok(Value::Bool(true)) => return None,
                Ok(_) => None,
                Err(found) => found.into_iter().next().map(|diagnostic| undecided(&diagnostic.message)),
            };
            Some(self.failure(reason, scope, functions, component, span))
        };
        let Some(for_each) = &self.for_each else { return failed(scope).into_iter().collect() };
        match for_each.evaluate(scope, functions) {
            Ok(Value::List(items)) => {
                let items = (0_i64..).zip(items).map(|(position, value)| each(Value::Int(position), value));
                items.filter_map(|each| failed(&WithEach { scope, each: &each })).collect()
            }
            Ok(Value::Map(entries)) => {
                let items = entries.into_iter().map(|(key, value)| each(Value::String(key), value));
                items.filter_map(|each| failed(&WithEach { scope, each: &each })).collect()
            }
            Ok(Value::Null) => Vec::new(),
            Ok(other) => vec![
                Diagnostic::error("wrong_type", format!("`forEach` must be a map or a list, found {}", other.kind()))
                    .at(for_each.span)
                    .hint("use a map or a list: the check is evaluated for each entry"),
            ],
            Err(found) => found,
        }
    }

    fn failure(
        &self,
        reason: Option<String>,
        scope: &dyn Scope,
        functions: &Functions,
        component: &Node,
        span: Span,
    ) -> Diagnostic {
        let text = |template: &Template| match template.evaluate(scope, functions) {
            Ok(Value::String(text)) => Some(text),
            // A message that reads a secret or a missing value is not shown.
            _ => None,
        };
        let path = self.at.as_ref().and_then(&text).and_then(|path| path.parse::<Path>().ok());
        let place = path.and_then(|path| {
            let entry = component.find_entry(&path).map(|entry| entry.key_span);
            entry.or_else(|| component.find(&path).map(|node| node.span))
        });
        let error = text(&self.error).unwrap_or_else(|| "the component fails a check of its blueprint".to_owned());
        let hint = reason.or_else(|| self.hint.as_ref().and_then(text));
        let failed = Diagnostic::error("check_failed", error).at(place.unwrap_or(span)).maybe_hint(hint);
        Diagnostic { severity: self.severity, ..failed }
    }
}

/// The value of `each`: the key, or the index in a list, and the value.
pub(super) fn each(key: Value, value: Value) -> Value {
    [("key".to_owned(), key), ("value".to_owned(), value)].into_iter().collect()
}

/// A scope extended by `each`.
struct WithEach<'a> {
    scope: &'a dyn Scope,
    each: &'a Value,
}

impl Scope for WithEach<'_> {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        if root == "each" { descend(self.each, root, steps) } else { self.scope.resolve(root, steps) }
    }
}

/// Reads a check.
pub(super) fn read(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Check> {
    let mut fields = Fields::open(node, "a check", diagnostics)?;
    let for_each = fields.optional("forEach").map(|entry| compile(&entry.value, sources, fields.diagnostics));
    let assert = fields.required("assert").map(|entry| compile(&entry.value, sources, fields.diagnostics));
    let error = fields.required("error").and_then(|entry| text(entry, sources, fields.diagnostics));
    let hint = fields.optional("hint").and_then(|entry| text(entry, sources, fields.diagnostics));
    let at = fields.optional("at").and_then(|entry| text(entry, sources, fields.diagnostics));
    let fixed = at.as_ref().and_then(Template::fixed_text);
    if let (Some(Err(error)), Some(at)) = (fixed.map(str::parse::<Path>), &at) {
        let diagnostic = Diagnostic::error("wrong_value", error.to_string()).at(at.span);
        fields.diagnostics.push(diagnostic.hint("write a path in the component: `specific.tables[0].name`"));
    }
    let severity = fields.word("severity", &[("error", Severity::Error), ("warning", Severity::Warning)]);
    fields.finish();
    Some(Check { for_each, assert: assert?, error: error?, hint, at, severity: severity.unwrap_or(Severity::Error) })
}

/// A text that may contain expressions.
fn text(entry: &Entry, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Template> {
    expect_text(entry, diagnostics)?;
    Some(compile(&entry.value, sources, diagnostics))
}

#[cfg(test)]
mod tests;
