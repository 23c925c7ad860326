//! Bodies, with the fields of the specification.

use crate::answer::{RETRY_AFTER, Refusal};
use crate::api::problem::Problem;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as JsonValue};
use utoipa::ToSchema;

/// An object of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Item {
    /// Identifies the object.
    pub(crate) id: String,
    /// The name for people.
    pub(crate) value: String,
    /// Further attributes of the lookup.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub(crate) more: Map<String, JsonValue>,
}

impl Item {
    /// True if a text of the object contains the filter, in lower case.
    pub(crate) fn matches(&self, filter: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(filter);
        has(&self.id) || has(&self.value) || self.more.values().filter_map(JsonValue::as_str).any(has)
    }
}

/// The objects to validate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValidationRequest {
    /// The objects that a person chose.
    pub(crate) selected_objects: Vec<Selected>,
    /// Parameters of the picker.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) query_parameters: Option<Map<String, JsonValue>>,
}

/// An object that a person chose; its other fields do not count.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Selected {
    /// Identifies the object.
    pub(crate) id: String,
}

/// Why a call fails.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PickerErrors)]
pub(super) struct Errors {
    errors: Vec<PickerError>,
}

/// An error: a text, or an object in the answer to a validation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PickerError {
    Text(String),
    Validation(Fault),
}

/// An error of a validation.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PickerFault)]
pub(crate) struct Fault {
    /// The error.
    pub(crate) error: String,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
}

/// A failed call.
#[derive(Debug)]
pub(crate) struct Failed {
    status: StatusCode,
    errors: Vec<PickerError>,
}

impl Failed {
    /// An invalid request.
    pub(crate) fn bad_request(error: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, errors: vec![PickerError::Text(error.into())] }
    }

    /// Objects that are not in the list.
    pub(crate) fn of_objects(faults: Vec<Fault>) -> Self {
        let errors = faults.into_iter().map(PickerError::Validation).collect();
        Self { status: StatusCode::BAD_REQUEST, errors }
    }

    /// The same failure in the form of a validation: each text becomes an object.
    pub(crate) fn of_validation(self) -> Self {
        if self.status != StatusCode::BAD_REQUEST {
            return self;
        }
        let object = |error: PickerError| match error {
            PickerError::Text(error) => PickerError::Validation(Fault { error, suggestion: None }),
            fault @ PickerError::Validation(_) => fault,
        };
        Self { errors: self.errors.into_iter().map(object).collect(), ..self }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        let problem = Problem::from(refusal);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let errors = if problem.errors.is_empty() { vec![problem.detail] } else { problem.errors };
        Self { status, errors: errors.into_iter().map(PickerError::Text).collect() }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self { status, errors } = self;
        let mut response = (status, Json(Errors { errors })).into_response();
        let (name, value) = match status {
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer"),
            StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, RETRY_AFTER),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}
