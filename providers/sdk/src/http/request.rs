//! Requests to a vendor.

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use secrecy::SecretString;
use serde_json::Value as Json;
use std::fmt;
use std::time::Duration;

/// One request, including its retries. Logs contain its path template, but never its values, its query or its body.
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) template: &'static str,
    pub(super) values: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Body,
    pub(super) effect: Effect,
    pub(super) timeout: Option<Duration>,
    /// The URL of the next page from an answer.
    pub(super) url: Option<Url>,
}

/// The body of a request.
#[derive(Clone)]
pub(super) enum Body {
    Nothing,
    Json(Json),
    Form(Vec<(String, SecretString)>),
    Bytes(&'static str, Vec<u8>),
}

/// Effect of a request that is sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// None: it only reads.
    None,
    /// The same effect as once.
    Idempotent,
    /// Perhaps twice the effect.
    Repeated,
}

impl Request {
    /// A request of a path below the base: `"/sources/{sourceId}"`, with a value for each `{…}`.
    #[must_use]
    pub fn new(method: Method, template: &'static str, values: &[&str]) -> Self {
        let effect = if matches!(method, Method::GET | Method::HEAD) { Effect::None } else { Effect::Repeated };
        Self {
            method,
            template,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Nothing,
            effect,
            timeout: None,
            url: None,
        }
    }

    /// A request that only reads.
    #[must_use]
    pub fn get(template: &'static str, values: &[&str]) -> Self {
        Self::new(Method::GET, template, values)
    }

    /// A request that creates something, unless [`Request::reads`] or [`Request::idempotent`] follows.
    #[must_use]
    pub fn post(template: &'static str, values: &[&str]) -> Self {
        Self::new(Method::POST, template, values)
    }

    /// A request that replaces something.
    #[must_use]
    pub fn put(template: &'static str, values: &[&str]) -> Self {
        Self::new(Method::PUT, template, values)
    }

    /// A request that changes something.
    #[must_use]
    pub fn patch(template: &'static str, values: &[&str]) -> Self {
        Self::new(Method::PATCH, template, values)
    }

    /// A request that removes something.
    #[must_use]
    pub fn delete(template: &'static str, values: &[&str]) -> Self {
        Self::new(Method::DELETE, template, values)
    }

    /// Adds a pair to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Replaces the query pairs of that name.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.retain(|(other, _)| other != name);
        self.query(name, value)
    }

    /// Adds a header without secrets.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(mut self, body: Json) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// Sets a form body.
    #[must_use]
    pub fn form(mut self, fields: Vec<(String, SecretString)>) -> Self {
        self.body = Body::Form(fields);
        self
    }

    /// Sets a body of bytes.
    #[must_use]
    pub fn bytes(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.body = Body::Bytes(content_type, body);
        self
    }

    /// Declares that the request only reads, despite its method: a lost answer is retried.
    #[must_use]
    pub fn reads(mut self) -> Self {
        self.effect = Effect::None;
        self
    }

    /// Declares that the request may be repeated without further effect: a lost answer is retried.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.effect = Effect::Idempotent;
        self
    }

    /// Sets the time limit without an answer, instead of the client's default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.template)
    }
}
