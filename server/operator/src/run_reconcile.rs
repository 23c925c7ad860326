//! Carries out one decision for a run, and records it in its status.

use crate::cluster::{self, EVENT_TIMEOUT, ReconcileError, api, in_time, set_metadata, set_status};
use crate::event::{self, event};
use crate::pause::Cause;
use crate::pipeline_run::{PipelineRun, RunStatus, STOP};
use crate::run_board::{Board, Calls};
use crate::run_decision::{Circumstances, RunNext, next};
use crate::run_phase::RunPhase;
use crate::run_record;
use crate::run_values::RunValues;
use crate::server::{CallError, Server};
use crate::stack::{GROUP, VERSION};
use jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::events::{EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// What all reconciliations of runs share.
pub(crate) struct RunContext {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) events: Recorder,
    pub(crate) board: Arc<Board>,
}

/// Carries out the next action for a run. The board triggers the one after it.
///
/// # Errors
/// When the result cannot be recorded.
pub(crate) async fn reconcile(seen: Arc<PipelineRun>, context: Arc<RunContext>) -> Result<Action, ReconcileError> {
    let (board, now) = (&context.board, Timestamp::now());
    if next(&seen, &board.circumstances(&seen, now), now) == RunNext::Nothing {
        // A new object waits for the next look.
        board.wake();
        return Ok(Action::await_change());
    }
    // The copy of the watch may be older than the last write.
    let runs: Api<PipelineRun> = api(&context.client, &*seen, &());
    let Some(run) = in_time(runs.get_opt(&seen.name_any())).await? else { return Ok(Action::await_change()) };
    let here = board.circumstances(&run, now);
    let status = run.status.clone().unwrap_or_default();
    let is_unwanted = run.metadata.deletion_timestamp.is_some() || run.spec.cancel;
    let new_status = match next(&run, &here, now) {
        RunNext::Nothing => return Ok(Action::await_change()),
        RunNext::Observe => status,
        RunNext::Hold { reason, message, pipeline } => run_record::held(status, reason, &message, pipeline),
        RunNext::AddFinalizer => {
            let finalizers: Vec<_> = run.finalizers().iter().cloned().chain([STOP.to_owned()]).collect();
            let owners = owners(&run, &here);
            set_metadata(&runs, &run, json!({"finalizers": finalizers, "ownerReferences": owners})).await?;
            return Ok(Action::await_change());
        }
        RunNext::AddOwner => {
            set_metadata(&runs, &run, json!({"ownerReferences": owners(&run, &here)})).await?;
            return Ok(Action::await_change());
        }
        RunNext::RemoveFinalizer => {
            let finalizers: Vec<_> = run.finalizers().iter().filter(|name| *name != STOP).cloned().collect();
            set_metadata(&runs, &run, json!({"finalizers": finalizers})).await?;
            return Ok(Action::await_change());
        }
        RunNext::Delete => {
            let version = Preconditions { uid: run.uid(), resource_version: run.resource_version() };
            let only_this = DeleteParams { preconditions: Some(version), ..DeleteParams::default() };
            in_time(runs.delete(&run.name_any(), &only_this)).await?;
            return Ok(Action::await_change());
        }
        RunNext::Begin(pipeline) => {
            board.begins(run.uid().unwrap_or_default());
            run_record::begun(status, pipeline, here.values)
        }
        RunNext::Start(pipeline) => {
            let uid = run.uid().unwrap_or_default();
            let is_first = board.sends(&uid);
            let key = format!("pipeline-run/{uid}");
            let answer = context.server.start_run(&key, body(&run, &pipeline)).await;
            let calls = Calls::Start(run.spec.pool.clone());
            board.answered(&calls, |pause| match answer.as_ref().err().and_then(Cause::of) {
                None => pause.accepted(),
                Some(cause) => pause.refused(cause, Timestamp::now()),
            });
            match answer {
                Ok(id) => run_record::started(status, id),
                Err(error) => run_record::not_started(status, &error, is_unwanted, is_first, now),
            }
        }
        RunNext::Follow(facts) => run_record::followed(status, &facts, now),
        RunNext::Stop(id) => {
            let answer = context.server.stop_run(&id).await;
            board.answered(&Calls::Stop, |pause| match &answer {
                Ok(()) => pause.accepted(),
                Err(CallError::Unavailable(_)) => pause.refused(Cause::Outage, Timestamp::now()),
                Err(_) => pause.refused(Cause::Refusal, Timestamp::now()),
            });
            match answer {
                Ok(()) => run_record::stopping(status),
                Err(error) => run_record::not_stopped(status, &error.message()),
            }
        }
        RunNext::Withdraw => run_record::withdrawn(status, now),
    };
    let new_status = run_record::summarized(new_status, &run, now);
    if run.status.as_ref() != Some(&new_status) {
        set_status(&runs, &run, &(), &json!(new_status)).await?;
        board.wake();
        let _ = tokio::time::timeout(EVENT_TIMEOUT, publish(&context.events, &run, &new_status)).await;
    }
    Ok(Action::await_change())
}

/// The owners of a run: with its `Pipeline`, the cluster removes the run, too.
fn owners(run: &PipelineRun, here: &Circumstances) -> Vec<Json> {
    let known = run.owner_references().iter().map(|owner| json!(owner));
    let pipeline = here.owner.as_ref().map(
        |(name, uid)| json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Pipeline", "name": name, "uid": uid}),
    );
    let is_new = |owner: &Json| run.owner_references().iter().all(|known| owner["uid"] != known.uid.as_str());
    known.chain(pipeline.filter(is_new)).collect()
}

/// The body of the call that starts a run. It must not change: the server refuses another body under the same key.
fn body(run: &PipelineRun, pipeline: &str) -> Json {
    let spec = &run.spec;
    let fields = [
        ("pipeline_id", json!(pipeline)),
        ("pool", json!(spec.pool)),
        ("dirty", json!(spec.dirty)),
        ("force", json!(spec.force)),
        ("use_cache", json!(spec.use_cache)),
        ("timeout_seconds", json!(spec.timeout_seconds)),
        ("retries", json!(spec.retries)),
    ];
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value));
    let values = run.status.as_ref().and_then(|status| status.values.as_ref()).map(RunValues::fields);
    fields.chain(values.into_iter().flatten()).collect()
}

/// Publishes the event of a new phase.
async fn publish(recorder: &Recorder, run: &PipelineRun, after: &RunStatus) {
    let before = run.status.as_ref().map(|status| status.phase);
    let kind = match after.phase {
        phase if before == Some(phase) => return,
        RunPhase::Pending | RunPhase::Assigned | RunPhase::Unknown => return,
        RunPhase::Running | RunPhase::Succeeded | RunPhase::Cancelled => EventType::Normal,
        RunPhase::Failed => EventType::Warning,
    };
    let (namespace, name, phase) = (run.namespace().unwrap_or_default(), run.name_any(), after.phase);
    tracing::info!(kind = "PipelineRun", namespace, name, ?phase, run = after.run_id);
    let reason = after.reason.as_deref().unwrap_or_default();
    let events = vec![event(kind, reason, after.message.as_deref().unwrap_or_default())];
    event::publish(recorder, &run.object_ref(&()), events).await;
}

/// Repeats a reconciliation that could not be recorded.
pub(crate) fn retry(run: Arc<PipelineRun>, error: &ReconcileError, _: Arc<RunContext>) -> Action {
    cluster::retry(&*run, error)
}
