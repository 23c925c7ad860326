//! The environment that a stack is planned for.

use terrace_provider::wrap::silence::SilenceLimit;

/// The target environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its line in the plan's header.
    pub note: Option<String>,
    /// `settings` in expressions.
    pub settings: terrace_provider::Value,
    /// How long a plan waits for a system that does not answer.
    pub silence_limit: SilenceLimit,
}
