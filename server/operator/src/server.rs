//! Client of the server's native API: plans, operations, drift.

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::http::{
    self, Api, Auth, Base, Client, Failure, HeaderName, HeaderValue, Options, ParsedError, Reply, Request, Vendor,
    Within,
};

/// The limit of an attempt without an answer. The server answers the call for a plan within half a minute.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The limit of a call with its retries. The operator retries later itself.
const LONGEST_CALL: Duration = Duration::from_secs(90);
/// Retries within a call.
const RETRIES: u32 = 1;
/// Largest answer, in bytes: the plan of a stack with tens of thousands of resources.
const LARGEST_ANSWER: usize = 512 << 20;

const VENDOR: Vendor = Vendor {
    name: "the terrace server",
    parse_error: |_| ParsedError::default(),
    had_no_effect: |_| false,
    reach: "",
    sign_in: "",
};

/// The way to the server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Its URL: `https://terrace:8091`.
    pub url: String,
    /// The token of the operator; `None` if the server needs none.
    pub token: Option<SecretString>,
    /// A PEM file with the authority of its certificate, instead of those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Whether the token may be sent over `http://`, in a network that the user trusts.
    pub allow_plain_http: bool,
}

/// The server with the rights of a token.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    api: Api,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The server refuses the call: the same call is refused again.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The reason, with all errors.
        message: String,
    },
    /// The server was not reached, is too busy, or failed: a later call may succeed.
    Unavailable(String),
}

/// A plan of the server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PlanAnswer {
    pub(crate) id: String,
    /// `running`, `made`, `applying`, `applied` or `failed`.
    pub(crate) status: String,
    pub(crate) problem: String,
    pub(crate) digest: Option<String>,
    /// The plan as JSON; null while the server makes it.
    pub(crate) plan: Json,
}

/// An operation of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OperationAnswer {
    /// `queued`, `running`, `completed`, `failed`, `interrupted` or `superseded`.
    pub(crate) status: String,
    pub(crate) summary: String,
    pub(crate) ended_at: Option<Timestamp>,
}

/// The newest drift scan of a stack.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct DriftAnswer {
    pub(crate) operation: String,
    pub(crate) at: Option<Timestamp>,
    /// `None` unless the scan completed.
    pub(crate) drifted: Option<Vec<Json>>,
    pub(crate) unread: Vec<String>,
}

impl Server {
    /// The server, without a connection.
    ///
    /// # Errors
    /// When a setting is invalid, in words.
    pub(crate) fn new(settings: &ServerSettings) -> Result<Self, String> {
        let base = Base::parse(&settings.url).map_err(|why| format!("the URL of the server is {why}"))?;
        if settings.token.is_some() && !settings.allow_plain_http && http::is_exposed(base.shown()) {
            return Err(format!("the token would be sent to `{}` without encryption", base.host()));
        }
        let options = Options {
            ca_file: settings.ca_file.clone(),
            allow_plain_http: settings.allow_plain_http,
            timeout: TIMEOUT,
            max_bytes: LARGEST_ANSWER,
            retries: RETRIES,
            retries_after_loss: RETRIES,
            ..Options::default()
        };
        let client = Client::new(options).map_err(|error| error.message)?;
        let auth = settings.token.clone().map_or(Auth::None, Auth::Bearer);
        Ok(Self { api: client.api(base, auth, VENDOR, Vec::new()) })
    }

    /// Makes a plan. The same key and body lead to the same plan, so a lost answer does no harm.
    pub(crate) async fn make_plan(&self, key: &str, body: Json) -> Result<PlanAnswer, CallError> {
        let request = with_key(Request::post("/api/v1/plans", &[]).json(body), key)?;
        self.json(&request).await.map(|answer| plan_of(&answer))
    }

    /// Reads a plan.
    pub(crate) async fn plan(&self, id: &str) -> Result<PlanAnswer, CallError> {
        self.json(&Request::get("/api/v1/plans/{id}", &[id])).await.map(|answer| plan_of(&answer))
    }

    /// The text of a finished plan for people.
    pub(crate) async fn plan_text(&self, id: &str) -> Result<String, CallError> {
        let accept = (HeaderName::from_static("accept"), HeaderValue::from_static("text/plain"));
        let request = Request::get("/api/v1/plans/{id}", &[id]).header(accept.0, accept.1);
        self.send(&request).await.map(|reply| String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// Applies exactly this plan. Returns the id of the operation; the same key leads to the same one.
    pub(crate) async fn apply(&self, key: &str, plan: &str) -> Result<String, CallError> {
        let request = with_key(Request::post("/api/v1/plans/{id}/apply", &[plan]).json(json!({})), key)?;
        self.json(&request).await.map(|answer| text(&answer, "operation"))
    }

    /// Reads an operation.
    pub(crate) async fn operation(&self, id: &str) -> Result<OperationAnswer, CallError> {
        let answer = self.json(&Request::get("/api/v1/operations/{id}", &[id])).await?;
        Ok(OperationAnswer {
            status: text(&answer, "status"),
            summary: text(&answer, "summary"),
            ended_at: time(&answer, "ended_at"),
        })
    }

    /// Reads the newest drift scan of a stack; `None` if the server made none.
    pub(crate) async fn drift(&self, stack: &str) -> Result<Option<DriftAnswer>, CallError> {
        let answer = match self.json(&Request::get("/api/v1/stacks/{stack}/drift", &[stack])).await {
            Err(CallError::Refused { status: 404, .. }) => return Ok(None),
            answer => answer?,
        };
        let unread = answer.get("unread").and_then(Json::as_array).into_iter().flatten();
        Ok(Some(DriftAnswer {
            operation: text(&answer, "operation"),
            at: time(&answer, "at"),
            drifted: answer.get("drifted").and_then(Json::as_array).cloned(),
            unread: unread.filter_map(Json::as_str).map(str::to_owned).collect(),
        }))
    }

    async fn json(&self, request: &Request) -> Result<Json, CallError> {
        let reply = self.send(request).await?;
        reply.json().map_err(|failure| CallError::Unavailable(failure.in_words()))
    }

    async fn send(&self, request: &Request) -> Result<Reply, CallError> {
        let sent = self.api.send(request, &Within::time(LONGEST_CALL)).await;
        sent.map_err(|failure| self.error(&failure))
    }

    fn error(&self, failure: &Failure) -> CallError {
        let host = self.api.base().host();
        match failure {
            Failure::Answered(reply) if !matches!(reply.status, 408 | 425 | 429 | 500..) => {
                let message = problem(&reply.json_or_null());
                let message =
                    if message.is_empty() { format!("the server answers with {}", reply.status) } else { message };
                CallError::Refused { status: reply.status, message: self.api.redacted(&message) }
            }
            Failure::Answered(reply) => {
                let message = format!("the server answers with {}: {}", reply.status, problem(&reply.json_or_null()));
                CallError::Unavailable(self.api.redacted(message.trim_end_matches(": ")))
            }
            Failure::Refused(why) => CallError::Refused { status: 0, message: self.api.redacted(why) },
            other => {
                let message = format!("the server cannot be reached at `{host}`: {}", other.in_words());
                CallError::Unavailable(self.api.redacted(&message))
            }
        }
    }
}

/// A request that the server does not run twice.
fn with_key(request: Request, key: &str) -> Result<Request, CallError> {
    let value = HeaderValue::from_str(key)
        .map_err(|_| CallError::Refused { status: 0, message: "the key of the call is not ASCII".to_owned() })?;
    Ok(request.header(HeaderName::from_static("idempotency-key"), value).idempotent())
}

/// The texts of problem details (RFC 9457), one a line.
fn problem(body: &Json) -> String {
    let errors: Vec<&str> =
        body.get("errors").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    match errors.is_empty() {
        true => text(body, "detail"),
        false => errors.join("\n"),
    }
}

fn plan_of(answer: &Json) -> PlanAnswer {
    PlanAnswer {
        id: text(answer, "id"),
        status: text(answer, "status"),
        problem: text(answer, "problem"),
        digest: answer.get("digest").and_then(Json::as_str).map(str::to_owned),
        plan: answer.get("plan").cloned().unwrap_or_default(),
    }
}

fn text(answer: &Json, field: &str) -> String {
    answer.get(field).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn time(answer: &Json, field: &str) -> Option<Timestamp> {
    answer.get(field)?.as_str()?.parse().ok()
}
