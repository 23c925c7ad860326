//! Requests to a forge over HTTP, with bounded waits and errors for people.

use crate::forge::{Called, ForgeError, Vendor};
use secrecy::SecretString;
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::http::{
    self, Api, Auth, Base, Client, Failure, HeaderName, HeaderValue, Options, ParsedError, Reply, Request, Within,
};

/// The limit of a call with its retries and the pauses that the forge requests. A job should not wait for an hourly limit.
const LONGEST_CALL: Duration = Duration::from_secs(90);
/// The time limit of an attempt.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The size of a page: the maximum of both vendors.
const PAGE: usize = 100;
/// The maximum number of pages of a list: 20,000 entries.
const MOST_PAGES: usize = 200;
/// The longest part of a forge's message, in characters.
const LONGEST_MESSAGE: usize = 300;

/// Sends the calls to a forge.
#[derive(Debug)]
pub(crate) struct Caller {
    api: Api,
    vendor: Vendor,
}

/// A call, for errors: its purpose and the permission that it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    /// The purpose after "may not": `create a comment`.
    pub(crate) action: &'static str,
    /// The permission of the token.
    pub(crate) needs: &'static str,
}

impl Caller {
    /// Calls the interface at a URL, with a token in a header.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(crate) fn new(vendor: Vendor, url: &str, header: HeaderName, token: SecretString) -> Result<Self, String> {
        let base = Base::parse(url)?;
        let options = Options { timeout: TIMEOUT, ..Options::default() };
        let client = Client::new(options).map_err(|error| error.message)?;
        let words = http::Vendor {
            name: vendor.name(),
            parse_error: |_| ParsedError::default(),
            had_no_effect: is_limited,
            reach: "",
            sign_in: "",
        };
        let api = client.api(base, Auth::Headers(vec![(header, token)]), words, Vec::new());
        Ok(Self { api, vendor })
    }

    /// A text without the secrets of this forge.
    pub(crate) fn redacted(&self, text: &str) -> String {
        self.api.redacted(text)
    }

    /// Sends a request, and returns the body of its answer.
    ///
    /// # Errors
    /// When the forge refuses it, or gives no answer in time.
    pub(crate) async fn send(&self, request: Request, purpose: Purpose) -> Called<Json> {
        let request = match self.vendor {
            Vendor::GitHub => request
                .header(HeaderName::from_static("accept"), HeaderValue::from_static("application/vnd.github+json"))
                .header(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
            Vendor::GitLab => request,
        };
        match self.api.send(&request, &Within::time(LONGEST_CALL)).await {
            Ok(reply) => reply.json().map_err(|_| self.foreign(&reply, purpose)),
            Err(Failure::Answered(reply)) if is_foreign(&reply) => Err(self.foreign(&reply, purpose)),
            Err(failure) => Err(self.error(&failure, purpose)),
        }
    }

    /// Reads all pages of a list.
    ///
    /// # Errors
    /// As [`Caller::send`], and for a list without end.
    pub(crate) async fn list(&self, request: Request, purpose: Purpose) -> Called<Vec<Json>> {
        let mut items = Vec::new();
        for page in 1..=MOST_PAGES {
            let request = request.clone().query("per_page", PAGE).query("page", page);
            let Json::Array(found) = self.send(request, purpose).await? else {
                return Err(self.unreadable(purpose));
            };
            let is_last = found.len() < PAGE;
            items.extend(found);
            if is_last {
                return Ok(items);
            }
        }
        Err(ForgeError {
            status: None,
            message: format!("{} returns too many entries to {}", self.vendor.name(), purpose.action),
            hints: Vec::new(),
        })
    }

    /// The error of a GraphQL query, which has the status 200.
    /// <https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api>
    pub(crate) fn query_error(&self, error: &Json, Purpose { action, needs }: Purpose) -> ForgeError {
        let name = self.vendor.name();
        let because = message_of(error);
        let (status, message, hint) = match error.get("type").and_then(Json::as_str) {
            Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => {
                (Some(403), format!("the token may not {action}"), format!("the token needs {needs}"))
            }
            Some("RATE_LIMITED" | "RATE_LIMIT") => (
                Some(429),
                format!("{name} limits the rate of calls, and terrace could not {action}"),
                "run the job again later".to_owned(),
            ),
            _ => (None, format!("{name} refuses to {action}"), "run the job again later".to_owned()),
        };
        ForgeError { status, message: self.redacted(&format!("{message}: {because}")), hints: vec![hint] }
    }

    /// The error for an answer without an expected field.
    pub(crate) fn unreadable(&self, purpose: Purpose) -> ForgeError {
        let message = format!("the answer of {} to the request to {} lacks fields", self.vendor.name(), purpose.action);
        ForgeError { status: None, message, hints: Vec::new() }
    }

    /// The error for an answer that is not JSON: a proxy or another server answers instead of the API. It has no status, so
    /// that it does not count as a missing permission.
    fn foreign(&self, reply: &Reply, Purpose { action, .. }: Purpose) -> ForgeError {
        let (url, status) = (self.api.base().shown(), reply.status);
        let message = format!(
            "`{url}` does not answer as the API of {} does: the request to {action} gets the status {status} without JSON",
            self.vendor.name()
        );
        let variable = match self.vendor {
            Vendor::GitHub => "GITHUB_API_URL",
            Vendor::GitLab => "CI_API_V4_URL",
        };
        let check = format!("check {variable}, and the proxy of the job: HTTPS_PROXY and NO_PROXY");
        let later = (status >= 500).then(|| "run the job again later".to_owned());
        ForgeError { status: None, message: self.redacted(&message), hints: [check].into_iter().chain(later).collect() }
    }

    fn error(&self, failure: &Failure, purpose: Purpose) -> ForgeError {
        let (name, Purpose { action, needs }) = (self.vendor.name(), purpose);
        let host = self.api.base().host();
        let (message, hint) = match failure {
            Failure::NotSent(why) => {
                (format!("{name} cannot be reached at `{host}`: {why}"), "check the network of the job".to_owned())
            }
            Failure::Lost(why) => (
                format!("{name} does not answer the request to {action}: {why}"),
                "run the job again: it finds the comments and issues of earlier runs".to_owned(),
            ),
            Failure::Answered(reply) => self.refusal(reply, purpose),
            other => (format!("{name} cannot be asked to {action}: {}", other.in_words()), needs.to_owned()),
        };
        // A used-up limit does not mean a missing permission.
        let status = failure.answer().map(|reply| if is_limited(reply) { 429 } else { reply.status });
        ForgeError { status, message: self.redacted(&message), hints: vec![hint] }
    }

    fn refusal(&self, reply: &Reply, Purpose { action, needs }: Purpose) -> (String, String) {
        let name = self.vendor.name();
        let why = message_of(&reply.json_or_null());
        let because = if why.is_empty() { String::new() } else { format!(": {why}") };
        if is_limited(reply) || reply.status == 429 {
            let wait = reply.retry_after.map(|pause| format!(" for {} seconds", pause.as_secs())).unwrap_or_default();
            let message = format!("{name} limits the rate of calls{wait}, and terrace could not {action}{because}");
            return (message, "run the job again later".to_owned());
        }
        match reply.status {
            401 => (
                format!("{name} does not accept the token{because}"),
                match self.vendor {
                    Vendor::GitHub => "pass the token of the job: `GITHUB_TOKEN: ${{ github.token }}`".to_owned(),
                    Vendor::GitLab => "set GITLAB_TOKEN to a project access token with the scope `api`".to_owned(),
                },
            ),
            403 => (format!("the token may not {action}{because}"), format!("the token needs {needs}")),
            404 => (
                format!("{name} finds nothing to {action}{because}"),
                format!("a forge answers so if a token lacks a permission, too: the token needs {needs}"),
            ),
            409 => {
                (format!("{name} reports a conflict and could not {action}{because}"), "run the job again".to_owned())
            }
            400 | 413 | 422 => (
                format!("{name} refuses to {action}{because}"),
                "if the settings of the job are right, this is a bug of terrace: report it".to_owned(),
            ),
            500..=599 => (
                format!("{name} failed to {action} (status {}){because}", reply.status),
                "run the job again later".to_owned(),
            ),
            status => (format!("{name} answers {status} to the request to {action}{because}"), String::new()),
        }
    }
}

/// True if an answer does not come from the API: its answers are JSON or empty, and only a proxy answers 407. A rate limit
/// may answer before the API.
fn is_foreign(reply: &Reply) -> bool {
    let is_json = reply.json().is_ok();
    reply.status == 407 || (!is_json && !is_limited(reply) && reply.status != 429)
}

/// True if the forge refused a call because of its rate limit: the call had no effect.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
fn is_limited(reply: &Reply) -> bool {
    reply.status == 403 && (reply.retry_after.is_some() || reply.header("x-ratelimit-remaining") == Some("0"))
}

/// The message of an error: GitHub's `message` and `errors`, GitLab's `message` or `error`.
fn message_of(body: &Json) -> String {
    let text = |value: &Json| match value {
        Json::String(text) => Some(text.clone()),
        Json::Null => None,
        other => Some(other.to_string()),
    };
    let first = body.get("message").or_else(|| body.get("error")).and_then(text);
    let errors = body.get("errors").and_then(Json::as_array).into_iter().flatten();
    let errors = errors.filter_map(|error| error.get("message").map_or_else(|| text(error), text));
    let all: Vec<String> = first.into_iter().chain(errors).collect();
    all.join("; ").chars().filter(|character| !character.is_control()).take(LONGEST_MESSAGE).collect()
}
