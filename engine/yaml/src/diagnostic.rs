//! Errors, warnings and notes about a user's text. They are plain values; callers render them.

use crate::source::{Place, SourceId, Sources, Span};
use std::collections::HashSet;
use terrace_provider::Path;
pub use terrace_provider::Severity;
use terrace_provider::names;

/// A message to the author of a descriptor, blueprint or configuration.
///
/// Messages begin in lower case, end without a period and put literals in backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error, warning or note.
    pub severity: Severity,
    /// A stable code for tools: `unknown_field`, `reference_cycle`.
    pub code: &'static str,
    /// The message.
    pub message: String,
    /// The places, the main one first, each with a short text (may be empty).
    pub labels: Vec<Label>,
    /// The remedy.
    pub hint: Option<String>,
    /// The address of the affected resource, if any.
    pub address: Option<String>,
    /// The path of the affected attribute, if any.
    pub path: Option<Path>,
}

/// A place with a short text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub at: Location,
    /// A short text; may be empty.
    pub text: String,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a loaded text.
    Span(Span),
    /// In a text that is not loaded: an expression of a saved plan.
    Place(Place),
}

impl Diagnostic {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            labels: Vec::new(),
            hint: None,
            address: None,
            path: None,
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// A note.
    #[must_use]
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, message) }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        self.at_with(span, "")
    }

    /// Adds a place with a short text.
    #[must_use]
    pub fn at_with(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { at: Location::Span(span), text: text.into() });
        self
    }

    /// Adds a place in a text that is not loaded.
    #[must_use]
    pub fn at_place(self, place: Place) -> Self {
        self.at_place_with(place, "")
    }

    /// Adds a place in a text that is not loaded, with a short text.
    #[must_use]
    pub fn at_place_with(mut self, place: Place, text: impl Into<String>) -> Self {
        self.labels.push(Label { at: Location::Place(place), text: text.into() });
        self
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the hint if there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Sets the affected resource.
    #[must_use]
    pub fn about(mut self, address: impl std::fmt::Display) -> Self {
        self.address = Some(address.to_string());
        self
    }

    /// Sets the affected attribute.
    #[must_use]
    pub fn on(mut self, path: Option<Path>) -> Self {
        self.path = path;
        self
    }

    /// True for an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The source of the main place, if its text is loaded.
    #[must_use]
    pub fn source(&self) -> Option<SourceId> {
        match &self.labels.first()?.at {
            Location::Span(span) => Some(span.source),
            Location::Place(_) => None,
        }
    }

    /// The main place, for display.
    #[must_use]
    pub fn place(&self, sources: &Sources) -> Option<Place> {
        self.labels.first()?.at.place(sources)
    }
}

impl Location {
    fn place(&self, sources: &Sources) -> Option<Place> {
        match self {
            Self::Span(span) => sources.place(*span),
            Self::Place(place) => Some(place.clone()),
        }
    }
}

/// The hint "did you mean `…`?" with the closest known name, if there is a close one.
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(name, known).map(|best| format!("did you mean `{best}`?"))
}

/// Maximum number of names in a hint.
const LISTED: usize = 8;

/// The first names for a hint, with the number of the rest: `` `a`, `b` and 3 more``.
#[must_use]
pub fn first_of<T: AsRef<str>>(names: &[T]) -> String {
    names::first_listed(names, LISTED)
}

/// The closest known name, if it is close enough to be a typing error.
#[must_use]
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names::closest(name, known)
}

/// Removes repeated diagnostics. Instances of a declaration repeat its errors, and several checks may find the same
/// error.
pub fn remove_repeated(diagnostics: &mut Vec<Diagnostic>) {
    let mut known = HashSet::new();
    diagnostics.retain(|diagnostic| {
        let at = diagnostic.labels.first().map(|label| format!("{:?}", label.at));
        known.insert((diagnostic.code, diagnostic.message.clone(), at))
    });
}

/// True when any of them is an error.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// Diagnostics as plain text, for snapshots of tests.
#[must_use]
pub fn plain_text(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut lines = Vec::new();
    for diagnostic in diagnostics {
        let severity = format!("{:?}", diagnostic.severity).to_lowercase();
        lines.push(format!("{severity}[{}]: {}", diagnostic.code, diagnostic.message));
        for label in &diagnostic.labels {
            let place = label.at.place(sources).map_or("nowhere".to_owned(), |place| place.to_string());
            lines.push(format!("  at {place} {}", label.text).trim_end().to_owned());
        }
        lines.extend(diagnostic.hint.iter().map(|hint| format!("  hint: {hint}")));
    }
    lines.join("\n")
}
