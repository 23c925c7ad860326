//! Verification of tokens (JWT, RFC 7519) with the keys of an issuer (JWKS, RFC 7517), for callers of the server and of
//! other services, such as the role mapper.

mod keys;
mod signature;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use keys::Keys;
use serde_json::{Map, Value as Json};
use std::time::Duration;

pub use jsonwebtoken::Algorithm;

/// The accepted signature algorithms: asymmetric ones, whose private key only the issuer has.
pub const ALGORITHMS: [Algorithm; 9] = signature::ALGORITHMS;

/// The largest accepted clock difference between an issuer and this machine.
pub(crate) const LEEWAY: Duration = Duration::from_secs(60);

/// Which tokens are accepted.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Accepted issuers (`iss`), compared literally. The discovery document of the first names the URL of the keys.
    pub issuers: Vec<String>,
    /// Accepted audiences: one of them must be in `aud`.
    pub audiences: Vec<String>,
    /// The URL of the keys; `None` to read it from the first issuer's discovery document
    /// (`/.well-known/openid-configuration`).
    pub jwks_url: Option<String>,
    /// Accepted signature algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Accepted types.
    pub types: Accepted,
    /// Clients to which accepted tokens may have been issued (`azp`).
    pub clients: Accepted,
}

/// Which values of a header or a claim are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Accepted {
    /// All values.
    #[default]
    Any,
    /// The values that are safe for access tokens.
    Usual,
    /// These values.
    Of(Vec<String>),
}

/// The types of access tokens: RFC 7519, 5.1, and RFC 9068, 2.1.
const TYPES: [&str; 2] = ["JWT", "at+jwt"];
const MEDIA_TYPE: &str = "application/";
/// Values of the claim `typ` in Keycloak's tokens that are not access tokens.
const OTHER_TYPES: [&str; 4] = ["ID", "Refresh", "Offline", "Logout"];

impl Trust {
    /// Whether the head has the type of an access token. A head need not name a type.
    fn accepts_type(&self, named: Option<&str>) -> bool {
        let Some(named) = named else { return true };
        // A type may be written as the media type that it abbreviates (RFC 7515, 4.1.9).
        let named = match named.split_at_checked(MEDIA_TYPE.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(MEDIA_TYPE) => rest,
            _ => named,
        };
        let is = |known: &str| known.eq_ignore_ascii_case(named);
        match &self.types {
            Accepted::Any => true,
            Accepted::Usual => TYPES.iter().any(|known| is(known)),
            Accepted::Of(types) => types.iter().any(|known| is(known)),
        }
    }

    /// Whether the claim `typ` of Keycloak allows access.
    fn accepts_kind(&self, claims: &Map<String, Json>) -> bool {
        let kind = claims.get("typ").and_then(Json::as_str).unwrap_or_default();
        self.types == Accepted::Any || !OTHER_TYPES.iter().any(|other| other.eq_ignore_ascii_case(kind))
    }

    /// Whether the client to which a token was issued may call. `azp` names the client (OpenID Connect Core 1.0, 2), in
    /// access tokens also `client_id` (RFC 9068, 2.2) or `appid` (version 1.0 of the Microsoft identity platform). A
    /// token for several audiences names in `azp` the one that may use it (OpenID Connect Core 1.0, 3.1.3.7).
    fn accepts_client(&self, claims: &Map<String, Json>) -> bool {
        let is_among = |client: &Json, names: &[String]| {
            client.as_str().is_some_and(|client| names.iter().any(|name| name == client))
        };
        match &self.clients {
            Accepted::Any => true,
            Accepted::Usual => {
                let several = claims.get("aud").and_then(Json::as_array).is_some_and(|audiences| audiences.len() > 1);
                !several || claims.get("azp").is_none_or(|client| is_among(client, &self.audiences))
            }
            Accepted::Of(clients) => ["azp", "client_id", "appid"]
                .iter()
                .find_map(|name| claims.get(*name))
                .is_some_and(|client| is_among(client, clients)),
        }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The token is invalid, with a reason that reveals no content.
    Token(&'static str),
    /// The keys are not available; the log has the reason.
    NoKeys,
}

/// Verifies tokens with the issuer's keys, and fetches new keys when needed.
pub struct Verifier {
    trust: Trust,
    keys: Keys,
}

impl Verifier {
    /// Creates a verifier without fetching keys: the first token does that.
    ///
    /// # Errors
    /// When the HTTP client cannot be built, with the reason.
    pub fn new(trust: Trust) -> Result<Self, String> {
        signature::install();
        let first = trust.issuers.first().map(String::as_str).unwrap_or_default();
        let keys = Keys::new(first, trust.jwks_url.clone())?;
        Ok(Self { trust, keys })
    }

    /// Checks that the keys can be fetched.
    ///
    /// # Errors
    /// When they cannot, with the reason.
    pub async fn check(&self) -> Result<(), String> {
        self.keys.refresh().await
    }

    /// The claims of a valid token.
    ///
    /// # Errors
    /// When it is not a valid token of an accepted issuer, for this audience, at this time.
    pub async fn claims(&self, token: &str) -> Result<Map<String, Json>, Refused> {
        let head = decode_header(token).map_err(|_| Refused::Token("the token is not a JWT"))?;
        if !self.trust.algorithms.contains(&head.alg) || !ALGORITHMS.contains(&head.alg) {
            return Err(Refused::Token("the token has a signature algorithm that is not accepted"));
        }
        if !self.trust.accepts_type(head.typ.as_deref()) {
            return Err(Refused::Token("the token has a type (`typ`) that is not accepted"));
        }
        // A recipient must refuse a token with critical extensions that it does not know (RFC 7515, 4.1.11). This one
        // knows none.
        if head.crit.is_some() {
            return Err(Refused::Token("the token has unknown critical extensions (`crit`)"));
        }
        let key = self.keys.find(head.kid.as_deref(), head.alg).await.map_err(|error| {
            tracing::warn!(error, issuers = ?self.trust.issuers, "the keys of the issuer are not available");
            Refused::NoKeys
        })?;
        let key = key.ok_or(Refused::Token("the issuer does not have the key of this token"))?;
        let key = DecodingKey::from_jwk(&key).map_err(|_| Refused::Token("the issuer's key cannot be used"))?;
        let mut validation = Validation::new(head.alg);
        validation.set_audience(&self.trust.audiences);
        validation.set_issuer(&self.trust.issuers);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        let claims = decode::<Map<String, Json>>(token, &key, &validation);
        let claims = claims.map(|claims| claims.claims).map_err(|error| Refused::Token(why(error.kind())))?;
        if !self.trust.accepts_kind(&claims) {
            return Err(Refused::Token("the token is for another purpose than access (`typ`)"));
        }
        match self.trust.accepts_client(&claims) {
            true => Ok(claims),
            false => Err(Refused::Token("the token does not name an accepted client (`azp`, `client_id`)")),
        }
    }
}

/// A claim by its name, which may be a URL, else by its dotted path through nested objects.
#[must_use]
pub fn claim<'c>(claims: &'c Map<String, Json>, path: &str) -> Option<&'c Json> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// The problem with a token, without any of its content.
fn why(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidIssuer => "the token is from another issuer",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks `exp`, `iss` or `aud`",
        ErrorKind::InvalidSignature => "the token was not signed by the issuer",
        _ => "the token cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trust(types: Accepted, clients: Accepted) -> Trust {
        let audiences = vec!["terrace".to_owned()];
        Trust { issuers: Vec::new(), audiences, jwks_url: None, algorithms: Vec::new(), types, clients }
    }

    #[test]
    fn token_of_another_type_is_refused() {
        let usual = trust(Accepted::Usual, Accepted::Usual);
        for (named, is_accepted) in [
            (None, true),
            (Some("JWT"), true),
            (Some("jwt"), true),
            (Some("at+JWT"), true),
            (Some("application/at+jwt"), true),
            (Some(""), false),
            (Some("logout+jwt"), false),
            (Some("dpop+jwt"), false),
            (Some("application/"), false),
            (Some("äöüäöüäöü"), false),
        ] {
            assert_eq!(usual.accepts_type(named), is_accepted, "{named:?}");
            assert!(trust(Accepted::Any, Accepted::Any).accepts_type(named));
        }
        let own = trust(Accepted::Of(vec!["own+jwt".to_owned()]), Accepted::Any);
        assert!(own.accepts_type(Some("OWN+jwt")) && !own.accepts_type(Some("JWT")));
        for (kind, is_accepted) in [("Bearer", true), ("ID", false), ("Refresh", false), ("offline", false)] {
            let claims = json!({"typ": kind});
            assert_eq!(usual.accepts_kind(claims.as_object().unwrap()), is_accepted, "{kind}");
        }
    }

    #[test]
    fn token_for_several_audiences_is_refused_if_it_was_issued_to_another_client() {
        let accepts =
            |clients: Accepted, claims: Json| trust(Accepted::Any, clients).accepts_client(claims.as_object().unwrap());
        let both = |client: &str| json!({"aud": ["terrace", "account"], "azp": client});
        let one = |client: &str| json!({"aud": "terrace", "azp": client});
        let listed = || Accepted::Of(vec!["portal".to_owned()]);
        for (clients, claims, is_accepted) in [
            (Accepted::Usual, json!({"aud": ["terrace", "account"]}), true),
            (Accepted::Usual, both("terrace"), true),
            (Accepted::Usual, both("portal"), false),
            (Accepted::Usual, json!({"aud": ["terrace", "account"], "azp": ["terrace"]}), false),
            (Accepted::Usual, one("portal"), true),
            (listed(), both("portal"), true),
            (listed(), one("portal"), true),
            (listed(), one("other"), false),
            (listed(), json!({"aud": "terrace"}), false),
            (listed(), json!({"aud": "terrace", "client_id": "portal"}), true),
            (listed(), json!({"aud": "terrace", "appid": "portal"}), true),
            (listed(), json!({"aud": "terrace", "azp": "other", "client_id": "portal"}), false),
            (Accepted::Any, both("other"), true),
        ] {
            assert_eq!(accepts(clients.clone(), claims.clone()), is_accepted, "{clients:?} {claims}");
        }
    }

    #[test]
    fn claim_is_found_by_name_or_path() {
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
