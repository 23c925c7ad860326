//! Sends requests with credentials, safe retries, and errors without secrets.

use super::auth::{Credentials, RequestCredentials, is_unauthorized};
use super::failure::pause_of;
use super::request::{Body, Effect};
use super::streamed::{Opened, Streamed};
use super::{Auth, Base, Client, Failure, Purpose, Reply, Request, Vendor, Within, base, pause};
use crate::wrap::silence;
use crate::{Attributes, Object, ProviderError, Redaction, Value};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// One interface of a vendor: its base URL, its credentials, and the meaning of its errors. Clones share one interface.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    base: Base,
    host: String,
    /// The check that credentials may be sent to this URL.
    checked: Result<(), Failure>,
    credentials: Credentials,
    vendor: Vendor,
    hidden: RwLock<Hidden>,
}

/// Secrets and tokens that no text may contain, and their redaction.
struct Hidden {
    secrets: Vec<SecretString>,
    tokens: VecDeque<SecretString>,
    redaction: Redaction,
}

/// Number of older tokens that stay redacted: a late answer may quote one.
const REDACTED_TOKENS: usize = 4;

/// Number of retries of a request that reached no server. The caller of the provider retries, too; together they would
/// make users wait minutes for a closed port.
const UNREACHED_RETRIES: u32 = 1;

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({:?})", self.inner.base)
    }
}

impl Api {
    pub(super) fn new(client: Client, base: Base, auth: Auth, vendor: Vendor, more: Vec<SecretString>) -> Self {
        let checked = if matches!(auth, Auth::None) { Ok(()) } else { client.check_credentials(&base) };
        let credentials = Credentials::new(auth);
        let secrets = credentials.secrets().into_iter().chain(more).collect();
        let hidden = RwLock::new(Hidden::of(secrets, VecDeque::new()));
        let host = base.host();
        Self { inner: Arc::new(Inner { client, base, host, checked, credentials, vendor, hidden }) }
    }

    /// The base URL.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.inner.base
    }

    /// The client, for another interface of the same instance.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// A text with the secrets of this interface redacted.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        self.inner.hidden.read().unwrap_or_else(PoisonError::into_inner).redaction.text(text)
    }

    /// A read of a URL from an answer, such as the status of an operation.
    ///
    /// # Errors
    /// [`Failure::Refused`] for a URL on another host, which would receive the token.
    pub fn get_url(&self, url: &str) -> Result<Request, Failure> {
        let url = self.inner.base.follow(url).map_err(Failure::Refused)?;
        Ok(Request { url: Some(url), ..Request::get("(as an answer named it)", &[]) })
    }

    /// The error for a failure, with secrets redacted.
    #[must_use]
    pub fn error(&self, failure: &Failure, purpose: &Purpose) -> ProviderError {
        self.redact_error(self.inner.vendor.error(&self.inner.host, failure, purpose))
    }

    /// An error with the secrets of this interface redacted.
    #[must_use]
    pub fn redact_error(&self, error: ProviderError) -> ProviderError {
        self.inner.hidden.read().unwrap_or_else(PoisonError::into_inner).redaction.error(error)
    }

    /// Sends a request, with safe retries, until it gets a success answer.
    ///
    /// A lost answer is retried for reads and idempotent requests. Other writes are retried only if the request
    /// certainly had no effect.
    ///
    /// # Errors
    /// See [`Failure`]. Once the request may have run, only an answer to the request itself proves its outcome.
    pub async fn send(&self, request: &Request, within: &Within) -> Result<Reply, Failure> {
        if request.effect != Effect::None && within.cancel.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        self.inner.checked.clone()?;
        let (retries, retries_after_loss) =
            (self.inner.client.options.retries, self.inner.client.options.retries_after_loss);
        let (mut attempt, mut renewed, mut may_have_run) = (0_u32, false, false);
        loop {
            let (failure, max_retries) = match self.attempt(request, within, &mut renewed).await {
                Ok(mut reply) if (200..300).contains(&reply.status) => {
                    reply.may_have_run = may_have_run;
                    return Ok(reply);
                }
                Ok(reply) => match self.retry_kind(request, &reply) {
                    Retry::Never => return Err(to_failure(reply, request, may_have_run)),
                    Retry::NoEffect => (Failure::Answered(Box::new(reply)), retries),
                    Retry::MayHaveRun => {
                        may_have_run = true;
                        (Failure::Answered(Box::new(reply)), retries_after_loss)
                    }
                },
                Err(Failure::NotSent(why)) => (Failure::NotSent(why), UNREACHED_RETRIES.min(retries_after_loss)),
                Err(Failure::Lost(why)) if request.effect == Effect::Repeated => return Err(Failure::Lost(why)),
                Err(Failure::Lost(why)) => {
                    may_have_run = true;
                    (Failure::Lost(why), retries_after_loss)
                }
                Err(other) if may_have_run && request.effect != Effect::None => {
                    return Err(Failure::Lost(other.in_words()));
                }
                Err(other) => return Err(other),
            };
            let requested = pause_of(&failure);
            if let Some(pause) = requested {
                silence::excuse_pause(pause);
            }
            let pause = requested.unwrap_or_else(|| pause::backoff(attempt));
            attempt += 1;
            let left = within.left();
            if attempt > max_retries || pause >= left || self.is_cancelled_during(pause, within).await {
                let is_stopped = within.cancel.is_cancelled() && attempt <= max_retries && pause < left;
                return Err(match failure {
                    _ if request.effect == Effect::None => failure,
                    _ if is_stopped && !may_have_run => Failure::Cancelled,
                    Failure::Answered(reply) => to_failure(*reply, request, may_have_run),
                    other if may_have_run => Failure::Lost(other.in_words()),
                    other => other,
                });
            }
        }
    }

    /// Sends a read once, and returns its answer while the server still writes it. The limit ends the wait for the head;
    /// the timeout of the request is that of each part.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn open(&self, request: &Request, within: &Within) -> Result<Streamed, Failure> {
        self.inner.checked.clone()?;
        let timeout = request.timeout.unwrap_or(self.inner.client.options.timeout);
        let mut renewed = false;
        loop {
            let credentials = self.request_credentials(request, within).await?;
            let mut builder = self.builder(request)?;
            for (name, value) in &credentials.headers {
                builder = builder.header(name, value);
            }
            match self.inner.client.open(builder, timeout).await? {
                Opened::Streamed(streamed) => return Ok(streamed),
                Opened::Failed(reply)
                    if is_unauthorized(&reply) && !renewed && self.inner.credentials.renew(&credentials).await =>
                {
                    renewed = true;
                }
                Opened::Failed(reply) => return Err(Failure::Answered(Box::new(reply))),
            }
        }
    }

    /// Sends a request once, and once more with a new token if the server rejects the old one.
    async fn attempt(&self, request: &Request, within: &Within, renewed: &mut bool) -> Result<Reply, Failure> {
        loop {
            let credentials = self.request_credentials(request, within).await?;
            let mut builder = self.builder(request)?;
            for (name, value) in &credentials.headers {
                builder = builder.header(name, value);
            }
            let timeout = request.timeout.unwrap_or(self.inner.client.options.timeout);
            let span = tracing::debug_span!(
                "http",
                host = self.inner.host,
                method = %request.method,
                path = request.template,
                status = tracing::field::Empty,
                took_ms = tracing::field::Empty,
            );
            let began = Instant::now();
            let sent = self.inner.client.send(builder, &self.inner.host, timeout, within.left());
            let reply = sent.instrument(span.clone()).await;
            span.record("took_ms", u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            if let Ok(reply) = &reply {
                span.record("status", reply.status);
            }
            span.in_scope(|| tracing::debug!(result = %outcome(&reply), "request"));
            let reply = reply?;
            // A 401 means that the request had no effect.
            if is_unauthorized(&reply) && !*renewed && self.inner.credentials.renew(&credentials).await {
                *renewed = true;
                continue;
            }
            return Ok(reply);
        }
    }

    /// The credentials for a request. A wait for a token ends with the time of the call, or with the cancellation of a
    /// write.
    async fn request_credentials(&self, request: &Request, within: &Within) -> Result<RequestCredentials, Failure> {
        tokio::select! {
            credentials = self.inner.credentials.current(|token| self.add_token(token)) => credentials,
            () = tokio::time::sleep_until(within.deadline) => {
                Err(Failure::NotSent("no token arrived in time".to_owned()))
            }
            () = within.cancel.cancelled(), if request.effect != Effect::None => Err(Failure::Cancelled),
        }
    }

    fn builder(&self, request: &Request) -> Result<RequestBuilder, Failure> {
        let url: Url = match &request.url {
            Some(url) => url.clone(),
            None => {
                let url = self.inner.base.at(request.template, &request.values, &request.query);
                url.map_err(Failure::Refused)?
            }
        };
        let mut builder = self.inner.client.http().request(request.method.clone(), url);
        if !request.headers.iter().any(|(name, _)| name == ACCEPT) {
            builder = builder.header(ACCEPT, "application/json");
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        Ok(match &request.body {
            Body::Nothing => builder,
            Body::Json(json) => builder.json(json),
            Body::Form(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
                let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
                builder.header(CONTENT_TYPE, kind).body(base::pairs(fields))
            }
            Body::Bytes(kind, bytes) => builder.header(CONTENT_TYPE, *kind).body(bytes.clone()),
        })
    }

    fn retry_kind(&self, request: &Request, reply: &Reply) -> Retry {
        match (reply.status, request.effect) {
            (425 | 429, _) => Retry::NoEffect,
            (408 | 500 | 502..=504, Effect::None) => Retry::NoEffect,
            _ if (self.inner.vendor.had_no_effect)(reply) => Retry::NoEffect,
            // A gateway may answer this after it has passed the request on.
            (408 | 502..=504, Effect::Idempotent) => Retry::MayHaveRun,
            _ => Retry::Never,
        }
    }

    /// Waits; returns true if the call is cancelled.
    async fn is_cancelled_during(&self, pause: Duration, within: &Within) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = within.cancel.cancelled() => true,
        }
    }

    fn add_token(&self, token: &SecretString) {
        let mut hidden = self.inner.hidden.write().unwrap_or_else(PoisonError::into_inner);
        let (secrets, mut tokens) = (std::mem::take(&mut hidden.secrets), std::mem::take(&mut hidden.tokens));
        tokens.push_back(token.clone());
        if tokens.len() > REDACTED_TOKENS {
            tokens.pop_front();
        }
        *hidden = Hidden::of(secrets, tokens);
    }
}

impl Hidden {
    fn of(secrets: Vec<SecretString>, tokens: VecDeque<SecretString>) -> Self {
        let all = secrets.iter().chain(&tokens).enumerate();
        let values = all.map(|(number, secret)| (number.to_string(), Value::sensitive(secret.expose_secret().into())));
        let redaction = Redaction::of(&Object::default(), [&values.collect::<Attributes>()]);
        Self { secrets, tokens, redaction }
    }
}

/// Whether a request is retried after a failure answer.
enum Retry {
    Never,
    /// The request had no effect.
    NoEffect,
    /// The request may have had its effect, and may be repeated.
    MayHaveRun,
}

/// A failure answer to a request that may have run before. Answers that say nothing about the request itself, such as a
/// request to wait, leave its outcome unknown.
fn to_failure(mut reply: Reply, request: &Request, may_have_run: bool) -> Failure {
    reply.may_have_run = may_have_run;
    match reply.status {
        401 | 403 | 407 | 408 | 425 | 429 | 500..=599 if may_have_run && request.effect != Effect::None => {
            Failure::Lost(format!("it answers {}", reply.status))
        }
        _ => Failure::Answered(Box::new(reply)),
    }
}

fn outcome(reply: &Result<Reply, Failure>) -> &'static str {
    match reply {
        Ok(_) => "answered",
        Err(Failure::NotSent(_)) => "not sent",
        Err(_) => "lost",
    }
}
