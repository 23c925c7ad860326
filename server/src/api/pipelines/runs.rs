//! Runs of pipelines: their start, their logs and their end.

use super::super::event_stream::{EventSource, EventStream, NewEvents, follow, last_event_id};
use super::super::json_body::JsonBody;
use super::super::page::{Page, PageQuery, Params};
use super::super::problem::Problem;
use super::{allowed, noted};
use crate::auth::{Action, Caller};
use crate::pipelines::{NewRun, Pipelines, Run, RunFilter, RunLine, RunLog, RunPage, ServedPipelines};
use crate::shared::Shared;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::num::NonZeroUsize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The most lines that a stream reads at once.
const LINES: usize = 1_000;
/// The most retries of a run.
const MOST_RETRIES: u32 = 100;
/// The most runs that a run may wait for.
const MOST_BEFORE: usize = 1_000;
/// The most parameters of a run, and the most bytes of a value.
const MOST_PARAMS: (usize, usize) = (64, 4_096);

/// A queued run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuedRun {
    pub(crate) run_id: String,
    pub(crate) pipeline_id: String,
}

/// The filter of a list of runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// Runs of this pipeline.
    pub(crate) pipeline: Option<String>,
    /// Runs in this state.
    pub(crate) state: Option<String>,
    /// The most items, up to 1000; 100 if absent.
    #[param(value_type = Option<usize>, minimum = 1)]
    pub(crate) limit: Option<NonZeroUsize>,
    /// `next` of the previous page.
    pub(crate) after: Option<String>,
}

/// Queues a run of a pipeline for the workers.
#[utoipa::path(post, path = "/pipelines/runs", operation_id = "start_run", tag = "pipelines", request_body = NewRun,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 202, description = "the run is queued", body = QueuedRun,
            headers(("Location" = String, description = "the path of the run"))),
        (status = 403, description = "the caller may not do that, or a limit refuses it", body = Problem),
        (status = 409, description = "no worker can take the run", body = Problem),
        (status = 422, description = "another call used that idempotency key", body = Problem),
        (status = 429, description = "a limit refuses the run; `limit` names it", body = Problem)))]
pub(in crate::api) async fn start(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    JsonBody(run): JsonBody<NewRun>,
) -> Result<Response, Problem> {
    let served = allowed(&shared, &caller, Action::Run)?;
    caller.note_usage(|usage| usage.pipeline_id = Some(run.pipeline_id.clone()));
    if run.timeout_seconds == Some(0) {
        return Err(Problem::bad_request("`timeout_seconds` is 0: expected 1 or more"));
    }
    if run.retries.is_some_and(|retries| retries > MOST_RETRIES) {
        return Err(Problem::bad_request(format!("`retries` is out of range: expected 0 to {MOST_RETRIES}")));
    }
    if run.after.len() > MOST_BEFORE {
        return Err(Problem::bad_request(format!("`after` has {} runs: at most {MOST_BEFORE}", run.after.len())));
    }
    if run.params.len() > MOST_PARAMS.0 {
        return Err(Problem::bad_request(format!(
            "`params` has {} values: at most {}",
            run.params.len(),
            MOST_PARAMS.0
        )));
    }
    if let Some((name, _)) = run.params.iter().find(|(_, value)| value.len() > MOST_PARAMS.1) {
        let name = name.escape_debug();
        return Err(Problem::bad_request(format!("`params`: `{name}` has more than {} bytes", MOST_PARAMS.1)));
    }
    if run.image.is_some() {
        // An image sees the credentials of the pipeline, as the resources of a plan do.
        allowed(&shared, &caller, Action::Apply).map_err(|problem| Problem {
            detail: format!("`image` needs the action `apply`: {}", problem.detail),
            ..problem
        })?;
    }
    let by = shared.pipelines_caller(&caller, Action::Run, &served.stack());
    let run_id = noted(&caller, served.pipelines.start(&run, &by).await)?;
    caller.note_usage(|usage| usage.run_id = Some(run_id.clone()));
    let location = [(header::LOCATION, format!("/api/v1/pipelines/runs/{run_id}"))];
    let queued = QueuedRun { run_id, pipeline_id: run.pipeline_id };
    Ok((StatusCode::ACCEPTED, location, Json(queued)).into_response())
}

/// Lists runs, newest first.
///
/// A page reads at most 2,000 runs: with a filter, it may have fewer items than `limit` and still a `next`. The items have
/// no `errors`, and no `stats` of more than 16 KiB.
#[utoipa::path(get, path = "/pipelines/runs", operation_id = "list_runs", tag = "pipelines", params(RunsQuery),
    responses((status = 200, body = Page<Run>)))]
pub(in crate::api) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<RunsQuery>,
) -> Result<Json<Page<Run>>, Problem> {
    let served = allowed(&shared, &caller, Action::Read)?;
    let RunsQuery { pipeline, state, limit, after } = query;
    caller.note_usage(|usage| usage.pipeline_id.clone_from(&pipeline));
    let limit = PageQuery { limit, after: None }.limit();
    let RunPage { runs, next } = served.pipelines.runs(&RunFilter { pipeline, state, before: after, limit }).await?;
    Ok(Json(Page { items: runs, next }))
}

/// Returns a run.
#[utoipa::path(get, path = "/pipelines/runs/{id}", operation_id = "show_run", tag = "pipelines",
    params(("id" = Uuid, Path)), responses((status = 200, body = Run), (status = 404, body = Problem)))]
pub(in crate::api) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Run>, Problem> {
    let served = allowed(&shared, &caller, Action::Read)?;
    Ok(Json(find_run(served, &caller, &id).await?))
}

/// Cancels a run. A waiting run ends at once, a running one when its steps have stopped.
#[utoipa::path(post, path = "/pipelines/runs/{id}/cancel", operation_id = "cancel_run", tag = "pipelines",
    params(("id" = Uuid, Path)),
    responses((status = 202, description = "the run is stopping"), (status = 404, body = Problem),
        (status = 409, description = "the run has ended", body = Problem)))]
pub(in crate::api) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let served = allowed(&shared, &caller, Action::Cancel)?;
    let run = find_run(served, &caller, &id).await?;
    match served.pipelines.cancel(&run.run_id, &caller.name_or("anonymous")).await? {
        true => Ok(StatusCode::ACCEPTED),
        false => Err(Problem::conflict(format!("run `{id}` has ended"))),
    }
}

/// Returns the log of a run in pages, oldest line first.
///
/// `next` is absent once the run has ended and all lines were read. The log of a running one may get further lines:
/// its last page has a `next`, too.
#[utoipa::path(get, path = "/pipelines/runs/{id}/logs", operation_id = "run_logs", tag = "pipelines",
    params(("id" = Uuid, Path), PageQuery),
    responses((status = 200, body = Page<RunLine>), (status = 404, body = Problem)))]
pub(in crate::api) async fn logs(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<RunLine>>, Problem> {
    let served = allowed(&shared, &caller, Action::Read)?;
    let log = read_log(served, &caller, &id, page.after.as_deref(), page.limit()).await?;
    let next = (!log.is_complete).then_some(log.end);
    Ok(Json(Page { items: log.lines.into_iter().map(|(_, line)| line).collect(), next }))
}

/// Streams the log of a run: server-sent events `log`, `progress` with the rows so far, and `end` with the run when it has ended.
///
/// An interrupted reader continues after the `id` of the last event. The stream ends when the token expires.
#[utoipa::path(get, path = "/pipelines/runs/{id}/events", operation_id = "run_events", tag = "pipelines",
    params(("id" = Uuid, Path), ("Last-Event-ID" = Option<String>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 404, body = Problem)))]
pub(in crate::api) async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<EventStream, Problem> {
    let served = allowed(&shared, &caller, Action::Read)?.clone();
    let position = last_event_id(&headers).map(str::to_owned);
    // Refuses a wrong position before the stream begins.
    let log = read_log(&served, &caller, &id, position.as_deref(), 0).await?;
    let stacks = vec![served.stack()];
    let source = RunEvents { pipelines: served.pipelines, run: log.run.run_id, position, rows: 0 };
    follow(shared, caller, headers, stacks, source)
}

/// The events of a run.
struct RunEvents {
    pipelines: Arc<dyn Pipelines>,
    run: String,
    /// The position after the last line that was sent.
    position: Option<String>,
    /// The rows that were sent last.
    rows: u64,
}

impl EventSource for RunEvents {
    async fn poll(&mut self) -> Option<NewEvents> {
        let log = self.pipelines.log(&self.run, self.position.as_deref(), LINES).await.ok()??;
        let mut new = NewEvents { events: Vec::new(), has_ended: log.is_complete };
        for (position, line) in log.lines {
            new.events.push(Event::default().event("log").id(position).json_data(line).ok()?);
        }
        if log.run.rows != self.rows && !log.run.is_over {
            self.rows = log.run.rows;
            new.events.push(Event::default().event("progress").json_data(json!({"rows": log.run.rows})).ok()?);
        }
        if log.is_complete {
            new.events.push(Event::default().event("end").json_data(log.run).ok()?);
        }
        self.position = Some(log.end);
        Some(new)
    }
}

async fn find_run(served: &ServedPipelines, caller: &Caller, id: &str) -> Result<Run, Problem> {
    let run = served.pipelines.run(id).await?.ok_or_else(|| unknown(id))?;
    note_run(caller, &run);
    Ok(run)
}

async fn read_log(
    served: &ServedPipelines,
    caller: &Caller,
    id: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<RunLog, Problem> {
    let log = served.pipelines.log(id, after, limit).await?.ok_or_else(|| unknown(id))?;
    note_run(caller, &log.run);
    Ok(log)
}

/// Notes the run of a call for the usage log.
fn note_run(caller: &Caller, run: &Run) {
    caller.note_usage(|usage| {
        usage.run_id = Some(run.run_id.clone());
        usage.pipeline_id = Some(run.pipeline_id.clone());
    });
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no run `{id}`"))
}
