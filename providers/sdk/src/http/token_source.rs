//! Sources of tokens.

use super::Failure;
use async_trait::async_trait;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use std::time::Duration;

/// A token with its lifetime, counted from the request.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token.
    pub token: SecretString,
    /// The lifetime, if the server states it.
    pub lifetime: Option<Duration>,
    /// Headers that accompany the token; texts redact the sensitive ones.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A source of tokens. The client requests one token at a time, keeps it until shortly before its expiry, and drops it
/// when a server rejects it.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A new token.
    ///
    /// # Errors
    /// [`Failure::Unauthorized`] if the token is refused, or the failure of the request.
    async fn token(&self) -> Result<Token, Failure>;

    /// The secrets of the token request, which texts redact.
    fn secrets(&self) -> Vec<SecretString>;
}
