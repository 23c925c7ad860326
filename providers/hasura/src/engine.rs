//! The metadata API of graphql-engine v2: one question that tells everything, and changes that are carried out whole, once, on
//! what they were decided by: <https://hasura.io/docs/2.0/api-reference/metadata-api/index/>.
//!
//! A change is one `bulk` with the `resource_version` of the export that it was decided by. graphql-engine collects what the
//! commands of a `bulk` do and stores it at the end, as one new version: an error anywhere stores nothing, and another version
//! than the named one is refused (409 `conflict`). So it may be sent again when its answer was lost: it does nothing twice.

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
use terrace_provider::http::{Api, Auth, Client, Failure, Purpose, Reply, Request, Said, Vendor, Within};
use terrace_provider::{ErrorKind, Path, ProviderError};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How graphql-engine tells errors: `{"path", "error", "code"}`.
const VENDOR: Vendor = Vendor {
    name: "Hasura",
    said,
    did_nothing: |_| false,
    reach: "look at `url` of the instance: it is where `/v1/metadata` is",
    sign_in: "look at `adminSecret` of the instance (HASURA_ADMIN_SECRET)",
};

fn said(reply: &Reply) -> Said {
    let body = reply.json_or_null();
    let text = |name: &str| body.get(name).and_then(Json::as_str).map(crate::jdbc::masked);
    let code = text("code");
    let kind = match code.as_deref() {
        Some("access-denied") => Some(ErrorKind::PermissionDenied),
        Some("already-exists" | "already-tracked") => Some(ErrorKind::AlreadyExists { import_id: None }),
        // It was decided by metadata that somebody changed since, and did nothing.
        Some("conflict") => Some(ErrorKind::Transient),
        Some("dependency-error" | "unexpected" | "data-connector-error") => Some(ErrorKind::Failed),
        Some(_) if reply.status == 400 => Some(ErrorKind::InvalidInput { path: None }),
        _ => None,
    };
    let internal = body.get("internal").filter(|it| !it.is_null()).map(|it| {
        // It holds what was sent.
        format!("it says to developers: {}", crate::jdbc::masked(&it.to_string()))
    });
    let mut solutions = Vec::new();
    if reply.status == 404 {
        solutions.push("supported: v2.x; v3 (DDN) has no metadata API".to_owned());
    }
    Said { code, message: text("error"), kind, problems: internal.into_iter().collect(), solutions }
}

/// How often metadata is asked for that is older than what was told before.
const ASKS_FOR_NEWER: u32 = 5;
/// The pause before it is; each is longer than the one before.
const PAUSE: Duration = Duration::from_millis(100);

/// One Hasura.
#[derive(Debug)]
pub(crate) struct Engine {
    api: Api,
    /// The same, asked by somebody who does not say who that is.
    stranger: Api,
    /// The last export and when it was asked for, held by whoever asks: who comes meanwhile waits and gets the same.
    latest: Mutex<Option<(Instant, Arc<Export>)>>,
    /// The newest version that was told of: an instance of Hasura that tells of an older one does not know all yet.
    newest: AtomicI64,
    /// Changes go one after the other: each names the version before it.
    changing: Mutex<()>,
    answers: Duration,
}

impl Engine {
    /// One that is not connected to yet. `secrets` are what no text repeats.
    pub(crate) fn new(client: &Client, config: &Config, answers: Duration, secrets: Vec<SecretString>) -> Self {
        let secret = config.secret.clone().map(|it| (HeaderName::from_static("x-hasura-admin-secret"), it));
        let auth = secret.map_or(Auth::None, |secret| Auth::Headers(vec![secret]));
        let stranger = client.api(config.base.clone(), Auth::None, VENDOR, Vec::new());
        let api = client.api(config.base.clone(), auth, VENDOR, secrets);
        Self { api, stranger, latest: Mutex::new(None), newest: AtomicI64::new(0), changing: Mutex::new(()), answers }
    }

    /// Where queries go.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/v1/graphql", self.api.base().shown())
    }

    fn request(body: Json) -> Request {
        Self::request_at("/v1/metadata", body)
    }

    fn request_at(path: &'static str, body: Json) -> Request {
        // It is no secret, and as one it would be taken out of every text.
        let role = reqwest::header::HeaderValue::from_static("admin");
        Request::post(path, &[]).header(HeaderName::from_static("x-hasura-role"), role).json(body)
    }

    /// What there is, as it was asked for a moment ago.
    ///
    /// # Errors
    /// When Hasura does not tell.
    pub(crate) async fn export(&self) -> Result<Arc<Export>, ProviderError> {
        self.exported(self.answers, &Within::reading()).await
    }

    /// What there is now.
    ///
    /// # Errors
    /// When Hasura does not tell.
    pub(crate) async fn export_now(&self) -> Result<Arc<Export>, ProviderError> {
        self.exported(Duration::ZERO, &Within::reading()).await
    }

    async fn exported(&self, answers: Duration, within: &Within) -> Result<Arc<Export>, ProviderError> {
        let mut latest = self.latest.lock().await;
        if let Some((at, export)) = latest.as_ref()
            && at.elapsed() < answers
        {
            return Ok(Arc::clone(export));
        }
        self.ask(&mut latest, within).await
    }

    async fn ask(
        &self,
        latest: &mut MutexGuard<'_, Option<(Instant, Arc<Export>)>>,
        within: &Within,
    ) -> Result<Arc<Export>, ProviderError> {
        **latest = None;
        let mut asked = 0;
        loop {
            let at = Instant::now();
            let export = Arc::new(self.ask_once(within).await?);
            let newest = self.newest.load(Ordering::Relaxed);
            if export.version < newest && asked < ASKS_FOR_NEWER {
                asked += 1;
                tokio::time::sleep(PAUSE * asked).await;
                continue;
            }
            // Older for so long, it was put back.
            self.newest.store(export.version, Ordering::Relaxed);
            **latest = Some((at, Arc::clone(&export)));
            return Ok(export);
        }
    }

    async fn ask_once(&self, within: &Within) -> Result<Export, ProviderError> {
        let purpose = Purpose::look("tell its metadata");
        let told = |failure: &Failure| self.api.error(failure, &purpose);
        let request = Self::request(json!({"type": "export_metadata", "version": 2, "args": {}})).reads();
        let reply = self.api.send(&request, within).await.map_err(|failure| not_v2(told(&failure), &failure))?;
        let body = reply.json().map_err(|failure| told(&failure))?;
        serde_json::from_value(body).map_err(|error| {
            // What it says of values may be a secret.
            let message = format!("Hasura tells its metadata in a form that is not known (line {})", error.line());
            ProviderError::new(ErrorKind::Failed, message).solution("supported: v2.x, from 2.10 on")
        })
    }

    /// Whether whoever asks is answered, without saying who that is: then nobody asks the role mapper.
    ///
    /// # Errors
    /// When Hasura does not answer.
    pub(crate) async fn lets_strangers_in(&self) -> Result<bool, ProviderError> {
        let purpose = Purpose::look("refuse who does not say who they are");
        let query = Request::post("/v1/graphql", &[]).json(json!({"query": "query { __typename }"})).reads();
        match self.stranger.send(&query, &Within::reading()).await {
            Ok(reply) => Ok(reply.json_or_null().get("data").is_some_and(|data| !data.is_null())),
            Err(failure) if failure.status().is_some_and(|status| matches!(status, 400..=403)) => Ok(false),
            Err(failure) => Err(self.stranger.error(&failure, &purpose)),
        }
    }

    /// Asks something else that changes nothing.
    ///
    /// # Errors
    /// When Hasura does not tell.
    pub(crate) async fn look(&self, doing: &str, body: Json) -> Result<Json, ProviderError> {
        self.answer(doing, Self::request(body)).await
    }

    /// Asks what is behind a source, by SQL that changes nothing.
    ///
    /// # Errors
    /// When Hasura or the database does not tell.
    pub(crate) async fn query(&self, doing: &str, body: Json) -> Result<Json, ProviderError> {
        self.answer(doing, Self::request_at("/v2/query", body)).await
    }

    async fn answer(&self, doing: &str, question: Request) -> Result<Json, ProviderError> {
        let purpose = Purpose::look(doing);
        let told = |failure: &Failure| self.api.error(failure, &purpose);
        let reply = self.api.send(&question.reads(), &Within::reading()).await.map_err(|it| told(&it))?;
        reply.json().map_err(|it| told(&it))
    }
}

/// What answers 404 to the one question of this API is no Hasura v2.
fn not_v2(error: ProviderError, failure: &Failure) -> ProviderError {
    if failure.status() != Some(404) {
        return error;
    }
    let kind = ErrorKind::InvalidInput { path: Some(Path::attribute("url")) };
    ProviderError { kind, message: "there is no metadata API at `url`".to_owned(), ..error }
}
