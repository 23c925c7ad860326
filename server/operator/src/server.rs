//! Client of the server's native API: plans, operations, drift, runs of pipelines.

use crate::run_stats;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::http::{
    self, Api, Auth, Base, Client, Failure, HeaderName, HeaderValue, Options, Reply, Request, Vendor, Within,
};

/// The limit of an attempt without an answer. The server answers the call for a plan within half a minute.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The limit of a call with its retries. The operator retries later itself.
const LONGEST_CALL: Duration = Duration::from_secs(90);
/// Retries within a call.
const RETRIES: u32 = 1;
/// Largest answer, in bytes. Several answers at once have to fit into the memory of a small pod.
pub(crate) const LARGEST_ANSWER: usize = 16 << 20;

/// The type of the resource of a pipeline.
pub(crate) const PIPELINE: &str = "pipelines_pipeline";

/// The limit of the check of a token.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// The id of no plan.
const NO_PLAN: &str = "00000000-0000-0000-0000-000000000000";

/// The failure of a call that the server answers with 401.
const OTHER_TOKEN: &str = "the server does not accept the token of the operator";
/// Its remedy.
const TOKEN_REMEDY: &str = "put a token of `server.auth` of the server into the Secret of the chart's `server.tokenSecret`, or \
     without the chart into TERRACE_OPERATOR_TOKEN, and restart the operator";

const VENDOR: Vendor = Vendor::named("the terrace server");

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

/// The answer of a server to a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCheck {
    /// The server knows the token. Its scopes are not checked.
    Accepted,
    /// The server does not accept it: the reason.
    Refused(String),
    /// No server of terrace answers, or it is too busy: the reason.
    Unknown(String),
}

impl ServerSettings {
    /// Asks the server for a plan that no server has: it checks the token first.
    ///
    /// # Errors
    /// When a setting is invalid, in words.
    pub async fn check_token(&self) -> Result<TokenCheck, String> {
        let server = Server::new(self)?;
        Ok(match tokio::time::timeout(CHECK_TIMEOUT, server.plan(NO_PLAN)).await {
            Ok(Ok(_)) => TokenCheck::Accepted,
            Ok(Err(CallError::Refused { status: 404, message })) if message.contains(NO_PLAN) => TokenCheck::Accepted,
            Ok(Err(CallError::Refused { status: 401 | 403, message })) => TokenCheck::Refused(message),
            Ok(Err(CallError::Refused { message, .. } | CallError::Unavailable(message))) => {
                TokenCheck::Unknown(message)
            }
            Ok(Err(CallError::TooLarge)) => TokenCheck::Unknown("no server of terrace answers there".to_owned()),
            Err(_) => TokenCheck::Unknown(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
        })
    }
}

/// The server with the rights of a token.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    api: Api,
    /// The same without retries, for calls whose repetition the caller decides.
    once: Api,
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
    /// The answer has more than [`LARGEST_ANSWER`] bytes.
    TooLarge,
}

impl CallError {
    /// The failure for people. The words of the server about a token are for callers that send their own: users of the cluster
    /// have none.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::TooLarge => "the answer is too large for the operator: read it at the server".to_owned(),
            Self::Refused { status: 401, message } => {
                let cause = message.strip_prefix("the caller is unknown: ").unwrap_or(message);
                let cause = if cause.starts_with("send `Authorization") { "" } else { cause };
                let separator = if cause.is_empty() { "" } else { "; " };
                format!("{OTHER_TOKEN}: {cause}{separator}{TOKEN_REMEDY}")
            }
            Self::Refused { message, .. } | Self::Unavailable(message) => message.clone(),
        }
    }
}

/// A plan of the server. The operator reads only the fields that it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct PlanAnswer {
    pub(crate) id: String,
    /// `running`, `made`, `applying`, `applied` or `failed`.
    pub(crate) status: String,
    pub(crate) problem: String,
    pub(crate) digest: Option<String>,
    /// The operation that applies or applied it, or the newest attempt.
    pub(crate) operation: Option<String>,
    /// Absent while the server makes it.
    pub(crate) plan: Option<PlanContent>,
}

/// A plan in the format of `terraform show -json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct PlanContent {
    pub(crate) errored: bool,
    /// The hash of the spec of the first pipeline.
    #[serde(rename = "resource_changes", deserialize_with = "spec_hash")]
    pub(crate) spec_hash: Option<String>,
    pub(crate) terrace: PlanFacts,
}

/// Reads the hash of a pipeline's spec. Values of other resources stay unread: they may be nested more deeply than the client parses.
fn spec_hash<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Resource {
        #[serde(rename = "type")]
        ty: String,
        change: Box<RawValue>,
    }
    #[derive(Deserialize)]
    struct Change {
        after: Option<Pipeline>,
    }
    #[derive(Deserialize)]
    struct Pipeline {
        #[serde(rename = "specHash")]
        spec_hash: Option<String>,
    }
    let changes = Vec::<Resource>::deserialize(source)?;
    let pipeline = changes.into_iter().find(|resource| resource.ty == PIPELINE);
    let change = pipeline.and_then(|pipeline| serde_json::from_str::<Change>(pipeline.change.get()).ok());
    Ok(change.and_then(|change| change.after?.spec_hash))
}

/// Facts of a plan beyond that format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct PlanFacts {
    pub(crate) has_changes: Option<bool>,
    pub(crate) counts: CountsAnswer,
    pub(crate) stacks: Vec<StackAnswer>,
}

/// Counts of actions, as far as the answer has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct CountsAnswer {
    pub(crate) add: Option<i64>,
    pub(crate) change: Option<i64>,
    pub(crate) destroy: Option<i64>,
}

/// A stack of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct StackAnswer {
    /// `name@environment`.
    pub(crate) stack: String,
}

/// An operation of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct OperationAnswer {
    /// `queued`, `running`, `completed`, `failed`, `interrupted` or `superseded`.
    pub(crate) status: String,
    pub(crate) summary: String,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) steps: Vec<StepAnswer>,
}

/// A step of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct StepAnswer {
    pub(crate) address: String,
    /// `open`, `done`, `failed` or `recovered`.
    pub(crate) status: String,
    /// Why it failed.
    pub(crate) message: Option<String>,
}

impl OperationAnswer {
    /// Why the operation failed: its summary, and the first failed step.
    pub(crate) fn reason(&self) -> String {
        match self.steps.iter().find(|step| step.status == "failed") {
            Some(StepAnswer { address, message: Some(why), .. }) => format!("{}; {address}: {why}", self.summary),
            _ => self.summary.clone(),
        }
    }
}

/// The newest drift scan of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DriftAnswer {
    pub(crate) operation: String,
    pub(crate) at: Option<Timestamp>,
    /// `None` unless the scan completed.
    pub(crate) drifted: Option<Vec<DriftedAnswer>>,
    pub(crate) unread: Vec<String>,
}

/// A resource with drift.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DriftedAnswer {
    pub(crate) address: String,
}

/// A run of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct RunAnswer {
    pub(crate) run_id: String,
    /// `queued`, `assigned`, `preparing`, `running`, `publishing`, or the word of its end.
    pub(crate) state: String,
    pub(crate) worker: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) rows: u64,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) error: Option<String>,
    /// The statistics that its steps report, within the limits of a status.
    #[serde(deserialize_with = "run_stats::read")]
    pub(crate) stats: Option<Map<String, Json>>,
}

/// A part of the list of runs, newest first.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RunsAnswer {
    pub(crate) items: Vec<RunAnswer>,
    pub(crate) next: Option<String>,
}

/// Why a run did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartError {
    /// The server can never start it.
    Invalid(String),
    /// The server did not start it; a later call may succeed.
    Refused {
        /// The reason as one word.
        reason: &'static str,
        /// The reason for people.
        message: String,
        /// Whether the server has no run with the key: it looks for one before it checks workers and limits, but after
        /// it checked the token.
        is_proof: bool,
        /// The pause that the server asks for.
        after: Option<Duration>,
    },
    /// The server may have started it.
    Unknown {
        /// The failure for people.
        message: String,
        /// The pause that the server asks for.
        after: Option<Duration>,
    },
}

/// A started run.
#[derive(Debug, Deserialize)]
struct Queued {
    run_id: String,
}

/// A started operation.
#[derive(Debug, Deserialize)]
struct Begun {
    operation: String,
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
        let auth = || settings.token.clone().map_or(Auth::None, Auth::Bearer);
        let once = Options { retries: 0, retries_after_loss: 0, ..options.clone() };
        let api = |options: Options| -> Result<Api, String> {
            let client = Client::new(options).map_err(|error| error.message)?;
            Ok(client.api(base.clone(), auth(), VENDOR, Vec::new()))
        };
        Ok(Self { api: api(options)?, once: api(once)? })
    }

    /// Makes a plan. The same key and body lead to the same plan, so a lost answer does no harm.
    pub(crate) async fn make_plan(&self, key: &str, body: Json) -> Result<PlanAnswer, CallError> {
        let request = with_key(Request::post("/api/v1/plans", &[]).json(body), key)?;
        self.json(&request).await
    }

    /// Reads a plan.
    pub(crate) async fn plan(&self, id: &str) -> Result<PlanAnswer, CallError> {
        self.json(&Request::get("/api/v1/plans/{id}", &[id])).await
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
        self.json(&request).await.map(|begun: Begun| begun.operation)
    }

    /// Reads an operation.
    pub(crate) async fn operation(&self, id: &str) -> Result<OperationAnswer, CallError> {
        self.json(&Request::get("/api/v1/operations/{id}", &[id])).await
    }

    /// Reads the newest drift scan of a stack; `None` if the server made none.
    pub(crate) async fn drift(&self, stack: &str) -> Result<Option<DriftAnswer>, CallError> {
        match self.json(&Request::get("/api/v1/stacks/{stack}/drift", &[stack])).await {
            Err(CallError::Refused { status: 404, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Starts a run. The same key and body lead to the same run, as long as the server keeps it.
    pub(crate) async fn start_run(&self, key: &str, body: Json) -> Result<String, StartError> {
        let unknown = |message: String| StartError::Unknown { message, after: None };
        let request = with_key(Request::post("/api/v1/pipelines/runs", &[]).json(body), key);
        // As for a read, the failure keeps the answer of the server: the key makes repetition harmless.
        let request = request.map_err(|_| StartError::Invalid("the key of the call is not ASCII".to_owned()))?.reads();
        let failure = match self.once.send(&request, &Within::time(LONGEST_CALL)).await {
            Ok(reply) => {
                let answer = serde_json::from_slice(&reply.body);
                return answer.map(|queued: Queued| queued.run_id).map_err(|error| unknown(error.to_string()));
            }
            Err(failure) => failure,
        };
        let message = self.error(&failure).message();
        let Some(reply) = failure.answer() else { return Err(unknown(message)) };
        let has_limit = reply.json_or_null().get("limit").is_some();
        let after = reply.retry_after;
        let refused = |reason, is_proof| StartError::Refused { reason, message: message.clone(), is_proof, after };
        Err(match reply.status {
            400 | 413 | 422 => StartError::Invalid(message),
            403 | 429 if has_limit => refused("LimitReached", true),
            409 => refused("NoWorkers", true),
            401 | 403 | 404 | 429 => refused("Refused", false),
            _ => StartError::Unknown { message, after },
        })
    }

    /// Reads a part of the list of runs, newest first; `after` is `next` of the part before.
    pub(crate) async fn runs(&self, limit: usize, after: Option<&str>) -> Result<RunsAnswer, CallError> {
        let request = Request::get("/api/v1/pipelines/runs", &[]).query("limit", limit);
        let request = after.into_iter().fold(request, |request, after| request.query("after", after));
        self.json(&request).await
    }

    /// Reads the part of the list of runs that has the newest run of a pipeline. It may have none, and still a `next`.
    pub(crate) async fn newest_run(&self, pipeline: &str) -> Result<RunsAnswer, CallError> {
        let request = Request::get("/api/v1/pipelines/runs", &[]).query("pipeline", pipeline).query("limit", 1);
        self.json(&request).await
    }

    /// Reads a run.
    pub(crate) async fn run(&self, id: &str) -> Result<RunAnswer, CallError> {
        self.json(&Request::get("/api/v1/pipelines/runs/{id}", &[id])).await
    }

    /// Has the server stop a run. A run that has ended, or that the server has no more, needs no stop.
    pub(crate) async fn stop_run(&self, id: &str) -> Result<(), CallError> {
        let request = Request::post("/api/v1/pipelines/runs/{id}/cancel", &[id]).idempotent();
        match self.send(&request).await {
            Ok(_) | Err(CallError::Refused { status: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T, CallError> {
        let reply = self.send(request).await?;
        let answer = serde_json::from_slice(&reply.body);
        answer.map_err(|_| CallError::Unavailable(format!("the answer ({}) cannot be read", reply.status)))
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
            Failure::Lost(why) if *why == http::too_long(LARGEST_ANSWER) => CallError::TooLarge,
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
        true => body.get("detail").and_then(Json::as_str).unwrap_or_default().to_owned(),
        false => errors.join("\n"),
    }
}
