//! What came of a request, in all forms that it is told in.

use crate::approved::Approved;
use crate::drifting::Found;
use crate::witboost::{Info, ValidationResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use terrace_engine::store::{OperationRow, OperationStatus, RequestRow};
use uuid::Uuid;

/// What came of a request, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Why it failed.
    #[serde(default)]
    pub(crate) result: String,
    /// What is told of what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<Info>,
    /// Whether the descriptor is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) validation: Option<ValidationResult>,
    /// A plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<PlanMade>,
    /// The plan that was to be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<Uuid>,
    /// What differs from the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drift: Option<Found>,
    /// Values for a catalog, by dotted paths.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) updates: Map<String, Json>,
}

/// A plan in all forms that it is shown in, without anything that is sensitive.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanMade {
    #[serde(flatten)]
    pub(crate) approved: Approved,
    /// It has no errors, and loses no data that nobody consented to.
    pub(crate) is_applicable: bool,
    /// The data that it would lose and nobody consented to, with what to do about it.
    #[serde(default)]
    pub(crate) losses: Vec<String>,
    pub(crate) json: Json,
    pub(crate) markdown: String,
    pub(crate) text: String,
}

impl Outcome {
    /// That of a request; `None` before it ended.
    pub(crate) fn of(request: &RequestRow) -> Option<Self> {
        // One that an older server stored and that means nothing to this one still has ended.
        request.result.as_ref().map(|text| serde_json::from_str(text).unwrap_or_default())
    }

    /// Why it came to nothing, which an operation says itself that was stopped before it came to anything.
    pub(crate) fn reason(&self, operation: &OperationRow) -> String {
        let is_stopped = operation.status == OperationStatus::Interrupted;
        if is_stopped && self.result.is_empty() { operation.summary.clone() } else { self.result.clone() }
    }
}
