//! Data pipelines of the project, and the workers that run them.

pub(super) mod databases;
pub(super) mod runs;

use super::page::{Page, PageQuery, Params};
use super::problem::Problem;
use crate::answer::Refusal;
use crate::auth::{Action, Caller, Resource};
use crate::pipelines::{Pipeline, PipelinesError, Pod, ServedPipelines};
use crate::shared::Shared;
use axum::extract::State;
use axum::{Extension, Json};
use std::sync::Arc;

impl From<PipelinesError> for Problem {
    fn from(error: PipelinesError) -> Self {
        match error {
            PipelinesError::Missing(why) => Self::not_found(why),
            PipelinesError::Invalid(why) => Self::bad_request(why),
            PipelinesError::Conflict(why) => Self::conflict(why),
            PipelinesError::KeyTaken => Refusal::KeyTaken.into(),
            PipelinesError::OverLimit(limit) => Self::over_limit(*limit),
            PipelinesError::Unavailable(why) => Refusal::Unavailable(why).into(),
            PipelinesError::Failed(why) => Self::internal(why),
        }
    }
}

/// The pipelines, if the caller may do the action with them.
fn allowed<'s>(shared: &'s Shared, caller: &Caller, action: Action) -> Result<&'s ServedPipelines, Problem> {
    let served = shared.pipelines.as_ref();
    let served = served
        .ok_or_else(|| Refusal::Unavailable("this server cannot run pipelines: its log names the reason".to_owned()));
    // Callers outside the limits do not learn whether pipelines can run.
    let served = match served {
        Ok(served) => served,
        Err(refusal) => {
            caller.check(action, false, &[Resource::Any])?;
            return Err(refusal.into());
        }
    };
    caller.check(action, false, &[Resource::Stack(&served.stack())])?;
    Ok(served)
}

/// The outcome of a change. The usage log gets the limit that refuses it.
fn noted<T>(caller: &Caller, outcome: Result<T, PipelinesError>) -> Result<T, Problem> {
    if let Err(PipelinesError::OverLimit(over)) = &outcome {
        caller.note_usage(|usage| over.note_in(usage));
    }
    Ok(outcome?)
}

/// Lists the pipelines of the project's specs, including those with errors.
#[utoipa::path(get, path = "/pipelines", operation_id = "list_pipelines", tag = "pipelines", params(PageQuery),
    responses((status = 200, body = Page<Pipeline>)))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Pipeline>>, Problem> {
    let pipelines = allowed(&shared, &caller, Action::Read)?.pipelines.pipelines().await?;
    Ok(Json(page.of(pipelines, |pipeline| pipeline.pipeline_id.clone())?))
}

/// Lists the databases of the active cluster, the workers, and the other pods of the cluster in which pipelines run.
#[utoipa::path(get, path = "/pipelines/pods", operation_id = "list_pods", tag = "pipelines",
    responses((status = 200, body = Vec<Pod>)))]
pub(super) async fn pods(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<Pod>>, Problem> {
    Ok(Json(allowed(&shared, &caller, Action::Read)?.pipelines.pods().await?))
}
