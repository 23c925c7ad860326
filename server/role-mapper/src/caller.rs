//! Caller of a request as roles name it: `user:` with the name in the token, `group:` with the name of the group.

use crate::groups::{GraphSettings, Groups, GroupsError};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use terrace_server::jwt::{Refused, Trust, Verifier, claim};

/// A caller with a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// `user:ada_example.com`.
    pub(crate) user: String,
    /// The groups as `group:developers`.
    pub(crate) groups: BTreeSet<String>,
    /// True if the token omits groups, and no other source is configured.
    pub(crate) lacks_groups: bool,
}

/// Why the caller is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unidentified {
    /// The token is missing or refused, with the reason for the log.
    Unknown(String),
    /// The keys or groups are not available, with the reason for the log.
    Unavailable(String),
}

/// Identifies callers by their tokens.
pub(crate) struct Reader {
    header_names: Vec<String>,
    verifier: Verifier,
    user_claim: String,
    groups: Groups,
}

impl Reader {
    /// Creates a reader that uses the first of these headers in a request.
    ///
    /// # Errors
    /// When an HTTP client cannot be built with these settings, with the reason.
    pub(crate) fn new(
        header_names: Vec<String>,
        trust: Trust,
        user_claim: String,
        groups_claim: Option<String>,
        graph: Option<GraphSettings>,
    ) -> Result<Self, String> {
        let groups = Groups::new(groups_claim, graph)?;
        Ok(Self { header_names, verifier: Verifier::new(trust)?, user_claim, groups })
    }

    /// Checks that the keys of the issuer can be fetched.
    ///
    /// # Errors
    /// When they cannot, with the reason for the log.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.verifier.check().await
    }

    /// The caller of a request with these headers.
    pub(crate) async fn read(&self, headers: &Map<String, Json>) -> Result<Caller, Unidentified> {
        let token = self.token(headers).ok_or_else(|| {
            Unidentified::Unknown(format!("none of the headers {} has a bearer token", self.header_names.join(", ")))
        })?;
        let claims = self.verifier.claims(token).await.map_err(|refused| match refused {
            Refused::Token(why) => Unidentified::Unknown(why.to_owned()),
            Refused::NoKeys => Unidentified::Unavailable("the keys of the issuer are not available".to_owned()),
        })?;
        let name = claim(&claims, &self.user_claim).and_then(Json::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Unidentified::Unknown(format!("the token lacks `{}`", self.user_claim)))?;
        let user_groups = self.groups.of(&claims).await.map_err(|error| match error {
            GroupsError::UnknownUser(why) => Unidentified::Unknown(why),
            GroupsError::Unavailable(why) => Unidentified::Unavailable(why),
        })?;
        let groups = user_groups.names.iter().map(|name| format!("group:{name}")).collect();
        Ok(Caller { user: user(name), groups, lacks_groups: user_groups.are_omitted })
    }

    /// The token of the first existing header. Header names are case-insensitive.
    fn token<'h>(&self, headers: &'h Map<String, Json>) -> Option<&'h str> {
        let find = |wanted: &String| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let (_, value) = self.header_names.iter().find_map(find)?;
        let (scheme, token) = value.as_str()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

/// The user as roles name it: references of a catalog have `_` instead of the first `@`.
fn user(name: &str) -> String {
    format!("user:{}", name.replacen('@', "_", 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use terrace_server::jwt::Accepted;

    #[test]
    fn at_sign_of_a_user_becomes_an_underscore() {
        assert_eq!(user("ada.lovelace@example.com"), "user:ada.lovelace_example.com");
        assert_eq!(user("Ada"), "user:Ada");
        assert_eq!(user("a@b@c"), "user:a_b@c");
    }

    #[test]
    fn first_existing_header_has_the_token() {
        let (types, clients) = (Accepted::Any, Accepted::Any);
        let trust = Trust { issuers: vec![], audiences: vec![], jwks_url: None, algorithms: vec![], types, clients };
        let names = vec!["X-Token".to_owned(), "authorization".to_owned()];
        let reader = Reader::new(names, trust, "sub".to_owned(), None, None).unwrap();
        let token = |headers: Json| reader.token(headers.as_object().unwrap()).map(str::to_owned);
        assert_eq!(token(json!({"Authorization": "bearer  a "})).as_deref(), Some("a"));
        assert_eq!(token(json!({"authorization": "Bearer a", "x-token": "Bearer b"})).as_deref(), Some("b"));
        for none in
            [json!({}), json!({"authorization": "Basic a"}), json!({"authorization": 7}), json!({"other": "Bearer a"})]
        {
            assert_eq!(token(none.clone()), None, "{none}");
        }
    }
}
