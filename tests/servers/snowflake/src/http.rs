//! The SQL API v2: <https://docs.snowflake.com/en/developer-guide/sql-api/reference>.

mod answer;
mod mirror;

use crate::account::Account;
use crate::auth::Keys;
use crate::error::SqlError;
use crate::execute::{Rows, Session, execute};
use crate::faults::Fault;
use crate::grammar;
use crate::server::{ACCOUNT, ReceivedCall, Traffic};
use answer::{Answer, refused};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use terrace_test_listening::lock;

/// The state of a stand-in.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The name of the account in fakesnow.
    pub(crate) name: String,
    account: Mutex<Account>,
    pub(crate) keys: Mutex<Keys>,
    statements: Mutex<BTreeMap<String, Stored>>,
    pub(crate) mirror: Mutex<Option<String>>,
    pub(crate) traffic: Traffic,
}

/// A received statement, found by its request and its handle.
#[derive(Debug, Clone)]
struct Stored {
    number: usize,
    handle: String,
    sql: String,
    session: Session,
    outcome: Option<Result<Rows, SqlError>>,
    /// Number of polls while it is running.
    polls: usize,
    /// It never gets a response.
    is_mute: bool,
    /// The status that replaces its result.
    instead: Option<u16>,
}

impl State {
    pub(crate) fn named(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        lock(&self.account)
    }

    fn statements(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        lock(&self.statements)
    }

    /// Forwards a statement of an administrator to the mirror, if there is one.
    pub(crate) fn mirrored(&self, sql: &str) -> Result<(), SqlError> {
        let mirror = lock(&self.mirror).clone();
        mirror.map_or(Ok(()), |url| mirror::compare(&url, &self.name, sql).map(drop))
    }
}

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/api/v2/statements", post(submit))
        .route("/api/v2/statements/{handle}", get(status))
        .route("/api/v2/statements/{handle}/cancel", post(cancel))
        .route("/seen", get(received))
        .with_state(state)
}

/// For tests in other programs: the received statements, oldest first.
async fn received(Shared(state): Shared<Arc<State>>) -> Response {
    let received: Vec<Json> = state
        .traffic
        .received()
        .iter()
        .map(|it| json!({"number": it.number, "sql": it.sql, "role": it.role, "queryTag": it.query_tag, "status": it.status, "code": it.code, "isAgain": it.is_retry}))
        .collect();
    axum::Json(received).into_response()
}

/// Checks the required headers and fields of a request.
fn check_headers(state: &State, headers: &HeaderMap) -> Result<String, Response> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text("user-agent").is_empty() {
        return Err(refused(StatusCode::BAD_REQUEST, "391903", "The request has no User-Agent"));
    }
    if !text("accept").contains("application/json") && !text("accept").contains("*/*") {
        return Err(refused(StatusCode::BAD_REQUEST, "391902", "Unsupported Accept header null is specified."));
    }
    let keys = lock(&state.keys);
    keys.user(ACCOUNT, headers).map_err(|(code, message)| refused(StatusCode::UNAUTHORIZED, code, &message))
}

fn session_of(state: &State, user: String, body: &Json) -> Result<Session, SqlError> {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let account = state.account();
    let of_user = |role: &str| {
        account
            .role_grants
            .iter()
            .any(|grant| grant.role == role && grant.to == (crate::account::Kind::User, user.clone()))
    };
    let role = text("role").unwrap_or_else(|| "PUBLIC".to_owned());
    if role != "PUBLIC" && !of_user(&role) {
        let message = format!(
            "Role '{role}' specified in the connect string does not exist or not authorized. Contact your local system administrator, or attempt to login with another role, e.g. PUBLIC."
        );
        return Err(SqlError { code: "390189", state: "08001", message });
    }
    Ok(Session { user, role, warehouse: text("warehouse") })
}

async fn submit(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = Instant::now();
    let _at_once = state.traffic.enter();
    let user = match check_headers(&state, &headers) {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    let known = BTreeSet::from(["requestId", "retry", "async", "nullable"]);
    let bad = |message: &str| refused(StatusCode::BAD_REQUEST, "391901", message);
    if let Some(name) = query.keys().find(|name| !known.contains(name.as_str())) {
        return bad(&format!("unknown parameter {name}"));
    }
    let Ok(body) = serde_json::from_slice::<Json>(&body) else { return bad("the body is not JSON") };
    let fields = ["statement", "timeout", "database", "schema", "warehouse", "role", "bindings", "parameters"];
    let Some(entries) = body.as_object() else { return bad("the body is not an object") };
    if let Some(name) = entries.keys().find(|name| !fields.contains(&name.as_str())) {
        return bad(&format!("unknown field {name}"));
    }
    let Some(sql) = body["statement"].as_str().map(str::to_owned) else { return bad("there is no statement") };
    let request = query.get("requestId").cloned().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    if uuid::Uuid::parse_str(&request).is_err() {
        return bad("requestId is not a UUID");
    }
    let is_retry = query.get("retry").is_some_and(|it| it == "true");
    let stored = state.statements().get(&request).cloned();
    let mut received = ReceivedCall {
        number: stored.as_ref().map_or_else(|| state.traffic.next_number(), |it| it.number),
        sql: sql.clone(),
        request: request.clone(),
        role: body["role"].as_str().unwrap_or_default().to_owned(),
        query_tag: body["parameters"]["QUERY_TAG"].as_str().unwrap_or_default().to_owned(),
        at,
        status: 0,
        code: String::new(),
        is_retry: stored.is_some(),
    };
    if let Some(stored) = stored.filter(|it| it.outcome.is_some() || it.polls > 0) {
        if !is_retry || stored.sql != sql {
            return bad("the requestId was used before, and this is not a retry");
        }
        let answer = match (stored.is_mute, stored.instead) {
            (true, _) => Answer::Lost,
            (false, Some(status)) => Answer::Refused(status),
            (false, None) => of_stored(&state, &stored, None),
        };
        return finish(&state, received, answer);
    }
    let fault = state.traffic.fault(|faults| faults.take(received.number, &sql)).await;
    let session = match session_of(&state, user, &body) {
        Ok(session) => session,
        Err(error) => {
            received.code = error.code.to_owned();
            return finish(&state, received, Answer::Unauthorized(error.code, error.message));
        }
    };
    let handle = uuid::Uuid::now_v7().to_string();
    let mut stored = Stored {
        number: received.number,
        handle,
        sql,
        session,
        outcome: None,
        polls: 0,
        is_mute: false,
        instead: None,
    };
    let answer = match fault {
        Some(Fault::LostBefore) => Answer::Lost,
        Some(Fault::TooMany(pause)) => Answer::Throttled(429, pause),
        Some(Fault::Unavailable) => Answer::Throttled(503, None),
        Some(Fault::TimesOut) => Answer::TimedOut(stored.handle.clone()),
        Some(Fault::Expired) => Answer::Unauthorized("390318", "OAuth access token expired.".to_owned()),
        Some(Fault::Fails) => {
            let message = "SQL execution internal error:\nProcessing aborted by error 300002:1; incident 0.".to_owned();
            stored.outcome = Some(Err(SqlError { code: "000603", state: "XX000", message }));
            of_stored(&state, &stored, None)
        }
        Some(Fault::Later(polls)) => {
            stored.polls = polls.max(1);
            of_stored(&state, &stored, None)
        }
        Some(Fault::LaterThen(status)) => {
            (stored.polls, stored.instead) = (1, Some(status));
            of_stored(&state, &stored, None)
        }
        Some(Fault::After(status)) => {
            run(&state, &mut stored);
            stored.instead = Some(status);
            Answer::Refused(status)
        }
        Some(Fault::LostAfter | Fault::LostForGood | Fault::LostThen(_)) | None => {
            run(&state, &mut stored);
            stored.is_mute = fault == Some(Fault::LostForGood);
            if let Some(Fault::LostThen(status)) = fault {
                stored.instead = Some(status);
            }
            if fault.is_some() { Answer::Lost } else { of_stored(&state, &stored, None) }
        }
    };
    state.statements().insert(request, stored);
    finish(&state, received, answer)
}

/// Executes the statement.
fn run(state: &State, stored: &mut Stored) {
    let outcome =
        grammar::parse(&stored.sql).and_then(|statement| execute(&mut state.account(), &stored.session, statement));
    let mirror = lock(&state.mirror).clone();
    stored.outcome = Some(match (outcome, mirror) {
        (Ok(rows), Some(url)) => mirror::compare(&url, &state.name, &stored.sql).map(|received| {
            mirror::write_down(&received, &stored.sql);
            rows
        }),
        (Ok(rows), None) => {
            mirror::write_down("none", &stored.sql);
            Ok(rows)
        }
        (Err(error), _) => Err(error),
    });
}

fn of_stored(state: &State, stored: &Stored, partition: Option<usize>) -> Answer {
    match &stored.outcome {
        None => Answer::Running(stored.handle.clone()),
        Some(Ok(rows)) => {
            let size = state.traffic.faults().rows_of_partition;
            Answer::Rows(stored.handle.clone(), rows.clone(), size, partition)
        }
        Some(Err(error)) => Answer::Failed(stored.handle.clone(), error.clone()),
    }
}

fn finish(state: &State, mut received: ReceivedCall, answer: Answer) -> Response {
    let (status, code, response) = answer.into_response();
    received.status = status;
    received.code = code;
    state.traffic.received().push(received);
    response
}

async fn status(
    Shared(state): Shared<Arc<State>>,
    Path(handle): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let _at_once = state.traffic.enter();
    if let Err(refused) = check_headers(&state, &headers) {
        return refused;
    }
    let partition = query.get("partition").and_then(|it| it.parse().ok());
    let found = state.statements().iter().find(|(_, it)| it.handle == handle).map(|(id, it)| (id.clone(), it.clone()));
    let Some((request, mut stored)) = found else {
        return refused(StatusCode::NOT_FOUND, "391906", "The statement handle is not known.");
    };
    if stored.outcome.is_none() {
        stored.polls = stored.polls.saturating_sub(1);
        if stored.polls == 0 {
            run(&state, &mut stored);
        }
        state.statements().insert(request, stored.clone());
    }
    if let Some(status) = stored.instead {
        return Answer::Refused(status).into_response().2;
    }
    of_stored(&state, &stored, partition).into_response().2
}

async fn cancel(Shared(state): Shared<Arc<State>>, Path(handle): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = check_headers(&state, &headers) {
        return refused;
    }
    let mut statements = state.statements();
    let Some(stored) = statements.values_mut().find(|it| it.handle == handle) else {
        return refused(StatusCode::NOT_FOUND, "391906", "The statement handle is not known.");
    };
    if stored.outcome.is_none() {
        stored.outcome = Some(Err(SqlError::canceled()));
    }
    let body =
        json!({"code": "000604", "sqlState": "57014", "message": "Statement aborted.", "statementHandle": handle});
    (StatusCode::OK, axum::Json(body)).into_response()
}
