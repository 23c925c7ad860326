//! What plans are asked for.

/// What a plan was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Make things as described.
    Apply,
    /// Remove them.
    Destroy,
    /// Record how they are.
    RefreshOnly,
    /// Make things as they were recorded before.
    Rollback,
}
