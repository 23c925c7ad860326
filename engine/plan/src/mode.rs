//! Modes of planning.

/// The kind of plan that the caller requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Align objects with the descriptor.
    Apply,
    /// Remove objects.
    Destroy,
    /// Record the current values of objects.
    RefreshOnly,
    /// Align objects with an earlier recorded state.
    Rollback,
}
