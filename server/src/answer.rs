//! Refusals of calls and their bodies. No body reveals internals of the server.

use crate::auth::Scope;
use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error as _;
use std::io;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::plan::Note;
use terrace_engine::source::{Place, Sources};
use terrace_engine::store::StoreError;
use terrace_provider::Severity;
use utoipa::ToSchema;
use uuid::Uuid;

/// Why the server refuses a call.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The body is invalid: 400, `RequestValidationError`.
    Invalid(Box<Invalid>),
    /// The body is too long: 413.
    TooLong(String),
    /// The queue is full: 503.
    Busy,
    /// Another call used that idempotency key: 422.
    KeyTaken,
    /// The caller is unknown, with the reason: 401.
    Unknown(Cow<'static, str>),
    /// The caller lacks the scope for this call: 403.
    Forbidden {
        /// The owner of the token.
        name: String,
        /// The scope of the token, if it has one.
        has: Option<Scope>,
        /// The scope that the call needs.
        asked: Scope,
    },
    /// The call is outside the limits of its caller: 403.
    Limited {
        /// The owner of the token.
        name: String,
    },
    /// The call consents to the loss of data, and its caller may not consent: 403.
    NoConsent {
        /// The owner of the token.
        name: String,
    },
    /// The caller has its maximum of waiting requests: 429.
    OverQuota {
        /// The owner of the token.
        name: String,
        /// The maximum of waiting requests.
        most: u32,
        /// The setting of this maximum.
        limit: &'static str,
    },
    /// A page of another site may have sent the call through the user's browser, with the evidence: 403.
    Foreign(&'static str),
    /// The path does not exist: 404.
    NoPath,
    /// The path exists, but not with that method: 405.
    NoMethod,
    /// The server cannot take the call now, with the reason: 503.
    Unavailable(String),
    /// The store does not answer, with the reason: 503, with an incident number that the log explains.
    Away(String),
    /// An internal error: 500, `SystemError`, with an incident number that the log explains.
    Broken(String),
}

/// Whether the caller sent its body too slowly.
fn is_late(rejection: &BytesRejection) -> bool {
    let mut cause = rejection.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The errors of a body.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = RequestValidationError)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invalid {
    errors: Vec<String>,
    user_message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_error_field: Option<String>,
    more_info: MoreInfo,
    /// Each error with its hint, for answers without a separate field for hints.
    #[serde(skip)]
    helped: Vec<String>,
    /// The warnings along with the errors, each with its hint.
    #[serde(skip)]
    warnings: Vec<String>,
}

/// Further details of an error.
#[derive(Debug, Default, Serialize, ToSchema)]
struct MoreInfo {
    problems: Vec<String>,
    solutions: Vec<String>,
}

/// The body of all other refusals.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemError {
    error: String,
    user_message: String,
    more_info: MoreInfo,
}

impl Refusal {
    /// One problem with one field of the body.
    pub(crate) fn field(field: &str, problem: impl Into<String>, solution: impl Into<String>) -> Self {
        Self::one(Some(field.to_owned()), problem.into(), solution.into())
    }

    /// One problem with the whole body.
    pub(crate) fn whole(problem: impl Into<String>, solution: impl Into<String>) -> Self {
        Self::one(None, problem.into(), solution.into())
    }

    /// The body did not arrive.
    pub(crate) fn of_body(rejection: &BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLong("the body is too long".to_owned()),
            _ if is_late(rejection) => Self::whole("the body did not arrive in time", "send it again, without pauses"),
            _ => Self::whole("the body is incomplete", "send it again"),
        }
    }

    fn one(input_error_field: Option<String>, problem: String, solution: String) -> Self {
        Self::Invalid(Box::new(Invalid {
            errors: vec![problem.clone()],
            user_message: problem.clone(),
            input_error_field,
            helped: vec![helped(&problem, Some(&solution))],
            warnings: Vec::new(),
            more_info: MoreInfo { problems: vec![problem], solutions: vec![solution] },
        }))
    }

    /// Errors in the text of a body field.
    pub(crate) fn text(field: &str, diagnostics: &[Diagnostic], sources: &Sources) -> Self {
        let mut solutions: Vec<String> =
            diagnostics.iter().filter(|it| it.is_error()).filter_map(|it| it.hint.clone()).collect();
        solutions.dedup();
        let problems = diagnostics.iter().filter(|it| it.is_error()).map(|error| with_place(error, sources)).collect();
        let mut refusal = Self::several(field, problems, solutions);
        if let Self::Invalid(invalid) = &mut refusal {
            invalid.helped = errors(diagnostics, sources);
            invalid.warnings = advised(diagnostics, Severity::Warning, sources);
        }
        refusal
    }

    /// Several problems with one field of the body.
    pub(crate) fn several(field: &str, errors: Vec<String>, solutions: Vec<String>) -> Self {
        let user_message = match errors.as_slice() {
            [only] => only.clone(),
            several => format!("`{field}` has {} errors", several.len()),
        };
        Self::Invalid(Box::new(Invalid {
            user_message,
            input_error_field: Some(field.to_owned()),
            more_info: MoreInfo { problems: errors.clone(), solutions },
            helped: errors.clone(),
            warnings: Vec::new(),
            errors,
        }))
    }

    /// A refusal with these problems.
    pub(crate) fn problems_of(problems: Vec<String>) -> Self {
        Self::Invalid(Box::new(Invalid { helped: problems.clone(), errors: problems, ..Invalid::default() }))
    }

    /// Prefixes the place to each problem that is reported with its hint.
    pub(crate) fn placed(mut self, place: &Place) -> Self {
        if let Self::Invalid(invalid) = &mut self {
            invalid.helped.iter_mut().for_each(|problem| *problem = placed(Some(place), problem));
        }
        self
    }

    /// All problems and warnings, each with its hint.
    pub(crate) fn told(self) -> Messages {
        match self {
            Self::Invalid(invalid) => Messages { errors: invalid.helped, warnings: invalid.warnings },
            other => Messages { errors: other.problems(), warnings: Vec::new() },
        }
    }

    /// All problems, without hints.
    pub(crate) fn problems(&self) -> Vec<String> {
        match self {
            Self::Invalid(invalid) => invalid.errors.clone(),
            Self::Busy => vec!["too many operations wait: try again later".to_owned()],
            Self::KeyTaken => vec![KEY_TAKEN.to_owned()],
            Self::NoPath => vec![NO_PATH.to_owned()],
            Self::NoMethod => vec![NO_METHOD.to_owned()],
            Self::Unknown(why) => vec![unknown(why)],
            Self::Forbidden { name, has, asked } => vec![forbidden(name, *has, *asked)],
            Self::Limited { name } => vec![limited(name)],
            Self::NoConsent { name } => vec![no_consent(name)],
            Self::OverQuota { name, most, limit } => vec![over_quota(name, *most, limit)],
            Self::Foreign(how) => vec![foreign(how)],
            Self::TooLong(error) | Self::Unavailable(error) | Self::Away(error) | Self::Broken(error) => {
                vec![error.clone()]
            }
        }
    }
}

/// The refusal after a panic. The panic itself is already in the log.
pub(crate) fn broken_off() -> Refusal {
    Refusal::Broken("a panic".to_owned())
}

/// A problem with its hint.
fn helped(problem: &str, solution: Option<&str>) -> String {
    match solution.filter(|solution| !solution.is_empty()) {
        Some(solution) => format!("{problem} ({solution})"),
        None => problem.to_owned(),
    }
}

/// Errors and warnings, each with its place and its hint.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Messages {
    pub(crate) fn of(diagnostics: &[Diagnostic], sources: &Sources) -> Self {
        let all = |severity| advised(diagnostics, severity, sources);
        Self { errors: all(Severity::Error), warnings: all(Severity::Warning) }
    }
}

/// The warnings of a plan, each with its place and its hint.
pub(crate) fn warnings(notes: &[Note]) -> Vec<String> {
    let warnings = notes.iter().filter(|note| note.severity == Severity::Warning);
    let line = |note: &Note| placed(note.place.as_ref(), &note.message);
    warnings.map(|note| helped(&line(note), note.hint.as_deref())).collect()
}

/// The errors among the diagnostics, each with its place and its hint.
pub(crate) fn errors(diagnostics: &[Diagnostic], sources: &Sources) -> Vec<String> {
    advised(diagnostics, Severity::Error, sources)
}

/// The diagnostics of that severity, each with its place and its hint.
fn advised(diagnostics: &[Diagnostic], severity: Severity, sources: &Sources) -> Vec<String> {
    let chosen = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
    chosen.map(|diagnostic| helped(&with_place(diagnostic, sources), diagnostic.hint.as_deref())).collect()
}

fn with_place(diagnostic: &Diagnostic, sources: &Sources) -> String {
    placed(diagnostic.place(sources).as_ref(), &diagnostic.message)
}

fn placed(place: Option<&Place>, message: &str) -> String {
    match place {
        Some(place) => format!("{place}: {message}"),
        None => message.to_owned(),
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } | StoreError::KeptElsewhere { .. } => Self::Away(error.to_string()),
            error => Self::Broken(error.to_string()),
        }
    }
}

/// The message for callers if the store does not answer. The log has the reason.
pub(crate) fn away(error: &str) -> String {
    let incident = Uuid::now_v7();
    tracing::error!(%incident, error, "a call failed");
    format!("the state cannot be read or written now: incident {incident}")
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, solution) = match &self {
            Self::Invalid(invalid) => return (StatusCode::BAD_REQUEST, Json(invalid)).into_response(),
            Self::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "send less, or raise `server.bodyLimit`"),
            Self::Busy | Self::Unavailable(_) | Self::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "try again later"),
            Self::NoPath => (StatusCode::NOT_FOUND, "`/docs` lists all paths"),
            Self::NoMethod => (StatusCode::METHOD_NOT_ALLOWED, "use a method from the `Allow` header"),
            Self::KeyTaken => (StatusCode::UNPROCESSABLE_ENTITY, "send a new key for each call"),
            Self::Unknown(_) => (StatusCode::UNAUTHORIZED, NO_TOKEN),
            Self::Forbidden { .. } | Self::Limited { .. } => {
                (StatusCode::FORBIDDEN, "use a token that allows this call")
            }
            Self::NoConsent { .. } => (StatusCode::FORBIDDEN, "use a token with the scope `data-loss`"),
            Self::OverQuota { .. } => (StatusCode::TOO_MANY_REQUESTS, "wait until some of these requests have started"),
            Self::Foreign(_) => (StatusCode::FORBIDDEN, "call the server directly, or configure `server.auth`"),
            Self::Broken(_) => (StatusCode::INTERNAL_SERVER_ERROR, "find the incident in the server's log"),
        };
        let error = match &self {
            Self::Broken(error) => {
                let incident = Uuid::now_v7();
                tracing::error!(%incident, error, "a call failed");
                format!("the server cannot do that now: incident {incident}")
            }
            Self::Away(error) => away(error),
            other => other.problems().concat(),
        };
        let more_info = MoreInfo { problems: vec![error.clone()], solutions: vec![solution.to_owned()] };
        let body = SystemError { user_message: error.clone(), error, more_info };
        let mut response = (status, Json(body)).into_response();
        let (name, value) = match status {
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer"),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => (header::RETRY_AFTER, RETRY_AFTER),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}

/// Seconds after which a caller should repeat a refused call.
pub(crate) const RETRY_AFTER: &str = "5";

/// The reason why a change of access with a wrong expected list is refused.
pub(crate) const OTHER_ACCESS: &str = "the access list has changed since you read it: read it again";

const KEY_TAKEN: &str = "another call was made with that `Idempotency-Key`: send a new one for each";

const NO_PATH: &str = "this path does not exist: `/docs` lists all paths";
const NO_METHOD: &str = "this path does not support that method: `Allow` lists the supported ones";

/// The hint for a missing or unknown token.
pub(crate) const NO_TOKEN: &str = "send `Authorization: Bearer TOKEN` with a token of this server";

fn unknown(why: &str) -> String {
    format!("the caller is unknown: {why}")
}

fn forbidden(name: &str, has: Option<Scope>, asked: Scope) -> String {
    let asked = asked.word();
    match has {
        Some(has) => format!("the token of `{name}` has the scope `{}`, and this call needs `{asked}`", has.word()),
        None => format!("the token of `{name}` has no role of this server, and this call needs the scope `{asked}`"),
    }
}

fn limited(name: &str) -> String {
    format!("this call is outside the limits of the token of `{name}`")
}

fn no_consent(name: &str) -> String {
    let scope = crate::auth::DATA_LOSS;
    format!("the token of `{name}` lacks the scope `{scope}`, and this call consents to the loss of data")
}

fn over_quota(name: &str, most: u32, limit: &str) -> String {
    let requests = if most == 1 { "request" } else { "requests" };
    format!("`{name}` may have {most} {requests} waiting (`{limit}`), and has reached this limit: try again later")
}

fn foreign(how: &str) -> String {
    format!("{how}, and this server requires no tokens: call it directly, or configure `server.auth`")
}
