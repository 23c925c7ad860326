//! Bodies of calls.

use super::problem::Problem;
use crate::answer::Refusal;
use crate::body::{self, BodyError, is_json};
use crate::processing::block_if_large;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

/// A body, read as JSON.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = bytes(request, state).await?;
        read(&bytes, is_json).map(Self)
    }
}

/// An optional body, which may also be `null`.
pub(super) struct OptionalJsonBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() || (is_json && bytes.trim_ascii() == b"null") {
            return Ok(Self(T::default()));
        }
        read(&bytes, is_json).map(Self)
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|error| Refusal::of_body(&error).into())
}

fn read<T: DeserializeOwned>(bytes: &[u8], is_json: bool) -> Result<T, Problem> {
    if !is_json {
        return Err(Problem::bad_request("the content type is not JSON (send `Content-Type: application/json`)"));
    }
    block_if_large(bytes.len(), || body::read(bytes))
        .map_err(|BodyError { problem, .. }| Problem::bad_request(format!("{problem} ({HINT})")))
}

/// The hint for an invalid body.
const HINT: &str = "see `/docs` for the body of this call";
