//! Expressions: CEL between `${{` and `}}`, inside YAML values.
//!
//! A [`Template`] is a YAML value whose expressions were compiled, once. Evaluating it against a [`Scope`] gives a
//! [`Value`] in which everything that depends on the unknown is unknown, and everything that depends on the sensitive
//! is sensitive.
//!
//! Read in this order: `split` (where expressions begin and end), `compile` (text to syntax tree, paths read off it),
//! `needed` (what the tree looks at of them), `counted` (what takes the cost of it), `evaluate` (paths are read, CEL
//! decides), `call` (one call alone needs no CEL), `bridge` (values into CEL and back), [`functions`], [`capture`] (what a
//! saved plan keeps), `saved` (templates as JSON).

mod bridge;
mod budget;
mod call;
pub mod capture;
mod compile;
mod counted;
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
use std::sync::Arc;
use terrace_provider::Value;

/// A YAML value with compiled expressions in it.
#[derive(Debug, Clone)]
pub struct Template {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: TemplateKind,
}

/// What a template is.
#[derive(Debug, Clone)]
pub enum TemplateKind {
    /// No expression in it.
    Literal(Value),
    /// One expression alone: the result keeps its type.
    Expression(Arc<Expression>),
    /// Text with expressions in it: the result is text.
    Text(Vec<TextPart>),
    /// Items, at least one of which holds an expression.
    List(Vec<Template>),
    /// Entries.
    Map(Vec<TemplateEntry>),
}

/// A piece of a text.
#[derive(Debug, Clone)]
pub enum TextPart {
    /// As it stands.
    Literal(String),
    /// To be evaluated.
    Expression(Arc<Expression>),
}

/// An entry of a map; keys hold no expressions.
#[derive(Debug, Clone)]
pub struct TemplateEntry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Template,
}

/// One compiled expression.
#[derive(Debug)]
pub struct Expression {
    /// The text between `${{` and `}}`, trimmed.
    pub text: String,
    /// Where it stands, when its text is at hand.
    pub span: Span,
    /// Where it stands, for people.
    pub place: Option<Place>,
    /// The paths it reads, as far as they can be told from its text; paths within `[…]` stand here on their own, too.
    pub references: Vec<Reference>,
    /// How it is evaluated.
    program: compile::Program,
    /// True for an expression of a saved plan: its span points into no text, its place still speaks to people.
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
    /// `.name` or `["name"]`.
    Key(String),
    /// `[3]`.
    Index(i64),
    /// `[each.key]`: an index that is itself a path. Any other computed index ends the path before it.
    Path(Box<Reference>),
}

/// Where expressions find their variables.
pub trait Scope: Sync {
    /// The value at a path; steps that are paths themselves were replaced by what they say.
    ///
    /// # Errors
    /// When the path leads nowhere; the message says what is there instead.
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing>;
}

/// A path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is missing: "`resources` has no `tabel`".
    pub message: String,
    /// What to do: "did you mean `table`?".
    pub hint: Option<String>,
    /// How many steps led somewhere: an optional read (`a.?b`) of what comes after them has no value. `None` where the
    /// path is wrong itself, which nothing makes up for.
    pub led: Option<usize>,
    /// True when what lacks it is sensitive: that it is not there is as secret.
    pub is_sensitive: bool,
}

impl Missing {
    /// A path that is wrong itself.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, led: None, is_sensitive: false }
    }

    /// What to do.
    #[must_use]
    pub fn hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The path is right, and led that many steps far.
    #[must_use]
    pub fn led(self, steps: usize) -> Self {
        Self { led: Some(steps), ..self }
    }

    /// The path had that many more steps before those that it was found on.
    #[must_use]
    pub fn after(self, steps: usize) -> Self {
        Self { led: self.led.map(|led| led + steps), ..self }
    }
}
