//! Client of the public API for the objects of a workspace.

use crate::kind::Kind;
use crate::problem::is_missing;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::http::{Api, Failure, Next, Purpose, Request, Within};
use terrace_provider::{ErrorKind, ProviderError};

/// Page size: the API's maximum.
const PAGE_SIZE: usize = 100;
/// Timeout of a request during which Airbyte reads a source's schema, which runs the connector.
const DISCOVERY_REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

/// The requests of a call.
#[derive(Debug, Clone)]
pub(crate) struct Airbyte<'a> {
    api: &'a Api,
    within: Within,
}

impl<'a> Airbyte<'a> {
    pub(crate) fn new(api: &'a Api, within: Within) -> Self {
        Self { api, within }
    }

    /// Returns all objects of a kind with a name, in the API's format.
    ///
    /// # Errors
    /// If Airbyte refuses the request.
    pub(crate) async fn named(&self, kind: Kind, workspace: &str, name: &str) -> Result<Vec<Json>, ProviderError> {
        let all = self.all(kind, workspace).await?;
        Ok(all.into_iter().filter(|it| it.get("name").and_then(Json::as_str) == Some(name)).collect())
    }

    /// Returns all objects of a kind in a workspace.
    ///
    /// # Errors
    /// If Airbyte refuses the request.
    pub(crate) async fn all(&self, kind: Kind, workspace: &str) -> Result<Vec<Json>, ProviderError> {
        let request = Request::get(kind.list_path(), &[]).query("workspaceIds", workspace);
        self.list_all(request, &Purpose::read(format!("list the {}s", kind.word()))).await
    }

    /// Returns all items of a list over all pages, of any size.
    ///
    /// # Errors
    /// If Airbyte refuses the request.
    pub(crate) async fn list_all(&self, request: Request, purpose: &Purpose) -> Result<Vec<Json>, ProviderError> {
        let mut offset = 0;
        // Use offsets: the `next` URL has the server's own idea of its host, which may be wrong for us.
        let next = move |page: &Json| {
            let count = page.get("data").and_then(Json::as_array).map_or(0, Vec::len);
            offset += count;
            let has_more = page.get("next").and_then(Json::as_str).is_some_and(|next| !next.is_empty());
            match count > 0 && (has_more || count >= PAGE_SIZE) {
                true => Next::Query(vec![("offset", offset.to_string())]),
                false => Next::End,
            }
        };
        let all = self.api.items(request.query("limit", PAGE_SIZE), &self.within, "data", next).await;
        all.map_err(|failure| self.error(&failure, purpose))
    }

    /// Returns an object by its id, or `None`.
    ///
    /// # Errors
    /// If Airbyte refuses the request.
    pub(crate) async fn get(&self, kind: Kind, id: &str) -> Result<Option<Json>, ProviderError> {
        let purpose = Purpose::read(format!("read the {} `{id}`", kind.word()));
        self.read_optional(&Request::get(kind.object_path(), &[id]), &purpose).await
    }

    /// Sends a read request; `None` if the object does not exist.
    ///
    /// # Errors
    /// If Airbyte refuses the request.
    pub(crate) async fn read_optional(
        &self,
        request: &Request,
        purpose: &Purpose,
    ) -> Result<Option<Json>, ProviderError> {
        match self.api.send(request, &self.within).await {
            Ok(reply) => reply.json().map(Some).map_err(|failure| self.error(&failure, purpose)),
            Err(failure) if failure.answer().is_some_and(is_missing) => Ok(None),
            Err(failure) => Err(self.error(&failure, purpose)),
        }
    }

    /// Creates an object. The request is sent only once, even if the answer is lost.
    ///
    /// # Errors
    /// If Airbyte refuses the request, or the outcome is unknown.
    pub(crate) async fn create(&self, kind: Kind, body: Json, purpose: &Purpose) -> Result<Json, ProviderError> {
        self.write(Request::post(kind.list_path(), &[]).json(body), kind, purpose).await
    }

    /// Updates the given fields. The request is idempotent.
    ///
    /// # Errors
    /// If Airbyte refuses the request, or the outcome is unknown.
    pub(crate) async fn patch(&self, kind: Kind, id: &str, body: Json, to: &Purpose) -> Result<Json, ProviderError> {
        self.write(Request::patch(kind.object_path(), &[id]).json(body).idempotent(), kind, to).await
    }

    /// Replaces all fields.
    ///
    /// # Errors
    /// If Airbyte refuses the request, or the outcome is unknown.
    pub(crate) async fn put(&self, kind: Kind, id: &str, body: Json, to: &Purpose) -> Result<Json, ProviderError> {
        self.write(Request::put(kind.object_path(), &[id]).json(body).idempotent(), kind, to).await
    }

    async fn write(&self, request: Request, kind: Kind, purpose: &Purpose) -> Result<Json, ProviderError> {
        let request = if kind == Kind::Connection { request.timeout(DISCOVERY_REQUEST_TIMEOUT) } else { request };
        let reply = self.api.send(&request, &self.within).await.map_err(|failure| self.error(&failure, purpose))?;
        reply.json().map_err(|failure| self.error(&failure, purpose))
    }

    /// Deletes an object. A missing object is a success.
    ///
    /// # Errors
    /// If Airbyte refuses the request, or the outcome is unknown.
    pub(crate) async fn delete(&self, kind: Kind, id: &str, purpose: &Purpose) -> Result<(), ProviderError> {
        match self.api.send(&Request::delete(kind.object_path(), &[id]).idempotent(), &self.within).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.answer().is_some_and(is_missing) => Ok(()),
            Err(failure) => Err(self.error(&failure, purpose)),
        }
    }

    /// Returns the time of Airbyte's clock.
    ///
    /// # Errors
    /// If Airbyte does not answer.
    pub(crate) async fn now(&self) -> Result<Timestamp, ProviderError> {
        let reply = self.api.send(&Request::get("/health", &[]), &self.within).await;
        let reply = reply.map_err(|failure| self.error(&failure, &Purpose::read("read the server's time")))?;
        let date = reply.header("date").and_then(|text| rfc2822::parse(text).ok());
        Ok(date.map_or_else(Timestamp::now, |date| date.timestamp()))
    }

    pub(crate) fn error(&self, failure: &Failure, purpose: &Purpose) -> ProviderError {
        self.api.error(failure, purpose)
    }
}

/// Returns the only object with a name, if any.
///
/// # Errors
/// If several objects have the name.
pub(crate) fn only(kind: Kind, name: &str, mut named: Vec<Json>) -> Result<Option<Json>, ProviderError> {
    let Some(last) = named.pop() else { return Ok(None) };
    if named.is_empty() {
        return Ok(Some(last));
    }
    named.push(last);
    let ids: Vec<String> = named.iter().map(|it| format!("`{}`", text(it, kind.id()))).collect();
    let (word, ids) = (kind.word(), ids.join(" and "));
    let message = format!("there are {} {word}s `{name}` in the workspace: {ids}", named.len());
    Err(ProviderError::new(ErrorKind::InvalidInput { path: Some(terrace_provider::Path::attribute("name")) }, message)
        .solution(format!("rename or delete one of them: terrace finds a {word} by its name")))
}

/// A string field of an answer, or the empty string.
pub(crate) fn text(json: &Json, name: &str) -> String {
    json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}
