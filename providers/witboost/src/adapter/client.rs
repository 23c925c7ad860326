//! HTTP client: sends requests with a timeout, and reads answers.

use crate::config::Config;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::http::{self, in_words, is_exposed};
use terrace_provider::{Path, ProviderError, Settings, Value};

/// Maximum length of a body; no adapter sends a longer one.
const MAX_BODY_BYTES: usize = 16 << 20;
/// Timeout of the connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP client with the credentials and certificates of the settings.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    has_open_credentials: bool,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The requested pause before a retry.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) text: String,
}

/// A request without an answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The request was not sent: nothing happened.
    NotSent(String),
    /// The request was or may have been sent.
    Lost(String),
}

impl NoAnswer {
    /// The reason.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::NotSent(why) | Self::Lost(why) => why,
        }
    }
}

impl Client {
    /// Creates a client without connecting.
    ///
    /// # Errors
    /// If a header or a certificate file is invalid.
    pub(crate) fn new(config: &Config, settings: &Settings) -> Result<Self, ProviderError> {
        let authorities = config.ca_file.as_deref();
        let http = http::builder(authorities).map_err(|why| match authorities {
            Some(path) => {
                let message = format!("the certificates of `{}` cannot be read: {why}", path.display());
                ProviderError::invalid(Some(Path::attribute("caFile")), message)
            }
            None => ProviderError::bug(format!("cannot set up TLS: {why}")),
        })?;
        let http = http
            .default_headers(headers(settings)?)
            .timeout(config.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            // A peer that vanished does not block a call until its timeout.
            .tcp_keepalive(CONNECT_TIMEOUT)
            .build();
        let http =
            http.map_err(|error| ProviderError::bug(format!("cannot create the HTTP client: {}", in_words(&error))))?;
        Ok(Self { http, has_open_credentials: config.has_open_credentials })
    }

    /// Sends a read request.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn get(&self, url: Url) -> Result<Reply, NoAnswer> {
        send(self.request(Method::GET, url)?).await
    }

    /// Sends a body. The timeout may be long, because some adapters do their work before they answer.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn post(&self, url: Url, body: &Json, timeout: Duration) -> Result<Reply, NoAnswer> {
        send(self.request(Method::POST, url)?.json(body).timeout(timeout)).await
    }

    /// Sends a read request with a body.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn query(&self, url: Url, body: &Json) -> Result<Reply, NoAnswer> {
        send(self.request(Method::POST, url)?.json(body)).await
    }

    /// Builds a request. Checks the URL, because components may name adapters that the settings do not check.
    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, NoAnswer> {
        if self.has_open_credentials && is_exposed(url.as_str()) {
            let why = "credentials would be sent without encryption: write `https://`, or set `allowPlainHttp: true`";
            return Err(NoAnswer::NotSent(why.to_owned()));
        }
        Ok(self.http.request(method, url))
    }
}

async fn send(request: RequestBuilder) -> Result<Reply, NoAnswer> {
    let mut response = match http::dispatch(request).await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => return Err(NoAnswer::NotSent(in_words(&error))),
        Err(error) => return Err(NoAnswer::Lost(in_words(&error))),
    };
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(parse_retry_after);
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= MAX_BODY_BYTES => {
                body.extend_from_slice(&chunk)
            }
            Ok(Some(_)) => return Err(NoAnswer::Lost(format!("the answer is longer than {MAX_BODY_BYTES} bytes"))),
            Ok(None) => break,
            Err(error) => return Err(NoAnswer::Lost(in_words(&error))),
        }
    }
    Ok(Reply { status, retry_after, text: String::from_utf8_lossy(&body).into_owned() })
}

/// Parses `Retry-After`: seconds or a date.
fn parse_retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
}

fn headers(settings: &Settings) -> Result<HeaderMap, ProviderError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/plain, */*"));
    let secret = |text: &str| {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    };
    let given = settings.values.get("headers").and_then(Value::as_map);
    for (name, value) in given.into_iter().flatten() {
        let wrong = |part: &str| {
            let path = Path::attribute("headers").key(name);
            ProviderError::invalid(Some(path), format!("{part} of a header has characters that are not allowed"))
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("the name"))?;
        headers.insert(key, value.as_str().and_then(secret).ok_or_else(|| wrong("the value"))?);
    }
    if let Some(token) = settings.values.get("token").and_then(Value::as_str) {
        let wrong = || {
            ProviderError::invalid(
                Some(Path::attribute("token")),
                "the token has characters that are not allowed in a header",
            )
            .solution("check for a line break at the end of the token")
        };
        headers.insert(AUTHORIZATION, secret(&format!("Bearer {token}")).ok_or_else(wrong)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon"), None);
    }
}
