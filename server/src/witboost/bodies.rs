//! Bodies, with the fields of the specification.

use crate::answer::Messages;
use crate::object::within;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};
use terrace_engine::store::{LogLine, OperationStatus};
use utoipa::ToSchema;
use uuid::Uuid;

/// A descriptor, and options for it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProvisioningRequest {
    /// The declared kind of the descriptor. The descriptor itself decides.
    #[serde(default)]
    pub(crate) descriptor_kind: Option<String>,
    /// The descriptor, as YAML.
    pub(crate) descriptor: String,
    /// Remove data, too.
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) remove_data: bool,
    /// The last provisioned descriptor of the data product, as YAML: `request.latestEnriched` in blueprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest_enriched_descriptor: Option<String>,
}

impl ProvisioningRequest {
    /// The size of the texts.
    pub(crate) fn bytes(&self) -> usize {
        self.descriptor.len() + self.latest_enriched_descriptor.as_ref().map_or(0, String::len)
    }
}

/// The complete access list of a component.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateAclRequest {
    /// All principals.
    pub(crate) refs: Vec<String>,
    /// The component.
    #[serde(deserialize_with = "within")]
    pub(crate) provision_info: ProvisionInfo,
    /// Fields beside the principals: `acl.fields` in blueprints.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) access_control_fields: Option<Json>,
}

/// The provisioned component.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ProvisionInfo {
    /// The descriptor of the last provisioning, as YAML or JSON.
    pub(crate) request: String,
}

/// The lookup of values for a catalog's component.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReverseProvisioningRequest {
    /// The template of the component. Its blueprint defines the lookup.
    pub(crate) use_case_template_id: String,
    /// The environment of the lookup.
    pub(crate) environment: String,
    /// The parameters of the template.
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) params: Map<String, Json>,
    /// The component in the catalog.
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) catalog_info: Map<String, Json>,
}

/// The status of reverse provisioning.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReverseProvisioningStatus {
    pub(crate) status: Status,
    /// Values by dotted paths into the catalog's component.
    pub(crate) updates: Map<String, Json>,
    pub(crate) logs: Vec<Log>,
}

/// For optional fields: `null` means the default.
fn or_null<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// The result of a validation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ValidationResult {
    pub(crate) valid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ValidationError>,
    /// The plan; an extension of the specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Json>,
    /// Warnings; an extension of the specification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ValidationError {
    pub(crate) errors: Vec<String>,
}

impl ValidationResult {
    /// A result: valid without errors.
    pub(crate) fn of(Messages { errors, warnings }: Messages, plan: Option<Json>) -> Self {
        let is_valid = errors.is_empty();
        Self { valid: is_valid, error: (!is_valid).then_some(ValidationError { errors }), plan, warnings }
    }
}

/// The status of a request.
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
    /// The status of an operation.
    pub(crate) fn of(status: OperationStatus, has_ended: bool, is_cancelled: bool) -> Self {
        match (has_ended, status, is_cancelled) {
            (false, _, true) => Self::Terminating,
            (false, _, false) => Self::Running,
            (true, OperationStatus::Completed, _) => Self::Completed,
            (true, OperationStatus::Interrupted, _) => Self::Terminated,
            (true, _, _) => Self::Failed,
        }
    }

    /// The status of a validation or a reverse provisioning, which this API cannot terminate.
    pub(crate) fn of_lookup(status: OperationStatus, has_ended: bool) -> Self {
        match Self::of(status, has_ended, false) {
            Self::Terminated => Self::Failed,
            other => other,
        }
    }
}

/// The status of provisioning, unprovisioning or a change of access.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProvisioningStatus {
    pub(crate) status: Status,
    /// Deprecated and required.
    pub(crate) result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<Info>,
    pub(crate) logs: Vec<Log>,
}

/// The status of a validation.
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

/// Information about provisioned components.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info {
    pub(crate) public_info: Map<String, Json>,
    pub(crate) private_info: Map<String, Json>,
    /// The principals with access; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl_info: Option<Vec<AclInfo>>,
}

/// A principal with access.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AclInfo {
    pub(crate) identity: String,
    /// Whether the access cannot be revoked.
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

/// The most log lines in a status, which callers read repeatedly: half of them from the beginning, half from the end.
const MOST_LINES: usize = 4_000;

/// The log lines of a status.
pub(super) fn log_lines(mut lines: Vec<LogLine>, id: Uuid) -> Vec<Log> {
    let left_out = lines.len().saturating_sub(MOST_LINES);
    if let (true, Some(first)) = (left_out > 0, lines.get(MOST_LINES / 2)) {
        let message = format!("{left_out} lines are omitted here: `GET /api/v1/operations/{id}/logs` returns all");
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
    fn long_log_is_shortened_in_the_middle() {
        let line = |number: usize| LogLine {
            at: jiff::Timestamp::UNIX_EPOCH,
            level: "ERROR".to_owned(),
            phase: "apply".to_owned(),
            message: number.to_string(),
        };
        let shown = |lines: usize| log_lines((0..lines).map(line).collect(), Uuid::nil());
        assert_eq!(shown(MOST_LINES).len(), MOST_LINES);
        let long = shown(MOST_LINES + 7);
        assert_eq!(long.len(), MOST_LINES + 1);
        let half = MOST_LINES / 2;
        assert_eq!(
            (&*long[half - 1].message, &*long[half + 1].message),
            (&*(half - 1).to_string(), &*(half + 7).to_string())
        );
        let gap =
            "7 lines are omitted here: `GET /api/v1/operations/00000000-0000-0000-0000-000000000000/logs` returns all";
        assert_eq!((&*long[half].message, &*long[half].level), (gap, "INFO"));
        assert_eq!(long.last().unwrap().message, (MOST_LINES + 6).to_string());
    }
}
