//! Executes a step: the call and its journal records.

mod existing;
mod inconsistent;
mod outcome;
mod partial_results;
mod prepare;
mod recorder;
pub(crate) mod step;
mod unchanged;

pub(crate) use prepare::{Draft, failed_check, prepare_removal};
pub(crate) use unchanged::Precheck;

use super::Applier;
use outcome::{
    create_failed, delete_in_doubt, delete_row, done, failure, find_after_failure, record_object, reread,
    update_failed, update_in_doubt, write_row,
};
use partial_results::PartialResults;
use recorder::Recorder;
use std::sync::Arc;
use std::time::Instant;
use step::{Outcome, Prepared, generation_before_create, resource_type};
use terrace_language::action::Action;
use terrace_plan::deadline;
use terrace_provider::{
    Attributes, Call, ErrorKind, Observed, Private, Progress, ProviderError, ResourceType, Session,
};
use terrace_store::record;
use terrace_store::{RowStatus, StepAction};
use uuid::Uuid;

/// Runs a prepared step that calls its provider.
pub(crate) async fn call(
    applier: &Applier,
    prepared: &Prepared,
    session: Result<Arc<dyn Session>, ProviderError>,
    operation: Uuid,
    step: u32,
    progress: Arc<dyn Progress>,
) -> Outcome {
    let started = Instant::now();
    let ty = resource_type(applier, &prepared.change).map_err(ProviderError::bug);
    let mut outcome = match ty.and_then(|ty| Ok((ty, session?))) {
        Ok((ty, session)) => call_provider(applier, prepared, ty, &*session, operation, step, progress, started).await,
        Err(error) => failure(prepared, error, Vec::new(), None),
    };
    outcome.took = started.elapsed();
    outcome
}

#[expect(clippy::too_many_arguments, reason = "each is a different property of the call")]
async fn call_provider(
    applier: &Applier,
    prepared: &Prepared,
    ty: &ResourceType,
    session: &dyn Session,
    operation: Uuid,
    step: u32,
    progress: Arc<dyn Progress>,
    started: Instant,
) -> Outcome {
    let change = &prepared.change;
    let timeout = prepared.intent.as_ref().map_or(change.how.timeouts.create, |intent| intent.timeout);
    let partial_results = PartialResults::new(progress);
    let call = Call {
        address: format!("{}:{}", prepared.stack, change.address),
        operation: operation.to_string(),
        step: step.to_string(),
        timeout,
        removes_data: prepared.action == StepAction::Delete
            && change.data_loss.as_ref().is_some_and(|loss| loss.is_allowed),
        cancel: applier.cancel.clone(),
        progress: Arc::clone(&partial_results) as Arc<dyn Progress>,
    };
    let recorded = change.basis.prior.as_ref().map(|prior| record::recorded(&prepared.stack, &change.address, prior));
    let recorder = Recorder::new(applier, prepared, ty, operation);
    match prepared.action {
        StepAction::Create => {
            match deadline::call_changing(&call, ty.settle, session.create(ty, &call, &prepared.planned)).await {
                Ok(observed) => record_object(&recorder, prepared, &observed, generation_before_create(change)),
                Err(unfinished) => {
                    let attempted = partial_results.attempted(ty, &prepared.planned);
                    let found = find_after_failure(session, ty, prepared, &call, attempted, started, &unfinished).await;
                    let kind = unfinished.error.kind.clone();
                    let mut outcome = create_failed(&recorder, prepared, unfinished.error, found);
                    if let Some(failed) = &mut outcome.failure {
                        existing::add_remedies(applier, prepared, ty, &kind, failed).await;
                    }
                    outcome
                }
            }
        }
        StepAction::Update => {
            let Some(recorded) = recorded else { return failure(prepared, no_prior(), Vec::new(), None) };
            let recorded = match unchanged::check(applier, session, ty, prepared, &recorded).await {
                Ok(carried_over) => carried_over.unwrap_or(recorded),
                Err(error) => return failure(prepared, error, Vec::new(), None),
            };
            match deadline::call_changing(&call, ty.settle, session.update(ty, &call, &recorded, &prepared.planned))
                .await
            {
                Ok(observed) => record_object(&recorder, prepared, &observed, change.basis.generation),
                Err(unfinished)
                    if unfinished.error.kind == ErrorKind::Ambiguous && unfinished.error.object.is_none() =>
                {
                    let found = reread(session, prepared, ty, &recorded).await;
                    update_in_doubt(&recorder, prepared, unfinished, found)
                }
                Err(unfinished) => update_failed(&recorder, prepared, unfinished.error),
            }
        }
        StepAction::Delete => {
            let Some(recorded) = recorded else { return failure(prepared, no_prior(), Vec::new(), None) };
            if let Err(error) = unchanged::check(applier, session, ty, prepared, &recorded).await {
                return failure(prepared, error, Vec::new(), None);
            }
            match deadline::call_changing(&call, ty.settle, session.delete(ty, &call, &recorded)).await {
                Ok(()) => done(delete_row(prepared), None),
                Err(unfinished) if unfinished.error.kind == ErrorKind::NotFound => done(delete_row(prepared), None),
                Err(unfinished) if unfinished.error.kind == ErrorKind::Ambiguous => {
                    let found = reread(session, prepared, ty, &recorded).await;
                    delete_in_doubt(prepared, ty, unfinished, &found)
                }
                Err(unfinished) => failure(prepared, unfinished.error, Vec::new(), None),
            }
        }
        StepAction::Record => failure(prepared, ProviderError::bug("a record step was called"), Vec::new(), None),
    }
}

/// Runs a step that only writes to the state.
pub(crate) async fn record_step(applier: &Applier, prepared: &Prepared, operation: Uuid) -> Outcome {
    let change = &prepared.change;
    let ty = match resource_type(applier, change) {
        Ok(ty) => ty,
        Err(error) => return failure(prepared, ProviderError::bug(error), Vec::new(), None),
    };
    let recorder = Recorder::new(applier, prepared, ty, operation);
    match change.action {
        Action::Delete | Action::Forget => done(delete_row(prepared), None),
        // The removing step of a state-only replacement.
        _ if prepared.is_removal && change.action.is_replace() => done(delete_row(prepared), None),
        Action::Retain => match &change.basis.prior {
            Some(prior) => {
                let row = recorder.row(RowStatus::Retained, &prior.identity, &prior.attributes, &prior.private);
                write_row(prepared, row, change.basis.generation, None)
            }
            None => failure(prepared, no_prior(), Vec::new(), None),
        },
        // The provider creates a state-only object within this process.
        _ if ty.state_only && change.action != Action::NoOp => state_only(applier, prepared, ty, operation).await,
        _ => {
            let prior = change.basis.prior.as_deref().cloned().unwrap_or_else(empty_prior);
            // An adopted object gets the private data that its provider planned.
            let private = match change.action {
                Action::Adopt => &prepared.planned.private,
                _ => &prior.private,
            };
            let observed = Observed {
                identity: prior.identity.clone(),
                attributes: prior.attributes.clone(),
                private: private.clone(),
            };
            record_object(&recorder, prepared, &observed, change.basis.generation)
        }
    }
}

async fn state_only(applier: &Applier, prepared: &Prepared, ty: &ResourceType, operation: Uuid) -> Outcome {
    let change = &prepared.change;
    let session = match applier.registry.session(&change.how.provider).await {
        Ok(session) => session,
        Err(error) => return failure(prepared, error, Vec::new(), None),
    };
    let call = Call {
        address: format!("{}:{}", prepared.stack, change.address),
        operation: operation.to_string(),
        step: String::new(),
        timeout: change.how.timeouts.create,
        removes_data: false,
        cancel: applier.cancel.clone(),
        progress: Arc::new(terrace_provider::call::NoProgress),
    };
    let recorded = change.basis.prior.as_ref().map(|prior| record::recorded(&prepared.stack, &change.address, prior));
    let result = match recorded.filter(|_| matches!(change.action, Action::Update | Action::Adopt)) {
        Some(recorded) => session.update(ty, &call, &recorded, &prepared.planned).await,
        None => session.create(ty, &call, &prepared.planned).await,
    };
    match result {
        Ok(observed) => {
            let recorder = Recorder::new(applier, prepared, ty, operation);
            record_object(&recorder, prepared, &observed, generation_before_create(change))
        }
        Err(error) => failure(prepared, error, Vec::new(), None),
    }
}

fn no_prior() -> ProviderError {
    ProviderError::bug("the plan has no prior object")
}

fn empty_prior() -> record::Prior {
    record::Prior {
        status: RowStatus::Ready,
        identity: Attributes::default(),
        attributes: Attributes::default(),
        recorded: None,
        private: Private::default(),
        dependencies: Vec::new(),
        write_only: std::collections::BTreeMap::new(),
        inconsistent: std::collections::BTreeMap::new(),
        lifecycle: terrace_language::descriptor::Lifecycle::default(),
    }
}
