//! One HTTP request: what is sent, how long it may take, what came back.

use crate::config::Config;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::http::{self, in_words, is_exposed};
use terrace_provider::{Path, ProviderError, Settings, Value};

/// A body that is longer is nothing that an adapter says.
const LONGEST: usize = 16 << 20;
/// The most time for the connection alone.
const CONNECTS: Duration = Duration::from_secs(10);

/// Sends requests with all that the settings say of them.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    has_open_credentials: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The pause that is asked for.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) text: String,
}

/// Nothing came back.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The request was never sent: nothing happened.
    NotSent(String),
    /// It was sent, or may have been.
    Lost(String),
}

impl Unanswered {
    /// Why, in words.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::NotSent(why) | Self::Lost(why) => why,
        }
    }
}

impl Client {
    /// A client; nothing is connected to yet.
    ///
    /// # Errors
    /// When a header or a file of certificates is none.
    pub(crate) fn new(config: &Config, settings: &Settings) -> Result<Self, ProviderError> {
        let authorities = config.ca_file.as_deref();
        let http = http::builder(authorities).map_err(|why| match authorities {
            Some(path) => {
                let message = format!("the certificates of `{}` cannot be read: {why}", path.display());
                ProviderError::invalid(Some(Path::attribute("caFile")), message)
            }
            None => ProviderError::bug(format!("there is no TLS: {why}")),
        })?;
        let http = http
            .default_headers(headers(settings)?)
            .timeout(config.timeout)
            .connect_timeout(CONNECTS.min(config.timeout))
            // A machine that went away without a word does not keep a call until the end of its time.
            .tcp_keepalive(CONNECTS)
            .build();
        let http =
            http.map_err(|error| ProviderError::bug(format!("there is no HTTP client: {}", in_words(&error))))?;
        Ok(Self { http, has_open_credentials: config.has_open_credentials })
    }

    /// Asks.
    ///
    /// # Errors
    /// When nothing comes back.
    pub(crate) async fn get(&self, url: Url) -> Result<Reply, Unanswered> {
        send(self.request(Method::GET, url)?).await
    }

    /// Sends a body; adapters may work within their answer, so it may take longer than that of a question.
    ///
    /// # Errors
    /// When nothing comes back.
    pub(crate) async fn post(&self, url: Url, body: &Json, timeout: Duration) -> Result<Reply, Unanswered> {
        send(self.request(Method::POST, url)?.json(body).timeout(timeout)).await
    }

    /// Asks with a body.
    ///
    /// # Errors
    /// When nothing comes back.
    pub(crate) async fn ask(&self, url: Url, body: &Json) -> Result<Reply, Unanswered> {
        send(self.request(Method::POST, url)?.json(body)).await
    }

    /// Also components name adapters, which the settings do not check.
    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Unanswered> {
        if self.has_open_credentials && is_exposed(url.as_str()) {
            let why = "credentials would be sent without encryption: write `https://`, or set `allowPlainHttp: true`";
            return Err(Unanswered::NotSent(why.to_owned()));
        }
        Ok(self.http.request(method, url))
    }
}

async fn send(request: RequestBuilder) -> Result<Reply, Unanswered> {
    let mut response = match http::dispatched(request).await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => return Err(Unanswered::NotSent(in_words(&error))),
        Err(error) => return Err(Unanswered::Lost(in_words(&error))),
    };
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(pause);
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= LONGEST => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Unanswered::Lost(format!("the answer has more than {LONGEST} bytes"))),
            Ok(None) => break,
            Err(error) => return Err(Unanswered::Lost(in_words(&error))),
        }
    }
    Ok(Reply { status, retry_after, text: String::from_utf8_lossy(&body).into_owned() })
}

/// Seconds, or the time at which to come again.
fn pause(text: &str) -> Option<Duration> {
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
        let wrong = |what: &str| {
            let path = Path::attribute("headers").key(name);
            ProviderError::invalid(Some(path), format!("{what} of a header cannot be sent"))
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("the name"))?;
        headers.insert(key, value.as_str().and_then(secret).ok_or_else(|| wrong("the value"))?);
    }
    if let Some(token) = settings.values.get("token").and_then(Value::as_str) {
        let wrong = || {
            ProviderError::invalid(Some(Path::attribute("token")), "the token has characters that cannot be sent")
                .solution("a line break at its end may be one of them")
        };
        headers.insert(AUTHORIZATION, secret(&format!("Bearer {token}")).ok_or_else(wrong)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_time() {
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("soon"), None);
    }
}
