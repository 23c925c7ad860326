//! Credentials of requests.

use super::token::{Token, TokenSource};
use super::{Failure, Reply};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The longest use of a token, even if the server states a longer lifetime.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The lifetime of a token without a stated one.
const USUAL_LIFE: Duration = Duration::from_secs(3 * 60);
/// A token is renewed when it has less than this left, or less than a fifth of its lifetime.
const SPARE: Duration = Duration::from_secs(60);

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
pub(super) struct Proof {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    number: u64,
}

/// Holds the current token.
pub(super) struct Keeper {
    auth: Auth,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The token's headers, and their expiry.
    token: Option<(Vec<(HeaderName, HeaderValue)>, Instant)>,
    /// Number of tokens so far.
    number: u64,
}

impl Keeper {
    pub(super) fn new(auth: Auth) -> Self {
        Self { auth, kept: Mutex::default() }
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

    /// The current credentials. Calls `learns` with each new token.
    pub(super) async fn current(&self, learns: impl Fn(&SecretString) + Send) -> Result<Proof, Failure> {
        let of = |headers| Ok(Proof { headers, number: 0 });
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
        let mut kept = self.kept.lock().await;
        if let Some((headers, until)) = &kept.token
            && Instant::now() < *until
        {
            return Ok(Proof { headers: headers.clone(), number: kept.number });
        }
        let requested = Instant::now();
        let Token { token, life, headers: more } = source.token().await?;
        learns(&token);
        let secrets = more.iter().filter(|(_, value)| value.is_sensitive());
        secrets.filter_map(|(_, value)| value.to_str().ok()).for_each(|text| learns(&text.into()));
        let headers: Vec<_> = bearer(&token)?.into_iter().chain(more).collect();
        let life = life.unwrap_or(USUAL_LIFE).min(LONGEST_LIFE);
        kept.token = Some((headers.clone(), requested + life.saturating_sub(SPARE.min(life / 5))));
        kept.number += 1;
        Ok(Proof { headers, number: kept.number })
    }

    /// Drops the token of rejected credentials; returns false if the source has no other token.
    pub(super) async fn renew(&self, proof: &Proof) -> bool {
        if !matches!(self.auth, Auth::Tokens(_)) {
            return false;
        }
        let mut kept = self.kept.lock().await;
        // Another call may have renewed it meanwhile.
        if kept.number == proof.number {
            kept.token = None;
        }
        true
    }
}

/// True if the server rejects the credentials.
pub(super) fn is_unknown(reply: &Reply) -> bool {
    reply.status == 401
}

fn bearer(token: &SecretString) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    Ok(vec![(AUTHORIZATION, sensitive(token, "Bearer ")?)])
}

pub(super) fn basic(user: &str, password: &SecretString) -> SecretString {
    BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret())).into()
}

/// A header that `Debug` does not print.
pub(super) fn sensitive(secret: &SecretString, prefix: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose_secret()))
        .map_err(|_| Failure::Refused("the credentials contain characters that cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
