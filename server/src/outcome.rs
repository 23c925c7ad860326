//! Outcome of a request, in all its representations.

use crate::approved::Approved;
use crate::drift_findings::DriftFindings;
use crate::witboost::{Info, ValidationResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use terrace_engine::store::{OperationRow, OperationStatus, RequestRow};
use uuid::Uuid;

/// The outcome of a request, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The reason of a failure.
    #[serde(default)]
    pub(crate) result: String,
    /// Information about the provisioned objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<Info>,
    /// Whether the descriptor is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) validation: Option<ValidationResult>,
    /// A plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<RenderedPlan>,
    /// The plan that the request applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<Uuid>,
    /// The drift that a scan found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drift: Option<DriftFindings>,
    /// Values for a catalog, by dotted paths.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) updates: Map<String, Json>,
}

/// A plan in all its representations, without sensitive values.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RenderedPlan {
    #[serde(flatten)]
    pub(crate) approved: Approved,
    /// True if it has no errors, and loses no data without consent.
    pub(crate) is_applicable: bool,
    /// The data that it would lose without consent, each with a hint.
    #[serde(default)]
    pub(crate) losses: Vec<String>,
    pub(crate) json: Json,
    pub(crate) markdown: String,
    pub(crate) text: String,
}

impl Outcome {
    /// The outcome of a request; `None` before it has ended.
    pub(crate) fn of(request: &RequestRow) -> Option<Self> {
        // A request has ended even if an older server stored an outcome that this one cannot read.
        request.result.as_ref().map(|text| serde_json::from_str(text).unwrap_or_default())
    }

    /// The reason of a failure. An operation that was stopped early has it in its summary.
    pub(crate) fn reason(&self, operation: &OperationRow) -> String {
        let is_stopped = operation.status == OperationStatus::Interrupted;
        if is_stopped && self.result.is_empty() { operation.summary.clone() } else { self.result.clone() }
    }
}
