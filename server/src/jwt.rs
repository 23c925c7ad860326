//! Tokens (JWT, RFC 7519) that an issuer signed, by keys that it shows (JWKS, RFC 7517): for callers of the server, and for
//! what else a process serves beside it.

mod keys;
mod signature;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use keys::Keys;
use serde_json::{Map, Value as Json};

pub use jsonwebtoken::Algorithm;

/// How tokens may be signed: by keys that only the issuer has.
pub const ALGORITHMS: [Algorithm; 9] = signature::ALGORITHMS;

/// Which tokens are taken.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Who signs them: one of these is `iss`, letter by letter. The description of the first says where the keys are.
    pub issuers: Vec<String>,
    /// For whom they have to be: one of these is one of `aud`.
    pub audiences: Vec<String>,
    /// Where the keys are; `None` where the first issuer's own description says so (`/.well-known/openid-configuration`).
    pub jwks_url: Option<String>,
    /// How they may be signed.
    pub algorithms: Vec<Algorithm>,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is wrong, and how, without a word of what is in it.
    Token(&'static str),
    /// There are no keys to be had; the log says why.
    NoKeys,
}

/// Reads tokens, with the keys that it fetched for them. Keys that change are fetched without being told.
pub struct Verifier {
    trust: Trust,
    keys: Keys,
}

impl Verifier {
    /// Nothing is fetched before the first token.
    ///
    /// # Errors
    /// When nothing can be fetched at all, in words.
    pub fn new(trust: Trust) -> Result<Self, String> {
        signature::install();
        let first = trust.issuers.first().map(String::as_str).unwrap_or_default();
        let keys = Keys::new(first, trust.jwks_url.clone())?;
        Ok(Self { trust, keys })
    }

    /// Whether there are keys to be had.
    ///
    /// # Errors
    /// When there are none, in words.
    pub async fn check(&self) -> Result<(), String> {
        self.keys.refresh().await
    }

    /// What a token says.
    ///
    /// # Errors
    /// When it is not a valid one of an issuer, for this audience, at this time.
    pub async fn claims(&self, token: &str) -> Result<Map<String, Json>, Refused> {
        let head = decode_header(token).map_err(|_| Refused::Token("the token is no JWT"))?;
        if !self.trust.algorithms.contains(&head.alg) || !ALGORITHMS.contains(&head.alg) {
            return Err(Refused::Token("the token is signed in a way that is not taken"));
        }
        // Whoever does not know what it names must not take the token (RFC 7515, 4.1.11), and nothing of that is known here.
        if head.crit.is_some() {
            return Err(Refused::Token("the token asks for something that is not known (`crit`)"));
        }
        let key = self.keys.find(head.kid.as_deref(), head.alg).await.map_err(|error| {
            tracing::warn!(error, issuers = ?self.trust.issuers, "the keys of the issuer cannot be had");
            Refused::NoKeys
        })?;
        let key = key.ok_or(Refused::Token("the issuer has no such key as the token was signed with"))?;
        let key = DecodingKey::from_jwk(&key).map_err(|_| Refused::Token("the issuer's key cannot be used"))?;
        let mut validation = Validation::new(head.alg);
        validation.set_audience(&self.trust.audiences);
        validation.set_issuer(&self.trust.issuers);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims = decode::<Map<String, Json>>(token, &key, &validation);
        claims.map(|claims| claims.claims).map_err(|error| Refused::Token(why(error.kind())))
    }
}

/// A claim by its name, which may be a URL, else by its path: the part before a dot is an object that has the rest.
#[must_use]
pub fn claim<'c>(claims: &'c Map<String, Json>, path: &str) -> Option<&'c Json> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// What is wrong with a token, without a word of what is in it.
fn why(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token does not hold yet",
        ErrorKind::InvalidAudience => "the token is for somebody else",
        ErrorKind::InvalidIssuer => "the token is from somebody else",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks `exp`, `iss` or `aud`",
        ErrorKind::InvalidSignature => "the token was not signed by the issuer",
        _ => "the token cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_has_a_name_or_a_path() {
        let claims = json!({"a": {"b": {"c": 1}}, "https://example.com/user": 2, "a.b": 3});
        let claims = claims.as_object().unwrap();
        let found = |path| claim(claims, path).and_then(Json::as_i64);
        assert_eq!(found("a.b.c"), Some(1));
        assert_eq!(found("https://example.com/user"), Some(2));
        assert_eq!(found("a.b"), Some(3));
        assert_eq!(found("a.c"), None);
        assert_eq!(found(""), None);
    }
}
