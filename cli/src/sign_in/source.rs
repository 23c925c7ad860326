//! Tokens of a sign-in for calls: the stored token, and a new one when it expires or the server rejects it.

use super::device::{Tokens, request_tokens};
use super::issuer::SignInError;
use super::store::{SignIn, SignInFile};
use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::http::{Failure, Token, TokenSource};

/// A token is renewed when it has less than this left.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token without an end is used before it is read again.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The tokens of a stored sign-in.
pub(crate) struct SignInTokens {
    file: SignInFile,
    /// The server of the sign-in.
    server: String,
    /// The secrets at the start, for redaction.
    secrets: Vec<SecretString>,
    /// The token that was returned last: a second request for it means that it expires or was rejected.
    given: Mutex<Option<SecretString>>,
}

impl SignInTokens {
    /// The tokens of the sign-in to a server; `None` without one.
    ///
    /// # Errors
    /// When the file cannot be read; in words.
    pub(crate) fn of(file: SignInFile, server: &str) -> Result<Option<Self>, String> {
        let Some(found) = file.find(server)? else { return Ok(None) };
        let secrets = std::iter::once(found.token).chain(found.refresh_token).collect();
        Ok(Some(Self { file, server: server.to_owned(), secrets, given: Mutex::default() }))
    }

    fn given(&self) -> Option<SecretString> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token that is valid, renewed if necessary. Other processes wait: an issuer may accept a refresh token only once.
    async fn valid(&self) -> Result<SignIn, Failure> {
        let refused = |why: String| Failure::Unauthorized { code: None, message: why };
        let found = self.file.find(&self.server).map_err(refused)?;
        let found = found.ok_or_else(|| refused("the sign-in was removed".to_owned()))?;
        if !self.is_used_up(&found) {
            return Ok(found);
        }
        let file = self.file.clone();
        let locked = tokio::task::spawn_blocking(move || file.lock()).await;
        let locked = locked.map_err(|error| refused(error.to_string()))?.map_err(refused)?;
        // Another process may have renewed it meanwhile.
        let found = self.file.find(&self.server).map_err(refused)?;
        let found = found.ok_or_else(|| refused("the sign-in was removed".to_owned()))?;
        if !self.is_used_up(&found) {
            return Ok(found);
        }
        let Some(refresh_token) = &found.refresh_token else {
            return match is_expired(&found) {
                true => Err(refused("the sign-in has expired".to_owned())),
                false => Ok(found),
            };
        };
        let client = (found.client_id.as_str(), found.client_secret.as_ref());
        let renewed = request_tokens(&found.token_url, client, refresh_token, found.kind).await;
        let Tokens { token, refresh_token, expires_at } = renewed.map_err(|error| match error {
            SignInError::Unavailable(_) => Failure::NotSent(error.to_string()),
            error => refused(error.to_string()),
        })?;
        let renewed =
            SignIn { token, refresh_token: refresh_token.or_else(|| found.refresh_token.clone()), expires_at, ..found };
        locked.replace(&self.server, Some(&renewed)).map_err(refused)?;
        Ok(renewed)
    }

    fn is_used_up(&self, found: &SignIn) -> bool {
        let is_given = self.given().is_some_and(|given| given.expose_secret() == found.token.expose_secret());
        is_given || is_expired(found)
    }
}

fn is_expired(sign_in: &SignIn) -> bool {
    sign_in.expires_at.is_some_and(|end| end.duration_since(Timestamp::now()) < margin())
}

fn margin() -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(MARGIN).unwrap_or_default()
}

#[async_trait]
impl TokenSource for SignInTokens {
    async fn token(&self) -> Result<Token, Failure> {
        let SignIn { token, expires_at, .. } = self.valid().await?;
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        let left = expires_at.map(|end| Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default());
        Ok(Token { token, lifetime: Some(left.unwrap_or(DAY)), headers: Vec::new() })
    }

    fn secrets(&self) -> Vec<SecretString> {
        self.secrets.clone()
    }
}
