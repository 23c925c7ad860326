//! The access token, renewed before it expires.

use super::key::LIFETIME;
use super::reply::Failure;
use crate::config::Credentials;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::Mutex;

/// A key-pair token is renewed when it has less than this left, in seconds.
const RENEWAL_MARGIN: i64 = 5 * 60;

#[derive(Debug)]
pub(super) struct Tokens {
    credentials: Credentials,
    /// The token of a key, and its creation time.
    cached: Mutex<Option<(SecretString, Timestamp)>>,
}

impl Tokens {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, cached: Mutex::new(None) }
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The token, and the name of its kind.
    pub(super) async fn current(&self) -> Result<(SecretString, &'static str), Failure> {
        let key = match &self.credentials {
            Credentials::Token(token, _) => return Ok((token.clone(), "PROGRAMMATIC_ACCESS_TOKEN")),
            Credentials::OAuth(token) => return Ok((token.clone(), "OAUTH")),
            Credentials::Key(key) => key,
        };
        let mut cached = self.cached.lock().await;
        let now = Timestamp::now();
        if let Some((token, at)) = &*cached
            && (0..LIFETIME - RENEWAL_MARGIN).contains(&(now.as_second() - at.as_second()))
        {
            return Ok((token.clone(), "KEYPAIR_JWT"));
        }
        let token = key.token(now).map_err(Failure::Refused)?;
        *cached = Some((token.clone(), now));
        Ok((token, "KEYPAIR_JWT"))
    }

    /// Drops the token if a new one can be created.
    pub(super) async fn renew(&self) -> bool {
        let is_key = matches!(self.credentials, Credentials::Key(_));
        if is_key {
            *self.cached.lock().await = None;
        }
        is_key
    }
}
