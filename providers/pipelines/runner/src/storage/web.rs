//! A web server that accepts `PUT` as a destination: WebDAV, an artifact repository, or another server.
//!
//! The SDK's client keeps bodies in memory. Files are streamed, so this module sends the requests itself with the SDK's
//! connections.

use super::entry::RemoteFile;
use super::journal::Journal;
use super::manifest::LONGEST;
use super::place::encoded;
use super::source::SourceFile;
use super::target::{Target, changed};
use super::{StorageError, StorageErrorKind, content_type};
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, RETRY_AFTER};
use reqwest::{Body, Client, Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use terrace_provider::http::in_words;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// Header with the digest of the body (RFC 9530): a server that supports it refuses damaged content.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// Timeout of a request, without the time for its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Minimum speed in bytes per second, for the time of a body.
const SLOWEST: u64 = 32 << 10;
/// Number of retries of a request.
const RETRIES: usize = 6;
/// Maximum pause that a server may request.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Number of parallel metadata requests.
const AT_ONCE: usize = 8;
/// Size of the buffer for a file.
const CHUNK: usize = 1 << 16;

/// All files below an address.
pub(super) struct Web {
    pub(super) client: Client,
    /// Ends in `/`.
    pub(super) base: Url,
    pub(super) token: Option<SecretString>,
}

/// Error of a request.
struct RequestError {
    error: StorageError,
    /// Pause that the server requests.
    pause: Option<Duration>,
}

impl From<StorageError> for RequestError {
    fn from(error: StorageError) -> Self {
        Self { error, pause: None }
    }
}

impl Web {
    fn at(&self, key: &str) -> Result<Url, StorageError> {
        let url = format!("{}{}", self.base, encoded(key)).parse();
        url.map_err(|error| StorageError::failed(format!("`{key}` cannot be part of an address: {error}")))
    }

    async fn request(&self, method: Method, key: &str, content: &Content<'_>) -> Result<RequestBuilder, StorageError> {
        let request = self.client.request(method, self.at(key)?);
        let transfer_time = Duration::from_secs(content.size() / SLOWEST);
        let request = content.add_body(request.timeout(REQUEST_TIMEOUT.saturating_add(transfer_time)), key).await?;
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        })
    }

    /// Sends a request once. `None` means that the file does not exist.
    async fn once(&self, action: &str, key: &str, request: RequestBuilder) -> Result<Option<Response>, RequestError> {
        let what = |why: &str| format!("cannot {action} `{}{}`: {why}", self.base, encoded(key));
        let response = request
            .send()
            .await
            .map_err(|error| StorageError::new(StorageErrorKind::Temporary, what(&in_words(&error))))?;
        let status = response.status();
        match status.as_u16() {
            200..=299 => Ok(Some(response)),
            404 | 410 => Ok(None),
            401 | 403 => {
                let error = StorageError::new(StorageErrorKind::Denied, what(&format!("it responded with {status}")));
                Err(error.hint("check the setting `webToken` of the provider `pipelines`").into())
            }
            // RFC 4918: insufficient storage.
            507 => {
                let error = StorageError::new(StorageErrorKind::Quota, what(&format!("it responded with {status}")));
                Err(error.hint("free space there, or raise the quota: nothing was removed").into())
            }
            408 | 425 | 429 | 500..=599 => {
                let pause = pause(response.headers());
                Err(RequestError {
                    error: StorageError::new(StorageErrorKind::Temporary, what(&format!("it responded with {status}"))),
                    pause,
                })
            }
            _ => Err(StorageError::failed(what(&format!("it responded with {status}"))).into()),
        }
    }

    /// Sends a request with retries: all requests here are idempotent.
    async fn send(
        &self,
        action: &str,
        method: Method,
        key: &str,
        content: &Content<'_>,
    ) -> Result<Option<Response>, StorageError> {
        let retry = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(20))
            .with_max_times(RETRIES);
        let mut pauses = retry.build();
        loop {
            let request = self.request(method.clone(), key, content).await?;
            match self.once(action, key, request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.error.kind == StorageErrorKind::Temporary && !content.is_changed() => {
                    let Some(pause) = pauses.next() else { return Err(failure.error) };
                    tokio::time::sleep(failure.pause.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                }
                Err(failure) => return Err(failure.error),
            }
        }
    }

    async fn file_metadata(&self, key: &str) -> Result<Option<RemoteFile>, StorageError> {
        let answer = self.send("check", Method::HEAD, key, &Content::Nothing).await?;
        Ok(answer.map(|answer| {
            let size = number(answer.headers(), &CONTENT_LENGTH).unwrap_or_default();
            RemoteFile { size, tag: tag(answer.headers()) }
        }))
    }

    async fn put(&self, key: &str, content: &Content<'_>) -> Result<String, StorageError> {
        let answer = self.send("send", Method::PUT, key, content).await;
        if let (Content::File { file, .. }, true) = (content, content.is_changed()) {
            return Err(changed(file));
        }
        match answer?.map(|answer| tag(answer.headers())) {
            Some(tag) if !tag.is_empty() => Ok(tag),
            Some(_) => Ok(self.file_metadata(key).await?.map(|remote| remote.tag).unwrap_or_default()),
            None => {
                let message = format!("cannot send `{}{}`: the address does not exist", self.base, encoded(key));
                Err(StorageError::failed(message))
            }
        }
    }
}

/// Body of a request.
enum Content<'a> {
    Nothing,
    Bytes(&'a Bytes),
    File {
        file: &'a SourceFile,
        /// The file was found to have changed while it was read.
        is_changed: Arc<AtomicBool>,
    },
}

impl Content<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { file, .. } => file.size,
        }
    }

    fn is_changed(&self) -> bool {
        matches!(self, Self::File { is_changed, .. } if is_changed.load(Ordering::Relaxed))
    }

    async fn add_body(&self, request: RequestBuilder, key: &str) -> Result<RequestBuilder, StorageError> {
        let mut sha256 = [0_u8; 32];
        let body = match self {
            Self::Nothing => return Ok(request),
            Self::Bytes(bytes) => {
                sha256 = Sha256::digest(bytes).into();
                Body::from((*bytes).clone())
            }
            Self::File { file, is_changed } => {
                base16ct::lower::decode(&file.sha256, &mut sha256)
                    .map_err(|_| StorageError::failed(format!("the digest of `{key}` is not valid")))?;
                let opened = File::open(&file.path).await;
                let opened = opened.map_err(|error| StorageError::io("read", &file.path, &error))?;
                streamed(opened, file.size, file.sha256.clone(), Arc::clone(is_changed))
            }
        };
        let digest = format!("sha-256=:{}:", STANDARD.encode(sha256));
        let request = request.header(CONTENT_TYPE, content_type(key)).header(CONTENT_LENGTH, self.size());
        Ok(request.header(REPR_DIGEST, digest).body(body))
    }
}

/// Tag of a content: the ETag, or else the time of the last change.
fn tag(headers: &HeaderMap) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    text(&ETAG).or_else(|| text(&LAST_MODIFIED)).unwrap_or_default()
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn pause(headers: &HeaderMap) -> Option<Duration> {
    number(headers, &RETRY_AFTER).map(Duration::from_secs)
}

/// Streams a file. If the content does not match the digest, the stream fails before the last byte, so that the server
/// rejects the incomplete body.
fn streamed(file: File, size: u64, sha256: String, is_changed: Arc<AtomicBool>) -> Body {
    let start = (file, Sha256::new(), 0_u64);
    let chunks = stream::try_unfold(start, move |(mut file, mut digest, mut read)| {
        let (sha256, is_changed) = (sha256.clone(), Arc::clone(&is_changed));
        async move {
            if read >= size {
                return Ok::<_, io::Error>(None);
            }
            let mut chunk = vec![0_u8; CHUNK.min(usize::try_from(size - read).unwrap_or(CHUNK))];
            let count = file.read(&mut chunk).await?;
            chunk.truncate(count);
            digest.update(&chunk);
            read = read.saturating_add(count as u64);
            let is_other = || base16ct::lower::encode_string(&digest.clone().finalize()) != sha256;
            if count == 0 || (read >= size && is_other()) {
                is_changed.store(true, Ordering::Relaxed);
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the file changed"));
            }
            Ok(Some((chunk, (file, digest, read))))
        }
    });
    Body::wrap_stream(chunks)
}

#[async_trait]
impl Target for Web {
    async fn metadata(&self, keys: &[String]) -> Result<BTreeMap<String, RemoteFile>, StorageError> {
        let requests = stream::iter(keys.iter().cloned()).map(|key| async move {
            let remote = self.file_metadata(&key).await?;
            Ok(remote.map(|remote| (key, remote)))
        });
        requests.buffer_unordered(AT_ONCE).try_filter_map(|remote| std::future::ready(Ok(remote))).try_collect().await
    }

    async fn text(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(mut answer) = self.send("read", Method::GET, key, &Content::Nothing).await? else { return Ok(None) };
        let failed = |why: String| {
            StorageError::new(StorageErrorKind::Temporary, format!("cannot read `{}{key}`: {why}", self.base))
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(in_words(&error)))? {
            if (bytes.len().saturating_add(chunk.len()) as u64) > LONGEST {
                return Err(failed("it is too long".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    async fn digest(&self, key: &str) -> Result<Option<String>, StorageError> {
        let Some(mut answer) = self.send("read", Method::GET, key, &Content::Nothing).await? else { return Ok(None) };
        let failed = |error| {
            StorageError::new(
                StorageErrorKind::Temporary,
                format!("cannot read `{}{key}`: {}", self.base, in_words(&error)),
            )
        };
        let mut digest = Sha256::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            digest.update(&chunk);
        }
        Ok(Some(base16ct::lower::encode_string(&digest.finalize())))
    }

    async fn send(
        &self,
        file: &SourceFile,
        _journal: &Journal,
        _cancel: &CancellationToken,
    ) -> Result<String, StorageError> {
        self.put(&file.key, &Content::File { file, is_changed: Arc::default() }).await
    }

    async fn write(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.put(key, &Content::Bytes(&bytes.into())).await.map(|_| ())
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.send("remove", Method::DELETE, key, &Content::Nothing).await.map(|_| ())
    }
}
