//! Credentials of requests.

use super::header::{basic, sensitive};
use super::token_source::{Token, TokenSource};
use super::{Failure, Reply};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::SecretString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The longest use of a token, even if the server states a longer lifetime.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The lifetime of a token without a stated one.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3 * 60);
/// A token is renewed when it has less than this left, or less than a fifth of its lifetime.
const RENEWAL_MARGIN: Duration = Duration::from_secs(60);

/// Kinds of credentials.
#[derive(Clone)]
pub enum Auth {
    /// No credentials.
    None,
    /// Fixed headers, such as `x-hasura-admin-secret`.
    Headers(Vec<(HeaderName, SecretString)>),
    /// A fixed token.
    Bearer(SecretString),
    /// User and password.
    Basic(String, SecretString),
    /// Tokens from a source, renewed before they expire.
    Tokens(Arc<dyn TokenSource>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nobody",
            Self::Headers(_) => "(headers)",
            Self::Bearer(_) => "(a token)",
            Self::Basic(..) => "(a user and a password)",
            Self::Tokens(_) => "(tokens)",
        })
    }
}

/// The credentials of one request: its headers and the number of its token.
pub(super) struct RequestCredentials {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    number: u64,
}

/// Holds the current token.
pub(super) struct Credentials {
    auth: Auth,
    cached: Mutex<CachedToken>,
}

#[derive(Default)]
struct CachedToken {
    /// The token's headers, and their expiry.
    token: Option<(Vec<(HeaderName, HeaderValue)>, Instant)>,
    /// Number of tokens so far.
    number: u64,
}

impl Credentials {
    pub(super) fn new(auth: Auth) -> Self {
        Self { auth, cached: Mutex::default() }
    }

    /// The secrets that are known before the first request.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        match &self.auth {
            Auth::None => Vec::new(),
            Auth::Headers(headers) => headers.iter().map(|(_, value)| value.clone()).collect(),
            Auth::Bearer(token) => vec![token.clone()],
            Auth::Basic(user, password) => vec![password.clone(), basic(user, password)],
            Auth::Tokens(source) => source.secrets(),
        }
    }

    /// The current credentials. Calls `on_token` with each new token.
    pub(super) async fn current(&self, on_token: impl Fn(&SecretString) + Send) -> Result<RequestCredentials, Failure> {
        let of = |headers| Ok(RequestCredentials { headers, number: 0 });
        let source = match &self.auth {
            Auth::None => return of(Vec::new()),
            Auth::Headers(headers) => {
                let headers = headers.iter().map(|(name, value)| Ok((name.clone(), sensitive(value, "")?)));
                return of(headers.collect::<Result<_, Failure>>()?);
            }
            Auth::Bearer(token) => return of(bearer(token)?),
            Auth::Basic(user, password) => {
                return of(vec![(AUTHORIZATION, sensitive(&basic(user, password), "Basic ")?)]);
            }
            Auth::Tokens(source) => source,
        };
        // Concurrent callers wait for the same token.
        let mut cached = self.cached.lock().await;
        if let Some((headers, until)) = &cached.token
            && Instant::now() < *until
        {
            return Ok(RequestCredentials { headers: headers.clone(), number: cached.number });
        }
        let requested = Instant::now();
        let Token { token, lifetime, headers: more } = source.token().await?;
        on_token(&token);
        let secrets = more.iter().filter(|(_, value)| value.is_sensitive());
        secrets.filter_map(|(_, value)| value.to_str().ok()).for_each(|text| on_token(&text.into()));
        let headers: Vec<_> = bearer(&token)?.into_iter().chain(more).collect();
        let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME);
        cached.token = Some((headers.clone(), requested + lifetime.saturating_sub(RENEWAL_MARGIN.min(lifetime / 5))));
        cached.number += 1;
        Ok(RequestCredentials { headers, number: cached.number })
    }

    /// Drops the token of rejected credentials; returns false if the source has no other token.
    pub(super) async fn renew(&self, credentials: &RequestCredentials) -> bool {
        if !matches!(self.auth, Auth::Tokens(_)) {
            return false;
        }
        let mut cached = self.cached.lock().await;
        // Another call may have renewed it meanwhile.
        if cached.number == credentials.number {
            cached.token = None;
        }
        true
    }
}

/// True if the server rejects the credentials.
pub(super) fn is_unauthorized(reply: &Reply) -> bool {
    reply.status == 401
}

fn bearer(token: &SecretString) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    Ok(vec![(AUTHORIZATION, sensitive(token, "Bearer ")?)])
}
