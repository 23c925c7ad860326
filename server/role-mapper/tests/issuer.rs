//! A fake issuer of tokens whose keys can change.

use axum::routing::get;
use axum::{Json as Body, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// A signing key of tokens.
pub(crate) struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), pair }
    }

    /// The public key as a JWK (RFC 7517).
    fn published(&self) -> Json {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE.encode(&point[1..33]), URL_SAFE.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y})
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Json) -> String {
        self.sign_with(&json!({"alg": "ES256", "kid": self.id, "typ": "JWT"}), claims)
    }

    /// A token with another head.
    pub(crate) fn sign_with(&self, head: &Json, claims: &Json) -> String {
        let part = |json: &Json| URL_SAFE.encode(json.to_string());
        let text = format!("{}.{}", part(head), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE.encode(signature.as_ref()))
    }
}

/// An issuer with its keys.
pub(crate) struct Issuer {
    pub(crate) url: String,
    published: Arc<Mutex<Vec<Json>>>,
    key_requests: Arc<AtomicUsize>,
    discovery: Arc<Mutex<Json>>,
}

impl Issuer {
    pub(crate) async fn with(key: &Key) -> Self {
        let published = Arc::new(Mutex::new(vec![key.published()]));
        let key_requests = Arc::<AtomicUsize>::default();
        let (keys, count) = (Arc::clone(&published), Arc::clone(&key_requests));
        let discovery = Arc::<Mutex<Json>>::default();
        let description = Arc::clone(&discovery);
        let routes = Router::new()
            .route(
                "/keys",
                get(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    let keys = keys.lock().unwrap().clone();
                    async move { Body(json!({"keys": keys})) }
                }),
            )
            .route(
                "/.well-known/openid-configuration",
                get(move || {
                    let description = description.lock().unwrap().clone();
                    async move { Body(description) }
                }),
            );
        Self { url: crate::mapper::serve(routes).await, published, key_requests, discovery }
    }

    /// Sets the issuer in its discovery document.
    pub(crate) fn set_discovered_issuer(&self, issuer: &str) {
        *self.discovery.lock().unwrap() = json!({"issuer": issuer, "jwks_uri": format!("{}/keys", self.url)});
    }

    /// Replaces all keys by this one.
    pub(crate) fn rotate(&self, key: &Key) {
        *self.published.lock().unwrap() = vec![key.published()];
    }

    /// The number of requests for its keys.
    pub(crate) fn key_requests(&self) -> usize {
        self.key_requests.load(Ordering::SeqCst)
    }

    /// The claims of a token for `ada`, with other or further claims; null removes a claim.
    #[expect(clippy::disallowed_methods, reason = "tokens expire by the system clock")]
    pub(crate) fn claims(&self, more: &Json) -> Json {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"iss": self.url, "aud": "hasura", "exp": now + 600, "unique_name": "ada@example.com",
            "oid": "11111111-2222-3333-4444-555555555555"});
        for (name, value) in more.as_object().unwrap() {
            match value {
                Json::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }
}
