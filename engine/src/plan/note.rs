//! Notes of a plan: diagnostics besides its changes.

use super::Plan;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Place, Sources};

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

impl Plan {
    /// Inserts the warnings and notes of the compiler before the planner's, because readers of the plan did not see them. Errors
    /// are left out.
    pub fn note_before(&mut self, diagnostics: &[Diagnostic], sources: &Sources) {
        let diagnostics = diagnostics.iter().filter(|diagnostic| !diagnostic.is_error());
        self.notes.splice(0..0, diagnostics.map(|diagnostic| Note::of(diagnostic, sources)));
    }
}
