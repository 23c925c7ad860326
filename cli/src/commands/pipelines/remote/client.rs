//! Client of the native API of a server, with the token of the user.

use super::super::project::{ids_hint, is_run};
use super::super::run_id::ambiguous;
use super::events::Events;
use crate::args::ServerArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::report::harmless_line;
use crate::sign_in::{SignInFile, SignInTokens};
use crate::variables;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::spec::selection;
use terrace_provider::http::{
    self, Api, Auth, Base, Client, HeaderName, HeaderValue, Options, Reply, Request, Vendor, Within, is_exposed,
};
use terrace_server::pipelines::{NewRun, Run};
use uuid::Uuid;

/// The variable with the address of the server.
const SERVER: &str = "TERRACE_SERVER";
/// The variable with the token.
const TOKEN: &str = "TERRACE_TOKEN";
/// The limit of an attempt without an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The limit of a call with its retries.
const LONGEST_CALL: Duration = Duration::from_secs(90);
/// The longest pause within a stream: the server sends a sign of life every 15 seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// States of runs that have not ended.
const UNFINISHED: [&str; 5] = ["queued", "assigned", "preparing", "running", "publishing"];
/// Items of a page.
const PAGE: usize = 1_000;

const VENDOR: Vendor = Vendor::named("the terrace server");

/// True for a run that has not ended.
pub(super) fn is_unfinished(run: &Run) -> bool {
    UNFINISHED.contains(&run.state.as_str())
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
struct QueuedRun {
    run_id: String,
}

/// Where the token of calls is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// The calls have no token.
    None,
    /// The variable.
    Variable,
    /// The stored sign-in.
    SignIn,
    /// A sign-in that is not stored yet.
    NewSignIn,
}

/// A server.
#[derive(Debug, Clone)]
pub(in crate::commands::pipelines) struct Server {
    api: Api,
    token: TokenSource,
}

/// The address of the server of the flag or the variable; `None` to work in this project.
fn address_of(context: &Context<'_>, arguments: &ServerArguments) -> Result<Option<(Base, &'static str)>, Failure> {
    let (text, name) = match (&arguments.server, context.variables.get(SERVER)) {
        (Some(url), _) => (url.as_str(), "--server"),
        (None, Some(url)) => (url, SERVER),
        (None, None) => return Ok(None),
    };
    let base = Base::parse(text).map_err(|why| {
        Failure::new(format!("`{name}` is {why}")).hint("write the address of the server: `https://HOST:8091`")
    })?;
    Ok(Some((base, name)))
}

/// Refuses the variable with the server for a command that works in the project here only: it would change another object of
/// the same name.
///
/// # Errors
/// When the variable is set.
pub(in crate::commands::pipelines) fn refuse_server(context: &Context<'_>) -> Result<(), Failure> {
    match context.variables.get(SERVER) {
        Some(_) => Err(Failure::refused(format!("the command works in the project here, and {SERVER} names a server"))
            .hint(format!("for the project here, unset {SERVER}"))
            .hint("for the server, run the command in the server's project")),
        None => Ok(()),
    }
}

/// The address of a server that a sign-in needs.
pub(super) fn required_address(context: &Context<'_>, arguments: &ServerArguments) -> Result<Base, Failure> {
    let (base, name) = address_of(context, arguments)?.ok_or_else(|| {
        Failure::new("a sign-in needs a server").hint(format!("name it with `--server URL` or {SERVER}"))
    })?;
    check_encrypted(&base, name)?;
    Ok(base)
}

fn check_encrypted(base: &Base, name: &str) -> Result<(), Failure> {
    match is_exposed(base.shown()) {
        true => {
            Err(Failure::new(format!("`{name}` is `http://` to another machine: the network could read the token"))
                .hint("write `https://`, and serve with `server.tls` or behind a proxy with TLS"))
        }
        false => Ok(()),
    }
}

/// The server of a command, with the token of the variable or the stored sign-in; `None` to work in this project.
///
/// # Errors
/// When the address or the token is invalid, or the token would be sent without encryption.
pub(in crate::commands::pipelines) fn server_of(
    context: &Context<'_>,
    arguments: &ServerArguments,
) -> Result<Option<Server>, Failure> {
    let Some((base, name)) = address_of(context, arguments)? else { return Ok(None) };
    // The token of the variable belongs to the server of the variable: no other server gets it.
    let is_of_variable = context.variables.get(SERVER).is_none_or(|server| {
        arguments.server.as_deref().is_none_or(|given| given.trim_end_matches('/') == server.trim_end_matches('/'))
    });
    let (auth, token) = match context.variables.get(TOKEN).filter(|_| is_of_variable) {
        Some(text) => {
            let token = variables::token(text).ok_or_else(|| {
                Failure::new(format!("{TOKEN} is not a token: it is empty, or has other characters than visible ASCII"))
                    .hint("copy the token on one line and without quotes")
            })?;
            (Auth::Bearer(token), TokenSource::Variable)
        }
        None => match SignInFile::of_user(context.variables) {
            Some(file) => match SignInTokens::of(file, base.shown()).map_err(Failure::new)? {
                Some(tokens) => (Auth::Tokens(Arc::new(tokens)), TokenSource::SignIn),
                None => (Auth::None, TokenSource::None),
            },
            None => (Auth::None, TokenSource::None),
        },
    };
    if token != TokenSource::None {
        check_encrypted(&base, name)?;
    }
    Server::new(base, auth, token).map(Some)
}

impl Server {
    pub(super) fn new(base: Base, auth: Auth, token: TokenSource) -> Result<Self, Failure> {
        // Without retries of answers: a refusal by a limit would be repeated until the time is up.
        let options = Options { timeout: TIMEOUT, retries: 0, retries_after_loss: 2, ..Options::default() };
        let client = Client::new(options).map_err(Failure::from)?;
        Ok(Self { api: client.api(base, auth, VENDOR, Vec::new()), token })
    }

    /// The address, for messages and commands.
    pub(super) fn url(&self) -> &str {
        self.api.base().shown()
    }

    /// Reads or changes something, and returns the answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        let reply = self.send(request).await?;
        serde_json::from_slice(&reply.body).map_err(|_| self.unreadable())
    }

    pub(super) async fn send(&self, request: &Request) -> Result<Reply, Failure> {
        let sent = self.api.send(request, &Within::time(LONGEST_CALL)).await;
        sent.map_err(|failure| self.failure(&failure))
    }

    /// Reads all pages of a list, up to a number of items.
    pub(super) async fn pages<T: DeserializeOwned>(&self, request: &Request, most: usize) -> Result<Vec<T>, Failure> {
        let (mut items, mut after) = (Vec::new(), None::<String>);
        while items.len() < most {
            let request = request.clone().query("limit", PAGE.min(most - items.len()));
            let request = after.iter().fold(request, |request, after| request.query("after", after));
            let page: Page<T> = self.call(&request).await?;
            items.extend(page.items);
            match page.next {
                Some(next) if after.as_ref() != Some(&next) => after = Some(next),
                _ => break,
            }
        }
        items.truncate(most);
        Ok(items)
    }

    /// Queues a run. The key makes a repeated call harmless.
    pub(super) async fn start(&self, run: &NewRun) -> Result<String, Failure> {
        let body = serde_json::to_value(run).map_err(|error| Failure::new(error.to_string()))?;
        let request = Request::post("/api/v1/pipelines/runs", &[]).json(body).idempotent();
        let key = HeaderValue::from_str(&Uuid::now_v7().to_string());
        let key = key.map_err(|error| Failure::new(error.to_string()))?;
        let queued: QueuedRun = self.call(&request.header(HeaderName::from_static("idempotency-key"), key)).await?;
        Ok(queued.run_id)
    }

    pub(super) async fn run(&self, id: &str) -> Result<Run, Failure> {
        self.call(&Request::get("/api/v1/pipelines/runs/{id}", &[id])).await
    }

    /// Requests the end of a run.
    pub(super) async fn cancel(&self, id: &str) -> Result<(), Failure> {
        let request = Request::post("/api/v1/pipelines/runs/{id}/cancel", &[id]).idempotent();
        self.send(&request).await.map(drop)
    }

    /// Opens the events of a run after a position.
    pub(super) async fn events(&self, id: &str, after: Option<&str>) -> Result<Events, http::Failure> {
        let mut request = Request::get("/api/v1/pipelines/runs/{id}/events", &[id]).timeout(LONGEST_PAUSE);
        request = request.header(HeaderName::from_static("accept"), HeaderValue::from_static("text/event-stream"));
        if let Some(position) = after.and_then(|after| HeaderValue::from_str(after).ok()) {
            request = request.header(HeaderName::from_static("last-event-id"), position);
        }
        Ok(Events::new(self.api.open(&request, &Within::time(LONGEST_CALL)).await?))
    }

    /// The runs of a pipeline that have not ended, among the newest of the server.
    pub(super) async fn unfinished(&self, pipeline: &str) -> Result<Vec<Run>, Failure> {
        let list = Request::get("/api/v1/pipelines/runs", &[]).query("pipeline", pipeline);
        let newest: Page<Run> = self.call(&list.query("limit", PAGE)).await?;
        Ok(newest.items.into_iter().filter(is_unfinished).collect())
    }

    /// The run with this id or its beginning, or the newest run of the pipeline with this id.
    pub(super) async fn find(&self, word: &str) -> Result<Run, Failure> {
        let is_id = is_run(word);
        if is_id && word.parse::<Uuid>().is_ok() {
            return self.run(word).await;
        }
        let list = Request::get("/api/v1/pipelines/runs", &[]);
        if is_id {
            let runs: Vec<Run> = self.pages(&list, PAGE).await?;
            let found: Vec<&Run> = runs.iter().filter(|run| run.run_id.starts_with(word)).collect();
            match found.as_slice() {
                [only] => return self.run(&only.run_id).await,
                [] => {}
                several => {
                    let ids: Vec<&str> = several.iter().map(|run| run.run_id.as_str()).collect();
                    return Err(ambiguous(word, &ids));
                }
            }
        }
        let newest: Vec<Run> = self.pages(&list.query("pipeline", word), 1).await?;
        match newest.into_iter().find(|run| selection::selects(word, &run.pipeline_id)) {
            Some(run) => self.run(&run.run_id).await,
            None => Err(Failure::new(format!("the server has no run `{word}`, and no pipeline `{word}` with runs"))
                .hint(ids_hint(&format!("terrace pipelines runs --server {}", self.url())))),
        }
    }

    fn unreadable(&self) -> Failure {
        Failure::new(format!("`{}` does not answer as a terrace server", self.url()))
            .hint("check the address of the server, and its version with `terrace version`")
    }

    /// The failure of a command for that of a call. A refusal by the token or a limit has the exit code 4.
    pub(super) fn failure(&self, failure: &http::Failure) -> Failure {
        let login = match self.token {
            TokenSource::Variable => format!("correct or unset {TOKEN}, which has priority over a sign-in"),
            TokenSource::NewSignIn => {
                "have the administrator of the server check `server.auth` with `terrace doctor`, and compare `audience` with \
                 that of the issuer's tokens"
                    .to_owned()
            }
            TokenSource::None | TokenSource::SignIn => {
                format!("sign in with `terrace pipelines login --server {}`, or set {TOKEN}", self.url())
            }
        };
        match failure {
            http::Failure::Answered(reply) => self.refusal(reply, &login),
            http::Failure::Unauthorized { message, .. } => {
                Failure::refused(format!("the stored sign-in cannot be used: {}", self.shown(message))).hint(login)
            }
            http::Failure::Refused(_) => self.unreadable(),
            other => {
                let why = self.shown(&other.in_words());
                Failure::new(format!("the server cannot be reached at `{}`: {why}", self.url()))
            }
        }
    }

    fn refusal(&self, reply: &Reply, login: &str) -> Failure {
        let body = reply.json_or_null();
        let text = |name: &str| body.get(name).and_then(Json::as_str).map(|text| self.shown(text));
        let Some(detail) = text("detail") else {
            return Failure::new(format!("`{}` answers {}: it is not a terrace server", self.url(), reply.status))
                .hint("check the address of the server, and proxies in between");
        };
        let is_limit = body.get("limit").is_some();
        match reply.status {
            401 if self.token == TokenSource::None => Failure::refused("the server needs a token").hint(login),
            401 => Failure::refused(format!("the server does not accept the token: {detail}")).hint(login),
            403 | 429 if is_limit => Failure::refused(detail),
            403 => Failure::refused(detail).hint("ask the administrator of the server for a token with this right"),
            429 => Failure::refused(detail).hint("try again later"),
            503 => Failure::new(detail).hint("try again later"),
            _ => Failure::new(detail),
        }
    }

    fn shown(&self, text: &str) -> String {
        harmless_line(&self.api.redacted(text))
    }
}
