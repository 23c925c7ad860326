//! Authorization, counters and faults; then the call itself.

use crate::call::{Request, State};
use crate::error::{Answer, ApiError, ErrorForm, Outcome};
use crate::world::Audience;
use crate::{account, entra, graph, management};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use terrace_test_databricks::{Fault, ReceivedCall};
use terrace_test_listening::{decode, lost, pairs};

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new().fallback(answer).with_state(state)
}

fn parts(path: &str) -> Vec<String> {
    path.trim_matches('/').split('/').map(decode).collect()
}

async fn answer(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let host = headers.get("x-forwarded-host").or_else(|| headers.get(header::HOST));
    let scheme = headers.get("x-forwarded-proto").and_then(|it| it.to_str().ok()).unwrap_or("http");
    let base = format!("{scheme}://{}", host.and_then(|it| it.to_str().ok()).unwrap_or_default());
    let path = parts(uri.path());
    if let Some(known) = entra::known(&path, &base) {
        return axum::Json(known).into_response();
    }
    let at = Instant::now();
    let _at_once = state.traffic.enter();
    let number = state.traffic.next_number();
    let shown = decode(uri.path());
    let fault = state.traffic.fault(|faults| faults.take(number, &format!("{method} {shown}"))).await;
    let query: BTreeMap<_, _> = pairs(uri.query().unwrap_or_default()).collect();
    let form = form(&path);
    let is_form = form == ErrorForm::Entra;
    let json = match body.is_empty() || is_form {
        true => Ok(Json::Null),
        false => serde_json::from_slice(&body).map_err(|_| ApiError {
            form,
            status: 400,
            code: if form == ErrorForm::Azure { "InvalidRequestContent" } else { "MALFORMED_REQUEST" }.to_owned(),
            message: "The request content was invalid and could not be deserialized.".to_owned(),
        }),
    };
    let mut received = ReceivedCall {
        number,
        method: method.to_string(),
        path: shown,
        query: query.clone(),
        body: json.clone().unwrap_or_default(),
        at,
        status: 0,
        code: String::new(),
    };
    let error = |status: u16, code: &str, message: &str| ApiError {
        form,
        status,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let response = match fault {
        Some(Fault::LostBefore) => lost(),
        Some(Fault::TooMany(pause)) => {
            let error = error(429, "TooManyRequests", "The request is being throttled.");
            let mut response = refused(&mut received, &error);
            if let Some(pause) = pause {
                response.headers_mut().insert(header::RETRY_AFTER, pause.to_string().parse().unwrap());
            }
            response
        }
        Some(Fault::Unavailable) => refused(&mut received, &error(503, "ServerTimeout", "The server timed out.")),
        Some(Fault::Fails) => {
            refused(&mut received, &error(500, "InternalServerError", "Encountered internal server error."))
        }
        Some(Fault::Expired) => refused(&mut received, &expired(form)),
        Some(Fault::LostAfter | Fault::After504) | None => {
            let done = match is_form {
                true => {
                    entra::token(&mut state.world(), &path, &pairs(&String::from_utf8_lossy(&body)).collect(), &base)
                }
                false => actor(&state, &headers, &path, form).and_then(|actor| {
                    let request =
                        Request { method: method.to_string(), path, query, body: json?, actor, base: base.clone() };
                    is_allowed(&state, &request, &received.path, form)?;
                    call(&state, &request)
                }),
            };
            match (done, fault) {
                (_, Some(Fault::LostAfter)) => lost(),
                (_, Some(Fault::After504)) => {
                    received.status = 504;
                    (StatusCode::GATEWAY_TIMEOUT, "upstream request timeout").into_response()
                }
                (Ok(answer), _) => {
                    received.status = answer.status;
                    to_response(&answer)
                }
                (Err(error), _) => refused(&mut received, &error),
            }
        }
    };
    state.traffic.received().push(received);
    response
}

fn to_response(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap();
    let mut response = match answer.body.is_null() {
        true => status.into_response(),
        false => (status, axum::Json(answer.body.clone())).into_response(),
    };
    if let Some(operation) = &answer.operation {
        for name in ["azure-asyncoperation", "location"] {
            response.headers_mut().insert(header::HeaderName::from_static(name), operation.parse().unwrap());
        }
        response.headers_mut().insert(header::RETRY_AFTER, "0".parse().unwrap());
    }
    response
}

fn refused(received: &mut ReceivedCall, error: &ApiError) -> Response {
    received.status = error.status;
    received.code.clone_from(&error.code);
    (StatusCode::from_u16(error.status).unwrap(), axum::Json(error.body())).into_response()
}

/// The API that a path belongs to.
fn form(path: &[String]) -> ErrorForm {
    match path.first().map(String::as_str) {
        Some("api") => ErrorForm::Account,
        Some(first) if first.eq_ignore_ascii_case("subscriptions") || first == "v1.0" => ErrorForm::Azure,
        _ => ErrorForm::Entra,
    }
}

fn expired(form: ErrorForm) -> ApiError {
    match form {
        ErrorForm::Account => ApiError::account(401, "UNAUTHENTICATED", "Token is expired."),
        _ => ApiError::azure(
            401,
            "ExpiredAuthenticationToken",
            "The access token expiry UTC time is earlier than current UTC time.",
        ),
    }
}

/// The caller by its token, which must be for the API of the path.
fn actor(state: &State, headers: &HeaderMap, path: &[String], form: ErrorForm) -> Result<String, ApiError> {
    let wanted = match path.first().map(String::as_str) {
        Some("api") => Audience::Databricks,
        Some("v1.0") => Audience::Graph,
        _ => Audience::Management,
    };
    let none = |what: &str| match form {
        ErrorForm::Account => ApiError::account(401, "UNAUTHENTICATED", what),
        _ => ApiError::azure(401, "InvalidAuthenticationToken", what),
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let Some(token) = given.and_then(|it| it.strip_prefix("Bearer ")) else {
        return Err(ApiError {
            code: "AuthenticationFailed".to_owned(),
            ..none("Authentication failed. The 'Authorization' header is missing.")
        });
    };
    match state.world().tokens.get(token) {
        None => Err(expired(form)),
        Some((_, of)) if *of != wanted => {
            Err(none("The access token has been obtained for wrong audience or resource."))
        }
        Some((client, _)) => Ok(client.clone()),
    }
}

fn is_allowed(state: &State, request: &Request, shown: &str, form: ErrorForm) -> Result<(), ApiError> {
    let line = format!("{} {shown}", request.method);
    if !state.traffic.faults().denied.iter().any(|it| line.contains(it.as_str())) {
        return Ok(());
    }
    let message =
        format!("The client '{}' does not have authorization to perform action over '{shown}'.", request.actor);
    Err(match form {
        ErrorForm::Account => ApiError::account(403, "PERMISSION_DENIED", message),
        _ => ApiError::azure(403, "AuthorizationFailed", message),
    })
}

fn call(state: &Arc<State>, request: &Request) -> Outcome {
    match request.path.first().map(String::as_str) {
        Some("api") => account::call(&mut state.world(), request),
        Some("v1.0") => graph::call(&state.world(), request),
        _ => management::call(state, request),
    }
}

/// Makes a call as an administrator of everything.
pub(crate) fn within(state: &Arc<State>, method: &str, path: &str, body: Json) -> Result<Json, String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut query: BTreeMap<_, _> = pairs(query).collect();
    query.entry("api-version".to_owned()).or_insert_with(|| {
        if path.contains("Microsoft.Authorization") { "2022-04-01" } else { "2024-05-01" }.to_owned()
    });
    let actor = crate::CLIENT.to_owned();
    let request = Request { method: method.to_owned(), path: parts(path), query, body, actor, base: String::new() };
    call(state, &request).map(|answer| answer.body).map_err(|error| format!("{} {}", error.code, error.message))
}
