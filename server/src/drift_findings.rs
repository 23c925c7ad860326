//! The findings of a drift scan.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The findings of a scan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DriftFindings {
    /// The resources that differ from the state.
    pub(crate) drifted: Vec<Json>,
    /// Errors of reading: there may be more drift.
    pub(crate) unread: Vec<String>,
}
