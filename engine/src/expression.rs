//! Expressions: CEL between `${{` and `}}`, inside YAML values.
//!
//! A [`Template`] is a YAML value with compiled expressions. Evaluation in a [`Scope`] returns a [`Value`]. Its parts
//! that depend on unknown values are unknown, and those that depend on sensitive values are sensitive.
//!
//! Read the modules in this order: `split` (finds expressions in a text), `compile` (parses an expression and extracts
//! its paths), `needed` (the parts of each path that the tree uses), `counted` (inserts budget checks), `evaluate`
//! (reads paths and runs CEL), `call` (runs single calls without CEL), `bridge` (converts values to CEL and back),
//! [`functions`], [`capture`] (values in a saved plan), `saved` (templates as JSON).

mod bridge;
mod budget;
mod budget_checks;
mod call;
pub mod capture;
mod compile;
mod decimal;
mod evaluate;
mod failure;
pub mod functions;
mod locate;
mod measure;
mod needed;
mod path;
mod places;
mod saved;
mod split;
mod stack;
mod syntax;
mod template;

pub use capture::{Captured, Layered};
pub use functions::Functions;
pub(crate) use measure::of_value as size_of;
pub use path::descend;

use crate::source::{Place, Span};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use terrace_provider::Value;

/// A YAML value with compiled expressions.
#[derive(Debug, Clone)]
pub struct Template {
    /// The place of the value.
    pub span: Span,
    /// The kind with its content.
    pub kind: TemplateKind,
}

/// The kinds of templates.
#[derive(Debug, Clone)]
pub enum TemplateKind {
    /// A value without expressions.
    Literal(Value),
    /// A single expression: the result keeps its type.
    Expression(Arc<Expression>),
    /// A text with expressions: the result is text.
    Text(Vec<TextPart>),
    /// A list with at least one expression in its items.
    List(Vec<Template>),
    /// A map.
    Map(Vec<TemplateEntry>),
}

/// A part of a text.
#[derive(Debug, Clone)]
pub enum TextPart {
    /// Plain text.
    Literal(String),
    /// An expression, inserted as text.
    Expression(Arc<Expression>),
}

/// An entry of a map; keys contain no expressions.
#[derive(Debug, Clone)]
pub struct TemplateEntry {
    /// The key.
    pub key: String,
    /// The place of the key.
    pub key_span: Span,
    /// The value.
    pub value: Template,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    /// The text between `${{` and `}}`, trimmed.
    pub text: String,
    /// Its place, if its text is loaded.
    pub span: Span,
    /// Its place, for display.
    pub place: Option<Place>,
    /// The compiled form. Expressions of built-in blueprints are compiled at their first use: most commands use few of
    /// them, and compiling all takes a third of a small command's time.
    compiled: OnceLock<compile::Compiled>,
    /// True for an expression of a saved plan: its span refers to no loaded text; its place is still valid.
    is_saved: bool,
}

/// A path that an expression reads: `resources.part["x"].path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The variable: `resources`, `each`, `component` …
    pub root: String,
    /// The steps from there.
    pub steps: Vec<ReferenceStep>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceStep {
    /// A key: `.name` or `["name"]`.
    Key(String),
    /// `[3]`.
    Index(i64),
    /// `[each.key]`: an index that is itself a path. Any other computed index ends the path before it.
    Path(Box<Reference>),
}

/// A source of variables for expressions.
pub trait Scope: Sync {
    /// Returns the value at a path. Steps that are paths themselves were replaced by their values.
    ///
    /// # Errors
    /// When the path does not exist; the message names what exists instead.
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing>;
}

/// Error for a path that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The error: "`resources` has no `tabel`".
    pub message: String,
    /// The remedy: "did you mean `table`?".
    pub hint: Option<String>,
    /// The number of steps that exist. An optional read (`a.?b`) of later steps has no value. `None` if the path itself
    /// is invalid, which an optional read does not excuse.
    pub resolved_steps: Option<usize>,
    /// True when a sensitive value lacks the path: its absence is as secret as the value.
    pub is_sensitive: bool,
}

impl Missing {
    /// The error of an invalid path.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, resolved_steps: None, is_sensitive: false }
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// Marks the path as valid, with that many steps that exist.
    #[must_use]
    pub fn with_resolved_steps(self, steps: usize) -> Self {
        Self { resolved_steps: Some(steps), ..self }
    }

    /// Adds the number of steps that precede the path.
    #[must_use]
    pub fn preceded_by(self, steps: usize) -> Self {
        Self { resolved_steps: self.resolved_steps.map(|resolved| resolved + steps), ..self }
    }
}
