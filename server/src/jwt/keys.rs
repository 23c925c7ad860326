//! The keys of an issuer: fetched when they are needed, and again when a token names one that is not among them.

use crate::http::{check_trusted_url, in_words, is_exposed};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long keys are taken without asking again: what an issuer withdraws is withdrawn by then.
const HOLD: Duration = Duration::from_secs(3600);
/// How long they are taken while the issuer does not answer: whoever keeps it from answering does not keep a withdrawn key.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Who sends tokens with made-up keys does not make this server ask more often.
const LEAST: Duration = Duration::from_secs(10);
/// How long the issuer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The part of an issuer's description that says where its keys are (OpenID Connect Discovery 1.0).
#[derive(Deserialize)]
struct Discovery {
    issuer: Option<String>,
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

    /// The keys, unless they are too old to be taken.
    fn usable(&self) -> Option<&JwkSet> {
        self.keys.as_ref().filter(|_| self.came.is_some_and(|at| at.elapsed() <= LONGEST))
    }

    fn may_be_asked(&self) -> bool {
        self.tried.is_none_or(|at| at.elapsed() > LEAST)
    }
}

pub(super) struct Keys {
    client: reqwest::Client,
    /// Whose they are.
    issuer: String,
    url: Option<String>,
    fetched: RwLock<Fetched>,
    /// Held by the one who asks: who finds a key does not wait for them.
    asking: Mutex<()>,
}

impl Keys {
    pub(super) fn new(issuer: &str, url: Option<String>) -> Result<Self, String> {
        let asked = url.as_deref().unwrap_or(issuer);
        if is_exposed(asked) {
            return Err(format!(
                "{asked} is `http://` to another machine: the network in between could answer with other keys"
            ));
        }
        let client = crate::http::client(PATIENCE)?;
        Ok(Self { client, issuer: issuer.to_owned(), url, fetched: RwLock::default(), asking: Mutex::default() })
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
        match (self.read().usable(), asked) {
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
        if self.read().usable().is_some() { Ok(()) } else { fetched }
    }

    /// The key, if it came, and whether all that came is old.
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
            None => self.described().await?,
        };
        self.get(&url).await
    }

    /// Where the issuer itself says that its keys are.
    async fn described(&self) -> Result<String, String> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let Discovery { issuer, jwks_uri } = self.get(&url).await?;
        match issuer.filter(|said| *said != self.issuer) {
            // Another's keys are no word of this one (OpenID Connect Discovery 1.0, 4.3).
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

/// The key of that name that signs in that way. Without a name it is the only one that does.
fn pick(keys: &JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let is_named = |key: &&Jwk| id.is_none() || key.common.key_id.as_deref() == id;
    let mut fitting = keys.keys.iter().filter(|key| verifies(key, algorithm)).filter(is_named);
    let first = fitting.next()?;
    (id.is_some() || fitting.next().is_none()).then(|| first.clone())
}

/// Whether a key is for signatures of that kind, by all that its issuer says of it.
fn verifies(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_of_kind = match key.algorithm {
        AlgorithmParameters::RSA(_) => algorithm.family() == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(_) => algorithm.family() == AlgorithmFamily::Ec,
        AlgorithmParameters::OctetKeyPair(_) => algorithm.family() == AlgorithmFamily::Ed,
        // A key that both sides know, and what is not known.
        _ => false,
    };
    let common = &key.common;
    is_of_kind
        && !matches!(common.public_key_use, Some(PublicKeyUse::Encryption))
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
        && common.key_algorithm.is_none_or(|said| is_same(said, algorithm))
}

fn is_same(said: KeyAlgorithm, algorithm: Algorithm) -> bool {
    said.to_string() == format!("{algorithm:?}")
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
    fn a_key_is_of_the_kind_and_for_what_it_is_taken() {
        let rsa = json!({"kty": "RSA", "kid": "1", "n": "AQ", "e": "AQAB"});
        let ec = json!({"kty": "EC", "kid": "1", "crv": "P-256", "x": "AQ", "y": "AQ"});
        let shared = json!({"kty": "oct", "kid": "1", "k": "AQ"});
        let unknown = json!({"kty": "AKP", "kid": "1", "alg": "ML-DSA-44", "pub": "AQ"});
        let odd = json!({"kty": "EC", "kid": "1", "crv": "secp256k1", "x": "AQ", "y": "AQ"});
        // Others of the same name, or without one, and such as nobody here knows, are in no one's way.
        let all = json!([unknown, odd, shared, ec, rsa]);
        for id in [Some("1"), None] {
            assert_eq!(picked(all.clone(), id, Algorithm::RS256).as_deref(), Some("RSA"));
            assert_eq!(picked(all.clone(), id, Algorithm::ES256).as_deref(), Some("EC"));
            assert_eq!(picked(all.clone(), id, Algorithm::EdDSA), None);
        }
        assert_eq!(picked(all.clone(), Some("2"), Algorithm::RS256), None);
        assert_eq!(picked(json!([rsa, rsa]), None, Algorithm::RS256), None, "which of two is not said");
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
    async fn keys_of_an_issuer_that_stays_away_are_not_taken_for_ever() {
        let came = Some(Instant::now());
        let fetched = Fetched { keys: Some(JwkSet { keys: Vec::new() }), tried: came, came };
        for (after, is_old, is_usable) in [(HOLD, false, true), (LONGEST - HOLD, true, true), (HOLD, true, false)] {
            tokio::time::advance(after).await;
            assert_eq!((fetched.is_old(), fetched.usable().is_some()), (is_old, is_usable));
        }
    }
}
