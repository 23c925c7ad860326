//! Errors with the codes and bodies of each API.

use serde_json::{Value as Json, json};

/// The API of an error, which decides the form of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorForm {
    /// Azure Resource Manager and Microsoft Graph.
    Azure,
    /// Microsoft Entra ID.
    Entra,
    /// The account of Databricks.
    Account,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) form: ErrorForm,
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A response: status, body, and the URL of an operation.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Json,
    pub(crate) operation: Option<String>,
}

impl From<Json> for Answer {
    fn from(body: Json) -> Self {
        Self { status: 200, body, operation: None }
    }
}

pub(crate) type Outcome = Result<Answer, ApiError>;

impl ApiError {
    pub(crate) fn azure(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { form: ErrorForm::Azure, status, code: code.to_owned(), message: message.into() }
    }

    pub(crate) fn account(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { form: ErrorForm::Account, status, code: code.to_owned(), message: message.into() }
    }

    /// With Entra ID's number of the error: `AADSTS7000215`.
    pub(crate) fn entra(status: u16, code: &str, number: u32, message: &str) -> Self {
        let message = format!("AADSTS{number}: {message}");
        Self { form: ErrorForm::Entra, status, code: code.to_owned(), message }
    }

    /// The body of the response.
    pub(crate) fn body(&self) -> Json {
        match self.form {
            ErrorForm::Azure => json!({"error": {"code": self.code, "message": self.message}}),
            ErrorForm::Account => json!({"error_code": self.code, "message": self.message, "details": []}),
            ErrorForm::Entra => {
                let number: u32 = self
                    .message
                    .trim_start_matches("AADSTS")
                    .split(':')
                    .next()
                    .and_then(|it| it.parse().ok())
                    .unwrap_or_default();
                json!({
                    "error": self.code, "error_description": self.message, "error_codes": [number],
                    "timestamp": "2026-01-01 00:00:00Z", "trace_id": "00000000-0000-0000-0000-000000000000",
                    "correlation_id": "00000000-0000-0000-0000-000000000000",
                    "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
                })
            }
        }
    }
}
