//! Callers that an OpenID Connect issuer vouches for: they show a token (JWT, RFC 7519) that it signed.

use super::limits::words;
use super::{Grant, Principal};
use crate::answer::Refusal;
use crate::jwt::{ALGORITHMS, Accepted, LEEWAY, Refused, Trust, Verifier};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};
use std::time::Duration;

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
    pub roles: Vec<(String, Grant)>,
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

    /// The principal of a token, with what its roles allow, if anything.
    ///
    /// # Errors
    /// When it is not a valid token of the issuer for this server.
    pub(super) async fn admit(&self, token: &str) -> Result<Principal, Refusal> {
        let claims = self.verifier.claims(token).await.map_err(|refused| match refused {
            Refused::Token(why) => Refusal::Unknown(why.into()),
            Refused::NoKeys => {
                Refusal::Unavailable("the keys of the issuer cannot be had now: try again later".to_owned())
            }
        })?;
        Ok(Principal::new(name(&claims), self.grants(&claims)).until(end(&claims)))
    }

    /// True when the limits of a role hide something.
    pub(super) fn hides(&self) -> bool {
        self.oidc.roles.iter().any(|(_, grant)| grant.hides())
    }

    /// The grants of the roles in the claims.
    fn grants(&self, claims: &Map<String, Json>) -> Vec<Grant> {
        let has = |role: &str| words(claims, &self.oidc.roles_claim).any(|word| word == role);
        self.oidc.roles.iter().filter(|(role, _)| has(role)).map(|(_, grant)| grant.of_claims(claims)).collect()
    }
}

/// The check of a token counts whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// When a valid token ends, for clocks that differ as much as they may: from then on it is refused. `None` for a time that no
/// clock will show.
fn end(claims: &Map<String, Json>) -> Option<Timestamp> {
    let expires = SignedDuration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(expires).and_then(|end| end.checked_add(LEEWAY + TICK)).ok()
}

fn name(claims: &Map<String, Json>) -> String {
    let name = NAMES.iter().find_map(|claim| claims.get(*claim)?.as_str().filter(|name| !name.trim().is_empty()));
    name.unwrap_or("somebody without a name").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn principal_expires_with_its_token() {
        let end = |expires: Json| end(json!({"exp": expires}).as_object().unwrap()).map(Timestamp::as_second);
        assert_eq!([end(json!(1_000)), end(json!(1_000.4)), end(json!(-5))], [Some(1_061), Some(1_061), Some(56)]);
        assert_eq!([json!(u64::MAX), json!(1e300), json!("soon"), Json::Null].map(end), [None; 4]);
        let principal = Principal::new("ada".to_owned(), Vec::new()).until(Some(Timestamp::UNIX_EPOCH));
        assert!(principal.is_expired(Timestamp::UNIX_EPOCH) && !principal.is_expired(Timestamp::MIN));
        assert!(!Principal::unlimited(None).is_expired(Timestamp::MAX));
    }
}
