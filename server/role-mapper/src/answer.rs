//! How calls are answered that are not carried out: the bodies of the service before this one.

use crate::BODY_LIMIT;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use terrace_state::roles::RoleStore;

/// Why a call is not carried out.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What was sent is wrong: 400, `{"errors": […]}`.
    Bad(String),
    /// What was sent is too long: 413.
    TooLong(String),
    /// There is no such thing: 404, a text.
    Missing(String),
    /// Whoever asks gets no role: 401, the text `"Unauthorized"`, which is what Hasura takes for that.
    Unauthorized,
    /// Nobody can tell now: 503.
    Unavailable(&'static str),
    /// The store cannot: 500, without a word of why.
    Broken(String),
}

impl Refusal {
    /// What is wrong with a body that cannot be read.
    pub(crate) fn of_body(rejection: &JsonRejection) -> Self {
        let text = rejection.body_text();
        // Before the colon it speaks of the program and not of the body.
        let why = text.split_once(": ").map_or(text.as_str(), |(_, why)| why);
        match rejection {
            JsonRejection::JsonSyntaxError(_) => Self::Bad(format!("the body is no JSON: {why}")),
            JsonRejection::JsonDataError(_) => Self::Bad(format!("the body is not as it has to be: {why}")),
            JsonRejection::MissingJsonContentType(_) => {
                Self::Bad("the body is not said to be JSON: send `content-type: application/json`".to_owned())
            }
            _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Self::TooLong(format!("the body is too long: {BODY_LIMIT} bytes are taken at most"))
            }
            _ => Self::Bad(format!("the body cannot be read: {why}")),
        }
    }
}

/// The body of errors.
pub(crate) fn errors(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"errors": [error]}))).into_response()
}

/// A mistake in the program ended a call.
pub(crate) fn broken_off() -> Response {
    Refusal::Broken("a panic".to_owned()).into_response()
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Broken(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Bad(error) => errors(StatusCode::BAD_REQUEST, &error),
            Self::TooLong(error) => errors(StatusCode::PAYLOAD_TOO_LARGE, &error),
            Self::Missing(what) => (StatusCode::NOT_FOUND, Json(what)).into_response(),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, Json("Unauthorized")).into_response(),
            Self::Unavailable(why) => {
                let mut response = errors(StatusCode::SERVICE_UNAVAILABLE, why);
                response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
                response
            }
            Self::Broken(error) => {
                tracing::error!(error, "a call failed");
                let body = json!({"error": "System error", "errors": ["System error"]});
                (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
            }
        }
    }
}

/// What calls share.
pub(crate) type Store = std::sync::Arc<dyn RoleStore>;
