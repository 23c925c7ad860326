//! Errors with Databricks' codes and bodies.

use serde_json::{Value as Json, json};

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// An error of SCIM, which has another form.
    pub(crate) is_scim: bool,
}

pub(crate) type Outcome = Result<Json, ApiError>;

impl ApiError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), is_scim: false }
    }

    /// An invalid value.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_PARAMETER_VALUE", message)
    }

    /// An invalid body.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "MALFORMED_REQUEST", message)
    }

    /// A missing object.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(404, "RESOURCE_DOES_NOT_EXIST", message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(403, "PERMISSION_DENIED", message)
    }

    /// The body of the response.
    pub(crate) fn body(&self) -> Json {
        if self.is_scim {
            return json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "detail": self.message, "status": self.status.to_string(),
            });
        }
        json!({"error_code": self.code, "message": self.message, "details": []})
    }
}
