//! A client of the SQL API v2, independent of terrace:
//! <https://docs.snowflake.com/en/developer-guide/sql-api/reference>.
//!
//! A statement may take several requests. The client retries it under its id after a refusal or a lost answer, polls it
//! while it runs, and fetches its partitions when it is done.

mod key;
mod reply;
mod token;

pub(crate) use key::Key;
pub(crate) use reply::{Failure, Row, Rows};

use crate::config::{Config, Credentials};
use jiff::Timestamp;
use reply::{Body, Reply};
use reqwest::header::{ACCEPT, AUTHORIZATION, DATE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::json;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use terrace_provider::http::{self, in_words};
use terrace_provider::{Path, ProviderError, Redaction};
use token::Tokens;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Size limit of an answer, in bytes. Snowflake splits larger results into partitions.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// Time limit for a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of retries of a statement.
const MAX_RETRIES: u32 = 8;
/// Number of retries after lost answers.
const MAX_RETRIES_AFTER_LOSS: u32 = 4;
/// The first pause before a retry; each is up to twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, unless an answer requests more.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// The longest pause that an answer can request: its clock may be wrong.
const LONGEST_REQUESTED: Duration = Duration::from_secs(24 * 60 * 60);

/// A statement with its deadline.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) sql: &'a str,
    /// The database and the schema for unqualified names.
    pub(crate) within: Option<&'a (String, String)>,
    /// The query tag, which identifies the statement in the query history.
    pub(crate) query_tag: &'a str,
    pub(crate) deadline: Instant,
    /// Cancels the statement if it still runs.
    pub(crate) cancel: &'a CancellationToken,
}

/// Sends statements with the settings of an instance.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    statements: String,
    role: Option<String>,
    warehouse: Option<String>,
    tokens: Tokens,
    redaction: Redaction,
    /// The difference between Snowflake's clock and the local clock, in seconds.
    skew: AtomicI64,
}

impl Client {
    /// A client without open connections.
    ///
    /// # Errors
    /// When the file of authorities is invalid.
    pub(crate) fn new(config: Config) -> Result<Self, ProviderError> {
        let authorities = config.ca_file.as_deref();
        let http = http::builder(authorities).map_err(|why| match authorities {
            Some(path) => {
                let message = format!("the certificates of `{}` cannot be read: {why}", path.display());
                ProviderError::invalid(Some(Path::attribute("caFile")), message)
            }
            None => ProviderError::bug(format!("TLS cannot be set up: {why}")),
        })?;
        let http = http
            .timeout(config.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .tcp_keepalive(CONNECT_TIMEOUT);
        let http = http
            .build()
            .map_err(|error| ProviderError::bug(format!("the HTTP client is broken: {}", in_words(&error))))?;
        Ok(Self {
            http,
            statements: format!("{}/api/v2/statements", config.base),
            role: config.role,
            warehouse: config.warehouse,
            tokens: Tokens::new(config.credentials),
            redaction: config.redaction,
            skew: AtomicI64::new(0),
        })
    }

    /// The role of statements, if it is configured.
    pub(crate) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The warehouse, if it is configured.
    pub(crate) fn warehouse(&self) -> Option<&str> {
        self.warehouse.as_deref()
    }

    /// The redaction of secrets in texts.
    pub(crate) fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// The host of the API.
    pub(crate) fn host(&self) -> &str {
        let host = self.statements.split("://").last().unwrap_or_default();
        host.split('/').next().unwrap_or_default()
    }

    /// True if the token comes from a password setting.
    pub(crate) fn signs_in_by_password(&self) -> bool {
        matches!(self.tokens.credentials(), Credentials::Token(_, true))
    }

    /// The current time by Snowflake's clock, as its answers show it.
    pub(crate) fn remote_now(&self) -> Timestamp {
        let skew = jiff::SignedDuration::from_secs(self.skew.load(Ordering::Relaxed));
        Timestamp::now().checked_add(skew).unwrap_or(Timestamp::MAX)
    }

    /// Runs a statement once.
    ///
    /// # Errors
    /// The error of Snowflake, or an unknown outcome.
    pub(crate) async fn execute(&self, request: &Request<'_>) -> Result<Rows, Failure> {
        let id = Uuid::now_v7();
        let mut reply = self.submit(id, request).await?;
        // From here on the statement may have run: only its own answer proves that it did not.
        let mut pause = Duration::from_millis(50);
        let mut is_cancelled = false;
        while let Body::Running { handle } = &reply.body {
            let handle = handle.clone();
            if request.cancel.is_cancelled() && !is_cancelled {
                is_cancelled = true;
                // The statement's own answer shows whether the cancellation came in time.
                self.stop(&handle).await;
                pause = Duration::from_millis(50);
            } else {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = request.cancel.cancelled(), if !is_cancelled => continue,
                }
            }
            if Instant::now() >= request.deadline {
                self.stop(&handle).await;
                return Err(Failure::Lost("it still ran at the end of its timeout".to_owned()));
            }
            pause = (pause * 2).min(Duration::from_secs(5));
            reply = self.poll(&handle, None, request).await?;
        }
        match reply.body {
            Body::Rows { mut rows, handle, partitions } => {
                let mut size = reply.size;
                for partition in 1..partitions {
                    let more = self.poll(&handle, Some(partition), request).await?;
                    size = size.saturating_add(more.size);
                    if size > MAX_ANSWER_BYTES {
                        return Err(Failure::Lost(format!("its answers exceed {MAX_ANSWER_BYTES} bytes")));
                    }
                    let Body::Rows { rows: more, .. } = more.body else {
                        return Err(Failure::unreadable("a partition"));
                    };
                    rows.rows.extend(more.rows);
                }
                Ok(rows)
            }
            Body::Failed(failure) => Err(failure),
            Body::Running { .. } => Err(Failure::unreadable("a statement")),
        }
    }

    /// Requests the cancellation of a statement; the statement's own answer shows whether it came in time.
    async fn stop(&self, handle: &str) {
        if let Ok(request) = self.at(Method::POST, &format!("/{handle}/cancel")).await {
            let _ = self.send(request).await;
        }
    }

    /// Sends a statement under its id until it gets an answer. Once the statement may have run, only its own answer
    /// counts: a refused token or a requested pause proves nothing about it.
    async fn submit(&self, id: Uuid, request: &Request<'_>) -> Result<Reply, Failure> {
        let (mut attempt, mut renewed, mut may_have_run) = (0_u32, false, false);
        loop {
            let reply = match self.statement(id, attempt > 0, request).await {
                Ok(builder) => self.send(builder).await,
                Err(failure) => Err(failure),
            };
            let (pause, failure) = match reply {
                Ok(reply) if reply.is_expired() && !renewed => {
                    renewed = self.tokens.renew().await;
                    if renewed {
                        continue;
                    }
                    return reply.after(may_have_run);
                }
                Ok(reply) if reply.status == 429 => (reply.retry_after, Failure::Throttled(reply.retry_after)),
                // A gateway may answer this after it has passed the request on.
                Ok(reply) if reply.status >= 500 => {
                    may_have_run = true;
                    (reply.retry_after, Failure::Lost(format!("it answers {}", reply.status)))
                }
                Ok(reply) => return reply.after(may_have_run),
                Err(Failure::NotSent(why)) => (None, Failure::NotSent(why)),
                Err(Failure::Lost(why)) => {
                    may_have_run = true;
                    (None, Failure::Lost(why))
                }
                Err(other) => return Err(other.after(may_have_run)),
            };
            let pause = pause.unwrap_or_else(|| backoff(attempt));
            attempt += 1;
            let max_retries =
                if matches!(failure, Failure::Throttled(_)) { MAX_RETRIES } else { MAX_RETRIES_AFTER_LOSS };
            // After a cancellation, a statement that did not begin is not retried.
            let is_over = attempt > max_retries
                || Instant::now() + pause >= request.deadline
                || (request.cancel.is_cancelled() && !may_have_run);
            if is_over {
                return Err(failure.after(may_have_run));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Polls a statement by its handle, with retries. Any answer that is not the statement's own leaves its outcome
    /// unknown.
    async fn poll(&self, handle: &str, partition: Option<usize>, request: &Request<'_>) -> Result<Reply, Failure> {
        let (mut attempt, mut renewed) = (0, false);
        loop {
            let path = match partition {
                Some(partition) => format!("/{handle}?partition={partition}"),
                None => format!("/{handle}"),
            };
            let poll = self.at(Method::GET, &path).await.map_err(|failure| failure.after(true))?;
            let reply = self.send(poll).await;
            let (pause, failure) = match reply {
                Ok(reply) if reply.is_expired() && !renewed && self.tokens.renew().await => {
                    renewed = true;
                    (Some(Duration::ZERO), None)
                }
                Ok(reply) if reply.status == 429 || reply.status >= 500 => (reply.retry_after, None),
                Ok(reply) => return reply.after(true),
                Err(failure) => (None, Some(failure)),
            };
            let pause = pause.unwrap_or_else(|| backoff(attempt));
            attempt += 1;
            if attempt > MAX_RETRIES || Instant::now() + pause >= request.deadline {
                let why = failure.map_or_else(|| "too many requests".to_owned(), |failure| failure.in_words());
                return Err(Failure::Lost(why));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn statement(&self, id: Uuid, is_retry: bool, request: &Request<'_>) -> Result<RequestBuilder, Failure> {
        let left = request.deadline.saturating_duration_since(Instant::now()).as_secs().max(1);
        let mut body = json!({
            "statement": request.sql,
            "timeout": left,
            "parameters": {"QUERY_TAG": request.query_tag},
        });
        if let Some(body) = body.as_object_mut() {
            let (database, schema) = request.within.map(|(database, schema)| (database, schema)).unzip();
            let settings = [("role", self.role.as_ref()), ("warehouse", self.warehouse.as_ref())];
            for (name, value) in settings.into_iter().chain([("database", database), ("schema", schema)]) {
                if let Some(value) = value {
                    body.insert(name.to_owned(), value.as_str().into());
                }
            }
        }
        let retry = if is_retry { "&retry=true" } else { "" };
        let builder = self.at(Method::POST, &format!("?requestId={id}{retry}&async=false&nullable=true")).await?;
        Ok(builder.json(&body))
    }

    async fn at(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let (token, kind) = self.tokens.current().await?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| Failure::Refused("the token contains characters that cannot be sent".to_owned()))?;
        bearer.set_sensitive(true);
        let builder = self.http.request(method, format!("{}{path}", self.statements));
        let builder = builder.header(AUTHORIZATION, bearer).header(ACCEPT, "application/json");
        Ok(builder.header("X-Snowflake-Authorization-Token-Type", kind))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let mut response = match http::dispatch(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Err(Failure::NotSent(in_words(&error))),
            Err(error) => return Err(Failure::Lost(in_words(&error))),
        };
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let retry_after = header(RETRY_AFTER).and_then(|text| self.pause(text));
        if let Some(date) = header(DATE).and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) {
            let skew = date.timestamp().as_second() - Timestamp::now().as_second();
            self.skew.store(skew, Ordering::Relaxed);
        }
        let body = http::body(&mut response, MAX_ANSWER_BYTES).await.map_err(Failure::Lost)?;
        Reply::read(status, retry_after, &body)
    }

    /// A pause from seconds or from a time.
    fn pause(&self, text: &str) -> Option<Duration> {
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds).min(LONGEST_REQUESTED));
        }
        let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(self.remote_now())).unwrap_or_default().min(LONGEST_REQUESTED))
    }
}

/// The pause before the next attempt. Each is up to twice the one before, with jitter, so that many refused requests
/// are not retried at once.
fn backoff(attempt: u32) -> Duration {
    let max_pause = PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    max_pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}
