//! Templates: compilation and evaluation of YAML with expressions.

use super::budget::result::with_result_budget;
use super::budget::{self, TooDeep};
use super::locate::locate;
use super::program::Program;
use super::split::{self, Piece};
use super::syntax::Fault;
use super::{Expression, Functions, Reference, Scope, Template, TemplateEntry, TemplateKind, TextPart};
use crate::diagnostic::Diagnostic;
use crate::source::{Sources, Span};
use crate::yaml::{Node, NodeKind};
use std::sync::Arc;
use terrace_provider::{Map, Value};

impl Template {
    /// Compiles the expressions in a value. Reports errors; a value that cannot be compiled becomes null.
    pub fn compile(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let kind = match &node.kind {
            NodeKind::Text(text) => compile_text(text, node.span, sources, diagnostics),
            NodeKind::List(items) => {
                let items: Vec<_> = items.iter().map(|item| Self::compile(item, sources, diagnostics)).collect();
                list(items)
            }
            NodeKind::Map(entries) => {
                let mut compiled = Vec::with_capacity(entries.len());
                for entry in entries {
                    if split::has_expression(&entry.key) {
                        diagnostics.push(
                            Diagnostic::error(
                                "expression_in_key",
                                format!("the key `{}` contains an expression", entry.key),
                            )
                            .at(entry.key_span)
                            .hint("keys are literal; to compute keys, write the whole map as an expression: `${{ {key: value} }}`"),
                        );
                    }
                    compiled.push(TemplateEntry {
                        key: entry.key.clone(),
                        key_span: entry.key_span,
                        value: Self::compile(&entry.value, sources, diagnostics),
                    });
                }
                // A map without expressions also stays a map, so that its entries keep their places.
                TemplateKind::Map(compiled)
            }
            _ => TemplateKind::Literal(literal(node)),
        };
        Self { span: node.span, kind }
    }

    /// A template without expressions: `${{` in the user's text has no meaning.
    #[must_use]
    pub fn literal(node: &Node) -> Self {
        Self { span: node.span, kind: TemplateKind::Literal(literal(node)) }
    }

    /// Evaluates the template in a scope.
    ///
    /// # Errors
    /// When expressions cannot be evaluated, one diagnostic for each. When the value is too large, alone or together
    /// with earlier
    /// values of these functions, at the expression that exceeds the budget. When the value nests too deeply.
    pub fn evaluate(&self, scope: &dyn Scope, functions: &Functions) -> Result<Value, Vec<Diagnostic>> {
        if let TemplateKind::Literal(value) = &self.kind {
            return Ok(value.clone());
        }
        functions.limits().check_time(self.span).map_err(|error| vec![error])?;
        let (answer, size) = with_result_budget(functions, || self.evaluate_within(scope, functions));
        functions.spend(size);
        let value = answer?;
        match value.is_too_deep().then(|| self.expressions().next()).flatten() {
            Some(expression) => {
                Err(vec![expression.diagnose("expression_failed", TooDeep.to_string()).hint(TooDeep.hint())])
            }
            None => Ok(value),
        }
    }

    /// Evaluates a part of a template within its budget.
    fn evaluate_within(&self, scope: &dyn Scope, functions: &Functions) -> Result<Value, Vec<Diagnostic>> {
        match &self.kind {
            TemplateKind::Literal(value) => Ok(value.clone()),
            TemplateKind::Expression(expression) => {
                expression.evaluate(scope, functions).map_err(|diagnostic| vec![diagnostic])
            }
            TemplateKind::Text(parts) => evaluate_text(parts, scope, functions),
            TemplateKind::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                let mut diagnostics = Vec::new();
                for item in items {
                    match item.evaluate_within(scope, functions) {
                        Ok(value) => values.push(value),
                        Err(more) => diagnostics.extend(more),
                    }
                }
                if diagnostics.is_empty() { Ok(Value::List(values)) } else { Err(diagnostics) }
            }
            TemplateKind::Map(entries) => {
                let mut values = Map::with_capacity_and_hasher(entries.len(), Default::default());
                let mut diagnostics = Vec::new();
                for entry in entries {
                    match entry.value.evaluate_within(scope, functions) {
                        Ok(value) => drop(values.insert(entry.key.clone(), value)),
                        Err(more) => diagnostics.extend(more),
                    }
                }
                if diagnostics.is_empty() { Ok(Value::Map(values)) } else { Err(diagnostics) }
            }
        }
    }

    /// The expressions of the template, in the order written.
    pub fn expressions(&self) -> impl Iterator<Item = &Arc<Expression>> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found.into_iter()
    }

    /// The paths that its expressions read.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.expressions().flat_map(|expression| expression.references().iter())
    }

    /// The providers in calls of `identity` and `identities`, if they are literals.
    pub fn named_by(&self) -> impl Iterator<Item = &str> {
        let computed = self.expressions().filter_map(|expression| match expression.program() {
            Program::Path(_) | Program::Invalid(_) => None,
            Program::Cel(cel) => Some(&cel.named_by),
        });
        computed.flatten().map(String::as_str)
    }

    /// The text, if the template is a text without expressions.
    #[must_use]
    pub fn fixed_text(&self) -> Option<&str> {
        match &self.kind {
            TemplateKind::Literal(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// True when the template has no expression.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.kind, TemplateKind::Literal(_))
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Arc<Expression>>) {
        match &self.kind {
            TemplateKind::Literal(_) => {}
            TemplateKind::Expression(expression) => found.push(expression),
            TemplateKind::Text(parts) => found.extend(parts.iter().filter_map(|part| match part {
                TextPart::Expression(expression) => Some(expression),
                TextPart::Literal(_) => None,
            })),
            TemplateKind::List(items) => items.iter().for_each(|item| item.collect(found)),
            TemplateKind::Map(entries) => entries.iter().for_each(|entry| entry.value.collect(found)),
        }
    }
}

/// A list, as a literal if it has no expression.
pub(super) fn list(items: Vec<Template>) -> TemplateKind {
    if !items.iter().all(Template::is_literal) {
        return TemplateKind::List(items);
    }
    TemplateKind::Literal(Value::List(items.into_iter().map(into_literal).collect()))
}

fn into_literal(template: Template) -> Value {
    match template.kind {
        TemplateKind::Literal(value) => value,
        _ => Value::Null,
    }
}

fn literal(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(value) => Value::Bool(*value),
        NodeKind::Int(value) => Value::Int(*value),
        NodeKind::Number(number) => Value::Number(number.clone()),
        NodeKind::Text(text) | NodeKind::Typed { text, .. } => Value::String(text.clone()),
        NodeKind::List(items) => Value::List(items.iter().map(literal).collect()),
        NodeKind::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), literal(&entry.value))).collect(),
    }
}

fn compile_text(text: &str, scalar: Span, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> TemplateKind {
    if !split::has_expression(text) {
        return TemplateKind::Literal(Value::String(text.to_owned()));
    }
    let pieces = match split::split(text) {
        Ok(pieces) => pieces,
        Err(unclosed) => {
            let span = locate(sources, scalar, text, unclosed.start, 3);
            let hint = if unclosed.is_in_text {
                "a text in the expression lacks its closing quote"
            } else {
                "`}}` closes an expression; `$${{` is a literal `${{`"
            };
            let message = "`${{` is not closed by `}}`";
            diagnostics.push(Diagnostic::error("expression_unclosed", message).at(span).hint(hint));
            return TemplateKind::Literal(Value::Null);
        }
    };
    let mut compile = |inner: &str, start: usize| {
        let span = locate(sources, scalar, text, start, inner.len());
        if sources.is_built_in(span.source) {
            return Some(Arc::new(Expression::compile_later(inner, span, sources.place(span))));
        }
        match Expression::compile(inner, span, sources.place(span)) {
            Ok(expression) => Some(Arc::new(expression)),
            Err(fault) => {
                diagnostics.push(diagnose(fault, |at, length| locate(sources, scalar, text, start + at, length)));
                None
            }
        }
    };
    if let Some((inner, start)) = only_expression(&pieces) {
        return compile(inner, start).map_or(TemplateKind::Literal(Value::Null), TemplateKind::Expression);
    }
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => parts.push(TextPart::Literal(literal)),
            Piece::Expression { text, start } => parts.extend(compile(text, start).map(TextPart::Expression)),
        }
    }
    match parts.as_slice() {
        [] => TemplateKind::Literal(Value::Null),
        [TextPart::Literal(text)] => TemplateKind::Literal(Value::String(text.clone())),
        _ => TemplateKind::Text(parts),
    }
}

/// The expression, if the text is a single one. Surrounding white space is ignored, because block scalars end in a line
/// break.
fn only_expression<'a>(pieces: &[Piece<'a>]) -> Option<(&'a str, usize)> {
    let mut only = None;
    for piece in pieces {
        match piece {
            Piece::Literal(literal) if literal.trim().is_empty() => {}
            Piece::Expression { text, start } if only.is_none() => only = Some((*text, *start)),
            _ => return None,
        }
    }
    only
}

fn diagnose(fault: Fault, locate: impl Fn(usize, usize) -> Span) -> Diagnostic {
    Diagnostic::error("expression_syntax", fault.message).at(locate(fault.at, fault.length)).maybe_hint(fault.hint)
}

fn evaluate_text(parts: &[TextPart], scope: &dyn Scope, functions: &Functions) -> Result<Value, Vec<Diagnostic>> {
    let mut text = String::new();
    let (mut is_unknown, mut is_sensitive) = (false, false);
    let mut diagnostics = Vec::new();
    for part in parts {
        let expression = match part {
            TextPart::Literal(literal) => {
                text.push_str(literal);
                continue;
            }
            TextPart::Expression(expression) => expression,
        };
        // Charge only for the text that is inserted, not for the value that it comes from.
        match with_result_budget(functions, || expression.evaluate(scope, functions)).0 {
            Ok(value) => {
                is_unknown |= value.has_unknown();
                is_sensitive |= value.has_sensitive();
                if let Err(diagnostic) = push(&mut text, &value, expression) {
                    diagnostics.push(*diagnostic);
                }
            }
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let value = if is_unknown { Value::Unknown } else { Value::String(text) };
    Ok(if is_sensitive { Value::sensitive(value) } else { value })
}

/// Appends a value to a text. An unknown value appends nothing, because the whole text is unknown then.
fn push(text: &mut String, value: &Value, expression: &Expression) -> Result<(), Box<Diagnostic>> {
    match value.exposed() {
        Value::String(part) => {
            if let Err(exceeded) = budget::charge_result(budget::text_size(part.len())) {
                let diagnostic = expression.diagnose("expression_failed", exceeded.to_string());
                return Err(Box::new(diagnostic.hint(exceeded.hint())));
            }
            text.push_str(part);
        }
        Value::Int(number) => text.push_str(&number.to_string()),
        Value::Number(number) => text.push_str(number.as_str()),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Unknown => {}
        other @ (Value::Null | Value::List(_) | Value::Map(_) | Value::Sensitive(_)) => {
            let hint = match other {
                Value::Null => "use a condition: `${{ x == null ? \"\" : x }}`",
                _ => "convert it with `json(…)` or `list.join(\", \")`",
            };
            let message = format!(
                "text cannot contain `{}`: expected text, a number or true/false, found {}",
                expression.text,
                other.kind()
            );
            return Err(Box::new(expression.diagnose("expression_not_text", message).hint(hint)));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::expression) mod tests;
