//! Control by tests in other programs: calls, inventory and faults. Not part of Hasura's API.

use crate::databases::Table;
use crate::faults::Fault;
use crate::http::State;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn routes() -> axum::Router<Arc<State>> {
    axum::Router::new()
        .route("/test/seen", get(received))
        .route("/test/inventory", get(inventory))
        .route("/test/faults", post(faults))
        .route("/test/table", post(table))
        .route("/test/variable", post(variable))
        .route("/test/metadata", post(metadata))
        .route("/test/reset", post(reset))
}

/// The calls since the last request of this route, oldest first.
async fn received(Shared(state): Shared<Arc<State>>) -> Response {
    let received: Vec<Json> = state
        .traffic
        .take_calls()
        .iter()
        .map(|it| json!({"number": it.number, "line": it.line, "body": it.body, "isWrite": it.is_write, "status": it.status}))
        .collect();
    axum::Json(received).into_response()
}

async fn inventory(Shared(state): Shared<Arc<State>>) -> Response {
    axum::Json(crate::server::inventory(&state)).into_response()
}

/// `{"number": 3, "fault": "lostAfter"}`, or `{"text": "bulk", "fault": …}`.
async fn faults(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Json>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let pause = body["seconds"].as_u64().map(Duration::from_secs);
    let fault = match body["fault"].as_str() {
        Some("lostBefore") => Fault::LostBefore,
        Some("lostAfter") => Fault::LostAfter,
        Some("gatewayTimeout") => Fault::GatewayTimeout,
        Some("tooMany") => Fault::TooMany(pause),
        Some("unavailable") => Fault::Unavailable,
        Some("fails") => Fault::Fails,
        Some("overtaken") => Fault::Overtaken,
        Some("leavesInconsistent") => Fault::LeavesInconsistent,
        _ => return StatusCode::BAD_REQUEST.into_response(),
    };
    let mut faults = state.traffic.faults();
    match (body["number"].as_u64(), body["text"].as_str()) {
        (Some(number), _) => drop(faults.by_number.insert(usize::try_from(number).unwrap_or_default(), fault)),
        (None, Some(text)) => faults.by_text.push((text.to_owned(), fault)),
        (None, None) => faults.next.push_back(fault),
    }
    StatusCode::NO_CONTENT.into_response()
}

/// `{"database": …, "schema": …, "name": …, "columns": […], "key": […]}`; without columns the table is removed.
async fn table(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Json>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let texts = |name: &str| {
        let texts = body[name].as_array().into_iter().flatten().filter_map(Json::as_str);
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    let place = (text("database"), text("schema"), text("name"));
    let table = Table { columns: texts("columns"), key: texts("key") };
    match table.columns.is_empty() {
        true => drop(state.databases().tables.remove(&place)),
        false => drop(state.databases().tables.insert(place, table)),
    }
    StatusCode::NO_CONTENT.into_response()
}

/// `{"name": …, "value": …}`: a variable of Hasura's process.
async fn variable(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Json>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    state.databases().variables.insert(text("name"), text("value"));
    StatusCode::NO_CONTENT.into_response()
}

/// A request of the metadata API outside terrace: it is not counted.
async fn metadata(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Json>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    match state.carry_out(&body) {
        Ok(done) => axum::Json(done).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, axum::Json(why.body())).into_response(),
    }
}

/// Resets the counters.
async fn reset(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.traffic.reset_count();
    state.traffic.received().clear();
    StatusCode::NO_CONTENT
}
