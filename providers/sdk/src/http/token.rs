//! Token sources: OAuth client credentials, and sources that build on them.

use super::base::{Base, pairs};
use super::failure::pause_of;
use super::header::{basic, sensitive};
use super::token_source::{Token, TokenSource};
use super::{Client, ClientAssertion, Failure, Reply, Within, pause};
use crate::wrap::silence;
use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map as JsonMap, Value as Json};
use std::time::Duration;

/// Time limit of a token request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A token request (RFC 6749, section 4.4) with the credentials of a client.
#[derive(Clone)]
pub struct TokenRequest {
    client: Client,
    url: Url,
    host: String,
    is_json: bool,
    basic: Option<(String, SecretString)>,
    fields: Vec<(String, SecretString)>,
    assertion: Option<ClientAssertion>,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(a request for a token)")
    }
}

impl TokenRequest {
    /// An empty form for a path below a base.
    ///
    /// # Errors
    /// When the path is invalid.
    pub fn new(client: &Client, base: &Base, path: &'static str) -> Result<Self, Failure> {
        Self::at(client, base, path, &[])
    }

    /// An empty form for a path with a value for each `{…}`: `"/{tenant}/oauth2/v2.0/token"`.
    ///
    /// # Errors
    /// When the path is invalid.
    pub fn at(client: &Client, base: &Base, template: &'static str, values: &[&str]) -> Result<Self, Failure> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        client.check_credentials(base)?;
        let url = base.at(template, &values, &[]).map_err(Failure::Refused)?;
        let (client, host) = (client.clone(), base.host());
        Ok(Self { client, url, host, is_json: false, basic: None, fields: Vec::new(), assertion: None })
    }

    /// Adds client credentials to the form.
    #[must_use]
    pub fn credentials(self, id: &str, secret: SecretString) -> Self {
        let request = self.field("grant_type", "client_credentials".into());
        request.field("client_id", id.into()).field("client_secret", secret)
    }

    /// Adds client credentials as user and password.
    #[must_use]
    pub fn basic_credentials(mut self, id: &str, secret: SecretString) -> Self {
        self.basic = Some((id.to_owned(), secret));
        self.field("grant_type", "client_credentials".into())
    }

    /// Adds a client assertion instead of a secret, new for each token.
    #[must_use]
    pub fn client_assertion(mut self, id: &str, assertion: ClientAssertion) -> Self {
        self.assertion = Some(assertion);
        self.field("grant_type", "client_credentials".into()).field("client_id", id.into())
    }

    /// Adds a field, such as `scope`.
    #[must_use]
    pub fn field(mut self, name: &str, value: SecretString) -> Self {
        self.fields.push((name.to_owned(), value));
        self
    }

    /// Sends JSON instead of a form.
    #[must_use]
    pub fn as_json(mut self) -> Self {
        self.is_json = true;
        self
    }

    /// Requests a token.
    ///
    /// # Errors
    /// [`Failure::Unauthorized`] if the server refuses it. Any other failure means that the original request was not
    /// sent.
    pub async fn request_token(&self) -> Result<Token, Failure> {
        let within = Within::time(TIMEOUT);
        let mut attempt = 0;
        loop {
            let failure = match self.send(&within).await {
                Ok(reply) if (200..300).contains(&reply.status) => return token_of(&reply),
                Ok(reply) if reply.status == 429 || reply.status >= 500 => Failure::Answered(Box::new(reply)),
                Ok(reply) => return Err(refusal(&reply)),
                Err(failure @ Failure::Unauthorized { .. }) => return Err(failure),
                Err(failure) => failure,
            };
            let requested = pause_of(&failure);
            if let Some(pause) = requested {
                silence::excuse_pause(pause);
            }
            let pause = requested.unwrap_or_else(|| pause::backoff(attempt));
            attempt += 1;
            if attempt > 3 || pause >= within.left() {
                // The original request was not sent.
                return Err(Failure::NotSent(format!("no token from `{}`: {}", self.host, failure.in_words())));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn send(&self, within: &Within) -> Result<Reply, Failure> {
        let mut builder = self.client.http().post(self.url.clone()).header(ACCEPT, "application/json");
        if let Some((user, password)) = &self.basic {
            builder = builder.header(AUTHORIZATION, sensitive(&basic(user, password), "Basic ")?);
        }
        let fields = match &self.assertion {
            Some(assertion) => assertion.fields(self.url.as_str())?,
            None => Vec::new(),
        };
        let all = || self.fields.iter().chain(&fields);
        let (kind, body) = match self.is_json {
            true => {
                let fields = all().map(|(name, value)| (name.clone(), value.expose_secret().into()));
                ("application/json", Json::Object(fields.collect::<JsonMap<_, _>>()).to_string())
            }
            false => {
                let fields = all().map(|(name, value)| (name.as_str(), value.expose_secret()));
                ("application/x-www-form-urlencoded", pairs(fields))
            }
        };
        let builder = builder.header(CONTENT_TYPE, HeaderValue::from_static(kind)).body(body);
        self.client.send(builder, &self.host, TIMEOUT, within.left()).await
    }
}

#[async_trait]
impl TokenSource for TokenRequest {
    async fn token(&self) -> Result<Token, Failure> {
        self.request_token().await
    }

    fn secrets(&self) -> Vec<SecretString> {
        // The values of the other fields are public.
        let known = ["grant_type", "client_id", "scope", "resource", "audience", "client_assertion_type", "grant-type"];
        let fields = self.fields.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let secrets = fields.map(|(_, value)| value.clone());
        let basic = self.basic.iter().flat_map(|(user, password)| [password.clone(), basic(user, password)]);
        secrets.chain(basic).collect()
    }
}

fn token_of(reply: &Reply) -> Result<Token, Failure> {
    let json = reply.json_or_null();
    let token = json.get("access_token").and_then(Json::as_str).filter(|token| !token.is_empty());
    let Some(token) = token else {
        return Err(Failure::NotSent("the answer to the token request contains no token".to_owned()));
    };
    // Some servers write the seconds as text.
    let lifetime =
        json.get("expires_in").and_then(|lifetime| lifetime.as_u64().or_else(|| lifetime.as_str()?.parse().ok()));
    Ok(Token { token: token.into(), lifetime: lifetime.map(Duration::from_secs), headers: Vec::new() })
}

/// <https://www.rfc-editor.org/rfc/rfc6749#section-5.2>
fn refusal(reply: &Reply) -> Failure {
    let json = reply.json_or_null();
    let text = |name: &str| json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let message = ["error_description", "detail", "message", "title"].into_iter().find_map(text);
    let code = text("error");
    let message = message.or_else(|| code.clone()).unwrap_or_else(|| "it gives no reason".to_owned());
    Failure::Unauthorized { code, message: format!("it issued no token ({}): {message}", reply.status) }
}
