//! Refusals of calls, with the bodies of the previous service.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use terrace_server::body;
use terrace_state::roles::RoleStore;

/// The longest body: a query with its variables.
pub(crate) const BODY_LIMIT: usize = 4 << 20;

/// Why a call is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request is invalid: 400, `{"errors": […]}`.
    BadRequest(String),
    /// The body is too long: 413.
    TooLong(String),
    /// The object does not exist: 404, a text.
    Missing(String),
    /// The caller gets no role: 401, the text `"Unauthorized"`, which Hasura expects.
    Unauthorized,
    /// The service is not available: 503.
    Unavailable(&'static str),
    /// The store failed: 500, without the reason.
    Internal(String),
}

impl Refusal {
    /// The body did not arrive.
    fn of_body(rejection: &BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::TooLong(format!("the body is too long: at most {BODY_LIMIT} bytes are allowed"))
            }
            _ => Self::BadRequest("the body is incomplete: send it again".to_owned()),
        }
    }
}

/// A JSON body. Its errors have the form of all errors.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let is_json = body::is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|error| Refusal::of_body(&error))?;
        if !is_json {
            return Err(Refusal::BadRequest(
                "the content type is not JSON: send `content-type: application/json`".to_owned(),
            ));
        }
        body::read(&bytes).map(Self).map_err(|error| Refusal::BadRequest(error.problem))
    }
}

/// The body of errors.
pub(crate) fn errors(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"errors": [error]}))).into_response()
}

/// The answer after a panic.
pub(crate) fn panic_response() -> Response {
    Refusal::Internal("a panic".to_owned()).into_response()
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Internal(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::BadRequest(error) => errors(StatusCode::BAD_REQUEST, &error),
            Self::TooLong(error) => errors(StatusCode::PAYLOAD_TOO_LARGE, &error),
            Self::Missing(what) => (StatusCode::NOT_FOUND, Json(what)).into_response(),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, Json("Unauthorized")).into_response(),
            Self::Unavailable(why) => {
                let mut response = errors(StatusCode::SERVICE_UNAVAILABLE, why);
                response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
                response
            }
            Self::Internal(error) => {
                tracing::error!(error, "a call failed");
                let body = json!({"error": "System error", "errors": ["System error"]});
                (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
            }
        }
    }
}

/// The store of roles.
pub(crate) type Store = std::sync::Arc<dyn RoleStore>;
