//! One step: what is journalled before it, the call, and what is journalled after it.

use super::values::Values;
use super::{Applier, Failed};
use crate::action::Action;
use crate::address::StackId;
use crate::deadline;
use crate::diff::changed_from_recorded;
use crate::plan::resource::changed_write_only;
use crate::plan::{Change, contract, row_stack};
use crate::record::{self, Memory, NewRow, storable};
use crate::store::{Intent, Row, RowStatus, StepAction, StepResult, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::value::wire::WireError;
use terrace_provider::{
    Attempt, Attributes, Call, ErrorKind, Found, LostCall, Observed, Planned, Private, Progress, ProposedChange,
    ProviderError, ResourceType,
};
use uuid::Uuid;

/// A step that is ready to run: nothing in it is unknown but what the provider computes.
pub(crate) struct Prepared {
    pub(crate) stack: StackId,
    pub(crate) change: Change,
    pub(crate) action: StepAction,
    pub(crate) planned: Planned,
    pub(crate) intent: Option<Intent>,
    /// It is the removing step of its change.
    is_removal: bool,
}

/// How a step ended.
pub(crate) struct Outcome {
    pub(crate) result: StepResult,
    pub(crate) writes: Vec<Write>,
    /// The attributes that are there now.
    pub(crate) attributes: Option<Attributes>,
    pub(crate) failure: Option<Failed>,
    /// The step stays open: what became of it has to be found out.
    pub(crate) is_in_doubt: bool,
    pub(crate) took: Duration,
}

/// Prepares the forward step of a change: what waited for others is evaluated and planned again, and has to agree
/// with the plan.
pub(crate) async fn prepare_forward(
    applier: &Applier,
    stack: &StackId,
    change: &Change,
    values: &Values,
    operation: Uuid,
    step: u32,
) -> Result<Prepared, Box<Failed>> {
    let row_stack = row_stack(stack, &change.address);
    let fail = |error: String| Box::new(failed(&row_stack, change, error));
    let ty = resource_type(applier, change).map_err(fail)?;
    let Some(after) = &change.after else { return Err(fail("the plan says nothing of its object".to_owned())) };
    let mut planned = Planned { attributes: after.attributes.clone(), private: after.private.clone() };
    if let Some(deferred) = &after.deferred {
        let config = values
            .evaluate(&change.address.component, deferred, &applier.functions)
            .map_err(|messages| fail(messages.join("; ")))?;
        let config = config.as_map().cloned().unwrap_or_default();
        planned = plan_again(applier, &row_stack, change, ty, &config, &after.attributes).await.map_err(fail)?;
    }
    let action = forward_action(change, ty, &planned);
    let intent = match action {
        StepAction::Record => None,
        _ => Some(
            intent(applier, &row_stack, change, ty, action, &planned, operation, step)
                .map_err(|error| fail(error.to_string()))?,
        ),
    };
    Ok(Prepared { stack: row_stack, change: change.clone(), action, planned, intent, is_removal: false })
}

/// Prepares the removing step of a change.
pub(crate) fn prepare_removal(
    applier: &Applier,
    stack: &StackId,
    change: &Change,
    operation: Uuid,
    step: u32,
) -> Result<Prepared, Box<Failed>> {
    let row_stack = row_stack(stack, &change.address);
    let fail = |error: String| Box::new(failed(&row_stack, change, error));
    let ty = resource_type(applier, change).map_err(fail)?;
    let is_call = change.action.removes_object() && !ty.state_only;
    let planned = Planned {
        attributes: change.prior.as_ref().map(|prior| prior.attributes.clone()).unwrap_or_default(),
        private: Private::default(),
    };
    let (action, intent) = if is_call {
        let intent = intent(applier, &row_stack, change, ty, StepAction::Delete, &planned, operation, step)
            .map_err(|error| fail(error.to_string()))?;
        (StepAction::Delete, Some(intent))
    } else {
        (StepAction::Record, None)
    };
    Ok(Prepared { stack: row_stack, change: change.clone(), action, planned, intent, is_removal: true })
}

fn forward_action(change: &Change, ty: &ResourceType, planned: &Planned) -> StepAction {
    if ty.state_only {
        return StepAction::Record;
    }
    match change.action {
        Action::Create | Action::Replace | Action::ReplaceCreateFirst => StepAction::Create,
        Action::Update => StepAction::Update,
        Action::Adopt => {
            let is_same = change
                .prior
                .as_ref()
                .is_some_and(|prior| changed_from_recorded(ty, &prior.attributes, &planned.attributes).is_empty());
            if is_same { StepAction::Record } else { StepAction::Update }
        }
        _ => StepAction::Record,
    }
}

/// Plans a change again with what is known now; it has to say what the plan said.
async fn plan_again(
    applier: &Applier,
    stack: &StackId,
    change: &Change,
    ty: &ResourceType,
    config: &Attributes,
    planned_before: &Attributes,
) -> Result<Planned, String> {
    let session = applier.registry.session(&change.provider).await.map_err(|error| error.to_string())?;
    let is_new = matches!(change.action, Action::Create) || change.action.is_replace();
    let recorded = change.prior.as_ref().map(|prior| record::recorded(stack, &change.address, prior));
    let detectors = change.after.as_ref().map(|after| &after.write_only);
    let changed_write_only = detectors.map(|it| changed_write_only(change.prior.as_ref(), it)).unwrap_or_default();
    let proposed = ProposedChange {
        address: &format!("{stack}:{}", change.address),
        prior: recorded.as_ref().filter(|_| !is_new),
        config,
        must_replace: false,
        changed_write_only: &changed_write_only,
    };
    let again = session.plan(ty, &proposed).await.map_err(|error| error.to_string())?;
    let observed = Observed { attributes: again.planned.clone(), ..Observed::default() };
    let mut breaches = contract::result_agrees_with_plan(ty, planned_before, &observed);
    if !again.replace_paths.is_empty() {
        breaches.push("the object would have to be replaced".to_owned());
    }
    match breaches.first() {
        None => Ok(Planned { attributes: again.planned, private: again.private }),
        Some(breach) => Err(format!("the plan does not hold any more, so nothing was called: {breach}")),
    }
}

#[expect(clippy::too_many_arguments, reason = "each is a different fact of the journal")]
fn intent(
    applier: &Applier,
    stack: &StackId,
    change: &Change,
    ty: &ResourceType,
    action: StepAction,
    planned: &Planned,
    operation: Uuid,
    step: u32,
) -> Result<Intent, WireError> {
    let identity = match (&change.prior, action) {
        (Some(prior), StepAction::Update | StepAction::Delete) => prior.identity.clone(),
        _ => ty.identity_of(&planned.attributes).unwrap_or_default(),
    };
    let private = match (&change.prior, action) {
        (Some(prior), StepAction::Delete) => &prior.private,
        _ => &planned.private,
    };
    let attributes: Attributes = planned
        .attributes
        .iter()
        .filter(|(name, _)| ty.attributes.get(name).is_some_and(|attribute| !attribute.write_only))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let row = row(applier, stack, change, ty, RowStatus::Ready, &identity, &attributes, private, operation)?;
    let timeout = match action {
        StepAction::Create => change.timeouts.create,
        StepAction::Update => change.timeouts.update,
        StepAction::Delete => change.timeouts.delete,
        StepAction::Record => Duration::ZERO,
    };
    let prior_generation = match change.action {
        Action::Replace if action == StepAction::Create => 0,
        _ => change.generation,
    };
    Ok(Intent { operation, step, action, row, prior_generation, timeout, settle: ty.settle })
}

#[expect(clippy::too_many_arguments, reason = "each is a column of the row")]
fn row(
    applier: &Applier,
    stack: &StackId,
    change: &Change,
    ty: &ResourceType,
    status: RowStatus,
    identity: &Attributes,
    attributes: &Attributes,
    private: &Private,
    operation: Uuid,
) -> Result<Row, WireError> {
    let memory = match &change.after {
        Some(after) => Memory { lifecycle: change.lifecycle.clone(), write_only: after.write_only.clone() },
        None => change.prior.as_ref().map(crate::plan::Prior::memory).unwrap_or_default(),
    };
    let dependencies = match (&change.after, &change.prior) {
        (None, Some(prior)) => &prior.dependencies,
        _ => &change.depends_on,
    };
    record::seal(
        &NewRow {
            stack: stack.clone(),
            address: &change.address,
            status,
            provider: &change.provider,
            schema_version: ty.schema_version,
            identity,
            attributes,
            private,
            dependencies,
            memory: &memory,
            operation,
        },
        &applier.seal,
    )
}

/// Runs a prepared step that calls its provider.
pub(crate) async fn call(
    applier: &Applier,
    prepared: &Prepared,
    operation: Uuid,
    step: u32,
    progress: Arc<dyn Progress>,
) -> Outcome {
    let started = Instant::now();
    let mut outcome = match resource_type(applier, &prepared.change) {
        Ok(ty) => call_provider(applier, prepared, ty, operation, step, progress).await,
        Err(error) => failure(prepared, ProviderError::bug(error), Vec::new(), None),
    };
    outcome.took = started.elapsed();
    outcome
}

async fn call_provider(
    applier: &Applier,
    prepared: &Prepared,
    ty: &ResourceType,
    operation: Uuid,
    step: u32,
    progress: Arc<dyn Progress>,
) -> Outcome {
    let change = &prepared.change;
    let session = match applier.registry.session(&change.provider).await {
        Ok(session) => session,
        Err(error) => return failure(prepared, error, Vec::new(), None),
    };
    let timeout = prepared.intent.as_ref().map_or(change.timeouts.create, |intent| intent.timeout);
    let call = Call {
        address: format!("{}:{}", prepared.stack, change.address),
        operation: operation.to_string(),
        step: step.to_string(),
        timeout,
        cancel: applier.cancel.clone(),
        progress,
    };
    let recorded = change.prior.as_ref().map(|prior| record::recorded(&prepared.stack, &change.address, prior));
    match prepared.action {
        StepAction::Create => {
            let result = deadline::changing(timeout, session.create(ty, &call, &prepared.planned)).await;
            match result {
                Ok(observed) => made(applier, prepared, ty, operation, &observed, generation_before_create(change)),
                Err(error) => {
                    let found = find_after_failure(&*session, ty, prepared, &call, &error).await;
                    create_failed(applier, prepared, ty, operation, error, found)
                }
            }
        }
        StepAction::Update => {
            let Some(recorded) = recorded else { return failure(prepared, no_prior(), Vec::new(), None) };
            match deadline::changing(timeout, session.update(ty, &call, &recorded, &prepared.planned)).await {
                Ok(observed) => made(applier, prepared, ty, operation, &observed, change.generation),
                Err(error) if error.kind == ErrorKind::Ambiguous && error.object.is_none() => {
                    let seen = look(&*session, prepared, ty, &recorded).await;
                    update_in_doubt(applier, prepared, ty, operation, error, seen)
                }
                Err(error) => update_failed(applier, prepared, ty, operation, error),
            }
        }
        StepAction::Delete => {
            let Some(recorded) = recorded else { return failure(prepared, no_prior(), Vec::new(), None) };
            match deadline::changing(timeout, session.delete(ty, &call, &recorded)).await {
                Ok(()) => done(vec![delete_row(prepared)], None),
                Err(error) if error.kind == ErrorKind::NotFound => done(vec![delete_row(prepared)], None),
                Err(error) if error.kind == ErrorKind::Ambiguous => {
                    let seen = look(&*session, prepared, ty, &recorded).await;
                    delete_in_doubt(prepared, ty, error, &seen)
                }
                Err(error) => failure(prepared, error, Vec::new(), None),
            }
        }
        StepAction::Record => failure(prepared, ProviderError::bug("a record step was called"), Vec::new(), None),
    }
}

/// Runs a step that only writes state.
pub(crate) async fn record_step(applier: &Applier, prepared: &Prepared, operation: Uuid) -> Outcome {
    let change = &prepared.change;
    let ty = match resource_type(applier, change) {
        Ok(ty) => ty,
        Err(error) => return failure(prepared, ProviderError::bug(error), Vec::new(), None),
    };
    match change.action {
        Action::Delete | Action::Forget => done(vec![delete_row(prepared)], None),
        // The old half of a replacement of what lives in state only.
        _ if prepared.is_removal && change.action.is_replace() => done(vec![delete_row(prepared)], None),
        Action::Retain => match &change.prior {
            Some(prior) => {
                let row = row(
                    applier,
                    &prepared.stack,
                    change,
                    ty,
                    RowStatus::Retained,
                    &prior.identity,
                    &prior.attributes,
                    &prior.private,
                    operation,
                );
                write_row(prepared, row, change.generation, None)
            }
            None => failure(prepared, no_prior(), Vec::new(), None),
        },
        // State-only objects are made by their provider within this process.
        _ if ty.state_only => state_only(applier, prepared, ty, operation).await,
        _ => {
            let prior = change.prior.clone().unwrap_or_else(empty_prior);
            let observed = Observed {
                identity: prior.identity.clone(),
                attributes: prior.attributes.clone(),
                private: prior.private.clone(),
            };
            made(applier, prepared, ty, operation, &observed, change.generation)
        }
    }
}

async fn state_only(applier: &Applier, prepared: &Prepared, ty: &ResourceType, operation: Uuid) -> Outcome {
    let change = &prepared.change;
    let session = match applier.registry.session(&change.provider).await {
        Ok(session) => session,
        Err(error) => return failure(prepared, error, Vec::new(), None),
    };
    let call = Call {
        address: format!("{}:{}", prepared.stack, change.address),
        operation: operation.to_string(),
        step: String::new(),
        timeout: change.timeouts.create,
        cancel: applier.cancel.clone(),
        progress: Arc::new(terrace_provider::call::NoProgress),
    };
    let recorded = change.prior.as_ref().map(|prior| record::recorded(&prepared.stack, &change.address, prior));
    let is_replaced = change.action.is_replace();
    let result = match recorded.filter(|_| matches!(change.action, Action::Update | Action::Adopt)) {
        Some(recorded) => session.update(ty, &call, &recorded, &prepared.planned).await,
        None => session.create(ty, &call, &prepared.planned).await,
    };
    match result {
        // The removing half of a replacement dropped the row.
        Ok(observed) if is_replaced => {
            made(applier, prepared, ty, operation, &observed, generation_before_create(change))
        }
        Ok(observed) => made(applier, prepared, ty, operation, &observed, change.generation),
        Err(error) => failure(prepared, error, Vec::new(), None),
    }
}

/// The generation that is there when an object is made: none, once a replacement dropped the old one.
fn generation_before_create(change: &Change) -> u64 {
    if change.action == Action::Replace { 0 } else { change.generation }
}

/// An object was made or changed: it is recorded, and has to agree with the plan.
fn made(
    applier: &Applier,
    prepared: &Prepared,
    ty: &ResourceType,
    operation: Uuid,
    observed: &Observed,
    expected: u64,
) -> Outcome {
    let attributes = storable(ty, &prepared.planned.attributes, observed);
    let breaches = contract::result_agrees_with_plan(ty, &prepared.planned.attributes, observed);
    let status = if breaches.is_empty() || prepared.action != StepAction::Create {
        RowStatus::Ready
    } else {
        RowStatus::Tainted
    };
    let row = row(
        applier,
        &prepared.stack,
        &prepared.change,
        ty,
        status,
        &observed.identity,
        &attributes,
        &observed.private,
        operation,
    );
    let mut outcome = write_row(prepared, row, expected, Some(attributes));
    if let (Some(breach), None) = (breaches.first(), &outcome.failure) {
        let error = ProviderError::bug(format!("a fault of the provider of `{}`: {breach}", ty.name))
            .solution("this is for the provider's author to mend; the object is recorded as it is");
        outcome = failure(prepared, error, outcome.writes, None);
    }
    outcome
}

fn write_row(
    prepared: &Prepared,
    row: Result<Row, WireError>,
    expected: u64,
    attributes: Option<Attributes>,
) -> Outcome {
    match row {
        Ok(row) => done(vec![Write::Put { row: Box::new(row), expected }], attributes),
        Err(error) => failure(prepared, ProviderError::bug(error.to_string()), Vec::new(), None),
    }
}

/// What is there after a create that failed.
enum AfterFailure {
    Object(Observed),
    Nothing,
    CannotTell,
}

async fn find_after_failure(
    session: &dyn terrace_provider::Session,
    ty: &ResourceType,
    prepared: &Prepared,
    call: &Call,
    error: &ProviderError,
) -> AfterFailure {
    if let Some(object) = &error.object {
        return AfterFailure::Object((**object).clone());
    }
    // These say for certain that nothing was made.
    let is_certain = matches!(
        error.kind,
        ErrorKind::AlreadyExists { .. }
            | ErrorKind::Cancelled
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidInput { .. }
    );
    if is_certain {
        return AfterFailure::Nothing;
    }
    let attempt = Attempt {
        address: call.address.clone(),
        identity: ty.identity_of(&prepared.planned.attributes).unwrap_or_default(),
        planned: prepared.planned.attributes.clone(),
        private: prepared.planned.private.clone(),
        prior: None,
        lost_call: Some(LostCall {
            operation: call.operation.clone(),
            step: call.step.clone(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            timeout: call.timeout,
            age: call.timeout,
        }),
    };
    match deadline::reading(prepared.change.timeouts.read, session.find(ty, &attempt)).await {
        Ok(Found::Ours(observed)) => AfterFailure::Object(observed),
        Ok(Found::Absent | Found::Strangers(_)) if error.kind != ErrorKind::Ambiguous || ty.settle.is_zero() => {
            AfterFailure::Nothing
        }
        Ok(_) | Err(_) => AfterFailure::CannotTell,
    }
}

fn create_failed(
    applier: &Applier,
    prepared: &Prepared,
    ty: &ResourceType,
    operation: Uuid,
    error: ProviderError,
    found: AfterFailure,
) -> Outcome {
    match found {
        AfterFailure::Nothing => failure(prepared, error, Vec::new(), None),
        AfterFailure::CannotTell => in_doubt(prepared, error),
        AfterFailure::Object(observed) if error.kind == ErrorKind::Ambiguous => {
            made(applier, prepared, ty, operation, &observed, generation_before_create(&prepared.change))
        }
        AfterFailure::Object(observed) => {
            let attributes = storable(ty, &prepared.planned.attributes, &observed);
            let row = row(
                applier,
                &prepared.stack,
                &prepared.change,
                ty,
                RowStatus::Tainted,
                &observed.identity,
                &attributes,
                &observed.private,
                operation,
            );
            let writes = match row {
                Ok(row) => {
                    vec![Write::Put { row: Box::new(row), expected: generation_before_create(&prepared.change) }]
                }
                Err(_) => Vec::new(),
            };
            failure(prepared, error, writes, None)
        }
    }
}

fn update_failed(
    applier: &Applier,
    prepared: &Prepared,
    ty: &ResourceType,
    operation: Uuid,
    error: ProviderError,
) -> Outcome {
    let writes = error.object.as_ref().and_then(|observed| {
        let attributes = storable(ty, &prepared.planned.attributes, observed);
        let row = row(
            applier,
            &prepared.stack,
            &prepared.change,
            ty,
            RowStatus::Ready,
            &observed.identity,
            &attributes,
            &observed.private,
            operation,
        );
        Some(vec![Write::Put { row: Box::new(row.ok()?), expected: prepared.change.generation }])
    });
    failure(prepared, error, writes.unwrap_or_default(), None)
}

/// What is there after an update or a delete that may have happened.
enum Seen {
    Object(Observed),
    Nothing,
    CannotTell,
}

async fn look(
    session: &dyn terrace_provider::Session,
    prepared: &Prepared,
    ty: &ResourceType,
    recorded: &terrace_provider::Recorded,
) -> Seen {
    if !ty.readable {
        return Seen::CannotTell;
    }
    match deadline::reading(prepared.change.timeouts.read, session.read(ty, recorded)).await {
        Ok(Some(observed)) => Seen::Object(observed),
        Ok(None) => Seen::Nothing,
        Err(_) => Seen::CannotTell,
    }
}

/// An update that may have happened: what can be read counts, once the call can have no effect any more.
fn update_in_doubt(
    applier: &Applier,
    prepared: &Prepared,
    ty: &ResourceType,
    operation: Uuid,
    error: ProviderError,
    seen: Seen,
) -> Outcome {
    match seen {
        Seen::Object(observed) => {
            let breaches = contract::result_agrees_with_plan(ty, &prepared.planned.attributes, &observed);
            match (breaches.is_empty(), ty.settle.is_zero()) {
                (true, _) => made(applier, prepared, ty, operation, &observed, prepared.change.generation),
                (false, true) => update_failed(applier, prepared, ty, operation, error.with_object(observed)),
                (false, false) => in_doubt(prepared, error),
            }
        }
        Seen::Nothing => failure(prepared, error, vec![delete_row(prepared)], None),
        Seen::CannotTell => in_doubt(prepared, error),
    }
}

/// A delete that may have happened.
fn delete_in_doubt(prepared: &Prepared, ty: &ResourceType, error: ProviderError, seen: &Seen) -> Outcome {
    match seen {
        Seen::Nothing => done(vec![delete_row(prepared)], None),
        Seen::Object(_) if ty.settle.is_zero() => failure(prepared, error, Vec::new(), None),
        Seen::Object(_) | Seen::CannotTell => in_doubt(prepared, error),
    }
}

fn in_doubt(prepared: &Prepared, error: ProviderError) -> Outcome {
    Outcome { is_in_doubt: true, ..failure(prepared, error, Vec::new(), None) }
}

fn delete_row(prepared: &Prepared) -> Write {
    Write::Delete {
        stack: prepared.stack.clone(),
        address: prepared.change.address.clone(),
        deposed: prepared.change.deposed.clone(),
        expected: prepared.change.generation,
    }
}

fn done(writes: Vec<Write>, attributes: Option<Attributes>) -> Outcome {
    Outcome { result: StepResult::Done, writes, attributes, failure: None, is_in_doubt: false, took: Duration::ZERO }
}

fn failure(prepared: &Prepared, error: ProviderError, writes: Vec<Write>, attributes: Option<Attributes>) -> Outcome {
    let mut solutions = error.solutions.clone();
    if let ErrorKind::AlreadyExists { .. } = &error.kind {
        solutions.push("to take it over: set `adopt: ifExists` on the resource".to_owned());
    }
    Outcome {
        result: StepResult::Failed(error.to_string()),
        writes,
        attributes,
        failure: Some(Failed {
            stack: prepared.stack.clone(),
            address: prepared.change.address.clone(),
            action: prepared.change.action,
            error: error.to_string(),
            problems: error.problems,
            solutions,
        }),
        is_in_doubt: false,
        took: Duration::ZERO,
    }
}

fn no_prior() -> ProviderError {
    ProviderError::bug("the plan says nothing of the object as it was")
}

fn empty_prior() -> crate::plan::Prior {
    crate::plan::Prior {
        status: RowStatus::Ready,
        identity: Attributes::new(),
        attributes: Attributes::new(),
        recorded: None,
        private: Private::default(),
        dependencies: Vec::new(),
        write_only: std::collections::BTreeMap::new(),
        lifecycle: crate::descriptor::Lifecycle::default(),
    }
}

fn failed(stack: &StackId, change: &Change, error: String) -> Failed {
    Failed {
        stack: stack.clone(),
        address: change.address.clone(),
        action: change.action,
        error,
        problems: Vec::new(),
        solutions: Vec::new(),
    }
}

fn resource_type<'a>(applier: &'a Applier, change: &Change) -> Result<&'a ResourceType, String> {
    let known = applier.registry.resource_type(&change.address.ty);
    known.map(|(_, ty)| ty).ok_or_else(|| format!("this terrace has no resource type `{}`", change.address.ty))
}
