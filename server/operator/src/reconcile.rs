//! Carries out one decision for an object, and records it in its status.

use crate::cluster::{self, EVENT_TIMEOUT, ReconcileError, api, in_time, set_metadata, set_status};
use crate::decide::{Next, POLL, next};
use crate::event;
use crate::inputs;
use crate::kind::Kind;
use crate::objects::Objects;
use crate::record::{self, NewPlan};
use crate::server::{CallError, PlanAnswer, Server};
use crate::stack::{FINALIZER, Phase, Received, Stack, StackStatus, Watched};
use crate::translate;
use jiff::Timestamp;
use kube::core::ObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The pause between looks at drift, at the newest run of a pipeline, and at a rival.
const REST: Duration = Duration::from_secs(60);
/// The pause between looks at a run in progress. A schedule of each minute starts its next run after [`REST`].
const RUN_REST: Duration = Duration::from_secs(10);

/// What all reconciliations of a kind share.
pub(crate) struct Context {
    pub(crate) kind: Kind,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) events: Recorder,
    /// All objects that the operator sees.
    pub(crate) objects: Objects,
}

/// Carries out the next action for an object.
///
/// # Errors
/// When the result cannot be recorded.
pub(crate) async fn reconcile(watched: Arc<Watched>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let objects: Api<Received> = api(&context.client, &*watched, &context.kind);
    let received = match in_time(objects.get_opt(&watched.name_any())).await {
        Ok(Some(received)) => received,
        Ok(None) => return Ok(Action::await_change()),
        Err(ReconcileError::Cluster(error)) => match *error {
            kube::Error::SerdeError(error) => return unreadable(&context, &watched, &error).await,
            error => return Err(Box::new(error).into()),
        },
        Err(error) => return Err(error),
    };
    let stack = match translate::stack(context.kind, received) {
        Ok(stack) => stack,
        Err(error) => return unreadable(&context, &watched, &error).await,
    };
    let (now, rival) = (Timestamp::now(), rival(&stack, &context.objects.described()));
    let status = stack.status.clone().unwrap_or_default();
    let inputs = inputs::digest(&stack, stack.metadata.deletion_timestamp.is_some());
    let server = &context.server;
    // A failure that may pass: the same action is due after a pause.
    let failed = |status, error: &CallError| record::unavailable(status, &inputs, &error.message(), now);
    let key = |kind: &str, of: &str| format!("{kind}/{}/{of}", stack.uid().unwrap_or_default());
    let new_status = match next(&stack, rival.as_deref(), now) {
        // Without any record the object goes away, or nothing was ever done for it.
        Next::Nothing if stack.status.is_none() => return Ok(Action::await_change()),
        Next::Nothing => status,
        Next::Wait(pause) => return Ok(Action::requeue(pause)),
        Next::AddFinalizer => {
            let finalizers = stack.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
            return set_finalizers(&context, &stack, finalizers).await;
        }
        Next::RemoveFinalizer => {
            let finalizers = stack.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
            return set_finalizers(&context, &stack, finalizers).await;
        }
        Next::Plan { destroy, inputs } => {
            let new = NewPlan { inputs: &inputs, destroy };
            let key = key("stack-plan", &format!("{}/{inputs}", status.plans));
            match server.make_plan(&key, inputs::body(&stack, destroy)).await {
                Ok(answer) => match text(server, &answer).await {
                    Ok(text) => record::planned(status, &new, &answer, text.as_deref(), now),
                    Err(CallError::TooLarge) => {
                        record::refused(record::planned(status, &new, &answer, None, now), record::TOO_LARGE)
                    }
                    Err(error) => failed(status, &error),
                },
                Err(error @ CallError::Refused { .. }) => record::not_planned(status, &new, &error.message(), now),
                Err(CallError::TooLarge) => {
                    record::refused(record::not_planned(status, &new, record::TOO_LARGE, now), record::TOO_LARGE)
                }
                Err(error) => failed(status, &error),
            }
        }
        Next::ReadPlan(id) => match server.plan(&id).await {
            Ok(answer) => match text(server, &answer).await {
                Ok(text) => record::read(status, &answer, text.as_deref(), now),
                Err(CallError::TooLarge) => record::refused(status, record::TOO_LARGE),
                Err(error) => failed(status, &error),
            },
            Err(CallError::Refused { status: 404, .. }) => record::lost(status, now),
            Err(CallError::TooLarge) => record::refused(status, record::TOO_LARGE),
            Err(error) => failed(status, &error),
        },
        Next::Blocked(_) => status,
        Next::Begin => record::begun(status),
        Next::Apply(plan) => match server.apply(&key("stack-apply", &plan), &plan).await {
            Ok(id) => record::sent(status, id),
            // A refusal proves nothing: an earlier call may have started the operation before the token lost a right.
            Err(refusal @ CallError::Refused { .. }) => match operation_of(server, &plan).await {
                Ok(Some(id)) => record::sent(status, id),
                Ok(None) => {
                    let message = refusal.message();
                    tracing::info!(stack = stack.name_any(), message, "the server does not apply a plan");
                    record::not_applied(status, &message, now)
                }
                Err(error) => failed(status, &error),
            },
            Err(error) => failed(status, &error),
        },
        Next::FindOperation(plan) => match operation_of(server, &plan).await {
            Ok(Some(id)) => record::sent(status, id),
            Ok(None) => record::withdrawn(status),
            Err(error) => failed(status, &error),
        },
        Next::ReadOperation(id) => match server.operation(&id).await {
            Ok(answer) => record::operated(status, &answer, now),
            Err(CallError::Refused { status: 404, .. }) => {
                record::not_applied(status, "the server has this operation no more", now)
            }
            Err(error) => failed(status, &error),
        },
        Next::ReadDrift(name) => match server.drift(&name).await {
            Ok(answer) => {
                let scanned = record::scanned(status, answer);
                match &watched.pipeline_id {
                    Some(pipeline) => record::ran(scanned, server.newest_run(pipeline).await),
                    None => scanned,
                }
            }
            Err(error) => failed(status, &error),
        },
    };
    let new_status = match context.kind {
        // A descriptor may have several pipelines.
        Kind::Stack => StackStatus { spec_hash: None, ..new_status },
        Kind::Pipeline | Kind::Database | Kind::Worker => translate::without_places(new_status),
    };
    let new_status = record::summarized(new_status, &stack, rival.as_deref(), now);
    let is_unchanged = stack.status.as_ref() == Some(&new_status);
    if !is_unchanged {
        let api: Api<Watched> = api(&context.client, &stack, &context.kind);
        set_status(&api, &stack, &context.kind, &json!(new_status)).await?;
        let _ = tokio::time::timeout(EVENT_TIMEOUT, publish(&context.events, &stack, &new_status)).await;
        if stack.status.as_ref().map(|status| status.phase) != Some(new_status.phase) {
            let (namespace, name, phase) = (stack.namespace().unwrap_or_default(), stack.name_any(), new_status.phase);
            let kind = context.kind.name();
            tracing::info!(
                kind,
                namespace,
                name,
                ?phase,
                plan = new_status.plan.as_ref().and_then(|plan| plan.id.clone())
            );
        }
    }
    let after = Stack { status: Some(new_status), ..stack };
    Ok(match next(&after, rival.as_deref(), now) {
        Next::Nothing => Action::await_change(),
        Next::Wait(pause) => Action::requeue(pause),
        Next::ReadPlan(_) | Next::ReadOperation(_) => Action::requeue(POLL),
        Next::ReadDrift(_) => Action::requeue(rest(after.status.as_ref())),
        Next::Blocked(_) => Action::requeue(REST),
        // The write leads to a new version of the object, and this to the next action.
        _ if !is_unchanged => Action::requeue(REST),
        _ => Action::requeue(POLL),
    })
}

/// The pause before the next look at drift and at the newest run.
fn rest(status: Option<&StackStatus>) -> Duration {
    let last_run = status.and_then(|status| status.last_run.as_ref());
    if last_run.is_some_and(|run| !run.phase.is_over()) { RUN_REST } else { REST }
}

/// The text of a finished plan.
async fn text(server: &Server, answer: &PlanAnswer) -> Result<Option<String>, CallError> {
    match answer.plan {
        None => Ok(None),
        Some(_) => server.plan_text(&answer.id).await.map(Some),
    }
}

/// The operation of a plan, if the server has one.
async fn operation_of(server: &Server, plan: &str) -> Result<Option<String>, CallError> {
    match server.plan(plan).await {
        Err(CallError::Refused { status: 404, .. }) => Ok(None),
        answer => answer.map(|answer| answer.operation),
    }
}

/// Publishes the events of a change.
async fn publish(recorder: &Recorder, stack: &Stack, after: &StackStatus) {
    event::publish(recorder, &stack.object_ref(&stack.kind), event::of(stack.status.as_ref(), after)).await;
}

/// Reports an object that cannot be parsed, in its own status. Its other records stay.
async fn unreadable(context: &Context, watched: &Watched, error: &serde_json::Error) -> Result<Action, ReconcileError> {
    // The position moves with the status. Without it and without a time, a repeated write changes nothing.
    let text = error.to_string();
    let cause = text.split(" at line ").next().unwrap_or_default();
    let remedy = match context.kind {
        Kind::Stack => "put a descriptor with more than 100 levels into `text`",
        Kind::Pipeline | Kind::Database | Kind::Worker => {
            "install the definitions of this version: \
             `terrace operator crds | kubectl apply --server-side --force-conflicts -f -`"
        }
    };
    let message = format!("the object cannot be read ({cause}): {remedy}");
    tracing::warn!(namespace = watched.namespace(), name = watched.name_any(), %error, "an object cannot be read");
    let condition = json!({"type": "Ready", "status": "False", "reason": "Unreadable", "message": message});
    let api: Api<Watched> = api(&context.client, watched, &context.kind);
    let status = json!({"phase": Phase::PlanFailed, "conditions": [condition]});
    set_status(&api, watched, &context.kind, &status).await?;
    Ok(Action::await_change())
}

/// Repeats a reconciliation that could not be recorded.
pub(crate) fn retry(watched: Arc<Watched>, error: &ReconcileError, _: Arc<Context>) -> Action {
    cluster::retry(&*watched, error)
}

/// The oldest other object with the same stack of the state, if it is older than this one.
pub(crate) fn rival(stack: &Stack, all: &[(Kind, Arc<Watched>)]) -> Option<String> {
    let age = |metadata: &ObjectMeta| (metadata.creation_timestamp.clone().map(|time| time.0), metadata.uid.clone());
    let (own, own_age) = (stack.status.as_ref()?.stack.as_ref()?, age(&stack.metadata));
    let rivals = all.iter().filter(|(_, other)| other.stack.as_ref() == Some(own) && age(&other.metadata) < own_age);
    let (kind, oldest) = rivals.min_by_key(|(_, other)| age(&other.metadata))?;
    let name = format!("{}/{}", oldest.namespace().unwrap_or_default(), oldest.name_any());
    Some(if *kind == stack.kind { name } else { format!("{} {name}", kind.name()) })
}

/// Writes finalizers into the version of the object that was read.
async fn set_finalizers(context: &Context, stack: &Stack, names: Vec<String>) -> Result<Action, ReconcileError> {
    let api: Api<Watched> = api(&context.client, stack, &context.kind);
    set_metadata(&api, stack, json!({"finalizers": names})).await?;
    Ok(Action::await_change())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_phase::RunPhase;
    use crate::stack::LastRun;

    #[test]
    fn run_in_progress_is_looked_at_more_often() {
        let of = |phase| {
            let last_run = LastRun {
                run_id: "r".to_owned(),
                phase,
                reason: "Running".to_owned(),
                rows: None,
                started_at: None,
                finished_at: None,
            };
            rest(Some(&StackStatus { last_run: Some(last_run), ..StackStatus::default() }))
        };
        assert_eq!([of(RunPhase::Running), of(RunPhase::Succeeded)], [RUN_REST, REST]);
        assert_eq!(rest(Some(&StackStatus::default())), REST);
    }
}
