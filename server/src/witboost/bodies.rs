//! The bodies, field by field as in the specification.

use crate::answer::Messages;
use crate::object::within;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};
use terrace_engine::store::{LogLine, OperationStatus};
use utoipa::ToSchema;
use uuid::Uuid;

/// A descriptor and what to do with it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProvisioningRequest {
    /// What kind of descriptor it is said to be; the text itself decides.
    #[serde(default)]
    pub(crate) descriptor_kind: Option<String>,
    /// The descriptor, as YAML.
    pub(crate) descriptor: String,
    /// Data goes, too.
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) remove_data: bool,
    /// The data product as it was provisioned last, as YAML: `request.latestEnriched` in blueprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest_enriched_descriptor: Option<String>,
}

impl ProvisioningRequest {
    /// How much there is to read.
    pub(crate) fn bytes(&self) -> usize {
        self.descriptor.len() + self.latest_enriched_descriptor.as_ref().map_or(0, String::len)
    }
}

/// Who is to have access: all of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateAclRequest {
    /// All of them.
    pub(crate) refs: Vec<String>,
    /// The component that they have access to.
    #[serde(deserialize_with = "within")]
    pub(crate) provision_info: ProvisionInfo,
    /// What is said of their access beside: `acl.fields` in blueprints.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) access_control_fields: Option<Json>,
}

/// What was provisioned.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ProvisionInfo {
    /// The descriptor that it was provisioned with, as YAML (of which JSON is a part).
    pub(crate) request: String,
}

/// What is to be looked up, for a catalog's component.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReverseProvisioningRequest {
    /// The template of the component: its blueprint says how.
    pub(crate) use_case_template_id: String,
    /// Where to look.
    pub(crate) environment: String,
    /// What the template asks for.
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) params: Map<String, Json>,
    /// The component as the catalog has it.
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) catalog_info: Map<String, Json>,
}

/// How reverse provisioning stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReverseProvisioningStatus {
    pub(crate) status: Status,
    /// Values by dotted paths into the catalog's component.
    pub(crate) updates: Map<String, Json>,
    pub(crate) logs: Vec<Log>,
}

/// For what may be left out: who sends `null` says nothing either.
fn or_null<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Whether a descriptor is valid.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ValidationResult {
    pub(crate) valid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ValidationError>,
    /// What would be done; an addition of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Json>,
    /// What is no error and should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ValidationError {
    pub(crate) errors: Vec<String>,
}

impl ValidationResult {
    /// Valid when there is no error.
    pub(crate) fn of(Messages { errors, warnings }: Messages, plan: Option<Json>) -> Self {
        let is_valid = errors.is_empty();
        Self { valid: is_valid, error: (!is_valid).then_some(ValidationError { errors }), plan, warnings }
    }
}

/// How a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Running,
    Completed,
    Failed,
    Terminating,
    Terminated,
}

impl Status {
    /// That of an operation whose request has ended or not.
    pub(crate) fn of(status: OperationStatus, has_ended: bool, is_cancelled: bool) -> Self {
        match (has_ended, status, is_cancelled) {
            (false, _, true) => Self::Terminating,
            (false, _, false) => Self::Running,
            (true, OperationStatus::Completed, _) => Self::Completed,
            (true, OperationStatus::Interrupted, _) => Self::Terminated,
            (true, _, _) => Self::Failed,
        }
    }

    /// That of a question, which cannot be terminated by this API.
    pub(crate) fn of_question(status: OperationStatus, has_ended: bool) -> Self {
        match Self::of(status, has_ended, false) {
            Self::Terminated => Self::Failed,
            other => other,
        }
    }
}

/// How provisioning, unprovisioning or granting stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProvisioningStatus {
    pub(crate) status: Status,
    /// Deprecated and required.
    pub(crate) result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<Info>,
    pub(crate) logs: Vec<Log>,
}

/// How a validation stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidationStatus {
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<ValidationInfo>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValidationInfo {
    pub(crate) public_info: ValidationResult,
}

/// What is told of what was provisioned.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info {
    pub(crate) public_info: Map<String, Json>,
    pub(crate) private_info: Map<String, Json>,
    /// Who has access; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl_info: Option<Vec<AclInfo>>,
}

/// Somebody who has access.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AclInfo {
    pub(crate) identity: String,
    /// True where that cannot be taken away.
    pub(crate) locked: bool,
}

/// A line of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Log {
    timestamp: String,
    level: String,
    message: String,
    phase: String,
}

/// So many lines of a log are told with a status, which is asked for again and again: half of them from its beginning, half
/// from its end.
const MOST_LINES: usize = 4_000;

/// What a status tells of a log.
pub(super) fn told_of(mut lines: Vec<LogLine>, id: Uuid) -> Vec<Log> {
    let left_out = lines.len().saturating_sub(MOST_LINES);
    if let (true, Some(first)) = (left_out > 0, lines.get(MOST_LINES / 2)) {
        let message = format!("{left_out} lines are left out here: `GET /api/v1/operations/{id}/logs` has all of them");
        let gap = LogLine { message, level: "INFO".to_owned(), ..first.clone() };
        let rest = lines.split_off(MOST_LINES / 2 + left_out);
        lines.truncate(MOST_LINES / 2);
        lines.push(gap);
        lines.extend(rest);
    }
    lines.into_iter().map(Log::from).collect()
}

impl From<LogLine> for Log {
    fn from(line: LogLine) -> Self {
        Self { timestamp: line.at.to_string(), level: line.level, message: line.message, phase: line.phase }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_told_and_where_the_rest_is() {
        let line = |number: usize| LogLine {
            at: jiff::Timestamp::UNIX_EPOCH,
            level: "ERROR".to_owned(),
            phase: "apply".to_owned(),
            message: number.to_string(),
        };
        let told = |lines: usize| told_of((0..lines).map(line).collect(), Uuid::nil());
        assert_eq!(told(MOST_LINES).len(), MOST_LINES);
        let long = told(MOST_LINES + 7);
        assert_eq!(long.len(), MOST_LINES + 1);
        let half = MOST_LINES / 2;
        assert_eq!(
            (&*long[half - 1].message, &*long[half + 1].message),
            (&*(half - 1).to_string(), &*(half + 7).to_string())
        );
        let gap = "7 lines are left out here: `GET /api/v1/operations/00000000-0000-0000-0000-000000000000/logs` has all of them";
        assert_eq!((&*long[half].message, &*long[half].level), (gap, "INFO"));
        assert_eq!(long.last().unwrap().message, (MOST_LINES + 6).to_string());
    }
}
