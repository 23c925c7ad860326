//! Keys of an issuer, fetched when they are needed, and again when a token names an unknown key.

use crate::http::{check_trusted_url, in_words, is_exposed};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long keys are used before they are fetched again. A key that the issuer withdraws stays valid for at most this
/// time.
const REFRESH_AFTER: Duration = Duration::from_secs(3600);
/// How long keys are used while the issuer does not answer. An attacker who blocks the issuer cannot keep a withdrawn
/// key alive.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// The shortest interval of fetches: tokens with invented keys do not cause more of them.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Timeout of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The part of an issuer's discovery document that names the URL of its keys (OpenID Connect Discovery 1.0).
#[derive(Deserialize)]
struct Discovery {
    issuer: Option<String>,
    jwks_uri: String,
}

/// The result of the last fetch.
#[derive(Default)]
struct Fetched {
    keys: Option<JwkSet>,
    /// The time of the last attempt, successful or not.
    tried_at: Option<Instant>,
    /// The time of the last success.
    fetched_at: Option<Instant>,
}

impl Fetched {
    fn is_old(&self) -> bool {
        self.fetched_at.is_none_or(|at| at.elapsed() > REFRESH_AFTER)
    }

    /// The keys, unless they are too old.
    fn usable(&self) -> Option<&JwkSet> {
        self.keys.as_ref().filter(|_| self.fetched_at.is_some_and(|at| at.elapsed() <= MAX_AGE))
    }

    fn may_fetch(&self) -> bool {
        self.tried_at.is_none_or(|at| at.elapsed() > MIN_INTERVAL)
    }
}

pub(super) struct Keys {
    client: reqwest::Client,
    /// The issuer of the keys.
    issuer: String,
    url: Option<String>,
    fetched: RwLock<Fetched>,
    /// Held during a fetch. A call that finds its key does not wait for it.
    fetching: Mutex<()>,
}

impl Keys {
    pub(super) fn new(issuer: &str, url: Option<String>) -> Result<Self, String> {
        let source = url.as_deref().unwrap_or(issuer);
        if is_exposed(source) {
            return Err(format!("{source} is `http://` to another machine: the network in between could forge keys"));
        }
        let client = crate::http::client(FETCH_TIMEOUT)?;
        Ok(Self { client, issuer: issuer.to_owned(), url, fetched: RwLock::default(), fetching: Mutex::default() })
    }

    /// The key with that ID for that algorithm; `None` if the issuer has no such key.
    ///
    /// # Errors
    /// When no keys are available, with the reason for the log.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Option<Jwk>, String> {
        let (known, is_old) = self.known(id, algorithm);
        if known.is_some() {
            // One caller fetches old keys again; until the answer arrives, all others use the old keys.
            if is_old && let Ok(_guard) = self.fetching.try_lock() {
                return match self.fetch_unless_recent().await {
                    Ok(()) => Ok(self.known(id, algorithm).0),
                    Err(error) => {
                        tracing::warn!(error, "the keys of the issuer are not available: using the known keys");
                        Ok(known)
                    }
                };
            }
            return Ok(known);
        }
        let _guard = self.fetching.lock().await;
        let outcome = self.fetch_unless_recent().await;
        match (self.read().usable(), outcome) {
            (Some(keys), _) => Ok(pick(keys, id, algorithm)),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err("the issuer did not answer a moment ago".to_owned()),
        }
    }

    /// Fetches the keys unless they are recent.
    ///
    /// # Errors
    /// When they cannot be fetched, and no usable keys are known.
    pub(super) async fn refresh(&self) -> Result<(), String> {
        if !self.read().is_old() {
            return Ok(());
        }
        let _guard = self.fetching.lock().await;
        let fetched = self.fetch().await;
        if self.read().usable().is_some() { Ok(()) } else { fetched }
    }

    /// The key, if it is known, and whether the known keys are old.
    fn known(&self, id: Option<&str>, algorithm: Algorithm) -> (Option<Jwk>, bool) {
        let fetched = self.read();
        (fetched.usable().and_then(|keys| pick(keys, id, algorithm)), fetched.is_old())
    }

    fn read(&self) -> RwLockReadGuard<'_, Fetched> {
        self.fetched.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Fetched> {
        self.fetched.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the keys, unless the last attempt was a moment ago.
    async fn fetch_unless_recent(&self) -> Result<(), String> {
        if !self.read().may_fetch() {
            return Ok(());
        }
        self.fetch().await
    }

    async fn fetch(&self) -> Result<(), String> {
        let answer = self.fetch_keys().await;
        // Measured from the end of the fetch: callers that waited for a slow issuer do not wait for it again.
        let now = Instant::now();
        let mut fetched = self.write();
        fetched.tried_at = Some(now);
        (fetched.keys, fetched.fetched_at) = (Some(answer?), Some(now));
        Ok(())
    }

    /// Fetches the current keys of the issuer.
    async fn fetch_keys(&self) -> Result<JwkSet, String> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => self.discover_url().await?,
        };
        self.get(&url).await
    }

    /// The URL of the keys in the issuer's discovery document.
    async fn discover_url(&self) -> Result<String, String> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let Discovery { issuer, jwks_uri } = self.get(&url).await?;
        match issuer.filter(|named| *named != self.issuer) {
            // The keys of another issuer prove nothing (OpenID Connect Discovery 1.0, 4.3).
            Some(other) => Err(format!("{url}: it describes the issuer `{other}`")),
            None => match check_trusted_url(&jwks_uri) {
                Ok(_) => Ok(jwks_uri),
                Err(why) => Err(format!("{url}: its `jwks_uri` cannot be used: {why}")),
            },
        }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let answer = async { self.client.get(url).send().await?.error_for_status()?.json().await };
        answer.await.map_err(|error: reqwest::Error| format!("{url}: {}", in_words(&error)))
    }
}

/// The key with that ID for that algorithm. Without an ID, the only key for the algorithm.
fn pick(keys: &JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let is_named = |key: &&Jwk| id.is_none() || key.common.key_id.as_deref() == id;
    let mut fitting = keys.keys.iter().filter(|key| verifies(key, algorithm)).filter(is_named);
    let first = fitting.next()?;
    (id.is_some() || fitting.next().is_none()).then(|| first.clone())
}

/// Whether a key verifies signatures of that algorithm, by its type and all that the issuer states.
fn verifies(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_of_kind = match key.algorithm {
        AlgorithmParameters::RSA(_) => algorithm.family() == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(_) => algorithm.family() == AlgorithmFamily::Ec,
        AlgorithmParameters::OctetKeyPair(_) => algorithm.family() == AlgorithmFamily::Ed,
        // Symmetric keys, and unknown types.
        _ => false,
    };
    let common = &key.common;
    is_of_kind
        && !matches!(common.public_key_use, Some(PublicKeyUse::Encryption))
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
        && common.key_algorithm.is_none_or(|named| is_same(named, algorithm))
}

fn is_same(named: KeyAlgorithm, algorithm: Algorithm) -> bool {
    named.to_string() == format!("{algorithm:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn picked(keys: Json, id: Option<&str>, algorithm: Algorithm) -> Option<String> {
        let keys: JwkSet = serde_json::from_value(json!({ "keys": keys })).unwrap();
        let key = pick(&keys, id, algorithm)?;
        Some(serde_json::to_value(key).unwrap()["kty"].as_str().unwrap().to_owned())
    }

    #[test]
    fn key_is_picked_by_type_and_use() {
        let rsa = json!({"kty": "RSA", "kid": "1", "n": "AQ", "e": "AQAB"});
        let ec = json!({"kty": "EC", "kid": "1", "crv": "P-256", "x": "AQ", "y": "AQ"});
        let shared = json!({"kty": "oct", "kid": "1", "k": "AQ"});
        let unknown = json!({"kty": "AKP", "kid": "1", "alg": "ML-DSA-44", "pub": "AQ"});
        let odd = json!({"kty": "EC", "kid": "1", "crv": "secp256k1", "x": "AQ", "y": "AQ"});
        // Keys of other or unknown types are ignored, with the same ID or without one.
        let all = json!([unknown, odd, shared, ec, rsa]);
        for id in [Some("1"), None] {
            assert_eq!(picked(all.clone(), id, Algorithm::RS256).as_deref(), Some("RSA"));
            assert_eq!(picked(all.clone(), id, Algorithm::ES256).as_deref(), Some("EC"));
            assert_eq!(picked(all.clone(), id, Algorithm::EdDSA), None);
        }
        assert_eq!(picked(all.clone(), Some("2"), Algorithm::RS256), None);
        assert_eq!(picked(json!([rsa, rsa]), None, Algorithm::RS256), None, "two keys without an ID are ambiguous");
        for (name, value) in [
            ("use", json!("enc")),
            ("alg", json!("RS384")),
            ("alg", json!("RSA-OAEP")),
            ("key_ops", json!(["encrypt"])),
            ("key_ops", json!([])),
        ] {
            let mut key = rsa.clone();
            key[name] = value;
            assert_eq!(picked(json!([key]), Some("1"), Algorithm::RS256), None, "{key}");
        }
        for (name, value) in [("use", json!("sig")), ("alg", json!("RS256")), ("key_ops", json!(["verify"]))] {
            let mut key = rsa.clone();
            key[name] = value;
            assert!(picked(json!([key]), Some("1"), Algorithm::RS256).is_some(), "{key}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_a_silent_issuer_expire() {
        let fetched_at = Some(Instant::now());
        let fetched = Fetched { keys: Some(JwkSet { keys: Vec::new() }), tried_at: fetched_at, fetched_at };
        for (after, is_old, is_usable) in
            [(REFRESH_AFTER, false, true), (MAX_AGE - REFRESH_AFTER, true, true), (REFRESH_AFTER, true, false)]
        {
            tokio::time::advance(after).await;
            assert_eq!((fetched.is_old(), fetched.usable().is_some()), (is_old, is_usable));
        }
    }
}
