//! Prepares a step: evaluates and plans again deferred configurations, and creates the intent.

use super::super::values::Values;
use super::super::{Applier, Failed};
use super::recorder::Recorder;
use super::step::{Prepared, failed, resource_type};
use super::unchanged;
use std::time::Duration;
use terrace_language::action::{Action, Reason};
use terrace_language::address::StackId;
use terrace_language::descriptor::CheckTime;
use terrace_language::descriptor::checks::undecided;
use terrace_language::expression::Functions;
use terrace_plan::deadline;
use terrace_plan::resource::sent_write_only;
use terrace_plan::{Change, contract, deposed_key, ignored, row_stack};
use terrace_provider::value::wire::WireError;
use terrace_provider::{Attributes, Observed, Planned, Private, ProposedChange, ResourceType, Value};
use terrace_store::diff::changed_from_recorded;
use terrace_store::record;
use terrace_store::{Intent, RowStatus, StepAction};
use uuid::Uuid;

/// The forward step of a change with all its values; its provider may have to plan it again.
pub(crate) struct Draft<'a> {
    applier: &'a Applier,
    stack: StackId,
    change: &'a Change,
    ty: &'a ResourceType,
    /// The configuration to plan again, now that it is known.
    config: Option<Attributes>,
    /// An earlier step changed an object of the same instance.
    follows_change: bool,
}

impl<'a> Draft<'a> {
    /// Evaluates the checks and the deferred configuration of a change.
    pub(crate) fn of(
        applier: &'a Applier,
        stack: &StackId,
        change: &'a Change,
        values: &Values,
    ) -> Result<Self, Box<Failed>> {
        let stack = row_stack(stack, &change.address);
        let fail = |error: String| Box::new(failed(&stack, change, error));
        let ty = resource_type(applier, change).map_err(fail)?;
        if let Some(failed) = failed_check(&stack, change, CheckTime::Pre, None, values, &applier.functions) {
            return Err(Box::new(failed));
        }
        let deferred = change.after.as_ref().and_then(|after| after.deferred.as_ref());
        let config = deferred.map(|deferred| values.evaluate(deferred, &applier.functions)).transpose();
        let config = config.map_err(|messages| fail(messages.join("; ")))?;
        let config = config.map(|config| config.as_map().cloned().unwrap_or_default());
        Ok(Self { applier, stack, change, ty, config, follows_change: false })
    }

    /// Sets whether an earlier step changed an object of the same instance.
    pub(crate) fn following(self, follows_change: bool) -> Self {
        Self { follows_change, ..self }
    }

    /// Plans the deferred configuration again, which has to agree with the plan, and creates the intent.
    pub(crate) async fn prepare(self, operation: Uuid, step: u32) -> Result<Prepared, Box<Failed>> {
        let Self { applier, stack, change, ty, config, follows_change } = self;
        let fail = |error: String| Box::new(failed(&stack, change, error));
        let Some(after) = &change.after else { return Err(fail("the plan has no object after the change".to_owned())) };
        let planned = match config {
            Some(config) => plan_again(applier, &stack, change, ty, &config, &after.attributes).await.map_err(fail)?,
            None => Planned { attributes: after.attributes.clone(), private: after.private.clone() },
        };
        let action = forward_action(change, ty, &planned);
        let intent = match action {
            StepAction::Record => None,
            _ => Some(
                intent(applier, &stack, change, ty, action, &planned, operation, step)
                    .map_err(|error| fail(error.to_string()))?,
            ),
        };
        let deposed = (change.action == Action::ReplaceCreateFirst).then(|| deposed_key(operation));
        Ok(Prepared {
            stack,
            change: change.clone(),
            action,
            planned,
            intent,
            is_removal: false,
            follows_change,
            deposed,
        })
    }
}

/// Prepares the removing step of a change. If the object belongs to its successor now, it stays and no call is made.
pub(crate) fn prepare_removal(
    applier: &Applier,
    stack: &StackId,
    change: &Change,
    operation: Uuid,
    step: u32,
    is_successor_object: bool,
) -> Result<Prepared, Box<Failed>> {
    let row_stack = row_stack(stack, &change.address);
    let fail = |error: String| Box::new(failed(&row_stack, change, error));
    let ty = resource_type(applier, change).map_err(fail)?;
    let is_call = change.action.removes_object() && !ty.state_only && !is_successor_object;
    let planned = Planned {
        attributes: change.basis.prior.as_ref().map(|prior| prior.attributes.clone()).unwrap_or_default(),
        private: Private::default(),
    };
    let (action, intent) = if is_call {
        let intent = intent(applier, &row_stack, change, ty, StepAction::Delete, &planned, operation, step)
            .map_err(|error| fail(error.to_string()))?;
        (StepAction::Delete, Some(intent))
    } else if is_missing(change) {
        (StepAction::Delete, None)
    } else {
        (StepAction::Record, None)
    };
    let deposed = change.removed_key(operation);
    let change = change.clone();
    Ok(Prepared { stack: row_stack, change, action, planned, intent, is_removal: true, follows_change: false, deposed })
}

/// True if the row of a missing object is removed. The journal distinguishes this from a forgotten object, which stays: a later
/// object of that name would be a different object.
fn is_missing(change: &Change) -> bool {
    let is_released = matches!(
        change.why.reason,
        Some(Reason::Forgotten | Reason::RetainedAtLastRelease | Reason::RolledBack | Reason::PreExisting)
    );
    change.action == Action::Forget && !is_released
}

/// The first deferred check that fails.
pub(crate) fn failed_check(
    stack: &StackId,
    change: &Change,
    when: CheckTime,
    own: Option<&Value>,
    values: &Values,
    functions: &Functions,
) -> Option<Failed> {
    change.waiting_checks(when).find_map(|(check, deferred)| {
        let problem = values.check(deferred, own, functions).err()?;
        let place = check.place.as_ref().map(|place| format!("the check is at {place}"));
        let problems = problem.iter().map(|problem| undecided(problem)).chain(place).collect();
        Some(Failed { problems, ..failed(stack, change, check.error.clone()) })
    })
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
                .basis
                .prior
                .as_ref()
                .is_some_and(|prior| changed_from_recorded(ty, &prior.attributes, &planned.attributes).is_empty());
            if is_same { StepAction::Record } else { StepAction::Update }
        }
        _ => StepAction::Record,
    }
}

/// Plans a change again with the present values; the result has to agree with the plan.
async fn plan_again(
    applier: &Applier,
    stack: &StackId,
    change: &Change,
    ty: &ResourceType,
    config: &Attributes,
    planned_before: &Attributes,
) -> Result<Planned, String> {
    let session = applier.registry.session(&change.how.provider).await.map_err(|error| error.to_string())?;
    let is_new = matches!(change.action, Action::Create) || change.action.is_replace();
    let recorded = change.basis.prior.as_ref().map(|prior| record::recorded(stack, &change.address, prior));
    let changed = sent_write_only(change);
    let config = ignored::settled(ty, config, change.basis.prior.as_deref(), &change.basis.ignored);
    let proposed = ProposedChange {
        address: &format!("{stack}:{}", change.address),
        prior: recorded.as_ref().filter(|_| !is_new),
        config: &config,
        must_replace: false,
        changed_write_only: &changed,
    };
    let again = deadline::call_reading(change.how.timeouts.read, session.plan(ty, &proposed)).await;
    let again = again.map_err(|error| error.to_string())?;
    let observed = Observed { attributes: again.planned.clone(), ..Observed::default() };
    let mut breaches = contract::result_agrees_with_plan(ty, planned_before, &observed);
    if !again.replace_paths.is_empty() {
        breaches.push("the object would have to be replaced".to_owned());
    }
    if let (Some(loss), Some(recorded)) = (&again.data_loss, recorded.as_ref().filter(|_| !is_new)) {
        breaches.extend(unchanged::unplanned_loss(&*session, ty, change, recorded, loss).await);
    }
    match breaches.first() {
        None => Ok(Planned { attributes: again.planned, private: again.private }),
        Some(breach) => Err(format!("the plan is no longer valid, so the provider was not called: {breach}")),
    }
}

#[expect(clippy::too_many_arguments, reason = "each is a different property of the record")]
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
    let identity = match (&change.basis.prior, action) {
        (Some(prior), StepAction::Update | StepAction::Delete) => prior.identity.clone(),
        _ => ty.identity_of(&planned.attributes).unwrap_or_default(),
    };
    let private = match (&change.basis.prior, action) {
        (Some(prior), StepAction::Delete) => &prior.private,
        _ => &planned.private,
    };
    let recorded = change.basis.prior.as_ref().and_then(|prior| prior.recorded.as_ref());
    let is_storable = |attributes: &Attributes| attributes.values().all(|value| applier.seal.can_store(value));
    let attributes = match (action, recorded) {
        // A removal needs no key: if the refreshed values cannot be sealed, the intent has the recorded ones.
        (StepAction::Delete, Some(recorded)) if !is_storable(&planned.attributes) => recorded,
        _ => &planned.attributes,
    };
    let attributes: Attributes = attributes
        .iter()
        .filter(|(name, _)| ty.attributes.get(name).is_some_and(|attribute| !attribute.write_only))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut row =
        Recorder::of(applier, stack, change, ty, operation).row(RowStatus::Ready, &identity, &attributes, private)?;
    if action == StepAction::Delete {
        row.deposed = change.removed_key(operation);
    }
    let timeout = match action {
        StepAction::Create => change.how.timeouts.create,
        StepAction::Update => change.how.timeouts.update,
        StepAction::Delete => change.how.timeouts.delete,
        StepAction::Record => Duration::ZERO,
    };
    let prior_generation = match change.action {
        Action::Replace if action == StepAction::Create => 0,
        _ => change.basis.generation,
    };
    let deposes = change.action == Action::ReplaceCreateFirst && action == StepAction::Create;
    Ok(Intent { operation, step, action, row, prior_generation, deposes, timeout, settle: ty.settle })
}
