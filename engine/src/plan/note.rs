//! What a plan has to say besides its changes.

use super::Plan;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Place, Sources};

/// A diagnostic as a plan carries it: without the text it came from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// The stable word.
    pub code: String,
    /// What.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// What to do.
    pub hint: Option<String>,
    /// The resource it is about.
    pub address: Option<String>,
}

impl Note {
    /// What is left of a diagnostic where its text is not at hand any more.
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
    /// Puts what was said of descriptors before they were planned in front: who reads the plan did not see it. What was
    /// wrong with them is no part of a plan.
    pub fn note_before(&mut self, said: &[Diagnostic], sources: &Sources) {
        let said = said.iter().filter(|diagnostic| !diagnostic.is_error());
        self.notes.splice(0..0, said.map(|diagnostic| Note::of(diagnostic, sources)));
    }
}
