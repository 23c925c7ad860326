//! Callers that an OpenID Connect issuer vouches for: they show a token (JWT, RFC 7519) that it signed.

use super::Scope;
use crate::answer::Refusal;
use crate::jwt::{ALGORITHMS, Accepted, Refused, Trust, Verifier, claim};
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
    /// The types that tokens may have.
    pub types: Accepted,
    /// The clients that they may have been issued to.
    pub clients: Accepted,
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
    verifier: Verifier,
}

impl Issuer {
    /// Nothing is fetched before somebody calls.
    ///
    /// # Errors
    /// When nothing can be fetched at all.
    pub(super) fn new(oidc: Oidc) -> Result<Self, String> {
        let trust = Trust {
            issuers: vec![oidc.issuer.clone()],
            audiences: vec![oidc.audience.clone()],
            jwks_url: oidc.jwks_url.clone(),
            algorithms: ALGORITHMS.to_vec(),
            types: oidc.types.clone(),
            clients: oidc.clients.clone(),
        };
        Ok(Self { oidc, verifier: Verifier::new(trust)? })
    }

    /// Whether its keys can be had.
    ///
    /// # Errors
    /// When they cannot.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.verifier.check().await
    }

    /// Whose token it is, and what it allows, if anything.
    ///
    /// # Errors
    /// When it is not a valid token of the issuer for this server.
    pub(super) async fn admit(&self, token: &str) -> Result<(String, Option<Scope>), Refusal> {
        let claims = self.verifier.claims(token).await.map_err(|refused| match refused {
            Refused::Token(why) => Refusal::Unknown(why.into()),
            Refused::NoKeys => {
                Refusal::Unavailable("the keys of the issuer cannot be had now: try again later".to_owned())
            }
        })?;
        Ok((name(&claims), self.scope(&claims)))
    }

    /// The largest scope of the roles that the claims have.
    fn scope(&self, claims: &Map<String, Json>) -> Option<Scope> {
        let roles = claim(claims, &self.oidc.roles_claim)?;
        let has = |role: &str| match roles {
            Json::Array(list) => list.iter().any(|one| one.as_str() == Some(role)),
            Json::String(words) => words.split_whitespace().any(|word| word == role),
            _ => false,
        };
        self.oidc.roles.iter().filter(|(role, _)| has(role)).map(|(_, scope)| *scope).max()
    }
}

fn name(claims: &Map<String, Json>) -> String {
    let name = NAMES.iter().find_map(|claim| claims.get(*claim)?.as_str().filter(|name| !name.trim().is_empty()));
    name.unwrap_or("somebody without a name").to_owned()
}
