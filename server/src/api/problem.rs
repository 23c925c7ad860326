//! Errors of the native API, as problem details (RFC 9457).

use crate::answer::{RETRY_AFTER, Refusal, store_unavailable};
use crate::pipelines::OverLimit;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use terrace_engine::store::StoreError;
use utoipa::ToSchema;
use uuid::Uuid;

/// The limit that no reset ends.
const STORED_BYTES: &str = "storedBytes";

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A short title, the same for all problems with this status.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The description of this problem.
    pub(crate) detail: String,
    /// All errors, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<String>,
    /// The limit that refuses the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<Box<OverLimit>>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default().to_owned();
        Self { title, status: status.as_u16(), detail: detail.into(), errors: Vec::new(), limit: None }
    }

    /// The object does not exist.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The request is invalid.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The body is too long.
    pub(crate) fn too_long(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// The current state does not allow the call.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The object has changed since the caller read it.
    pub(crate) fn changed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, detail)
    }

    /// A limit of the caller refuses the call: 403 if neither time nor the end of a run helps, else 429.
    pub(crate) fn over_limit(limit: OverLimit) -> Self {
        let may_pass = limit.resets_at.is_some() || limit.limit != STORED_BYTES;
        let status = if may_pass { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::FORBIDDEN };
        Self { limit: Some(Box::new(limit.clone())), ..Self::new(status, limit.message) }
    }

    /// An internal error; the log has the reason.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        let incident = Uuid::now_v7();
        tracing::error!(%incident, %error, "a call failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the server cannot do that now: incident {incident}"))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            refusal @ Refusal::QueueFull => Self::new(StatusCode::SERVICE_UNAVAILABLE, refusal.problems().join("")),
            Refusal::TooLong(error) => Self::too_long(error),
            refusal @ Refusal::NoPath => Self::not_found(refusal.problems().join("")),
            refusal @ Refusal::NoMethod => Self::new(StatusCode::METHOD_NOT_ALLOWED, refusal.problems().join("")),
            Refusal::Unavailable(error) => Self::new(StatusCode::SERVICE_UNAVAILABLE, error),
            refusal @ Refusal::KeyTaken => Self::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.problems().join("")),
            Refusal::StoreUnavailable(error) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{}: try again later", store_unavailable(&error)))
            }
            Refusal::Internal(error) => Self::internal(error),
            refusal @ Refusal::Unknown(_) => Self::new(StatusCode::UNAUTHORIZED, refusal.problems().join("")),
            refusal @ (Refusal::Forbidden { .. }
            | Refusal::Limited { .. }
            | Refusal::NoConsent { .. }
            | Refusal::ForeignOrigin(_)) => Self::new(StatusCode::FORBIDDEN, refusal.problems().join("")),
            refusal @ Refusal::OverQuota { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, refusal.problems().join(""))
            }
            refusal @ Refusal::Invalid(_) => {
                let errors = refusal.messages().errors;
                let detail = match errors.as_slice() {
                    [only] => only.clone(),
                    several => format!("there are {} errors", several.len()),
                };
                let errors = if errors.len() > 1 { errors } else { Vec::new() };
                Self { errors, ..Self::bad_request(detail) }
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let resets_at = self.limit.as_ref().and_then(|limit| limit.resets_at);
        let seconds = resets_at.map(|at| at.duration_since(Timestamp::now()).as_secs().max(1));
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = seconds.map_or(HeaderValue::from_static(RETRY_AFTER), HeaderValue::from);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
