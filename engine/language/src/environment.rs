//! The environment that a stack is planned for.

use terrace_provider::wrap::silence::SilenceLimit;

/// The target environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its line in the plan's header; only an embedded environment has one.
    pub note: Option<String>,
    /// `settings` in expressions.
    pub settings: terrace_provider::Value,
    /// How long a plan waits for a system that does not answer.
    pub silence_limit: SilenceLimit,
}

impl Environment {
    /// True if its objects are on this machine (`overlay: embedded`).
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.note.is_some()
    }
}
