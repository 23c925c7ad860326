//! Bodies of requests.

use crate::order_key::OrderKey;
use std::fmt;
use uuid::Uuid;

/// The body of a request, as the API sent it. It may hold secrets, so `Debug` does not print it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// The text. Only for the store and for the worker.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when the store has dropped the body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(request body, {} bytes)", self.0.len())
    }
}

/// The content of a request, sealed under another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResealedRequest {
    /// The operation.
    pub operation: Uuid,
    /// The stored digest.
    pub stored_digest: String,
    /// The requests behind which it waits.
    pub order: OrderKey,
    /// The new digest, equal to that of a new request with the same content.
    pub digest: String,
    /// The content.
    pub body: Body,
}
