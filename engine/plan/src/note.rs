//! Notes of a plan: diagnostics besides its changes.

use terrace_language::diagnostic::{Diagnostic, Severity};
use terrace_language::source::{Place, Sources};

/// A diagnostic in a plan, without the source text that it points to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// The severity.
    pub severity: Severity,
    /// The stable code.
    pub code: String,
    /// The message.
    pub message: String,
    /// The location.
    pub place: Option<Place>,
    /// The remedy.
    pub hint: Option<String>,
    /// The resource that it is about.
    pub address: Option<String>,
}

impl Note {
    /// Converts a diagnostic; its location becomes text.
    #[must_use]
    pub fn of(diagnostic: &Diagnostic, sources: &Sources) -> Self {
        Self {
            severity: diagnostic.severity,
            code: diagnostic.code.to_owned(),
            message: diagnostic.message.clone(),
            place: diagnostic.place(sources),
            hint: diagnostic.hint.clone(),
            address: diagnostic.address.clone(),
        }
    }
}
