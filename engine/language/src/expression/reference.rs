//! Paths that expressions read, and the source of their values.

use std::borrow::Cow;
use terrace_provider::Value;

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
