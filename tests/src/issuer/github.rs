//! Tokens and the REST API of GitHub in a small form, as strict about credentials, scopes and pages as GitHub.

use super::CLIENT;
use crate::peer::Call;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The secret of the application.
pub const APPLICATION_SECRET: &str = "secret-of-the-application";
/// The scope that shows organisations and teams.
const READ_ORG: &str = "read:org";
/// The size of a page. GitHub may return fewer items than requested.
const PAGE: usize = 2;

/// Status, headers and body of an answer.
pub(super) type Answer = (u16, Vec<(&'static str, String)>, Json);

/// The accounts and tokens of GitHub.
#[derive(Debug, Default)]
pub struct GitHub {
    /// The login of the person who signs in.
    pub login: String,
    /// The person's organisations, with the state of the membership.
    pub organisations: Vec<(&'static str, &'static str)>,
    /// The person's teams: organisation and slug.
    pub teams: Vec<(&'static str, &'static str)>,
    /// The status of all answers of the API.
    pub fault: Option<u16>,
    tokens: BTreeMap<String, Token>,
    number: u64,
}

#[derive(Debug)]
struct Token {
    application: String,
    login: String,
    scopes: String,
}

impl GitHub {
    /// Issues a token of an application to the person.
    pub fn issue(&mut self, application: &str, scopes: &str) -> String {
        self.number += 1;
        let token = format!("gho_{:036}", self.number);
        let [application, scopes] = [application, scopes].map(str::to_owned);
        self.tokens.insert(token.clone(), Token { application, login: self.login.clone(), scopes });
        token
    }

    /// Revokes all tokens.
    pub fn revoke(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn answer(&self, call: &Call) -> Answer {
        if let Some(status) = self.fault {
            let limit = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000000001")];
            let limit = limit.iter().filter(|_| matches!(status, 403 | 429));
            return (
                status,
                limit.map(|(name, value)| (*name, (*value).to_owned())).collect(),
                json!({"message": "No"}),
            );
        }
        if !call.headers.contains_key("user-agent") {
            return refusal(403, "Request forbidden by administrative rules");
        }
        let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
        match (call.method.as_str(), path.strip_prefix("/api/v3").unwrap_or_default()) {
            ("POST", path) => self.check(path, call),
            ("GET", "/user/memberships/orgs") => {
                let wanted = value(query, "state");
                let is_wanted = |state: &str| wanted.is_none_or(|wanted| wanted == state);
                let memberships = self.organisations.iter().filter(|(_, state)| is_wanted(state));
                let memberships =
                    memberships.map(|(login, state)| json!({"state": state, "organization": {"login": login}}));
                self.list(call, query, memberships.collect())
            }
            ("GET", "/user/teams") => {
                let teams = self.teams.iter();
                let teams = teams
                    .map(|(login, slug)| json!({"slug": slug, "name": "A Team", "organization": {"login": login}}));
                self.list(call, query, teams.collect())
            }
            _ => refusal(404, "Not Found"),
        }
    }

    /// Checks a token: <https://docs.github.com/en/rest/apps/oauth-applications#check-a-token>
    fn check(&self, path: &str, call: &Call) -> Answer {
        let credentials = format!("Basic {}", BASE64_STANDARD.encode(format!("{CLIENT}:{APPLICATION_SECRET}")));
        if call.headers.get("authorization") != Some(&credentials) {
            return refusal(401, "Bad credentials");
        }
        let body: Json = serde_json::from_slice(&call.body).unwrap_or_default();
        let Some(token) = body.get("access_token").and_then(Json::as_str) else {
            return refusal(422, "Validation Failed");
        };
        let known = self.tokens.get(token).filter(|token| path == format!("/applications/{}/token", token.application));
        match known.filter(|token| token.application == CLIENT) {
            Some(Token { login, scopes, .. }) => {
                let scopes: Vec<&str> = scopes.split_whitespace().collect();
                (200, Vec::new(), json!({"user": {"login": login}, "scopes": scopes, "expires_at": null}))
            }
            None => refusal(404, "Not Found"),
        }
    }

    /// A page of a list of the person.
    fn list(&self, call: &Call, query: &str, items: Vec<Json>) -> Answer {
        let token = call.headers.get("authorization").and_then(|header| header.strip_prefix("Bearer "));
        let Some(token) = token.and_then(|token| self.tokens.get(token)) else {
            return refusal(401, "Bad credentials");
        };
        if !token.scopes.split_whitespace().any(|scope| scope == READ_ORG) {
            return refusal(403, "You need at least read:org scope");
        }
        let page: usize = value(query, "page").and_then(|page| page.parse().ok()).unwrap_or(1);
        let end = page * PAGE;
        let next = (end < items.len()).then(|| ("link", format!("<{}&page={}>; rel=\"next\"", call.path, page + 1)));
        let items: Vec<Json> = items.into_iter().skip(end - PAGE).take(PAGE).collect();
        (200, next.into_iter().collect(), json!(items))
    }
}

fn value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value)
}

fn refusal(status: u16, message: &str) -> Answer {
    (status, Vec::new(), json!({"message": message, "documentation_url": "https://docs.github.com/rest"}))
}
