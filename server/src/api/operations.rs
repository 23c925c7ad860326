//! Operations: past and running ones, their logs, and their cancellation.

use super::event_stream::{EventSource, EventStream, NewEvents, follow, last_event_id};
use super::page::{Page, PageQuery, Params, unknown_position};
use super::problem::Problem;
use crate::auth::{Action, Caller, Resource};
use crate::shared::Shared;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::Arc;
use terrace_engine::store::{
    KINDS, LogLine, OperationFilter, OperationRow, OperationStatus, ServerStore, StepAction, StepResult, StepRow,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The least rows that are read at once after the first page of rows.
const LEAST_ROWS: usize = 200;
/// The most rows that are read for a page, whether the caller sees them or not.
const MOST_ROWS: usize = 2_000;

/// An operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    pub(crate) id: Uuid,
    /// `apply`, `provision`, `recover` …
    pub(crate) kind: String,
    /// The stacks of the operation.
    pub(crate) stacks: Vec<String>,
    /// The caller of the operation.
    pub(crate) actor: String,
    /// `queued`, `running`, `abandoned` (its process is gone), `completed`, `failed`, `interrupted` or `superseded`.
    pub(crate) status: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Timestamp>,
    /// The outcome in a sentence.
    pub(crate) summary: String,
    /// The caller that cancelled it.
    pub(crate) cancelled_by: Option<String>,
    /// Its steps; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<Vec<Step>>,
}

/// A step of an operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    pub(crate) step: u32,
    /// `create`, `update`, `delete` or `record`.
    #[schema(value_type = String)]
    pub(crate) action: StepAction,
    pub(crate) stack: String,
    pub(crate) address: String,
    /// `open`, `done`, `failed` or `recovered`.
    pub(crate) status: &'static str,
    /// Why the step failed, or what recovery found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Timestamp>,
}

/// A line of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// `INFO`, `WARNING` or `ERROR`.
    pub(crate) level: String,
    /// `validate`, `plan`, `apply`, `recover` …
    pub(crate) phase: String,
    pub(crate) message: String,
}

/// The filter of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Operations of one stack: `name@environment`.
    pub(crate) stack: Option<String>,
    /// Operations of one kind.
    pub(crate) kind: Option<String>,
    /// Operations with this status.
    pub(crate) status: Option<String>,
    /// The most items, up to 1000; 100 if absent.
    #[param(value_type = Option<usize>, minimum = 1)]
    pub(crate) limit: Option<NonZeroUsize>,
    /// `next` of the previous page.
    pub(crate) after: Option<String>,
}

/// Lists operations, newest first.
///
/// A page may have fewer items than `limit` although `next` is present: it ends after 2,000 operations, including those
/// that the query or the limits of the token leave out.
#[utoipa::path(get, path = "/operations", operation_id = "list_operations", tag = "operations", params(Filter),
    responses((status = 200, body = Page<Operation>)))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(filter): Params<Filter>,
) -> Result<Json<Page<Operation>>, Problem> {
    let limit = PageQuery { limit: filter.limit, after: None }.limit();
    let stack = match filter.stack.as_deref().map(str::parse) {
        None => None,
        Some(Ok(stack)) => Some(stack),
        Some(Err(_)) => {
            return Err(Problem::bad_request("`stack` is not the name of a stack: expected `name@environment`"));
        }
    };
    if let Some(status) = filter.status.as_deref()
        && !statuses().any(|known| known == status)
    {
        let known = statuses().collect::<Vec<_>>().join(", ");
        return Err(Problem::bad_request(format!("`{status}` is not a status of operations: expected one of {known}")));
    }
    if let Some(kind) = filter.kind.as_deref()
        && !KINDS.contains(&kind)
    {
        return Err(Problem::bad_request(format!(
            "`{kind}` is not a kind of operations: expected one of {}",
            KINDS.join(", ")
        )));
    }
    let before = match filter.after {
        None => None,
        Some(after) => {
            let row_of_after = match after.parse() {
                Ok(id) => shared.store.operation(id).await?,
                Err(_) => None,
            };
            // The previous page may have ended at an operation that the caller does not see.
            Some(row_of_after.ok_or_else(|| Problem::bad_request(unknown_position(&after)))?.0.id)
        }
    };
    // One more row tells whether another page exists. The status of an operation depends on more than its row.
    let mut selection = OperationFilter { kind: filter.kind, stack, before, limit: limit + 1 };
    let matches_status =
        |operation: &Operation| filter.status.as_ref().is_none_or(|status| operation.status == *status);
    let (mut items, mut read) = (Vec::<Operation>::new(), 0);
    let next = loop {
        let rows = shared.store.operations(&selection).await?;
        let is_last = rows.len() < selection.limit;
        read += rows.len();
        selection.before = rows.last().map(|row| row.id);
        let rows = caller.visible(rows, |caller, row| caller.sees_all(row.target_stacks()));
        items.extend(rows.into_iter().map(operation).filter(matches_status));
        if items.len() > limit {
            items.truncate(limit);
            break items.last().map(|operation| operation.id);
        }
        if is_last {
            break None;
        }
        if read >= MOST_ROWS {
            break selection.before;
        }
        selection.limit = selection.limit.max(LEAST_ROWS);
    };
    Ok(Json(Page { items, next: next.map(|id| id.to_string()) }))
}

/// Returns one operation with its steps.
#[utoipa::path(get, path = "/operations/{id}", operation_id = "show_operation", tag = "operations",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Operation), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Operation>, Problem> {
    let (row, steps) = find_operation(&shared, &caller, &id).await?;
    Ok(Json(Operation { steps: Some(steps.into_iter().map(step).collect()), ..operation(row) }))
}

/// Returns the log of an operation, oldest line first.
#[utoipa::path(get, path = "/operations/{id}/logs", tag = "operations", params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<Line>), (status = 404, body = Problem)))]
pub(super) async fn logs(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Vec<Line>>, Problem> {
    let (row, _) = find_operation(&shared, &caller, &id).await?;
    Ok(Json(shared.store.logs(row.id, 0).await?.into_iter().map(line).collect()))
}

/// Streams the log of an operation: server-sent events `log`, and `end` with the operation when it has ended.
///
/// An interrupted reader continues after the `id` of the last event. The stream ends when the token expires.
#[utoipa::path(get, path = "/operations/{id}/events", tag = "operations",
    params(("id" = Uuid, Path), ("Last-Event-ID" = Option<usize>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 404, body = Problem)))]
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<EventStream, Problem> {
    let (row, _) = find_operation(&shared, &caller, &id).await?;
    let sent = last_event_id(&headers).and_then(|last| last.parse().ok()).unwrap_or_default();
    let stacks = row.target_stacks().to_vec();
    let log = OperationEvents { store: Arc::clone(&shared.store), id: row.id, sent };
    follow(shared, caller, headers, stacks, log)
}

/// The events of a running operation.
struct OperationEvents {
    store: Arc<dyn ServerStore>,
    id: Uuid,
    /// The number of lines that were sent.
    sent: usize,
}

impl EventSource for OperationEvents {
    async fn poll(&mut self) -> Option<NewEvents> {
        let store = &self.store;
        // The status is read first: the log lines of an ended operation are complete.
        let runs = store.request(self.id).await.ok()?.is_some_and(|request| request.result.is_none());
        let ended = match runs {
            true => None,
            false => {
                let (row, _) = store.operation(self.id).await.ok()??;
                row.ended_at.is_some().then_some(row)
            }
        };
        let mut new = NewEvents { events: Vec::new(), has_ended: ended.is_some() };
        for line_of_log in store.logs(self.id, self.sent).await.ok()? {
            self.sent += 1;
            let event = Event::default().event("log").id(self.sent.to_string());
            new.events.push(event.json_data(line(line_of_log)).ok()?);
        }
        if let Some(row) = ended {
            new.events.push(Event::default().event("end").json_data(operation(row)).ok()?);
        }
        Some(new)
    }
}

/// Cancels an operation: its running steps finish. A waiting operation ends at once.
#[utoipa::path(post, path = "/operations/{id}/cancel", tag = "operations", params(("id" = Uuid, Path)),
    responses((status = 202, description = "the operation is stopping"), (status = 404, body = Problem),
        (status = 409, description = "the operation has ended", body = Problem)))]
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (row, _) = find_operation(&shared, &caller, &id).await?;
    let stacks: Vec<Resource<'_>> = row.target_stacks().iter().map(Resource::Stack).collect();
    caller.check(Action::Cancel, false, &stacks)?;
    match shared.cancel(&row, &caller).await? {
        true => Ok(StatusCode::ACCEPTED),
        false => Err(Problem::conflict(format!("operation `{id}` has ended"))),
    }
}

/// All statuses of operations.
fn statuses() -> impl Iterator<Item = &'static str> {
    OperationStatus::WORDS.iter().map(|(word, _)| *word).chain([OperationRow::ABANDONED])
}

async fn find_operation(shared: &Shared, caller: &Caller, id: &str) -> Result<(OperationRow, Vec<StepRow>), Problem> {
    let unknown = || Problem::not_found(format!("there is no operation `{id}`"));
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let operation = shared.store.operation(id).await?;
    caller
        .filter_visible(operation, |caller, (operation, _)| caller.sees_all(operation.target_stacks()))
        .ok_or_else(unknown)
}

pub(super) fn operation(row: OperationRow) -> Operation {
    // A server resumes requests, so the process of such an operation does not matter.
    let status = if row.is_requested { row.status.word() } else { row.status_word() };
    let stacks = row.target_stacks().iter().map(ToString::to_string).collect();
    Operation {
        id: row.id,
        kind: row.kind,
        stacks,
        actor: row.actor,
        status: status.to_owned(),
        started_at: row.started_at,
        ended_at: row.ended_at,
        summary: row.summary,
        cancelled_by: row.cancelled_by,
        steps: None,
    }
}

fn step(row: StepRow) -> Step {
    let (status, message) = match row.result {
        None => ("open", None),
        Some(StepResult::Done) => ("done", None),
        Some(StepResult::Failed(why)) => ("failed", Some(why)),
        Some(StepResult::Recovered(found)) => ("recovered", Some(found)),
    };
    Step {
        step: row.step,
        action: row.action,
        stack: row.stack.to_string(),
        address: row.address.to_string(),
        status,
        message,
        started_at: row.started_at,
        ended_at: row.ended_at,
    }
}

fn line(line: LogLine) -> Line {
    Line { at: line.at, level: line.level, phase: line.phase, message: line.message }
}
