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
mod program;
mod reference;
mod saved;
mod split;
mod stack;
mod syntax;
mod template;
mod tree;
mod variable;

pub use capture::{Captured, Layered};
pub use functions::Functions;
pub use measure::of_value as size_of;
pub use path::descend;
pub use reference::{Missing, Reference, ReferenceStep, Scope};

use crate::source::{Place, Span};
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
    compiled: OnceLock<program::Compiled>,
    /// True for an expression of a saved plan: its span refers to no loaded text; its place is still valid.
    is_saved: bool,
}
