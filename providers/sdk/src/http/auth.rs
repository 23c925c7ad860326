//! In whose name requests are sent.

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

/// No token is used for longer, whatever is said of it.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// A token that says nothing of its life is asked for again after this.
const USUAL_LIFE: Duration = Duration::from_secs(3 * 60);
/// One is made anew when it has less than this left, or less than a fifth of its life.
const SPARE: Duration = Duration::from_secs(60);

/// How it is proved who asks.
#[derive(Clone)]
pub enum Auth {
    /// Nobody is asked for it.
    None,
    /// Headers that stay as they are, such as `x-hasura-admin-secret`.
    Headers(Vec<(HeaderName, SecretString)>),
    /// A token that stays as it is.
    Bearer(SecretString),
    /// User and password.
    Basic(String, SecretString),
    /// Tokens that are asked for, and anew before they are too old.
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

/// What proves it in one request: the headers, and which token that was.
pub(super) struct Proof {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    number: u64,
}

/// Knows the token of the moment.
pub(super) struct Keeper {
    auth: Auth,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Its headers, and until when they are good.
    token: Option<(Vec<(HeaderName, HeaderValue)>, Instant)>,
    /// Counts the tokens there were.
    number: u64,
}

impl Keeper {
    pub(super) fn new(auth: Auth) -> Self {
        Self { auth, kept: Mutex::default() }
    }

    /// The secrets that are known from the beginning.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        match &self.auth {
            Auth::None => Vec::new(),
            Auth::Headers(headers) => headers.iter().map(|(_, value)| value.clone()).collect(),
            Auth::Bearer(token) => vec![token.clone()],
            Auth::Basic(user, password) => vec![password.clone(), basic(user, password)],
            Auth::Tokens(source) => source.secrets(),
        }
    }

    /// What proves it now. `learns` is told of a token that is new.
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
        // Whoever comes meanwhile waits for the same token.
        let mut kept = self.kept.lock().await;
        if let Some((headers, until)) = &kept.token
            && Instant::now() < *until
        {
            return Ok(Proof { headers: headers.clone(), number: kept.number });
        }
        let asked = Instant::now();
        let Token { token, life, headers: beside } = source.token().await?;
        learns(&token);
        let secrets = beside.iter().filter(|(_, value)| value.is_sensitive());
        secrets.filter_map(|(_, value)| value.to_str().ok()).for_each(|text| learns(&text.into()));
        let headers: Vec<_> = bearer(&token)?.into_iter().chain(beside).collect();
        let life = life.unwrap_or(USUAL_LIFE).min(LONGEST_LIFE);
        kept.token = Some((headers.clone(), asked + life.saturating_sub(SPARE.min(life / 5))));
        kept.number += 1;
        Ok(Proof { headers, number: kept.number })
    }

    /// Drops the token of a proof that was not taken; false where there is no other to be had.
    pub(super) async fn renew(&self, proof: &Proof) -> bool {
        if !matches!(self.auth, Auth::Tokens(_)) {
            return false;
        }
        let mut kept = self.kept.lock().await;
        // Somebody else may have made another one since.
        if kept.number == proof.number {
            kept.token = None;
        }
        true
    }
}

/// Who asks is not known, or not any more.
pub(super) fn is_unknown(reply: &Reply) -> bool {
    reply.status == 401
}

fn bearer(token: &SecretString) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    Ok(vec![(AUTHORIZATION, sensitive(token, "Bearer ")?)])
}

pub(super) fn basic(user: &str, password: &SecretString) -> SecretString {
    BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret())).into()
}

/// A header that no `Debug` prints.
pub(super) fn sensitive(secret: &SecretString, prefix: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose_secret()))
        .map_err(|_| Failure::Refused("what proves who asks has characters that cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
