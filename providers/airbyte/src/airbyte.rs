//! The public API, in terms of what there is in a workspace.

use crate::kind::Kind;
use crate::problem::is_missing;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::http::{Api, Failure, Next, Purpose, Request, Within};
use terrace_provider::{ErrorKind, ProviderError};

/// So many are asked for at once: the most that the API takes.
const PAGE: usize = 100;
/// How long a call may go unanswered that reads a source's schema on the way: it runs the connector.
const WITH_DISCOVERY: Duration = Duration::from_secs(600);

/// Calls of one call of terrace.
#[derive(Debug, Clone)]
pub(crate) struct Airbyte<'a> {
    api: &'a Api,
    within: Within,
}

impl<'a> Airbyte<'a> {
    pub(crate) fn new(api: &'a Api, within: Within) -> Self {
        Self { api, within }
    }

    /// All of a kind in a workspace that have a name; each is what the API calls it.
    ///
    /// # Errors
    /// What Airbyte says against it.
    pub(crate) async fn named(&self, kind: Kind, workspace: &str, name: &str) -> Result<Vec<Json>, ProviderError> {
        let all = self.all(kind, workspace).await?;
        Ok(all.into_iter().filter(|it| it.get("name").and_then(Json::as_str) == Some(name)).collect())
    }

    /// All of a kind in a workspace.
    ///
    /// # Errors
    /// What Airbyte says against it.
    pub(crate) async fn all(&self, kind: Kind, workspace: &str) -> Result<Vec<Json>, ProviderError> {
        let request = Request::get(kind.all(), &[]).query("workspaceIds", workspace);
        self.listed(request, &Purpose::look(format!("list the {}s", kind.word()))).await
    }

    /// All that a list has, whatever the pages of the server hold.
    ///
    /// # Errors
    /// What Airbyte says against it.
    pub(crate) async fn listed(&self, request: Request, purpose: &Purpose) -> Result<Vec<Json>, ProviderError> {
        let mut offset = 0;
        // By number: the URL that an answer names is that of the server as it knows itself, which may be another.
        let next = move |page: &Json| {
            let count = page.get("data").and_then(Json::as_array).map_or(0, Vec::len);
            offset += count;
            let says_more = page.get("next").and_then(Json::as_str).is_some_and(|next| !next.is_empty());
            match count > 0 && (says_more || count >= PAGE) {
                true => Next::Query(vec![("offset", offset.to_string())]),
                false => Next::End,
            }
        };
        let all = self.api.items(request.query("limit", PAGE), &self.within, "data", next).await;
        all.map_err(|failure| self.error(&failure, purpose))
    }

    /// One by its id; `None` where there is none.
    ///
    /// # Errors
    /// What Airbyte says against it.
    pub(crate) async fn get(&self, kind: Kind, id: &str) -> Result<Option<Json>, ProviderError> {
        let purpose = Purpose::look(format!("read the {} `{id}`", kind.word()));
        self.ask_about(&Request::get(kind.one(), &[id]), &purpose).await
    }

    /// What a question is answered with; `None` where there is no such thing.
    ///
    /// # Errors
    /// What Airbyte says against it.
    pub(crate) async fn ask_about(&self, request: &Request, purpose: &Purpose) -> Result<Option<Json>, ProviderError> {
        match self.api.send(request, &self.within).await {
            Ok(reply) => reply.json().map(Some).map_err(|failure| self.error(&failure, purpose)),
            Err(failure) if failure.answer().is_some_and(is_missing) => Ok(None),
            Err(failure) => Err(self.error(&failure, purpose)),
        }
    }

    /// Makes one: sent once, whatever becomes of its answer.
    ///
    /// # Errors
    /// What Airbyte says against it, or that nobody knows what became of it.
    pub(crate) async fn create(&self, kind: Kind, body: Json, purpose: &Purpose) -> Result<Json, ProviderError> {
        self.write(Request::post(kind.all(), &[]).json(body), kind, purpose).await
    }

    /// Changes what is said, and leaves the rest. Sending it twice does the same.
    ///
    /// # Errors
    /// What Airbyte says against it, or that nobody knows what became of it.
    pub(crate) async fn patch(&self, kind: Kind, id: &str, body: Json, to: &Purpose) -> Result<Json, ProviderError> {
        self.write(Request::patch(kind.one(), &[id]).json(body).idempotent(), kind, to).await
    }

    /// Replaces all that is configured.
    ///
    /// # Errors
    /// What Airbyte says against it, or that nobody knows what became of it.
    pub(crate) async fn put(&self, kind: Kind, id: &str, body: Json, to: &Purpose) -> Result<Json, ProviderError> {
        self.write(Request::put(kind.one(), &[id]).json(body).idempotent(), kind, to).await
    }

    async fn write(&self, request: Request, kind: Kind, purpose: &Purpose) -> Result<Json, ProviderError> {
        let request = if kind == Kind::Connection { request.timeout(WITH_DISCOVERY) } else { request };
        let reply = self.api.send(&request, &self.within).await.map_err(|failure| self.error(&failure, purpose))?;
        reply.json().map_err(|failure| self.error(&failure, purpose))
    }

    /// Deletes one; that it is gone already is a success.
    ///
    /// # Errors
    /// What Airbyte says against it, or that nobody knows what became of it.
    pub(crate) async fn delete(&self, kind: Kind, id: &str, purpose: &Purpose) -> Result<(), ProviderError> {
        match self.api.send(&Request::delete(kind.one(), &[id]).idempotent(), &self.within).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.answer().is_some_and(is_missing) => Ok(()),
            Err(failure) => Err(self.error(&failure, purpose)),
        }
    }

    /// The time by Airbyte's clock.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn now(&self) -> Result<Timestamp, ProviderError> {
        let reply = self.api.send(&Request::get("/health", &[]), &self.within).await;
        let reply = reply.map_err(|failure| self.error(&failure, &Purpose::look("tell the time")))?;
        let date = reply.header("date").and_then(|text| rfc2822::parse(text).ok());
        Ok(date.map_or_else(Timestamp::now, |date| date.timestamp()))
    }

    pub(crate) fn error(&self, failure: &Failure, purpose: &Purpose) -> ProviderError {
        self.api.error(failure, purpose)
    }
}

/// The one of several that have a name.
///
/// # Errors
/// Where there are two: neither is the one that is meant more than the other.
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
        .solution(format!("rename or delete one of them: by its name a {word} is found again")))
}

/// A text of an answer; empty where there is none.
pub(crate) fn text(json: &Json, name: &str) -> String {
    json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}
