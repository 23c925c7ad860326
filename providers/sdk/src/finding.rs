//! Findings of providers about planned values.

use crate::Path;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Note,
    /// Probably a mistake.
    Warning,
    /// It cannot work.
    Error,
}

/// A provider's finding about planned values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The attribute.
    pub path: Option<Path>,
    /// The problem.
    pub message: String,
    /// The solution.
    pub hint: Option<String>,
}
