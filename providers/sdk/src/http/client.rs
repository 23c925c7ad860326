//! Connections, and the limit on concurrent requests.

use super::streamed::{Opened, Streamed};
use super::{ALLOW_PLAIN_HTTP, Api, Auth, Base, Failure, Reply, Vendor, body, dispatch, in_words, is_exposed, pause};
use crate::wrap::silence;
use crate::{Path, ProviderError};
use reqwest::RequestBuilder;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Time limit for a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Options for all requests of an instance.
#[derive(Debug, Clone)]
pub struct Options {
    /// A PEM file of certificate authorities, instead of those of this machine.
    pub ca_file: Option<PathBuf>,
    /// True if credentials may be sent to other machines over `http://`.
    pub allow_plain_http: bool,
    /// Time limit of a request without an answer.
    pub timeout: Duration,
    /// Number of concurrent requests to one host.
    pub concurrency: usize,
    /// Size limit of an answer, in bytes.
    pub max_bytes: usize,
    /// Number of retries after a temporary refusal such as 429.
    pub retries: u32,
    /// Number of retries after lost answers.
    pub retries_after_loss: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ca_file: None,
            allow_plain_http: false,
            timeout: Duration::from_secs(60),
            concurrency: 16,
            max_bytes: 64 << 20,
            retries: 8,
            retries_after_loss: 4,
        }
    }
}

/// The connections of an instance to all its hosts. Clones share them.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub(super) options: Arc<Options>,
    hosts: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl Client {
    /// A client without open connections.
    ///
    /// # Errors
    /// When the file of authorities is invalid.
    pub fn new(options: Options) -> Result<Self, ProviderError> {
        let authorities = options.ca_file.as_deref();
        let http = super::builder(authorities).map_err(|why| match authorities {
            Some(path) => {
                let message = format!("the certificates of `{}` cannot be read: {why}", path.display());
                ProviderError::invalid(Some(Path::attribute("caFile")), message)
            }
            None => ProviderError::bug(format!("TLS cannot be set up: {why}")),
        })?;
        let http = http
            .connect_timeout(CONNECT_TIMEOUT.min(options.timeout))
            .tcp_keepalive(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| ProviderError::bug(format!("the HTTP client is broken: {}", in_words(&error))))?;
        Ok(Self { http, options: Arc::new(options), hosts: Arc::default() })
    }

    /// One interface of a vendor. Texts redact `secrets` and the credentials.
    #[must_use]
    pub fn api(&self, base: Base, auth: Auth, vendor: Vendor, secrets: Vec<SecretString>) -> Api {
        Api::new(self.clone(), base, auth, vendor, secrets)
    }

    /// Refuses to send credentials over a connection that others can read.
    pub(super) fn check_credentials(&self, base: &Base) -> Result<(), Failure> {
        match is_exposed(base.shown()) && !self.options.allow_plain_http {
            true => Err(Failure::Refused(format!(
                "credentials would be sent to `{}` without encryption: write `https://`, or set `{ALLOW_PLAIN_HTTP}: true`",
                base.host()
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    fn gate(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = hosts.get(host) {
            return Arc::clone(gate);
        }
        let gate = Arc::new(Semaphore::new(self.options.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        hosts.insert(host.to_owned(), Arc::clone(&gate));
        gate
    }

    /// Sends a read once, and returns its answer as soon as the head has arrived. Waits up to `pause` for it, and for each
    /// part of the body. Streams do not count for the host's limit.
    pub(super) async fn open(&self, builder: RequestBuilder, pause: Duration) -> Result<Opened, Failure> {
        let sent = tokio::time::timeout(pause, dispatch(builder)).await;
        let mut response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                return Err(Failure::NotSent(in_words(&error)));
            }
            Ok(Err(error)) => return Err(Failure::Lost(in_words(&error))),
            Err(_) => return Err(Failure::Lost("no answer in time".to_owned())),
        };
        if response.status().is_success() {
            return Ok(Opened::Streamed(Streamed::new(response, pause)));
        }
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let body = body(&mut response, self.options.max_bytes).await.map_err(Failure::Lost)?;
        Ok(Opened::Failed(Reply {
            status,
            retry_after: pause::requested(&headers),
            headers,
            body,
            may_have_run: false,
        }))
    }

    /// Sends a request once, when the host's limit allows it, and reads the whole answer. Waits up to `timeout` for a
    /// sign of the server, and up to `left` in total.
    pub(super) async fn send(
        &self,
        builder: RequestBuilder,
        host: &str,
        timeout: Duration,
        left: Duration,
    ) -> Result<Reply, Failure> {
        let gate = self.gate(host);
        let began = Instant::now();
        let permit = tokio::time::timeout(left, gate.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(Failure::NotSent("too many other requests to send it in time".to_owned()));
        };
        let timeout = timeout.min(left.saturating_sub(began.elapsed()));
        let sent = dispatch(builder.timeout(timeout));
        // A request with a longer timeout than usual starts slow work.
        let sent = match timeout > self.options.timeout {
            true => silence::excused_if_known(sent).await,
            false => sent.await,
        };
        let mut response = match sent {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Err(Failure::NotSent(in_words(&error))),
            Err(error) => return Err(Failure::Lost(in_words(&error))),
        };
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let body = body(&mut response, self.options.max_bytes).await.map_err(Failure::Lost)?;
        Ok(Reply { status, retry_after: pause::requested(&headers), headers, body, may_have_run: false })
    }
}
