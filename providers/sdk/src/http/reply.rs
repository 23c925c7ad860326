//! What comes back.

use super::Failure;
use reqwest::header::HeaderMap;
use serde_json::Value as Json;
use std::fmt;
use std::time::Duration;

/// An answer with its whole body.
#[derive(Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The pause that it asks for.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
    /// The same request was sent before, and nobody knows what became of that.
    pub may_have_run: bool,
}

impl Reply {
    /// The body as JSON; null where there is none.
    ///
    /// # Errors
    /// [`Failure::Lost`] where it is no JSON: whatever was asked for, this does not tell what became of it.
    pub fn json(&self) -> Result<Json, Failure> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::Lost(format!("the answer ({}) cannot be read", self.status)))
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json_or_null(&self) -> Json {
        self.json().unwrap_or_default()
    }

    /// A header that is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Without the body, which may repeat what was sent.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}
