//! A call of the API.

use crate::error::ApiError;
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The parts of the path, each decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Json,
    /// The caller.
    pub(crate) actor: String,
}

impl Request {
    pub(crate) fn new(
        method: &str,
        path: &str,
        query: BTreeMap<String, String>,
        body: Json,
        actor: String,
    ) -> Result<Self, ApiError> {
        let decode = |part: &str| percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned);
        let parts: Result<Vec<String>, _> = path.trim_matches('/').split('/').map(decode).collect();
        let path = parts.map_err(|_| ApiError::malformed("The path is not UTF-8"))?;
        Ok(Self { method: method.to_owned(), path, query, body, actor })
    }

    /// A required parameter.
    pub(crate) fn parameter(&self, name: &str) -> Result<&str, ApiError> {
        let given = self.query.get(name).filter(|text| !text.is_empty());
        given.map(String::as_str).ok_or_else(|| ApiError::invalid(format!("Missing required field: {name}")))
    }
}

/// The error of an unknown call.
pub(crate) fn no_such_call(request: &Request) -> ApiError {
    let message = format!("No API found for '{} /{}'", request.method, request.path.join("/"));
    ApiError::new(404, "ENDPOINT_NOT_FOUND", message)
}
