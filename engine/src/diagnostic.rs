//! What is wrong with what a person wrote: plain values, rendered by whoever shows them.

use crate::source::{Place, SourceId, Sources, Span};
use std::collections::HashSet;
use terrace_provider::Path;
pub use terrace_provider::Severity;
use terrace_provider::names;

/// One thing to tell the author of a descriptor, blueprint or configuration.
///
/// Messages begin in lower case, end without a period and put literals in backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for tools: `unknown_field`, `reference_cycle`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where, the main place first, each with a few words of its own (may be empty).
    pub labels: Vec<Label>,
    /// What to do.
    pub hint: Option<String>,
    /// The resource it is about, when it is about one.
    pub address: Option<String>,
    /// The attribute of that resource, or the part of one, where it is about that.
    pub path: Option<Path>,
}

/// A place and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place, in a text that is at hand or known by name only.
    pub at: Location,
    /// A few words; may be empty.
    pub text: String,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a text that is at hand.
    Span(Span),
    /// In a text that is not: an expression of a saved plan.
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

    /// Adds a place with a few words.
    #[must_use]
    pub fn at_with(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { at: Location::Span(span), text: text.into() });
        self
    }

    /// Adds a place in a text that is not at hand.
    #[must_use]
    pub fn at_place(self, place: Place) -> Self {
        self.at_place_with(place, "")
    }

    /// Adds a place in a text that is not at hand, with a few words.
    #[must_use]
    pub fn at_place_with(mut self, place: Place, text: impl Into<String>) -> Self {
        self.labels.push(Label { at: Location::Place(place), text: text.into() });
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a hint when there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Says which resource it is about.
    #[must_use]
    pub fn about(mut self, address: impl std::fmt::Display) -> Self {
        self.address = Some(address.to_string());
        self
    }

    /// Says which attribute it is about, where it is about one.
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

    /// The text that the main place is in, where it is at hand.
    #[must_use]
    pub fn source(&self) -> Option<SourceId> {
        match &self.labels.first()?.at {
            Location::Span(span) => Some(span.source),
            Location::Place(_) => None,
        }
    }

    /// The main place, for people.
    #[must_use]
    pub fn place(&self, sources: &Sources) -> Option<Place> {
        match &self.labels.first()?.at {
            Location::Span(span) => sources.place(*span),
            Location::Place(place) => Some(place.clone()),
        }
    }
}

/// "did you mean `…`?" for the closest of the given names, when one is close.
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(name, known).map(|best| format!("did you mean `{best}`?"))
}

/// How many names a hint lists.
const LISTED: usize = 8;

/// `a, b, c`: the first of the names, and how many more there are.
#[must_use]
pub fn first_of(names: &[&str]) -> String {
    let first = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The closest of the given names, when one is close enough to be a slip.
#[must_use]
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names::closest(name, known)
}

/// Leaves one of each: instances of one declaration repeat its mistakes, and what looks at it twice finds them twice.
pub fn remove_repeated(diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    diagnostics.retain(|diagnostic| {
        let at = diagnostic.labels.first().map(|label| format!("{:?}", label.at));
        seen.insert((diagnostic.code, diagnostic.message.clone(), at))
    });
}

/// True when any of them is an error.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}
