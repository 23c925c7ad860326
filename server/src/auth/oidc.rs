//! Callers that an OpenID Connect issuer vouches for: they show a token (JWT, RFC 7519) that it signed.

use super::Scope;
use super::keys::Keys;
use super::signature;
use crate::answer::Refusal;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value as Json};

/// Whose tokens are taken, and what they allow.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// Who signs them: `iss`, letter by letter.
    pub issuer: String,
    /// For whom they have to be: one of `aud`.
    pub audience: String,
    /// Where its keys are; `None` where its own description says so (`/.well-known/openid-configuration`).
    pub jwks_url: Option<String>,
    /// The claim with the roles of a caller, a path with dots: `realm_access.roles`. A list, or words in a text.
    pub roles_claim: String,
    /// What each role allows.
    pub roles: Vec<(String, Scope)>,
}

impl Oidc {
    /// Whether the keys of the issuer can be had now.
    ///
    /// # Errors
    /// When they cannot, in words.
    pub async fn check(&self) -> Result<(), String> {
        Issuer::new(self.clone())?.check().await
    }
}

/// The claims by which callers are named, the first that there is.
const NAMES: [&str; 4] = ["preferred_username", "email", "client_id", "sub"];

/// An issuer, with its keys.
pub(crate) struct Issuer {
    oidc: Oidc,
    keys: Keys,
}

impl Issuer {
    /// Nothing is fetched before somebody calls.
    ///
    /// # Errors
    /// When nothing can be fetched at all.
    pub(super) fn new(oidc: Oidc) -> Result<Self, String> {
        signature::install();
        let keys = Keys::new(&oidc.issuer, oidc.jwks_url.clone())?;
        Ok(Self { oidc, keys })
    }

    /// Whether its keys can be had.
    ///
    /// # Errors
    /// When they cannot.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.keys.refresh().await
    }

    /// Whose token it is, and what it allows, if anything.
    ///
    /// # Errors
    /// When it is not a valid token of the issuer for this server.
    pub(super) async fn admit(&self, token: &str) -> Result<(String, Option<Scope>), Refusal> {
        let head = decode_header(token).map_err(|_| refused("the token is no JWT"))?;
        if !signature::ALGORITHMS.contains(&head.alg) {
            return Err(refused("the token is signed in a way that is not taken"));
        }
        let key = self.keys.find(head.kid.as_deref(), head.alg).await.map_err(|error| {
            tracing::warn!(error, issuer = self.oidc.issuer, "the keys of the issuer cannot be had");
            Refusal::Unavailable("the keys of the issuer cannot be had now: try again later".to_owned())
        })?;
        let key = key.ok_or_else(|| refused("the issuer has no such key as the token was signed with"))?;
        let key = DecodingKey::from_jwk(&key).map_err(|_| refused("the issuer's key cannot be used"))?;
        let mut validation = Validation::new(head.alg);
        validation.set_audience(&[&self.oidc.audience]);
        validation.set_issuer(&[&self.oidc.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims =
            decode::<Map<String, Json>>(token, &key, &validation).map_err(|error| refused(why(error.kind())))?;
        Ok((name(&claims.claims), self.scope(&claims.claims)))
    }

    /// The largest scope of the roles that the claims have.
    fn scope(&self, claims: &Map<String, Json>) -> Option<Scope> {
        let mut parts = self.oidc.roles_claim.split('.');
        let first = claims.get(parts.next()?)?;
        let roles = parts.try_fold(first, |value, part| value.get(part))?;
        let has = |role: &str| match roles {
            Json::Array(list) => list.iter().any(|one| one.as_str() == Some(role)),
            Json::String(words) => words.split_whitespace().any(|word| word == role),
            _ => false,
        };
        self.oidc.roles.iter().filter(|(role, _)| has(role)).map(|(_, scope)| *scope).max()
    }
}

fn name(claims: &Map<String, Json>) -> String {
    let name = NAMES.iter().find_map(|claim| claims.get(*claim)?.as_str());
    name.unwrap_or("somebody without a name").to_owned()
}

fn refused(why: &'static str) -> Refusal {
    Refusal::Unknown(why.into())
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
