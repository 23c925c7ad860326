//! Plans: creating, showing and applying them.

use super::accept::preferred;
use super::json_body::JsonBody;
use super::problem::Problem;
use crate::auth::{Action, Caller, Resource};
use crate::outcome::{Outcome, RenderedPlan};
use crate::queue::check_request;
use crate::request::Request;
use crate::request_context::{Purpose, RequestContext, RequestOptions, Requester, environment_of};
use crate::shared::Shared;
use crate::witboost::ProvisioningRequest;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::store::{OperationFilter, OperationRow, OperationStatus, PLANS, RequestRow};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// How long a call waits for its plan before it is answered with 202.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call waits at first before it polls the store. The pause doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

const MARKDOWN: &str = "text/markdown";
const TEXT: &str = "text/plain";

/// The input of a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPlan {
    /// A data product as YAML or JSON; a stack if the server accepts stacks. If it names a component, plan only that.
    pub(crate) descriptor: String,
    /// Plan its removal.
    #[serde(default)]
    pub(crate) destroy: bool,
    /// Remove data, too.
    #[serde(default)]
    pub(crate) remove_data: bool,
    /// The environment; it overrides the one of the descriptor.
    #[serde(default)]
    pub(crate) environment: Option<String>,
    /// The components to plan, by key; all if absent.
    #[serde(default)]
    pub(crate) components: Vec<String>,
    /// Values of variables of a stack, by name.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) variables: serde_json::Map<String, serde_json::Value>,
    /// The addresses of resources whose data may be lost, as in a plan: `storage/sqlite_table.orders`.
    #[serde(default)]
    pub(crate) allow_data_loss: Vec<String>,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanAnswer {
    /// The ID of the plan.
    pub(crate) id: Uuid,
    /// `running`, `made`, `applying`, `applied` or `failed`; `made` again if applying it failed.
    pub(crate) status: &'static str,
    /// The newest operation that applies or applied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<Uuid>,
    /// Why it failed, or cannot be applied.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) problem: String,
    /// The digest of its actions: plans with the same digest do the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// The plan in the format of `terraform show -json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) plan: Option<serde_json::Value>,
}

/// A started operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    /// The ID of the operation.
    pub(crate) operation: Uuid,
}

/// The answer to a call that started an operation, with its path.
pub(super) fn begun(operation: Uuid) -> Response {
    let location = [(header::LOCATION, format!("/api/v1/operations/{operation}"))];
    (StatusCode::ACCEPTED, location, Json(Begun { operation })).into_response()
}

/// Plans a descriptor.
///
/// The answer is JSON, or Markdown or plain text by `Accept`. A plain stack needs the scope `apply`: planning runs its
/// commands.
#[utoipa::path(post, path = "/plans", operation_id = "make_plan", tag = "plans", request_body = NewPlan,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = PlanAnswer, headers(("Location" = String, description = "the path of the plan"))),
        (status = 202, description = "planning is still running", body = PlanAnswer,
            headers(("Location" = String, description = "the path of the plan"))),
        (status = 400, body = Problem),
        (status = 422, description = "another call used that idempotency key", body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<NewPlan>,
) -> Result<Response, Problem> {
    let NewPlan { descriptor, destroy, remove_data, environment, components, variables, allow_data_loss } = body;
    if remove_data && !destroy {
        return Err(Problem::bad_request("`remove_data` needs `destroy`: set both"));
    }
    let options = RequestOptions { environment, components, variables, allow_data_loss };
    let request =
        ProvisioningRequest { descriptor_kind: None, descriptor, remove_data, latest_enriched_descriptor: None };
    let purpose = if destroy { Purpose::Remove } else { Purpose::Provision };
    let new_request = Request::Plan { request, destroy, options: options.clone() };
    let by = caller.clone();
    let checked = check_request(&shared, new_request, async move |shared, environments, request| {
        let by = Requester::Caller(&by, Action::Plan);
        let from = (environments, shared.calls.as_ref());
        let mut context = RequestContext::read_with_options(from, request, &options, purpose, by).await?;
        context.check_known(shared.calls.as_ref()).await?;
        Ok(context.subject())
    });
    let checked = checked.await?;
    let queue = StackId::new(PLANS, environment_of(&checked.subject.stack));
    let id = shared.enqueue_plan(&caller, checked, queue).await?;
    // The answer has to be sent before the call times out.
    let timeout = ANSWER_TIMEOUT.min(shared.settings.timeout / 2);
    let (since, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let (plan, row) = find_plan(&shared, &caller, id).await?;
        if row.result.is_some() || since.elapsed() > timeout || shared.stop.is_cancelled() {
            return Ok(answer(&plan, &row, None, &headers));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = shared.stop.cancelled() => {}
        }
    }
}

/// Returns a plan.
#[utoipa::path(get, path = "/plans/{id}", operation_id = "show_plan", tag = "plans", params(("id" = Uuid, Path)),
    responses((status = 200, body = PlanAnswer), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| unknown(&id))?;
    let (plan, row) = find_plan(&shared, &caller, id).await?;
    let applied = applied(&shared, &plan).await?;
    Ok(answer(&plan, &row, applied.as_ref(), &headers))
}

/// Applies exactly this plan. If the state has changed since, the operation fails with the reason.
#[utoipa::path(post, path = "/plans/{id}/apply", operation_id = "apply_plan", tag = "plans",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 202, body = Begun, headers(("Location" = String, description = "the path of the operation"))),
        (status = 404, body = Problem),
        (status = 409, description = "the plan cannot be applied", body = Problem),
        (status = 422, description = "another call used that idempotency key", body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn apply(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| unknown(&id))?;
    let (plan, row) = find_plan(&shared, &caller, id).await?;
    let Some(outcome) = Outcome::of(&row) else { return Err(Problem::conflict("the plan is not finished yet")) };
    let approved = match outcome.plan {
        Some(RenderedPlan { approved, is_applicable: true, .. }) => approved,
        Some(RenderedPlan { losses, .. }) if outcome.result.is_empty() && !losses.is_empty() => {
            return Err(Problem::conflict(losses.join("\n")));
        }
        Some(_) => return Err(Problem::conflict("the plan has errors: there is nothing to apply")),
        None => return Err(Problem::conflict("the plan failed: there is nothing to apply")),
    };
    // A failed plan does not keep its request.
    let Request::Plan { request, destroy, options } =
        Request::of_body(row.body.expose(), id, shared.environments.seal())?
    else {
        return Err(unknown(id));
    };
    let purpose = if destroy { Purpose::Remove } else { Purpose::Provision };
    let new_request = Request::Apply { request, destroy, approved, options: options.clone(), plan: Some(id) };
    // A repeated call gets the answer of the first one, even if a check would fail by now.
    if let Some(operation) = shared.find_earlier_request(&caller, &new_request).await? {
        return Ok(begun(operation));
    }
    let by = caller.clone();
    let checked = check_request(&shared, new_request, async move |shared, environments, request| {
        let by = |action| Requester::Caller(&by, action);
        let from = (environments, shared.calls.as_ref());
        let context = RequestContext::read_with_options(from, request, &options, purpose, by(Action::Apply)).await?;
        let subject = context.subject();
        if destroy {
            // Applying this plan removes a data product.
            by(Action::Unprovision).check(false, &[Resource::Stack(&subject.stack)])?;
        }
        Ok(subject)
    });
    let checked = checked.await?;
    // This check comes last: the operation may be ending just now.
    let is_done = |by: &OperationRow| by.status == OperationStatus::Completed && !caller.has_key();
    if let Some(by) = applied(&shared, &plan).await?.filter(is_done) {
        return Err(Problem::conflict(format!("the plan was applied already, by operation {}", by.id)));
    }
    let operation = shared.enqueue_checked(&caller, checked).await?;
    Ok(begun(operation))
}

fn unknown(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no plan `{id}`"))
}

/// The operation and the request of a plan.
async fn find_plan(shared: &Shared, caller: &Caller, id: Uuid) -> Result<(OperationRow, RequestRow), Problem> {
    let request = shared.store.request(id).await?.ok_or_else(|| unknown(id))?;
    let (operation, _) = shared.store.operation(id).await?.ok_or_else(|| unknown(id))?;
    let plan = Some((operation, request)).filter(|(operation, _)| operation.kind == "plan");
    caller
        .filter_visible(plan, |caller, (operation, _)| caller.sees_all(operation.target_stacks()))
        .ok_or_else(|| unknown(id))
}

/// The number of operations that are read at once.
const PAGE: usize = 50;

/// The operation that applied a plan, or else the newest attempt. An ended operation has the plan's ID in its
/// outcome, a running one in its request.
async fn applied(shared: &Shared, plan: &OperationRow) -> Result<Option<OperationRow>, Problem> {
    let stack = plan.target_stacks().first().cloned();
    let mut newest = None;
    let mut filter = OperationFilter { kind: Some("apply".to_owned()), stack, ..OperationFilter::newest(PAGE) };
    loop {
        let rows = shared.store.operations(&filter).await?;
        let is_last = rows.len() < PAGE;
        // IDs are ordered by time.
        for row in rows {
            if row.id < plan.id {
                return Ok(newest);
            }
            filter.before = Some(row.id);
            // An apply from the command line has no request.
            let Some(request) = shared.store.request(row.id).await? else { continue };
            let of = match Outcome::of(&request) {
                Some(outcome) => outcome.applied,
                None => match Request::of_body(request.body.expose(), row.id, shared.environments.seal())? {
                    Request::Apply { plan, .. } => plan,
                    _ => None,
                },
            };
            if of == Some(plan.id) && row.status == OperationStatus::Completed {
                return Ok(Some(row));
            }
            newest = newest.or((of == Some(plan.id)).then_some(row));
        }
        if is_last {
            return Ok(newest);
        }
    }
}

/// The status of a finished plan.
const fn status(applied: Option<&OperationRow>) -> &'static str {
    match applied {
        None => "made",
        Some(OperationRow { status: OperationStatus::Completed, .. }) => "applied",
        Some(OperationRow { status: OperationStatus::Queued | OperationStatus::Running, .. }) => "applying",
        Some(_) => "made",
    }
}

/// The plan in the media type that the caller prefers.
fn answer(plan: &OperationRow, row: &RequestRow, applied: Option<&OperationRow>, headers: &HeaderMap) -> Response {
    let id = plan.id;
    let form = preferred(headers, &["application/json", TEXT, MARKDOWN]);
    let operation = applied.map(|operation| operation.id);
    let location = [(header::LOCATION, format!("/api/v1/plans/{id}"))];
    let Some(outcome) = Outcome::of(row) else {
        let running = PlanAnswer { id, status: "running", operation, problem: String::new(), digest: None, plan: None };
        return (StatusCode::ACCEPTED, location, Json(running)).into_response();
    };
    match outcome.plan {
        Some(rendered) if form == MARKDOWN => {
            (location, [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], rendered.markdown).into_response()
        }
        Some(rendered) if form == TEXT => {
            let errors = outcome.result.lines().map(|error| format!("\nError: {error}\n"));
            let text = errors.fold(rendered.text, |text, error| text + &error);
            (location, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
        }
        Some(rendered) => {
            let (digest, plan) = (Some(rendered.approved.digest), Some(rendered.json));
            let status = status(applied);
            let problem = if outcome.result.is_empty() { rendered.losses.join("\n") } else { outcome.result };
            let answer = PlanAnswer { id, status, operation, problem, digest, plan };
            (location, Json(answer)).into_response()
        }
        None => {
            let problem = outcome.reason(plan);
            let failed = PlanAnswer { id, status: "failed", operation, problem, digest: None, plan: None };
            (location, Json(failed)).into_response()
        }
    }
}
