//! Errors with the codes and bodies of each of them.

use serde_json::{Value as Json, json};

/// Whose error it is, which decides what its body looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Azure Resource Manager and Microsoft Graph.
    Azure,
    /// Microsoft Entra ID.
    Entra,
    /// The account of Databricks.
    Account,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) manner: Manner,
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// An answer: its status, its body, and where an operation can be asked for.
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
        Self { manner: Manner::Azure, status, code: code.to_owned(), message: message.into() }
    }

    pub(crate) fn account(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { manner: Manner::Account, status, code: code.to_owned(), message: message.into() }
    }

    /// With the number that Entra ID has for it: `AADSTS7000215`.
    pub(crate) fn entra(status: u16, code: &str, number: u32, message: &str) -> Self {
        let message = format!("AADSTS{number}: {message}");
        Self { manner: Manner::Entra, status, code: code.to_owned(), message }
    }

    /// The body that it goes out with.
    pub(crate) fn body(&self) -> Json {
        match self.manner {
            Manner::Azure => json!({"error": {"code": self.code, "message": self.message}}),
            Manner::Account => json!({"error_code": self.code, "message": self.message, "details": []}),
            Manner::Entra => {
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
