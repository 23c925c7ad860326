//! Callers with a token (JWT, RFC 7519) of an OpenID Connect issuer.

use super::limits::{Grant, Principal, claim_words};
use super::sign_in::SignInOffer;
use crate::answer::Refusal;
use crate::jwt::{ALGORITHMS, Accepted, LEEWAY, Refused, Trust, Verifier};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};
use std::time::Duration;

/// The trusted issuer, and what its roles allow.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// The issuer of the tokens: `iss`, compared literally.
    pub issuer: String,
    /// The required audience: one of `aud`.
    pub audience: String,
    /// The URL of the keys; `None` to read it from the issuer's discovery document
    /// (`/.well-known/openid-configuration`).
    pub jwks_url: Option<String>,
    /// Accepted token types.
    pub types: Accepted,
    /// Clients to which accepted tokens may have been issued.
    pub clients: Accepted,
    /// The claim with the caller's roles, a dotted path: `realm_access.roles`. A list, or words in a text.
    pub roles_claim: String,
    /// The claim with the caller's organisation, a dotted path.
    pub organisation_claim: Option<String>,
    /// The grant of each role.
    pub roles: Vec<(String, Grant)>,
    /// How people sign in; `None` if the server does not name it.
    pub sign_in: Option<Box<SignInOffer>>,
}

impl Oidc {
    /// Checks that the keys of the issuer can be fetched.
    ///
    /// # Errors
    /// When they cannot, with the reason.
    pub async fn check(&self) -> Result<(), String> {
        Issuer::new(self.clone())?.check().await
    }
}

/// Claims that may name the caller; the first existing one counts.
const NAMES: [&str; 4] = ["preferred_username", "email", "client_id", "sub"];

/// An issuer, with its keys.
pub(crate) struct Issuer {
    oidc: Oidc,
    verifier: Verifier,
}

impl Issuer {
    /// Creates an issuer without fetching its keys: the first call does that.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
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

    /// Checks that the keys of the issuer can be fetched.
    ///
    /// # Errors
    /// When they cannot.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.verifier.check().await
    }

    /// The principal of a token, with the grants of its roles.
    ///
    /// # Errors
    /// When the token is not a valid token of the issuer for this server.
    pub(super) async fn admit(&self, token: &str) -> Result<Principal, Refusal> {
        let claims = self.verifier.claims(token).await.map_err(|refused| match refused {
            Refused::Token(why) => Refusal::Unknown(why.into()),
            Refused::NoKeys => {
                Refusal::Unavailable("the keys of the issuer are not available now: try again later".to_owned())
            }
        })?;
        let principal = Principal::new(name(&claims), self.grants(&claims)).until(end(&claims));
        let claim = self.oidc.organisation_claim.as_deref();
        let organisation = claim.and_then(|path| crate::jwt::claim(&claims, path)?.as_str().map(str::to_owned));
        Ok(principal.issued_by(&self.oidc.issuer).of_organisation(organisation))
    }

    /// How people sign in.
    pub(super) fn sign_in_offer(&self) -> Option<&SignInOffer> {
        self.oidc.sign_in.as_deref()
    }

    /// True if the limits of a role hide any object.
    pub(super) fn hides(&self) -> bool {
        self.oidc.roles.iter().any(|(_, grant)| grant.hides())
    }

    /// The grants of the roles in the claims.
    fn grants(&self, claims: &Map<String, Json>) -> Vec<Grant> {
        let has = |role: &str| claim_words(claims, &self.oidc.roles_claim).any(|word| word == role);
        self.oidc.roles.iter().filter(|(role, _)| has(role)).map(|(_, grant)| grant.resolve_claims(claims)).collect()
    }
}

/// The check of a token counts whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// When a valid token ends, including the tolerated clock difference. `None` for a time outside the range of
/// timestamps.
fn end(claims: &Map<String, Json>) -> Option<Timestamp> {
    let expires = SignedDuration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(expires).and_then(|end| end.checked_add(LEEWAY + TICK)).ok()
}

fn name(claims: &Map<String, Json>) -> String {
    let name = NAMES.iter().find_map(|claim| claims.get(*claim)?.as_str().filter(|name| !name.trim().is_empty()));
    name.unwrap_or("unnamed caller").to_owned()
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
