//! Answers of a server.

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
    /// The pause that the answer requests.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
    /// True if an earlier attempt of the same request has an unknown outcome.
    pub may_have_run: bool,
}

impl Reply {
    /// The body as JSON; null if it is empty.
    ///
    /// # Errors
    /// [`Failure::Lost`] if it is not JSON: the outcome of the request is then unknown.
    pub fn json(&self) -> Result<Json, Failure> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::Lost(format!("the answer ({}) cannot be read", self.status)))
    }

    /// The body as JSON; null if it is not JSON.
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

/// Omits the body, which may repeat the request.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}
