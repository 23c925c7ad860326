//! What is asked.

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use secrecy::SecretString;
use serde_json::Value as Json;
use std::fmt;
use std::time::Duration;

/// One request, as often as it is sent. Its path is a template, which logs repeat; the values in it, the query and the body
/// appear in no text.
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
    /// Where an answer said that the next page is.
    pub(super) url: Option<Url>,
}

/// What goes with a request.
#[derive(Clone)]
pub(super) enum Body {
    Nothing,
    Json(Json),
    Form(Vec<(String, SecretString)>),
    Bytes(&'static str, Vec<u8>),
}

/// What sending a request twice would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it only looks.
    None,
    /// The same as sending it once.
    Same,
    /// Perhaps twice what it does.
    Again,
}

impl Request {
    /// A request of a path below the base: `"/sources/{sourceId}"`, with a value for each `{…}`.
    #[must_use]
    pub fn new(method: Method, template: &'static str, values: &[&str]) -> Self {
        let effect = if matches!(method, Method::GET | Method::HEAD) { Effect::None } else { Effect::Again };
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

    /// A request that only looks.
    #[must_use]
    pub fn get(template: &'static str, values: &[&str]) -> Self {
        Self::new(Method::GET, template, values)
    }

    /// A request that makes something, until [`Request::reads`] or [`Request::idempotent`] says otherwise.
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

    /// Puts a pair into the query in place of those of that name.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.retain(|(other, _)| other != name);
        self.query(name, value)
    }

    /// Adds a header, which is no secret.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends JSON along.
    #[must_use]
    pub fn json(mut self, body: Json) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// Sends a form along.
    #[must_use]
    pub fn form(mut self, fields: Vec<(String, SecretString)>) -> Self {
        self.body = Body::Form(fields);
        self
    }

    /// Sends bytes along.
    #[must_use]
    pub fn bytes(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.body = Body::Bytes(content_type, body);
        self
    }

    /// It only looks, whatever its method is: it is sent again when its answer is lost.
    #[must_use]
    pub fn reads(mut self) -> Self {
        self.effect = Effect::None;
        self
    }

    /// Sending it twice does the same as sending it once: it is sent again when its answer is lost.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.effect = Effect::Same;
        self
    }

    /// It may go unanswered for so long, instead of the client's usual time.
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
