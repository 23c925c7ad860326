//! The keys of an issuer: fetched when they are needed, and again when a token names one that is not among them.

use crate::http::in_words;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use serde::Deserialize;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long keys are taken without asking again: what an issuer withdraws is withdrawn by then.
const HOLD: Duration = Duration::from_secs(3600);
/// Who sends tokens with made-up keys does not make this server ask more often.
const LEAST: Duration = Duration::from_secs(10);
/// How long the issuer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The part of an issuer's description that says where its keys are (OpenID Connect Discovery 1.0).
#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

/// What was fetched last.
#[derive(Default)]
struct Fetched {
    keys: Option<JwkSet>,
    /// When it was tried, whatever came of it.
    tried: Option<Instant>,
    /// When it came.
    came: Option<Instant>,
}

impl Fetched {
    fn is_old(&self) -> bool {
        self.came.is_none_or(|at| at.elapsed() > HOLD)
    }

    fn may_be_asked(&self) -> bool {
        self.tried.is_none_or(|at| at.elapsed() > LEAST)
    }
}

pub(super) struct Keys {
    client: reqwest::Client,
    /// Where the issuer says where its keys are.
    discovery: String,
    url: Option<String>,
    fetched: RwLock<Fetched>,
    /// Held by the one who asks: who finds a key does not wait for them.
    asking: Mutex<()>,
}

impl Keys {
    pub(super) fn new(issuer: &str, url: Option<String>) -> Result<Self, String> {
        let client = crate::http::client(PATIENCE)?;
        let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        Ok(Self { client, discovery, url, fetched: RwLock::default(), asking: Mutex::default() })
    }

    /// The key of that name that signs in that way; `None` where the issuer has none.
    ///
    /// # Errors
    /// When there are no keys, in words for the log.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Option<Jwk>, String> {
        let (known, is_old) = self.known(id, algorithm);
        if known.is_some() {
            // One asks whether it still is one; for all others it holds until there is an answer.
            if is_old && let Ok(_one) = self.asking.try_lock() {
                return match self.ask().await {
                    Ok(()) => Ok(self.known(id, algorithm).0),
                    Err(error) => {
                        tracing::warn!(error, "the keys of the issuer cannot be had: those that are known are taken");
                        Ok(known)
                    }
                };
            }
            return Ok(known);
        }
        let _one = self.asking.lock().await;
        let asked = self.ask().await;
        match (&self.read().keys, asked) {
            (Some(keys), _) => Ok(pick(keys, id, algorithm)),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err("the issuer did not answer a moment ago".to_owned()),
        }
    }

    /// Fetches them unless they came a short while ago.
    ///
    /// # Errors
    /// When they cannot be had, and none came before.
    pub(super) async fn refresh(&self) -> Result<(), String> {
        if !self.read().is_old() {
            return Ok(());
        }
        let _one = self.asking.lock().await;
        let fetched = self.fetch().await;
        if self.read().keys.is_some() { Ok(()) } else { fetched }
    }

    /// The key, if it came, and whether all that came is old.
    fn known(&self, id: Option<&str>, algorithm: Algorithm) -> (Option<Jwk>, bool) {
        let fetched = self.read();
        (fetched.keys.as_ref().and_then(|keys| pick(keys, id, algorithm)), fetched.is_old())
    }

    fn read(&self) -> RwLockReadGuard<'_, Fetched> {
        self.fetched.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Fetched> {
        self.fetched.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches them, unless that was tried a moment ago.
    async fn ask(&self) -> Result<(), String> {
        if !self.read().may_be_asked() {
            return Ok(());
        }
        self.fetch().await
    }

    async fn fetch(&self) -> Result<(), String> {
        let answer = self.answer().await;
        // From its end on: those who waited for a slow issuer do not each wait for it anew.
        let now = Instant::now();
        let mut fetched = self.write();
        fetched.tried = Some(now);
        (fetched.keys, fetched.came) = (Some(answer?), Some(now));
        Ok(())
    }

    /// What the issuer has now.
    async fn answer(&self) -> Result<JwkSet, String> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => self.get::<Discovery>(&self.discovery).await?.jwks_uri,
        };
        self.get(&url).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let answer = async { self.client.get(url).send().await?.error_for_status()?.json().await };
        answer.await.map_err(|error: reqwest::Error| format!("{url}: {}", in_words(&error)))
    }
}

/// The key of that name that signs in that way. Without a name it is the only one that does.
fn pick(keys: &JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let fits = |key: &&Jwk| {
        let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let is_named = id.is_none() || key.common.key_id.as_deref() == id;
        signs && is_named && key.common.key_algorithm.is_none_or(|said| is_same(said, algorithm))
    };
    let mut fitting = keys.keys.iter().filter(fits);
    let first = fitting.next()?;
    (id.is_some() || fitting.next().is_none()).then(|| first.clone())
}

fn is_same(said: KeyAlgorithm, algorithm: Algorithm) -> bool {
    said.to_string() == format!("{algorithm:?}")
}
