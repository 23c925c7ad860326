//! The metadata API of graphql-engine v2: one export of everything, and changes as single transactions:
//! <https://hasura.io/docs/2.0/api-reference/metadata-api/index/>.
//!
//! A change is one `bulk` with the `resource_version` of the export that it is based on. graphql-engine stores the
//! effects of a `bulk` at its end as one new version. An error stores nothing, and another version is refused (409
//! `conflict`). So a `bulk` may be sent again when its answer is lost.

mod change;

pub(crate) use change::{Change, Decision};

use crate::config::Config;
use crate::export::Export;
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use terrace_provider::http::{Api, Auth, Client, Failure, ParsedError, Purpose, Reply, Request, Vendor, Within};
use terrace_provider::{ErrorKind, Path, ProviderError};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Parser of graphql-engine's errors: `{"path", "error", "code"}`.
const VENDOR: Vendor = Vendor {
    name: "Hasura",
    parse_error,
    had_no_effect: |_| false,
    reach: "look at `url` of the instance: it is the URL before `/v1/metadata`",
    sign_in: "look at `adminSecret` of the instance (HASURA_ADMIN_SECRET)",
};

fn parse_error(reply: &Reply) -> ParsedError {
    let body = reply.json_or_null();
    let text = |name: &str| body.get(name).and_then(Json::as_str).map(crate::jdbc::masked);
    let code = text("code");
    let kind = match code.as_deref() {
        Some("access-denied") => Some(ErrorKind::PermissionDenied),
        Some("already-exists" | "already-tracked") => Some(ErrorKind::AlreadyExists { import_id: None }),
        // The metadata changed since the export; the request had no effect.
        Some("conflict") => Some(ErrorKind::Transient),
        Some("dependency-error" | "unexpected" | "data-connector-error") => Some(ErrorKind::Failed),
        Some(_) if reply.status == 400 => Some(ErrorKind::InvalidInput { path: None }),
        _ => None,
    };
    let internal = body.get("internal").filter(|internal| !internal.is_null()).map(|internal| {
        // It contains the request.
        format!("internal error: {}", crate::jdbc::masked(&internal.to_string()))
    });
    let mut solutions = Vec::new();
    if reply.status == 404 {
        solutions.push("supported: v2.x; v3 (DDN) has no metadata API".to_owned());
    }
    ParsedError { code, message: text("error"), kind, problems: internal.into_iter().collect(), solutions }
}

/// Number of retries of an export that is older than a known version.
const MAX_EXPORT_RETRIES: u32 = 5;
/// The pause before a retry; each is longer than the one before.
const PAUSE: Duration = Duration::from_millis(100);

/// A Hasura server.
#[derive(Debug)]
pub(crate) struct Engine {
    api: Api,
    /// The same without credentials.
    anonymous: Api,
    /// The last export with its request time. The lock makes concurrent callers share one export.
    latest: Mutex<Option<(Instant, Arc<Export>)>>,
    /// The newest known version: a Hasura instance with an older one lags behind.
    newest: AtomicI64,
    /// Held during a change: each change names the version before it.
    changing: Mutex<()>,
    max_age: Duration,
}

impl Engine {
    /// A server without a connection. Texts redact `secrets`.
    pub(crate) fn new(client: &Client, config: &Config, max_age: Duration, secrets: Vec<SecretString>) -> Self {
        let secret = config.secret.clone().map(|secret| (HeaderName::from_static("x-hasura-admin-secret"), secret));
        let auth = secret.map_or(Auth::None, |secret| Auth::Headers(vec![secret]));
        let anonymous = client.api(config.base.clone(), Auth::None, VENDOR, Vec::new());
        let api = client.api(config.base.clone(), auth, VENDOR, secrets);
        Self { api, anonymous, latest: Mutex::new(None), newest: AtomicI64::new(0), changing: Mutex::new(()), max_age }
    }

    /// The URL for queries.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/v1/graphql", self.api.base().shown())
    }

    fn request(body: Json) -> Request {
        Self::request_at("/v1/metadata", body)
    }

    fn request_at(path: &'static str, body: Json) -> Request {
        // The role is not a secret; a sensitive header would be redacted in every text.
        let role = reqwest::header::HeaderValue::from_static("admin");
        Request::post(path, &[]).header(HeaderName::from_static("x-hasura-role"), role).json(body)
    }

    /// A recent export.
    ///
    /// # Errors
    /// When Hasura does not answer.
    pub(crate) async fn export(&self) -> Result<Arc<Export>, ProviderError> {
        self.cached_export(self.max_age, &Within::reading()).await
    }

    /// A new export.
    ///
    /// # Errors
    /// When Hasura does not answer.
    pub(crate) async fn export_now(&self) -> Result<Arc<Export>, ProviderError> {
        self.cached_export(Duration::ZERO, &Within::reading()).await
    }

    async fn cached_export(&self, max_age: Duration, within: &Within) -> Result<Arc<Export>, ProviderError> {
        let mut latest = self.latest.lock().await;
        if let Some((at, export)) = latest.as_ref()
            && at.elapsed() < max_age
        {
            return Ok(Arc::clone(export));
        }
        self.fetch(&mut latest, within).await
    }

    async fn fetch(
        &self,
        latest: &mut MutexGuard<'_, Option<(Instant, Arc<Export>)>>,
        within: &Within,
    ) -> Result<Arc<Export>, ProviderError> {
        **latest = None;
        let mut retries = 0;
        loop {
            let at = Instant::now();
            let export = Arc::new(self.fetch_once(within).await?);
            let newest = self.newest.load(Ordering::Relaxed);
            if export.version < newest && retries < MAX_EXPORT_RETRIES {
                retries += 1;
                tokio::time::sleep(PAUSE * retries).await;
                continue;
            }
            // The version stays older: the metadata was restored.
            self.newest.store(export.version, Ordering::Relaxed);
            **latest = Some((at, Arc::clone(&export)));
            return Ok(export);
        }
    }

    async fn fetch_once(&self, within: &Within) -> Result<Export, ProviderError> {
        let purpose = Purpose::read("export its metadata");
        let error_of = |failure: &Failure| self.api.error(failure, &purpose);
        let request = Self::request(json!({"type": "export_metadata", "version": 2, "args": {}})).reads();
        let reply = self.api.send(&request, within).await.map_err(|failure| not_v2(error_of(&failure), &failure))?;
        let body = reply.json().map_err(|failure| error_of(&failure))?;
        serde_json::from_value(body).map_err(|error| {
            // The parser's message may quote a secret.
            let message = format!("Hasura exports its metadata in an unknown form (line {})", error.line());
            ProviderError::new(ErrorKind::Failed, message).solution("supported: v2.x, from 2.10 on")
        })
    }

    /// True if Hasura answers anonymous requests; then it does not use the role mapper.
    ///
    /// # Errors
    /// When Hasura does not answer.
    pub(crate) async fn allows_anonymous(&self) -> Result<bool, ProviderError> {
        let purpose = Purpose::read("answer an anonymous query");
        let query = Request::post("/v1/graphql", &[]).json(json!({"query": "query { __typename }"})).reads();
        match self.anonymous.send(&query, &Within::reading()).await {
            Ok(reply) => Ok(reply.json_or_null().get("data").is_some_and(|data| !data.is_null())),
            Err(failure) if failure.status().is_some_and(|status| matches!(status, 400..=403)) => Ok(false),
            Err(failure) => Err(self.anonymous.error(&failure, &purpose)),
        }
    }

    /// Sends another reading command.
    ///
    /// # Errors
    /// When Hasura does not answer.
    pub(crate) async fn read(&self, action: &str, body: Json) -> Result<Json, ProviderError> {
        self.answer(action, Self::request(body)).await
    }

    /// Queries the database of a source with read-only SQL.
    ///
    /// # Errors
    /// When Hasura or the database does not answer.
    pub(crate) async fn query(&self, action: &str, body: Json) -> Result<Json, ProviderError> {
        self.answer(action, Self::request_at("/v2/query", body)).await
    }

    async fn answer(&self, action: &str, request: Request) -> Result<Json, ProviderError> {
        let purpose = Purpose::read(action);
        let error_of = |failure: &Failure| self.api.error(failure, &purpose);
        let reply = self.api.send(&request.reads(), &Within::reading()).await.map_err(|failure| error_of(&failure))?;
        reply.json().map_err(|failure| error_of(&failure))
    }
}

/// A server without the metadata API is not Hasura v2.
fn not_v2(error: ProviderError, failure: &Failure) -> ProviderError {
    if failure.status() != Some(404) {
        return error;
    }
    let kind = ErrorKind::InvalidInput { path: Some(Path::attribute("url")) };
    ProviderError { kind, message: "there is no metadata API at `url`".to_owned(), ..error }
}
