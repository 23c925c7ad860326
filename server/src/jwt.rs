//! Tokens (JWT, RFC 7519) that an issuer signed, by keys that it shows (JWKS, RFC 7517): for callers of the server, and for
//! what else a process serves beside it.

mod keys;
mod signature;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use keys::Keys;
use serde_json::{Map, Value as Json};
use std::time::Duration;

pub use jsonwebtoken::Algorithm;

/// How tokens may be signed: by keys that only the issuer has.
pub const ALGORITHMS: [Algorithm; 9] = signature::ALGORITHMS;

/// How far the clocks of an issuer and of this machine may differ.
pub(crate) const LEEWAY: Duration = Duration::from_secs(60);

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
    /// The types that they may have.
    pub types: Accepted,
    /// The clients that they may have been issued to (`azp`).
    pub clients: Accepted,
}

/// Which values of a header or a claim are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Accepted {
    /// All of them.
    #[default]
    Any,
    /// Those that are safe for access tokens.
    Usual,
    /// These.
    Of(Vec<String>),
}

/// The types of access tokens: RFC 7519, 5.1, and RFC 9068, 2.1.
const TYPES: [&str; 2] = ["JWT", "at+jwt"];
const MEDIA_TYPE: &str = "application/";
/// What Keycloak writes into the claim `typ` of tokens that are for no call.
const OTHER_TYPES: [&str; 4] = ["ID", "Refresh", "Offline", "Logout"];

impl Trust {
    /// Whether a token of this head is one to call with. A head need not name a type.
    fn accepts_type(&self, named: Option<&str>) -> bool {
        let Some(named) = named else { return true };
        // A type may be written as the media type that it is short for (RFC 7515, 4.1.9).
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

    /// Whether claims are those of a token to call with, by what Keycloak says there.
    fn accepts_kind(&self, claims: &Map<String, Json>) -> bool {
        let kind = claims.get("typ").and_then(Json::as_str).unwrap_or_default();
        self.types == Accepted::Any || !OTHER_TYPES.iter().any(|other| other.eq_ignore_ascii_case(kind))
    }

    /// Whether the client that a token was issued to may call: `azp` names it (OpenID Connect Core 1.0, 2), in access tokens
    /// also `client_id` (RFC 9068, 2.2) or `appid` (version 1.0 of the Microsoft identity platform). A token for several
    /// audiences names by `azp` which of them may use it (OpenID Connect Core 1.0, 3.1.3.7).
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
        if !self.trust.accepts_type(head.typ.as_deref()) {
            return Err(Refused::Token("the token is of another type (`typ`) than those that are accepted"));
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
