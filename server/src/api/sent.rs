//! Bodies that calls come with.

use super::problem::Problem;
use crate::object::Object;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

/// A body, read as JSON.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Json::from_request(request, state).await.map(|Json(Object(body))| Self(body)).map_err(told)
    }
}

fn told(error: JsonRejection) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_long(error.body_text()),
        _ => Problem::wrong(error.body_text()),
    }
}

/// A body that may be left out, or say that it is nothing.
pub(super) struct IfSent<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for IfSent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(whole, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_long(error.body_text()),
            _ => Problem::wrong(error.body_text()),
        })?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let Json(sent): Json<Option<Object<T>>> =
            Json::from_request(Request::from_parts(parts, Body::from(bytes)), state).await.map_err(told)?;
        Ok(Self(sent.map(|Object(body)| body).unwrap_or_default()))
    }
}
