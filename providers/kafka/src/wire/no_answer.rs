//! Failures of requests.

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// The broker rejected the credentials: nothing was sent.
    Rejected(String),
    /// The request was sent; its outcome is unknown.
    Lost(String),
    /// The peer sent bytes that are not a broker's answer.
    Garbled(String),
    /// The brokers do not support the request: nothing was sent.
    Unsupported(String),
}

impl NoAnswer {
    /// The reason, for messages.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unreachable(why)
            | Self::Rejected(why)
            | Self::Lost(why)
            | Self::Garbled(why)
            | Self::Unsupported(why) => why,
        }
    }

    /// Returns true if nothing was sent.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Rejected(_) | Self::Unsupported(_))
    }
}
