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
    QueueFull,
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
        needed: Scope,
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
    ForeignOrigin(&'static str),
    /// The path does not exist: 404.
    NoPath,
    /// The path exists, but not with that method: 405.
    NoMethod,
    /// The server cannot take the call now, with the reason: 503.
    Unavailable(String),
    /// The store does not answer, with the reason: 503, with an incident number that the log explains.
    StoreUnavailable(String),
    /// An internal error: 500, `SystemError`, with an incident number that the log explains.
    Internal(String),
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
    hinted: Vec<String>,
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
            hinted: vec![with_hint(&problem, Some(&solution))],
            warnings: Vec::new(),
            more_info: MoreInfo { problems: vec![problem], solutions: vec![solution] },
        }))
    }

    /// Errors in the text of a body field.
    pub(crate) fn text(field: &str, diagnostics: &[Diagnostic], sources: &Sources) -> Self {
        let mut solutions: Vec<String> =
            diagnostics.iter().filter(|it| it.is_error()).filter_map(|it| it.hint.clone()).collect();
        solutions.dedup();
        let problems =
            diagnostics.iter().filter(|it| it.is_error()).map(|error| diagnostic_line(error, sources)).collect();
        let mut refusal = Self::several(field, problems, solutions);
        if let Self::Invalid(invalid) = &mut refusal {
            invalid.hinted = errors(diagnostics, sources);
            invalid.warnings = lines_of_severity(diagnostics, Severity::Warning, sources);
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
            hinted: errors.clone(),
            warnings: Vec::new(),
            errors,
        }))
    }

    /// A refusal with these problems.
    pub(crate) fn of_problems(problems: Vec<String>) -> Self {
        Self::Invalid(Box::new(Invalid { hinted: problems.clone(), errors: problems, ..Invalid::default() }))
    }

    /// Prefixes the place to each problem that is reported with its hint.
    pub(crate) fn at_place(mut self, place: &Place) -> Self {
        if let Self::Invalid(invalid) = &mut self {
            invalid.hinted.iter_mut().for_each(|problem| *problem = with_place(Some(place), problem));
        }
        self
    }

    /// All problems and warnings, each with its hint.
    pub(crate) fn messages(self) -> Messages {
        match self {
            Self::Invalid(invalid) => Messages { errors: invalid.hinted, warnings: invalid.warnings },
            other => Messages { errors: other.problems(), warnings: Vec::new() },
        }
    }

    /// All problems, without hints.
    pub(crate) fn problems(&self) -> Vec<String> {
        match self {
            Self::Invalid(invalid) => invalid.errors.clone(),
            Self::QueueFull => vec!["too many operations wait: try again later".to_owned()],
            Self::KeyTaken => vec![KEY_TAKEN.to_owned()],
            Self::NoPath => vec![NO_PATH.to_owned()],
            Self::NoMethod => vec![NO_METHOD.to_owned()],
            Self::Unknown(why) => vec![unknown(why)],
            Self::Forbidden { name, has, needed } => vec![forbidden(name, *has, *needed)],
            Self::Limited { name } => vec![limited(name)],
            Self::NoConsent { name } => vec![no_consent(name)],
            Self::OverQuota { name, most, limit } => vec![over_quota(name, *most, limit)],
            Self::ForeignOrigin(evidence) => vec![foreign(evidence)],
            Self::TooLong(error) | Self::Unavailable(error) | Self::StoreUnavailable(error) | Self::Internal(error) => {
                vec![error.clone()]
            }
        }
    }
}

/// The refusal after a panic. The panic itself is already in the log.
pub(crate) fn panic_refusal() -> Refusal {
    Refusal::Internal("a panic".to_owned())
}

/// A problem with its hint.
fn with_hint(problem: &str, solution: Option<&str>) -> String {
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
        let all = |severity| lines_of_severity(diagnostics, severity, sources);
        Self { errors: all(Severity::Error), warnings: all(Severity::Warning) }
    }
}

/// The warnings of a plan, each with its place and its hint.
pub(crate) fn warnings(notes: &[Note]) -> Vec<String> {
    let warnings = notes.iter().filter(|note| note.severity == Severity::Warning);
    let line = |note: &Note| with_place(note.place.as_ref(), &note.message);
    warnings.map(|note| with_hint(&line(note), note.hint.as_deref())).collect()
}

/// The errors among the diagnostics, each with its place and its hint.
pub(crate) fn errors(diagnostics: &[Diagnostic], sources: &Sources) -> Vec<String> {
    lines_of_severity(diagnostics, Severity::Error, sources)
}

/// The diagnostics of that severity, each with its place and its hint.
fn lines_of_severity(diagnostics: &[Diagnostic], severity: Severity, sources: &Sources) -> Vec<String> {
    let selected = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
    selected.map(|diagnostic| with_hint(&diagnostic_line(diagnostic, sources), diagnostic.hint.as_deref())).collect()
}

fn diagnostic_line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    with_place(diagnostic.place(sources).as_ref(), &diagnostic.message)
}

fn with_place(place: Option<&Place>, message: &str) -> String {
    match place {
        Some(place) => format!("{place}: {message}"),
        None => message.to_owned(),
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } | StoreError::WrittenToFallback { .. } => {
                Self::StoreUnavailable(error.to_string())
            }
            error => Self::Internal(error.to_string()),
        }
    }
}

/// The message for callers if the store does not answer. The log has the reason.
pub(crate) fn store_unavailable(error: &str) -> String {
    let incident = Uuid::now_v7();
    tracing::error!(%incident, error, "a call failed");
    format!("the state cannot be read or written now: incident {incident}")
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, solution) = match &self {
            Self::Invalid(invalid) => return (StatusCode::BAD_REQUEST, Json(invalid)).into_response(),
            Self::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "send less, or raise `server.bodyLimit`"),
            Self::QueueFull | Self::Unavailable(_) | Self::StoreUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "try again later")
            }
            Self::NoPath => (StatusCode::NOT_FOUND, "`/docs` lists all paths"),
            Self::NoMethod => (StatusCode::METHOD_NOT_ALLOWED, "use a method from the `Allow` header"),
            Self::KeyTaken => (StatusCode::UNPROCESSABLE_ENTITY, "send a new key for each call"),
            Self::Unknown(_) => (StatusCode::UNAUTHORIZED, NO_TOKEN),
            Self::Forbidden { .. } | Self::Limited { .. } => {
                (StatusCode::FORBIDDEN, "use a token that allows this call")
            }
            Self::NoConsent { .. } => (StatusCode::FORBIDDEN, "use a token with the scope `data-loss`"),
            Self::OverQuota { .. } => (StatusCode::TOO_MANY_REQUESTS, "wait until some of these requests have started"),
            Self::ForeignOrigin(_) => (StatusCode::FORBIDDEN, "call the server directly, or configure `server.auth`"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "find the incident in the server's log"),
        };
        let error = match &self {
            Self::Internal(error) => {
                let incident = Uuid::now_v7();
                tracing::error!(%incident, error, "a call failed");
                format!("the server cannot do that now: incident {incident}")
            }
            Self::StoreUnavailable(error) => store_unavailable(error),
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

fn forbidden(name: &str, has: Option<Scope>, needed: Scope) -> String {
    let needed = needed.word();
    match has {
        Some(has) => format!("the token of `{name}` has the scope `{}`, and this call needs `{needed}`", has.word()),
        None => format!("the token of `{name}` has no role of this server, and this call needs the scope `{needed}`"),
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

fn foreign(evidence: &str) -> String {
    format!("{evidence}, and this server requires no tokens: call it directly, or configure `server.auth`")
}
