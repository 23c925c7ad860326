//! Result of a check of a prerequisite.

/// Result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// Message for the user.
    pub message: String,
    /// Hint; nothing if the check passed.
    pub remedy: Option<String>,
}

impl CheckResult {
    pub(crate) const fn passed(message: String) -> Self {
        Self { message, remedy: None }
    }

    pub(crate) const fn failed(message: String, remedy: String) -> Self {
        Self { message, remedy: Some(remedy) }
    }
}
